//! One version of the app on the volume: compiled code, static files, and the form that says what is where.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coreward_artifact::Cid;
use coreward_link::durable;
use coreward_wire::ArtifactFault;

use super::fault::Rejection;
use crate::app::{App, Host, engine};
use crate::form::{Form, Plan, Target};

/// The file that is there once all others are.
const FORM: &str = "form.json";
/// Where static files are, by CID.
const FILES: &str = "files";

/// One version of the app on the volume; all calls block.
#[derive(Clone, Debug)]
pub(super) struct Version {
    directory: PathBuf,
}

impl Version {
    /// The version with this root, among others in `directory`.
    pub(super) fn of(directory: &Path, root: &Cid) -> Self {
        Self { directory: directory.join(root.to_string()) }
    }

    /// Name of its own directory.
    pub(super) fn name(root: &Cid) -> String {
        root.to_string()
    }

    /// The file for the code of the component at this place.
    pub(super) fn code(&self, component: usize) -> PathBuf {
        self.directory.join(format!("{component}.code"))
    }

    /// Makes its directory.
    pub(super) fn begin(&self) -> io::Result<()> {
        fs::create_dir_all(self.directory.join(FILES))
    }

    /// Keeps everything but the code, which is there already; when it returns, all survives a crash of the machine.
    pub(super) fn finish(&self, plan: &Plan) -> io::Result<()> {
        for (cid, bytes) in &plan.files {
            durable::replace(&self.directory.join(FILES).join(cid), bytes)?;
        }
        let form = serde_json::to_vec(&plan.form).map_err(io::Error::other)?;
        durable::replace(&self.directory.join(FORM), &form)
    }

    /// Loads and links it, within what instances leave of the pod's memory.
    ///
    /// # Errors
    ///
    /// If it is not there as a whole, or its code is of another version of this program: then it must be made again. Or if a
    /// component wants what is not granted, or its code more memory than is left.
    pub(super) fn load(&self, host: Host) -> Result<Arc<App>, Rejection> {
        let refused = |error: wasmtime::Error| {
            Rejection::for_good(ArtifactFault::InvalidWasm, format!("{error:#}"))
        };
        let form = self.form().map_err(refused)?;
        let codes: Vec<_> = (0..form.components.len()).map(|at| self.code(at)).collect();
        let sizes = codes.iter().map(|code| Ok(fs::metadata(code)?.len()));
        let bytes: u64 =
            sizes.sum::<io::Result<u64>>().map_err(|error: io::Error| refused(error.into()))?;
        let memory = host.reserve(bytes);
        if memory.bytes() < bytes {
            let left = memory.bytes();
            let message = format!("its code has {bytes} bytes, and {left} of the memory are left");
            return Err(Rejection::for_now(ArtifactFault::CompileLimit, message));
        }
        let load = |code: &PathBuf| engine::load(host.engine(), code);
        let components: Vec<_> =
            codes.iter().map(load).collect::<wasmtime::Result<_>>().map_err(refused)?;
        App::link(host, form, &components, self.directory.join(FILES), memory).map_err(refused)
    }

    fn form(&self) -> wasmtime::Result<Form> {
        let form: Form = serde_json::from_slice(&fs::read(self.directory.join(FORM))?)?;
        let count = form.components.len();
        let is_whole = |target: &Target| !matches!(target, Target::Component(at) if *at >= count);
        if form.routes.iter().all(|route| is_whole(&route.target)) {
            return Ok(form);
        }
        Err(wasmtime::Error::msg("its form names a component that it does not have"))
    }
}

//! From an ordered CID to an app that answers: fetch, verify, compile, load, ask once.
//!
//! A new CID is made ready beside the version that serves; a version that turns out broken is told and changes nothing.

pub(crate) mod child;
mod fault;
pub(crate) mod fetch;
mod inspect;
mod version;

use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use coreward_link::durable;
use coreward_wire::{ArtifactFailure, ArtifactFault, ArtifactOrder, WorkerStage};
use http::{Request, StatusCode};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Failure, Host, Passage};
use crate::body;
use crate::form::Plan;
use crate::metrics::Origin;
use child::Compiler;
use fault::Rejection;
use version::Version;

/// The first pause before a version is tried again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Memory of the compiler that is the host's share of the pod's, not the component's.
const COMPILER_OF_HOST: u64 = 128 << 20;
/// The most that it draws from the component's memory: beyond this a component is not worth waiting for.
const COMPILER_OF_COMPONENT: u64 = 4 << 30;

/// The file that names the version in service.
const LAST: &str = "serving";

/// How far the ordered version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) cid: String,
    pub(crate) stage: WorkerStage,
    /// What answers requests meanwhile.
    pub(crate) serving: Option<String>,
    pub(crate) failure: Option<ArtifactFailure>,
}

/// Makes versions ready and puts them in service.
#[derive(Debug)]
pub(crate) struct Releases {
    pub(crate) host: Host,
    pub(crate) client: reqwest::Client,
    pub(crate) compiler: Compiler,
    /// Where versions are kept, compiled; ours alone.
    pub(crate) directory: PathBuf,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) current: watch::Sender<Option<Arc<App>>>,
}

impl Releases {
    /// Follows the orders until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut orders = self.host.orders.clone();
        let following = async {
            let ordered = orders.borrow().artifact.cid.clone();
            self.serve_the_last(&ordered).await;
            loop {
                let order = orders.borrow_and_update().artifact.clone();
                tokio::select! {
                    () = self.install(&order) => {}
                    gone = orders.wait_for(|now| now.artifact.cid != order.cid) => {
                        if gone.is_err() { return; }
                        continue;
                    }
                }
                if orders.wait_for(|now| now.artifact.cid != order.cid).await.is_err() {
                    return;
                }
            }
        };
        stop.run_until_cancelled(following).await;
    }

    /// Returns when the version serves, or can never.
    async fn install(&self, order: &ArtifactOrder) {
        let mut pause = FIRST_PAUSE;
        let mut shown = Some(order);
        loop {
            let rejection = match self.attempt(order, shown.take()).await {
                Ok(app) => return self.serve(order, app).await,
                Err(rejection) => rejection,
            };
            let Rejection { failure, may_pass } = rejection;
            tracing::warn!(artifact.cid = %order.cid, artifact.fault = ?failure.fault, error = failure.message, "the ordered version cannot be served");
            self.host.metrics.version_rejected(failure.fault);
            self.tell(order, WorkerStage::Failed, Some(failure));
            if !may_pass {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn serve(&self, order: &ArtifactOrder, app: Arc<App>) {
        self.current.send_replace(Some(app));
        self.progress.send_modify(|progress| progress.serving = Some(order.cid.clone()));
        self.tell(order, WorkerStage::Serving, None);
        tracing::info!(artifact.cid = %order.cid, "the ordered version is in service");
        if let Err(error) = self.remember(order).await {
            tracing::warn!(%error, "which version is in service could not be kept for a restart");
        } else if let Err(error) = self.sweep(order).await {
            tracing::warn!(%error, "code of former versions could not be removed");
        }
    }

    /// After a restart: what was in service serves on until the ordered version is ready, which it may never be.
    async fn serve_the_last(&self, ordered: &str) {
        let last = match tokio::fs::read_to_string(self.directory.join(LAST)).await {
            Ok(last) if last != ordered => last,
            Ok(_) => return,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "which version was in service is not known any more");
                }
                return;
            }
        };
        let Ok(root) = coreward_artifact::parse(&last) else { return };
        match self.load(Version::of(&self.directory, &root)).await {
            Ok(app) => {
                tracing::info!(
                    artifact.cid = last,
                    "the version from before the restart serves on"
                );
                self.current.send_replace(Some(app));
                self.progress.send_modify(|progress| progress.serving = Some(last));
            }
            Err(Rejection { failure, .. }) => {
                tracing::warn!(
                    artifact.cid = last,
                    error = failure.message,
                    "the version from before the restart cannot be loaded"
                );
            }
        }
    }

    /// Keeps which version serves, so that a restart finds it or the one before, never a torn name.
    async fn remember(&self, order: &ArtifactOrder) -> io::Result<()> {
        let (file, cid) = (self.directory.join(LAST), order.cid.clone());
        let kept = tokio::task::spawn_blocking(move || durable::replace(&file, cid.as_bytes()));
        kept.await.map_err(io::Error::other)?
    }

    /// One try; stages are told only in the first one, so that a version that stays broken stays `Failed`.
    async fn attempt(
        &self,
        order: &ArtifactOrder,
        shown: Option<&ArtifactOrder>,
    ) -> Result<Arc<App>, Rejection> {
        let root = coreward_artifact::parse(&order.cid)?;
        let version = Version::of(&self.directory, &root);
        if let Ok(app) = self.load(version.clone()).await {
            return check(app).await;
        }
        if shown.is_some() {
            self.tell(order, WorkerStage::Fetching, None);
        }
        let content = fetch::fetch(&self.client, order).await?;
        let malformed = |reason| Rejection::for_good(ArtifactFault::InvalidWasm, reason);
        let plan = Arc::new(Plan::of(content).map_err(malformed)?);
        if shown.is_some() {
            self.tell(order, WorkerStage::Compiling, None);
        }
        self.make(&version, &plan).await?;
        check(self.load(version).await?).await
    }

    /// Compiles and keeps a version, one component after the other.
    async fn make(&self, version: &Version, plan: &Arc<Plan>) -> Result<(), Rejection> {
        let begun = version.clone();
        on_volume(move || begun.begin()).await?;
        for (at, wasm) in plan.components.iter().enumerate() {
            let compiled = self.compile(wasm, &version.code(at)).await;
            compiled.map_err(|rejection| rejection.of_component(&plan.form.components[at]))?;
        }
        let (version, plan) = (version.clone(), Arc::clone(plan));
        on_volume(move || version.finish(&plan)).await
    }

    /// Compiles with what instances leave of the pod's memory; they have no more than the rest until it is done.
    async fn compile(&self, wasm: &Bytes, code: &Path) -> Result<(), Rejection> {
        let all = self.host.orders.borrow().limits.memory_mib << 20;
        // A version that serves goes on serving, and needs its half.
        let wanted = if self.current.borrow().is_some() { all / 2 } else { all };
        let wanted = wanted.min(COMPILER_OF_COMPONENT);
        let memory = self.host.reserve(wanted);
        let mebibytes = (COMPILER_OF_HOST + memory.bytes()) >> 20;
        let compiled = self.compiler.compile(wasm, code, mebibytes).await;
        compiled.map_err(|rejection| {
            let short =
                memory.bytes() < wanted && rejection.failure.fault == ArtifactFault::CompileLimit;
            Rejection { may_pass: rejection.may_pass || short, ..rejection }
        })
    }

    async fn load(&self, version: Version) -> Result<Arc<App>, Rejection> {
        let host = self.host.clone();
        let loading = tokio::task::spawn_blocking(move || version.load(host));
        let broken = |error: tokio::task::JoinError| {
            Rejection::for_now(ArtifactFault::InvalidWasm, error.to_string())
        };
        loading.await.map_err(broken)?
    }

    fn tell(&self, order: &ArtifactOrder, stage: WorkerStage, failure: Option<ArtifactFailure>) {
        self.progress.send_if_modified(|last| {
            let serving = last.serving.clone();
            let progress = Progress { cid: order.cid.clone(), stage, serving, failure };
            let news = *last != progress;
            *last = progress;
            news
        });
    }

    /// Removes all versions but this one.
    async fn sweep(&self, order: &ArtifactOrder) -> io::Result<()> {
        let Ok(root) = coreward_artifact::parse(&order.cid) else { return Ok(()) };
        let (directory, kept) = (self.directory.clone(), Version::name(&root));
        let swept = tokio::task::spawn_blocking(move || sweep(&directory, &kept));
        swept.await.map_err(io::Error::other)?
    }
}

fn sweep(directory: &Path, kept: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() == kept || entry.file_name() == LAST {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

async fn on_volume(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), Rejection> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|error| {
        let message = format!("the version cannot be kept on the pod's volume: {error}");
        Rejection::for_now(ArtifactFault::CompileLimit, message)
    })
}

/// Asks each component once: ready means that all answer.
async fn check(app: Arc<App>) -> Result<Arc<App>, Rejection> {
    for (name, path) in app.first_requests() {
        first_request(&app, &path).await.map_err(|rejection| rejection.of_component(&name))?;
    }
    Ok(app)
}

async fn first_request(app: &Arc<App>, path: &str) -> Result<(), Rejection> {
    let request =
        Request::builder().uri(path).header("host", "self.subnet.internal").body(body::full(""));
    let request = request
        .map_err(|error| Rejection::for_now(ArtifactFault::InvalidWasm, error.to_string()))?;
    let invalid = |message: String| Rejection::for_now(ArtifactFault::InvalidWasm, message);
    match app.ask(request, Passage::new(Origin::Itself, 0)).await {
        Ok(answer) if answer.status() < StatusCode::INTERNAL_SERVER_ERROR => Ok(()),
        Ok(answer) => Err(invalid(format!(
            "it answered its first request (GET {path}) with {}",
            answer.status()
        ))),
        Err(Failure::Trapped(trap)) => {
            Err(invalid(format!("it traps at start, on its first request (GET {path}): {trap}")))
        }
        Err(failure) => Err(invalid(format!("on its first request (GET {path}) {failure}"))),
    }
}

//! Where the bed keeps things, and what its parts are called on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};

/// The variable that names the bed; without it the name is made from the place of the checkout.
pub const NAME_VARIABLE: &str = "COREWARD_BED";
/// The variable that, where it is set, asks for the bed whose network enforces policies; it is another bed, with
/// [`ENFORCED`] behind its name.
pub const ENFORCE_VARIABLE: &str = "COREWARD_ENFORCE";
/// What the names of such beds end with.
const ENFORCED: &str = "-enforced";

/// Folders and names of one bed.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The bed's name: six hex digits, or what [`NAME_VARIABLE`] says.
    pub name: String,
    /// Whether its network enforces policies, in both IP families; other beds enforce none and have IPv4 alone.
    pub enforced: bool,
    /// The checkout.
    pub checkout: PathBuf,
    /// What is kept between beds: programs, packages, images.
    pub cache: PathBuf,
    /// What belongs to this bed while it is up.
    pub state: PathBuf,
}

impl Paths {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`Error::Missing`] where neither `HOME` nor the XDG variables say where to keep things.
    pub fn read() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let checkout = manifest.parent().unwrap_or(manifest).to_owned();
        let mut name = variable(NAME_VARIABLE)
            .unwrap_or_else(|| short_hash(checkout.as_os_str().as_encoded_bytes()));
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') || name.len() > 20 {
            return Err(Error::Missing {
                missing: format!("{NAME_VARIABLE}={name} is no name for a bed"),
                remedy: "Use up to 20 letters, digits and hyphens.".into(),
            });
        }
        let enforced = variable(ENFORCE_VARIABLE).is_some();
        if enforced {
            name += ENFORCED;
        }
        let cache = folder("XDG_CACHE_HOME", ".cache")?;
        let state = folder("XDG_STATE_HOME", ".local/state")?.join(&name);
        Ok(Self { name, enforced, checkout, cache, state })
    }

    /// The network namespace of the control plane.
    #[must_use]
    pub fn control_namespace(&self) -> String {
        format!("coreward-{}", self.name)
    }

    /// The network namespace of a node.
    #[must_use]
    pub fn node_namespace(&self, node: &str) -> String {
        format!("coreward-{}-{node}", self.name)
    }

    /// The link on the machine that leads into the bed; at most 15 characters, as the kernel wants.
    #[must_use]
    pub fn link(&self) -> String {
        format!("cw{}", short_hash(self.name.as_bytes()))
    }

    /// The group of processes of a node, below the root of every cgroup hierarchy.
    #[must_use]
    pub fn cgroup(&self, node: &str) -> String {
        format!("coreward-{}-{node}", self.name)
    }

    /// The client configuration of the bed's cluster, for a person on this machine.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// The folder of certificates and keys.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.state.join("certificates")
    }

    /// The log of a process of the bed.
    #[must_use]
    pub fn log(&self, process: &str) -> PathBuf {
        self.state.join("log").join(format!("{process}.log"))
    }

    /// The file that holds the id of a process of the bed.
    #[must_use]
    pub fn pid_file(&self, process: &str) -> PathBuf {
        self.state.join("run").join(format!("{process}.pid"))
    }

    /// What a node keeps on disk: containerd's folder stays when the bed goes down, so that images need no second import.
    #[must_use]
    pub fn node(&self, node: &str) -> PathBuf {
        self.state.join(node)
    }

    /// containerd's folder of a node.
    #[must_use]
    pub fn containerd(&self, node: &str) -> PathBuf {
        self.cache.join("nodes").join(&self.name).join(node)
    }

    /// The folder that the bed's IPFS gateway serves: `.car` files, and blocks named by their CID.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.state.join("artifacts")
    }
}

/// The first six hex digits of a SHA-256.
fn short_hash(bytes: &[u8]) -> String {
    let mut text = hex::encode(Sha256::digest(bytes));
    text.truncate(6);
    text
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`Error::File`].
pub(super) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("make the folder", path))
}

/// Writes a file at once or not at all: the bytes go to a neighbour first, of this process' own: two beds share the cache.
///
/// # Errors
/// [`Error::File`].
pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    fs::write(&partial, bytes).map_err(Error::file("write", &partial))?;
    fs::rename(&partial, path).map_err(Error::file("rename to", path))
}

fn folder(name: &str, below_home: &str) -> Result<PathBuf> {
    let base = variable(name)
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(below_home)))
        .ok_or_else(|| Error::Missing {
            missing: format!("neither {name} nor HOME is set"),
            remedy: "Set HOME to a folder that the bed may keep its files in.".into(),
        })?;
    Ok(base.join("coreward"))
}

/// Where programs are looked for: Debian keeps half of what the bed needs out of a user's path.
pub(super) fn search_path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", variable("PATH").unwrap_or_default())
}

/// A variable of the environment that is set and not empty.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the name and the folders of the bed are for tests too, which have no command line"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

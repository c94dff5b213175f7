//! What must be true of the machine before anything starts.

use std::path::Path;

use super::{
    error::{Error, Result},
    paths::{self, Paths},
};

/// Builds, packages, images and their room to work take this much from nothing.
const GIB_FREE: u64 = 15;

/// Checks the machine; the first thing that is missing is told in one sentence.
///
/// # Errors
/// [`Error::Missing`].
pub(super) fn check(paths: &Paths) -> Result<()> {
    machine()?;
    tool("go", "Install Go 1.26 or newer: the cluster's programs are built from their modules.")?;
    tool("node", "Install Node 20 or newer: the chain and its contracts come as packages.")?;
    tool(
        "npm",
        "Install Node 20 or newer with npm: the chain and its contracts come as packages.",
    )?;
    tool("cargo", "Install Rust by rustup; rust-toolchain.toml names the version.")?;
    disk(paths)
}

/// The part that even a bed with everything built needs.
///
/// # Errors
/// [`Error::Missing`].
pub(super) fn machine() -> Result<()> {
    let refuse = |missing: &str, remedy: &str| {
        Err(Error::Missing { missing: missing.into(), remedy: remedy.into() })
    };
    if !cfg!(target_os = "linux") {
        return refuse(
            "this is not Linux",
            "The bed is made of network namespaces and kubelets; use a Debian 12 machine.",
        );
    }
    if !Path::new("/etc/debian_version").exists() {
        return refuse(
            "this is not Debian",
            "Its packages bring containerd and runc; use a Debian 12 machine.",
        );
    }
    if !rustix::process::geteuid().is_root() {
        return refuse(
            "this needs root",
            "It makes network namespaces and runs kubelets; run it again as root.",
        );
    }
    Ok(())
}

/// Whether a program is on the path.
#[must_use]
pub(super) fn has(program: &str) -> bool {
    let path = paths::search_path();
    path.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

fn tool(program: &str, remedy: &str) -> Result<()> {
    if has(program) {
        return Ok(());
    }
    Err(Error::Missing { missing: format!("{program} is missing"), remedy: remedy.into() })
}

fn disk(paths: &Paths) -> Result<()> {
    paths::make_folder(&paths.cache)?;
    let stat = rustix::fs::statvfs(&paths.cache)
        .map_err(|source| Error::file("ask for the free space of", &paths.cache)(source.into()))?;
    let free = stat.f_bavail * stat.f_frsize / (1 << 30);
    if free >= GIB_FREE {
        return Ok(());
    }
    Err(Error::Missing {
        missing: format!("{free} GiB are free at {}, {GIB_FREE} are needed", paths.cache.display()),
        remedy: "Make room, or set XDG_CACHE_HOME to a folder on a larger disk.".into(),
    })
}

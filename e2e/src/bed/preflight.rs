//! What must be true of the machine before anything starts.

use std::path::Path;

use super::{
    error::{Error, Result},
    paths::{self, Paths},
};

/// The cluster's programs with what they are built from, packages, images and nodes take this much from nothing.
const GIB_FROM_NOTHING: u64 = 10;
/// Images and nodes alone, where the programs are built.
const GIB_BUILT: u64 = 3;

/// Checks the machine; the first thing that is missing is told in one sentence. Where the cluster's programs are
/// `built`, what builds them is not asked for.
///
/// # Errors
/// [`Error::Missing`].
pub(super) fn check(paths: &Paths, built: bool) -> Result<()> {
    machine()?;
    if built {
        return disk(paths, GIB_BUILT);
    }
    tool("go", "Install Go 1.26 or newer: the cluster's programs are built from their modules.")?;
    tool("node", "Install Node 20 or newer: the chain and its contracts come as packages.")?;
    tool(
        "npm",
        "Install Node 20 or newer with npm: the chain and its contracts come as packages.",
    )?;
    tool("cargo", "Install Rust by rustup; rust-toolchain.toml names the version.")?;
    disk(paths, GIB_FROM_NOTHING)
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

/// Watches on files that the machine's users may have, at least: kubelets, containerd and Go programs of two beds want more
/// than the kernel's 128, and say "too many open files" then.
const WATCHERS: u64 = 1024;

/// Lets the machine watch files for all that a bed runs. A machine that does not let it be raised may have enough.
pub(super) fn watchers() {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
    let present = std::fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse().ok());
    if present.is_some_and(|present: u64| present < WATCHERS) {
        let _ = std::fs::write(LIMIT, WATCHERS.to_string());
    }
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

fn disk(paths: &Paths, needed: u64) -> Result<()> {
    paths::make_folder(&paths.cache)?;
    let stat = rustix::fs::statvfs(&paths.cache)
        .map_err(|source| Error::file("ask for the free space of", &paths.cache)(source.into()))?;
    let free = stat.f_bavail * stat.f_frsize / (1 << 30);
    if free >= needed {
        return Ok(());
    }
    Err(Error::Missing {
        missing: format!("{free} GiB are free at {}, {needed} are needed", paths.cache.display()),
        remedy: "Make room, or set XDG_CACHE_HOME to a folder on a larger disk.".into(),
    })
}

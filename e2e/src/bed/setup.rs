//! Everything that a bed is made of, fetched and built: each part only if it is not there.

use std::path::PathBuf;

use super::{
    command::Run,
    error::{Error, Result},
    go, image, lock,
    paths::Paths,
    preflight,
    progress::step,
};
use crate::chain::Packages;

/// Programs of Debian's and the packages that bring them.
const DEBIAN: [(&str, &str); 13] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("conntrack", "conntrack"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("cc", "gcc"),
    ("g++", "g++"),
    ("cmake", "cmake"),
    ("strip", "binutils"),
    ("ldd", "libc-bin"),
];
/// What the engine that enforces policies needs besides.
const DEBIAN_FOR_POLICIES: [(&str, &str); 2] = [("clang-19", "clang-19"), ("bpftool", "bpftool")];
/// Debian keeps these out of the path.
const CNI: &str = "/usr/lib/cni/ptp";

/// What a bed is started from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The folder with the cluster's programs: kubelet, helm, kubectl and the others.
    pub programs: PathBuf,
    /// The chain's packages.
    pub packages: Packages,
    /// The folder of the engine that enforces policies, for a bed that has one.
    pub engine: Option<PathBuf>,
}

/// Fetches and builds all, images of our own programs included.
///
/// # Errors
/// Each part's; [`Error::Missing`] says what a person has to do.
pub async fn everything(paths: &Paths) -> Result<Parts> {
    let parts = parts(paths).await?;
    image::build(paths, &parts.programs, &image::ALL).await?;
    Ok(parts)
}

/// Fetches and builds what the cluster and the chain need, without our own programs.
///
/// # Errors
/// Each part's.
pub(super) async fn parts(paths: &Paths) -> Result<Parts> {
    preflight::check(paths, go::are_built(paths)?)?;
    let _lock = alone(paths).await?;
    debian(paths.enforced).await?;
    let programs = go::programs(paths).await?;
    let engine = if paths.enforced { Some(go::cilium(paths).await?) } else { None };
    let packages = step("installing the chain's npm packages", Packages::install(&paths.cache))
        .await
        .map_err(|error| Error::Missing {
            missing: format!("the chain's npm packages cannot be fetched: {error}"),
            remedy: "Check the network, and what `npm config get registry` names; then try again."
                .into(),
        })?;
    image::build(paths, &programs, &image::CLUSTER).await?;
    Ok(Parts { programs, packages, engine })
}

/// Helm, for what needs no bed; built if it is not there.
///
/// # Errors
/// [`Error::Missing`] where the module proxy does not answer, [`Error::Failed`] with the compiler's words.
pub async fn helm(paths: &Paths) -> Result<PathBuf> {
    let _lock = alone(paths).await?;
    go::helm(paths).await
}

/// The program that checks Prometheus' rules, built if it is not there (some minutes).
///
/// # Errors
/// As [`helm`].
pub async fn promtool(paths: &Paths) -> Result<PathBuf> {
    let _lock = alone(paths).await?;
    go::promtool(paths).await
}

async fn alone(paths: &Paths) -> Result<std::fs::File> {
    lock::take(&paths.cache.join("setup.lock"), "another set-up").await
}

async fn debian(enforced: bool) -> Result<()> {
    let for_policies = DEBIAN_FOR_POLICIES.iter().filter(|_| enforced);
    let mut missing: Vec<&str> = DEBIAN
        .iter()
        .chain(for_policies)
        .filter(|(program, _)| !preflight::has(program))
        .map(|(_, package)| *package)
        .collect();
    if !std::path::Path::new(CNI).exists() {
        missing.push("containernetworking-plugins");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let install = async {
        let update =
            Run::new("apt-get", "read Debian's lists of packages").args(["update", "--quiet"]);
        update.output().await?;
        Run::new("apt-get", format!("install {}", missing.join(" ")))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(&missing)
            .output()
            .await
    };
    let done = step(format_args!("installing Debian's {}", missing.join(", ")), install).await;
    done.map(drop).map_err(|error| Error::Missing {
        missing: format!("Debian's packages {} cannot be installed: {error}", missing.join(", ")),
        remedy: "Check the network and the sources of apt; then try again.".into(),
    })
}

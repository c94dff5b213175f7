//! Which images there are, what they are made of, and how they get onto nodes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use futures::future;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    Bed,
    command::Run,
    error::{Error, Result},
    node::{NODES, Node, Pool},
    oci,
    paths::{self, Paths},
    progress::step,
};

/// What all our images' names begin with.
pub(super) const PREFIX: &str = "coreward.local/";
/// A change in how images are made must make new ones.
const LAYOUT: &str = "1";
/// Archives of an image that are kept, each with a file that names it: another checkout may be at another version.
const KEPT: usize = 3;
const PAUSE: &str = include_str!("pause.c");

/// An image of the bed: one program.
#[derive(Debug, Clone, Copy)]
pub struct ImageSpec {
    /// Its name: `coreward.local/<name>:dev`.
    pub name: &'static str,
    /// Where its program comes from.
    pub source: Source,
    /// Whether compute nodes need it too.
    pub on_compute_nodes: bool,
}

/// Where an image's program comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The C program that holds a pod's namespaces.
    Pause,
    /// A program of the cluster, by its name.
    Cluster(&'static str),
    /// A binary of ours: its package and its name.
    Ours(&'static str, &'static str),
}

impl Source {
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Ours(package, _) => Some(package),
            Self::Pause | Self::Cluster(_) => None,
        }
    }

    fn binary(self) -> Option<&'static str> {
        match self {
            Self::Ours(_, binary) => Some(binary),
            Self::Pause | Self::Cluster(_) => None,
        }
    }
}

/// What the cluster itself runs, and what stories look around with.
pub(super) const CLUSTER: [ImageSpec; 3] = [
    ImageSpec { name: "pause", source: Source::Pause, on_compute_nodes: true },
    ImageSpec { name: "probe", source: Source::Cluster("probe"), on_compute_nodes: true },
    ImageSpec { name: "coredns", source: Source::Cluster("coredns"), on_compute_nodes: false },
];

/// The product.
pub const PRODUCT: [ImageSpec; 5] = [
    ImageSpec {
        name: "operator",
        source: Source::Ours("coreward-controllers", "coreward-operator"),
        on_compute_nodes: false,
    },
    ImageSpec {
        name: "prover",
        source: Source::Ours("coreward-prover", "coreward-prover"),
        on_compute_nodes: true,
    },
    ImageSpec {
        name: "worker",
        source: Source::Ours("coreward-worker", "coreward-worker"),
        on_compute_nodes: true,
    },
    ImageSpec {
        name: "node",
        source: Source::Ours("coreward-node", "coreward-node"),
        on_compute_nodes: true,
    },
    ImageSpec {
        name: "gateway",
        source: Source::Ours("coreward-gateway", "coreward-gateway"),
        on_compute_nodes: false,
    },
];

/// All images.
pub const ALL: [ImageSpec; 8] = [
    CLUSTER[0], CLUSTER[1], CLUSTER[2], PRODUCT[0], PRODUCT[1], PRODUCT[2], PRODUCT[3], PRODUCT[4],
];

/// An image that is built and lies in the cache as an archive.
#[derive(Debug, Clone)]
pub(super) struct Built {
    spec: ImageSpec,
    /// Its name with a tag that names the content: another content rolls whatever runs it.
    pub reference: String,
    archive: PathBuf,
}

/// Builds images that are not in the cache.
///
/// # Errors
/// The compiler's words, or [`Error::File`].
pub(super) async fn build(
    paths: &Paths,
    programs: &Path,
    specs: &[ImageSpec],
) -> Result<Vec<Built>> {
    let ours = our_binaries(paths, specs).await?;
    let mut built = Vec::new();
    for spec in specs {
        let program = match spec.source {
            Source::Pause => pause(paths).await?,
            Source::Cluster(name) => programs.join(name),
            Source::Ours(package, name) => {
                ours.get(name).cloned().ok_or_else(|| Error::Missing {
                    missing: format!("{package} has no binary {name}"),
                    remedy: "Give the package that binary.".into(),
                })?
            }
        };
        built.push(build_one(paths, *spec, &program).await?);
    }
    Ok(built)
}

/// Builds images and brings them onto the nodes of a bed, each only if need be; returns their references by name.
///
/// # Errors
/// As [`build`], and containerd's words.
pub async fn ensure(bed: &Bed, specs: &[ImageSpec]) -> Result<BTreeMap<&'static str, String>> {
    let built = build(bed.paths(), bed.programs(), specs).await?;
    let import = future::try_join_all(NODES.map(|node| import(bed.paths(), node, &built)));
    step("importing images", import).await?;
    Ok(built.into_iter().map(|image| (image.spec.name, image.reference)).collect())
}

/// Imports images into one node, unless it has the same content.
///
/// # Errors
/// containerd's words, or [`Error::File`].
pub(super) async fn import(paths: &Paths, node: Node, images: &[Built]) -> Result<()> {
    let wanted =
        images.iter().filter(|image| image.spec.on_compute_nodes || node.pool == Pool::Shared);
    for image in wanted {
        let record = paths.containerd(node.name).join("imported").join(image.spec.name);
        let before = fs::read_to_string(&record).unwrap_or_default();
        if before == image.reference {
            continue;
        }
        let archive = image.archive.display().to_string();
        node.ctr(paths, &format!("import {}", image.reference), &["images", "import", &archive])
            .await?;
        if !before.is_empty() {
            // Whoever runs the old content goes on; its name only kept the disk full.
            let _ = node.ctr(paths, "forget an image", &["images", "remove", &before]).await;
        }
        paths::write(&record, &image.reference)?;
    }
    Ok(())
}

async fn build_one(paths: &Paths, spec: ImageSpec, program: &Path) -> Result<Built> {
    let bytes = fs::read(program).map_err(Error::file("read", program))?;
    let mut hash = Sha256::new();
    hash.update(LAYOUT);
    hash.update(&bytes);
    let folder = paths.cache.join("images");
    let content = &hex::encode(hash.finalize())[..16];
    let archive = folder.join(format!("{}-{content}.tar", spec.name));
    let record = folder.join(format!("{}-{content}.reference", spec.name));
    if let (true, Ok(reference)) = (archive.exists(), fs::read_to_string(&record)) {
        return Ok(Built { spec, reference, archive });
    }
    drop(bytes);
    let stripped = strip(&folder, spec.name, program).await?;
    let libraries = oci::libraries(program).await?;
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or(spec.name);
    let image = oci::Image::of_program(name, &stripped, &libraries)?;
    let reference = format!("{PREFIX}{}:{}", spec.name, image.version());
    paths::write(
        &archive,
        image.archive(&[reference.clone(), format!("{PREFIX}{}:dev", spec.name)]),
    )?;
    paths::write(&record, &reference)?;
    forget_old(&folder, spec.name);
    Ok(Built { spec, reference, archive })
}

/// Removes all but the newest few archives of an image: every build of a program leaves one.
fn forget_old(folder: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut archives: Vec<_> = entries
        .flatten()
        .filter(|entry| {
            let file = entry.file_name();
            let stem = Path::new(&file).file_stem().and_then(|stem| stem.to_str());
            stem.and_then(|stem| stem.rsplit_once('-')).is_some_and(|(image, _)| image == name)
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    archives.sort();
    for (_, path) in archives.iter().rev().skip(2 * KEPT) {
        // One that cannot be removed only takes room.
        let _ = fs::remove_file(path);
    }
}

/// A program's bytes without its symbols: a debug build is mostly those.
async fn strip(folder: &Path, name: &str, program: &Path) -> Result<Vec<u8>> {
    paths::make_folder(folder)?;
    let copy = folder.join(format!("{name}.{}.stripped", std::process::id()));
    Run::new("strip", format!("strip {}", program.display()))
        .args(["-o"])
        .args([&copy])
        .args([program])
        .output()
        .await?;
    let bytes = fs::read(&copy).map_err(Error::file("read", &copy))?;
    fs::remove_file(&copy).map_err(Error::file("remove", &copy))?;
    Ok(bytes)
}

async fn pause(paths: &Paths) -> Result<PathBuf> {
    let folder = paths
        .cache
        .join("bin")
        .join(format!("pause-{}", &hex::encode(Sha256::digest(PAUSE))[..12]));
    let program = folder.join("pause");
    if !program.exists() {
        let source = folder.join("pause.c");
        paths::write(&source, PAUSE)?;
        let partial = folder.join(format!("pause.{}.partial", std::process::id()));
        Run::new("cc", "compile the pause program")
            .args(["-static", "-Os", "-o"])
            .args([&partial, &source])
            .output()
            .await?;
        fs::rename(&partial, &program).map_err(Error::file("rename to", &program))?;
    }
    Ok(program)
}

/// One line of what cargo reports.
#[derive(Debug, Deserialize)]
struct CargoMessage {
    executable: Option<PathBuf>,
}

/// Builds our binaries and returns where they are, by name.
async fn our_binaries(paths: &Paths, specs: &[ImageSpec]) -> Result<BTreeMap<String, PathBuf>> {
    let wanted: Vec<&str> = specs.iter().filter_map(|spec| spec.source.binary()).collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Always the same set: another one would choose other features for shared packages and build them again.
    let packages = PRODUCT.iter().filter_map(|spec| spec.source.package());
    let run = Run::new("cargo", "build the product")
        .folder(&paths.checkout)
        .args(["build", "--keep-going", "--message-format=json-render-diagnostics", "--bins"])
        .args(packages.flat_map(|package| ["--package", package]));
    let (text, ended) = step("building the product", run.whatever()).await?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<CargoMessage>(line).ok());
    let built: BTreeMap<String, PathBuf> = messages
        .filter_map(|message| message.executable)
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path.clone())))
        .collect();
    // A part that does not build is no matter to those who did not ask for it.
    if wanted.iter().any(|name| !built.contains_key(*name)) {
        ended?;
    }
    Ok(built)
}

//! The apps that deals run in the stories, and the folder from which the bed's IPFS gateway serves them.

mod block_folder;
mod unixfs;
mod wrong;

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::chain::{Error, Result};

pub use block_folder::BlockFolder;
pub use wrong::WrongApp;

/// The CIDs of the sample apps, as a deal names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apps {
    /// Answers `hello` at `/`, calls other workers at `/call/<id>`, ends itself at `/trap`.
    pub hello: String,
    /// The same app with a part that is never read, so large that it comes in several blocks.
    pub hello_in_blocks: String,
    /// The same app with another greeting: `howdy`.
    pub howdy: String,
    /// Those that cannot be served.
    pub wrong: Vec<WrongApp>,
}

/// Bytes of the custom section that makes the large app large: more than the one block that IPFS tools make of a MiB.
const PADDING: usize = 1_500_000;

impl Apps {
    /// Builds the samples (some seconds, once) and puts them into `folder`.
    ///
    /// # Errors
    /// [`Error::Program`] with cargo's last lines, [`Error::Machine`] for the file system.
    pub async fn publish(cache: &Path, folder: &BlockFolder) -> Result<Self> {
        let built = build(cache).await?;
        let hello = read(&built.join("hello.wasm")).await?;
        Ok(Self {
            hello: folder.add(&hello).await?,
            howdy: folder.add(&renamed(&hello, b"hello", b"howdy")).await?,
            hello_in_blocks: folder.add(&padded(hello.clone())).await?,
            wrong: wrong::publish(folder, &hello, &built).await?,
        })
    }
}

/// Compiles the sample components; gives the folder with the `.wasm` files.
///
/// # Errors
/// [`Error::Program`] with cargo's last lines.
pub async fn build(cache: &Path) -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("components/Cargo.toml");
    let target = cache.join("components");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--locked", "--lib", "--examples"])
        .args(["--target", "wasm32-wasip2", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        // Flags meant for the machine's own programs must not reach another target.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    crate::chain::run(&mut cargo, "cargo build of the sample apps").await?;
    Ok(target.join("wasm32-wasip2/release"))
}

async fn read(path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|source| Error::Machine {
        what: "read",
        path: path.to_owned(),
        source,
    })
}

/// A component with other letters in its texts.
fn renamed<const LENGTH: usize>(
    component: &[u8],
    from: &[u8; LENGTH],
    to: &[u8; LENGTH],
) -> Vec<u8> {
    let mut renamed = component.to_vec();
    let places = component.windows(LENGTH).enumerate().filter(|(_, text)| *text == from);
    for (place, _) in places {
        renamed[place..place + LENGTH].copy_from_slice(to);
    }
    renamed
}

/// A component with a custom section of [`PADDING`] bytes at its end: the same program.
fn padded(mut component: Vec<u8>) -> Vec<u8> {
    const NAME: &[u8] = b"\x07padding";
    let content = NAME.len() + PADDING;
    component.push(0);
    unixfs::push_varint(&mut component, content as u64);
    component.extend_from_slice(NAME);
    // Not all alike, or all blocks would be one.
    component.extend((0..PADDING).map(|place| (place / 1000).to_le_bytes()[0]));
    component
}

//! The npm packages behind the chain: Anvil, the contracts' bytecode, and a second maker of CIDs.
//!
//! Nothing of them is committed: they are installed once per content of `chain-js` into a folder of the cache, outside
//! the checkout.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::{json_abi::JsonAbi, primitives::Bytes};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::error::{Error, Result};

const MANIFEST: &str = include_str!("../../chain-js/package.json");
const LOCK: &str = include_str!("../../chain-js/package-lock.json");
const EXTRACT: &str = include_str!("../../chain-js/extract.mjs");

/// The folder of everything this product's test bed caches: `$XDG_CACHE_HOME/coreward` or `~/.cache/coreward`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the place of the cache is the user's environment")]
pub fn cache_root() -> PathBuf {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("coreward")
}

/// A contract as the npm package carries it.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifact {
    /// Its interface, from which selectors are taken.
    pub abi: JsonAbi,
    /// Its creation code, without constructor arguments.
    pub bytecode: Bytes,
}

/// The installed packages.
#[derive(Debug, Clone)]
pub struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Installs the packages under `cache`, unless this very set is there already (some 15 s with a registry near).
    ///
    /// # Errors
    /// [`Error::Program`] with npm's or Node's last lines, [`Error::Machine`] for the file system.
    pub async fn install(cache: &Path) -> Result<Self> {
        let mut digest = Sha256::new();
        for part in [MANIFEST, LOCK, EXTRACT] {
            digest.update(part);
        }
        let version = hex::encode(&digest.finalize()[..6]);
        let folder = cache.join("chain-js").join(version);
        if folder.join("artifacts.json").is_file() {
            return Ok(Self { folder });
        }
        // Built aside and renamed, so that an interrupted or a concurrent installation is never taken for a whole one.
        let building = folder.with_extension(format!("building-{}", std::process::id()));
        fill(&building).await?;
        match tokio::fs::rename(&building, &folder).await {
            Ok(()) => {}
            Err(_) if folder.join("artifacts.json").is_file() => {
                tokio::fs::remove_dir_all(&building)
                    .await
                    .map_err(Error::machine("remove", &building))?;
            }
            Err(source) => {
                return Err(Error::Machine { what: "put in place", path: folder, source });
            }
        }
        Ok(Self { folder })
    }

    /// What distinguishes this set from every other: a hash of the manifest, the lock file and the extraction.
    #[must_use]
    pub fn version(&self) -> &str {
        self.folder.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default()
    }

    /// The Anvil program.
    #[must_use]
    pub fn anvil(&self) -> PathBuf {
        self.folder.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
    }

    /// The `ipfs-car` command's script, to be run with Node.
    #[must_use]
    pub fn ipfs_car(&self) -> PathBuf {
        self.folder.join("node_modules/ipfs-car/bin.js")
    }

    /// The contracts by name.
    ///
    /// # Errors
    /// [`Error::Machine`], [`Error::Malformed`].
    pub async fn artifacts(&self) -> Result<BTreeMap<String, Artifact>> {
        let path = self.folder.join("artifacts.json");
        let text = tokio::fs::read(&path).await.map_err(Error::machine("read", &path))?;
        serde_json::from_slice(&text).map_err(|source| Error::Malformed {
            what: "set of contracts",
            path,
            source,
        })
    }
}

async fn fill(folder: &Path) -> Result<()> {
    tokio::fs::create_dir_all(folder).await.map_err(Error::machine("create", folder))?;
    for (name, text) in
        [("package.json", MANIFEST), ("package-lock.json", LOCK), ("extract.mjs", EXTRACT)]
    {
        let path = folder.join(name);
        tokio::fs::write(&path, text).await.map_err(Error::machine("write", &path))?;
    }
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(npm).current_dir(folder), "npm ci").await?;
    let artifacts =
        run(Command::new("node").arg("extract.mjs").current_dir(folder), "node extract.mjs")
            .await?;
    let path = folder.join("artifacts.json");
    tokio::fs::write(&path, artifacts).await.map_err(Error::machine("write", &path))
}

pub(crate) async fn run(command: &mut Command, program: &str) -> Result<Vec<u8>> {
    let output = command.output().await.map_err(Error::machine("run", program))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join(" | ");
    Err(Error::Program { program: program.to_owned(), output: last })
}

//! A deployment kept between runs: the node's whole state, named after what it was made from.

use std::path::{Path, PathBuf};

use alloy::primitives::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{
    contracts::Contracts,
    error::{Error, Result},
    node::Node,
    packages::Packages,
    parameters::Parameters,
};

/// Raised when the recipe changes, so that no older state is taken for its result.
const RECIPE: u32 = 1;

/// A saved deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    contracts: Contracts,
    timestamp: u64,
    state: Bytes,
}

impl Saved {
    /// The saved deployment of these packages and parameters under `cache`, if there is one.
    ///
    /// # Errors
    /// [`Error::Machine`], [`Error::Malformed`].
    pub async fn find(
        cache: &Path,
        packages: &Packages,
        parameters: &Parameters,
    ) -> Result<Option<Self>> {
        let path = file(cache, packages, parameters);
        match tokio::fs::read(&path).await {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| Error::Malformed { what: "saved deployment", path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Machine { what: "read", path, source }),
        }
    }

    /// Takes the node's state and keeps it under `cache`.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Machine`].
    pub async fn keep(
        cache: &Path,
        packages: &Packages,
        parameters: &Parameters,
        (node, contracts): (&Node, Contracts),
    ) -> Result<()> {
        let (_, timestamp) = node.head().await?;
        let state = node.request("anvil_dumpState", (), "dump the chain's state").await?;
        let path = file(cache, packages, parameters);
        let folder = path.parent().unwrap_or(cache);
        tokio::fs::create_dir_all(folder).await.map_err(Error::machine("create", folder))?;
        let text = serde_json::to_vec(&Self { contracts, timestamp, state }).map_err(|source| {
            Error::Malformed { what: "deployment to save", path: path.clone(), source }
        })?;
        let aside = path.with_extension(format!("{}.tmp", std::process::id()));
        tokio::fs::write(&aside, text).await.map_err(Error::machine("write", &aside))?;
        tokio::fs::rename(&aside, &path).await.map_err(Error::machine("put in place", &path))
    }

    /// The timestamp that a restoring node must start with, seconds: the chain goes on from there, in its own time.
    #[must_use]
    pub fn first_timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Loads the state into a fresh node.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn restore(&self, node: &Node) -> Result<Contracts> {
        let what = "load the chain's state";
        node.request::<_, bool>("anvil_loadState", (&self.state,), what).await?;
        Ok(self.contracts)
    }
}

fn file(cache: &Path, packages: &Packages, parameters: &Parameters) -> PathBuf {
    let text = format!("{RECIPE} {} {parameters:?}", packages.version());
    let name = hex::encode(&Sha256::digest(text)[..8]);
    cache.join("chain-state").join(format!("{name}.json"))
}

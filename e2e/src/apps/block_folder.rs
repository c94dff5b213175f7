//! A folder of blocks named by their CIDs, as the bed's gateway serves it.

use std::path::PathBuf;

use crate::chain::{Error, Result, cid};

use super::unixfs::{self, Block};

/// The folder.
#[derive(Debug, Clone)]
pub struct BlockFolder {
    path: PathBuf,
}

impl BlockFolder {
    /// The folder at `path`; made when the first file is added.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Adds a file and gives its CID: a raw block up to 1 MiB, a UnixFS tree of raw leaves above.
    ///
    /// # Errors
    /// [`Error::Machine`].
    pub async fn add(&self, content: &[u8]) -> Result<String> {
        let (root, blocks) = unixfs::file(content);
        for block in &blocks {
            self.write(block).await?;
        }
        Ok(root)
    }

    /// The CID that [`BlockFolder::add`] would give, without adding anything.
    #[must_use]
    pub fn cid_of(content: &[u8]) -> String {
        unixfs::file(content).0
    }

    /// Adds bytes under a CID that is not theirs: a gateway that lies.
    ///
    /// # Errors
    /// [`Error::Machine`].
    pub async fn add_under_foreign_cid(&self, cid: &str, content: &[u8]) -> Result<()> {
        self.write(&Block { cid: cid::to_chain(cid)?, content: content.to_vec() }).await
    }

    /// Adds a block under the name that it has, right or wrong.
    pub(super) async fn write(&self, block: &Block) -> Result<()> {
        let failed = |what, path: PathBuf| move |source| Error::Machine { what, path, source };
        tokio::fs::create_dir_all(&self.path).await.map_err(failed("create", self.path.clone()))?;
        // The gateway reads whatever has a name, so the name comes when the content is whole. It lists regular files of
        // this folder only, hence a neighbour outside of it.
        let name = format!("{}.{}.partial", block.name(), rand::random::<u32>());
        let partial = self.path.with_file_name(name);
        let path = self.path.join(block.name());
        tokio::fs::write(&partial, &block.content)
            .await
            .map_err(failed("write", partial.clone()))?;
        tokio::fs::rename(&partial, &path).await.map_err(failed("put in place", path))
    }
}

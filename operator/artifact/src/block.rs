//! Verified blocks.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use crate::{Error, identifier};

/// Blocks by CID; each hashes to its CID, or it would not be here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    by_cid: BTreeMap<Cid, Bytes>,
    bytes: u64,
}

impl Blocks {
    /// Adds a block that came from `from`.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`] if the bytes are not what `cid` names; then nothing is added.
    pub fn insert(&mut self, cid: Cid, bytes: Bytes, from: &str) -> Result<(), Error> {
        if !identifier::matches(&cid, &bytes) {
            return Err(Error::DigestMismatch { cid: cid.to_string(), from: from.to_owned() });
        }
        self.keep(cid, bytes);
        Ok(())
    }

    /// Adds a block that the caller has verified just now.
    pub(crate) fn keep(&mut self, cid: Cid, bytes: Bytes) {
        let length = bytes.len() as u64;
        if self.by_cid.insert(cid, bytes).is_none() {
            self.bytes += length;
        }
    }

    /// The block's bytes.
    #[must_use]
    pub fn get(&self, cid: &Cid) -> Option<&Bytes> {
        self.by_cid.get(cid)
    }

    /// Whether the block is here.
    #[must_use]
    pub fn contains(&self, cid: &Cid) -> bool {
        self.by_cid.contains_key(cid)
    }

    /// All of them, in the order of their CIDs.
    pub fn iter(&self) -> impl Iterator<Item = (&Cid, &Bytes)> {
        self.by_cid.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_cid.len()
    }

    /// Bytes of all of them together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

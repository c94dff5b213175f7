//! Files and directories in blocks: a `raw` block is a file of its own, a `dag-pb` block is a `UnixFS` node with data, links,
//! or both.

mod directory;
mod node;

use bytes::{Bytes, BytesMut};
use cid::Cid;

use crate::protobuf::{take_bytes, take_varint};
use crate::{Blocks, DAG_PB, Error, Limits, identifier};
pub use directory::{Content, Entry, content};
use node::{Kind, Node};

/// Puts together the file under `root`.
///
/// # Errors
///
/// [`Error::Malformed`] if a block is missing from `blocks` or is no part of a file; [`Error::TooLarge`] past `limits`.
pub fn file(root: &Cid, blocks: &Blocks, limits: &Limits) -> Result<Bytes, Error> {
    join(root, blocks, limits, &mut Steps::of(limits))
}

/// Links that may still be followed: the same block may be linked many times, and without a bound on steps 30 small blocks
/// can ask for 2^30.
struct Steps {
    left: usize,
    limit: usize,
}

impl Steps {
    const fn of(limits: &Limits) -> Self {
        Self { left: limits.blocks, limit: limits.blocks }
    }

    fn take(&mut self, cid: &Cid) -> Result<(), Error> {
        let limit = self.limit as u64;
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::TooLarge {
            cid: cid.to_string(),
            limit,
            unit: "links",
        })?;
        Ok(())
    }
}

fn join(root: &Cid, blocks: &Blocks, limits: &Limits, steps: &mut Steps) -> Result<Bytes, Error> {
    if root.codec() != DAG_PB {
        return Ok(block(root, blocks)?.clone());
    }
    let too_large = |cid: &Cid, limit: u64, unit: &'static str| Error::TooLarge {
        cid: cid.to_string(),
        limit,
        unit,
    };
    let mut file = BytesMut::new();
    let mut stated = None;
    let mut ahead = vec![(*root, 0_usize)];
    while let Some((cid, depth)) = ahead.pop() {
        steps.take(&cid)?;
        if depth > limits.depth {
            return Err(too_large(&cid, limits.depth as u64, "levels"));
        }
        let bytes = block(&cid, blocks)?;
        let node = if cid.codec() == DAG_PB {
            Node::read(&cid, bytes)?
        } else {
            Node::leaf(bytes.clone())
        };
        if node.kind == Kind::Directory {
            return Err(Error::malformed(&cid, "a directory, not a file"));
        }
        if depth == 0 {
            stated = node.size;
        }
        file.extend_from_slice(&node.data);
        if file.len() as u64 > limits.bytes {
            return Err(too_large(root, limits.bytes, "bytes"));
        }
        ahead.extend(node.links.into_iter().rev().map(|link| (link.target, depth + 1)));
    }
    if stated.is_some_and(|size| size != file.len() as u64) {
        return Err(Error::malformed(root, "its parts are not as long together as it says"));
    }
    Ok(file.freeze())
}

/// The blocks that `bytes`, named by `cid`, links to.
pub(crate) fn links(cid: &Cid, bytes: &Bytes) -> Result<Vec<Cid>, Error> {
    if cid.codec() != DAG_PB {
        return Ok(Vec::new());
    }
    Ok(Node::read(cid, bytes)?.links.into_iter().map(|link| link.target).collect())
}

fn block<'blocks>(cid: &Cid, blocks: &'blocks Blocks) -> Result<&'blocks Bytes, Error> {
    blocks.get(cid).ok_or_else(|| Error::malformed(cid, "the block is missing from the archive"))
}

/// Takes a binary CID of this crate's kind off the front of `bytes`.
pub(crate) fn take_cid(bytes: &mut Bytes) -> Option<Cid> {
    let mut ahead = bytes.clone();
    let _version = take_varint(&mut ahead)?;
    let _codec = take_varint(&mut ahead)?;
    let _hash = take_varint(&mut ahead)?;
    let digest = usize::try_from(take_varint(&mut ahead)?).ok()?;
    let length = (bytes.len() - ahead.len()).checked_add(digest)?;
    identifier::accept(Cid::try_from(take_bytes(bytes, length)?.as_ref()).ok()?).ok()
}

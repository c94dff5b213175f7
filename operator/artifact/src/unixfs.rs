//! Files in blocks: a `raw` block is a file of its own, a `dag-pb` block is a `UnixFS` node with data, links, or both.

use bytes::{Bytes, BytesMut};
use cid::Cid;

use crate::protobuf::{Value, take_bytes, take_field, take_varint};
use crate::{Blocks, DAG_PB, Error, Limits, identifier};

/// `UnixFS` types that are files, as numbered in its schema.
const TYPE_RAW: u64 = 0;
const TYPE_FILE: u64 = 2;

/// A `dag-pb` block, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    data: Bytes,
    size: Option<u64>,
    links: Vec<Cid>,
}

/// Puts together the file under `root`.
///
/// # Errors
///
/// [`Error::Malformed`] if a block is missing from `blocks` or is no part of a file; [`Error::TooLarge`] past `limits`.
pub fn file(root: &Cid, blocks: &Blocks, limits: &Limits) -> Result<Bytes, Error> {
    if root.codec() != DAG_PB {
        return Ok(block(root, blocks)?.clone());
    }
    let mut file = BytesMut::new();
    let mut followed = 0_usize;
    let mut ahead = vec![(*root, 0_usize)];
    while let Some((cid, depth)) = ahead.pop() {
        // The same block may be linked many times: without a bound on steps, 30 small blocks can ask for 2^30.
        followed += 1;
        if followed > limits.blocks {
            return Err(Error::TooLarge {
                cid: cid.to_string(),
                limit: limits.blocks as u64,
                unit: "links",
            });
        }
        if depth > limits.depth {
            return Err(Error::TooLarge {
                cid: cid.to_string(),
                limit: limits.depth as u64,
                unit: "levels",
            });
        }
        let bytes = block(&cid, blocks)?;
        let node = if cid.codec() == DAG_PB {
            node(&cid, bytes)?
        } else {
            Node { data: bytes.clone(), ..Node::default() }
        };
        file.extend_from_slice(&node.data);
        if file.len() as u64 > limits.bytes {
            return Err(Error::TooLarge {
                cid: root.to_string(),
                limit: limits.bytes,
                unit: "bytes",
            });
        }
        ahead.extend(node.links.into_iter().rev().map(|link| (link, depth + 1)));
    }
    let stated = node(root, block(root, blocks)?)?.size;
    if stated.is_some_and(|size| size != file.len() as u64) {
        return Err(Error::malformed(root, "its parts are not as long together as it says"));
    }
    Ok(file.freeze())
}

/// The blocks that `bytes`, named by `cid`, links to.
pub(crate) fn links(cid: &Cid, bytes: &Bytes) -> Result<Vec<Cid>, Error> {
    if cid.codec() == DAG_PB { Ok(node(cid, bytes)?.links) } else { Ok(Vec::new()) }
}

fn block<'blocks>(cid: &Cid, blocks: &'blocks Blocks) -> Result<&'blocks Bytes, Error> {
    blocks.get(cid).ok_or_else(|| Error::malformed(cid, "the block is missing from the archive"))
}

fn node(cid: &Cid, bytes: &Bytes) -> Result<Node, Error> {
    let bad = |reason: &str| Error::malformed(cid, reason);
    let mut message = bytes.clone();
    let mut node = Node::default();
    let mut is_file = false;
    while !message.is_empty() {
        match take_field(&mut message).ok_or_else(|| bad("not a dag-pb node"))? {
            (1, Value::Bytes(content)) => {
                read_content(content, &mut node).map_err(bad)?;
                is_file = true;
            }
            (2, Value::Bytes(link)) => node.links.push(read_link(cid, link)?),
            _ => return Err(bad("not a dag-pb node")),
        }
    }
    if is_file { Ok(node) } else { Err(bad("a node that is no UnixFS file")) }
}

fn read_content(mut message: Bytes, node: &mut Node) -> Result<(), &'static str> {
    const BAD: &str = "not a UnixFS node";
    let mut kind = None;
    while !message.is_empty() {
        match take_field(&mut message).ok_or(BAD)? {
            (1, Value::Number(number)) => kind = Some(number),
            (2, Value::Bytes(data)) => node.data = data,
            (3, Value::Number(size)) => node.size = Some(size),
            // Sizes of the parts, hash type, fan-out, mode and time: not needed to join the parts.
            _ => {}
        }
    }
    match kind {
        Some(TYPE_RAW | TYPE_FILE) => Ok(()),
        Some(_) => Err("a directory or link, not a file"),
        None => Err(BAD),
    }
}

fn read_link(parent: &Cid, mut message: Bytes) -> Result<Cid, Error> {
    let bad = || Error::malformed(parent, "a link of it has no usable CID");
    let mut target = None;
    while !message.is_empty() {
        if let (1, Value::Bytes(hash)) = take_field(&mut message).ok_or_else(bad)? {
            target = Some(Cid::try_from(hash.as_ref()).map_err(|_| bad())?);
        }
    }
    identifier::accept(target.ok_or_else(bad)?)
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

//! One `dag-pb` block, taken apart.

use bytes::Bytes;
use cid::Cid;

use crate::protobuf::{Value, take_field};
use crate::{Error, identifier};

/// `UnixFS` types, as numbered in its schema.
const TYPE_RAW: u64 = 0;
const TYPE_DIRECTORY: u64 = 1;
const TYPE_FILE: u64 = 2;
const TYPE_SYMLINK: u64 = 4;
const TYPE_SHARDED_DIRECTORY: u64 = 5;

/// What a node is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// A `dag-pb` block, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) data: Bytes,
    pub(super) size: Option<u64>,
    pub(super) links: Vec<Link>,
}

/// A link; its name means something in directories only, and is as it was found there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: Bytes,
    pub(super) target: Cid,
}

/// What a node says of itself.
#[derive(Debug, Default)]
struct Content {
    kind: Option<u64>,
    data: Bytes,
    size: Option<u64>,
}

impl Node {
    /// A `raw` block: data and nothing else.
    pub(super) const fn leaf(data: Bytes) -> Self {
        Self { kind: Kind::File, data, size: None, links: Vec::new() }
    }

    /// Takes the `dag-pb` block `bytes`, named by `cid`, apart.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is neither part of a file nor a directory that is one block.
    pub(super) fn read(cid: &Cid, bytes: &Bytes) -> Result<Self, Error> {
        let bad = |reason: &str| Error::malformed(cid, reason);
        let mut message = bytes.clone();
        let (mut content, mut links) = (None, Vec::new());
        while !message.is_empty() {
            match take_field(&mut message).ok_or_else(|| bad("not a dag-pb node"))? {
                (1, Value::Bytes(bytes)) => content = Some(read_content(bytes).map_err(bad)?),
                (2, Value::Bytes(link)) => links.push(read_link(cid, link)?),
                _ => return Err(bad("not a dag-pb node")),
            }
        }
        let Content { kind, data, size } =
            content.ok_or_else(|| bad("a node that is no UnixFS file or directory"))?;
        let kind = match kind {
            Some(TYPE_RAW | TYPE_FILE) => Kind::File,
            Some(TYPE_DIRECTORY) => Kind::Directory,
            Some(TYPE_SYMLINK) => return Err(bad("a symbolic link; put the file itself there")),
            Some(TYPE_SHARDED_DIRECTORY) => {
                return Err(bad(
                    "a sharded directory (HAMT); spread its files over several directories",
                ));
            }
            Some(_) => return Err(bad("neither a file nor a directory")),
            None => return Err(bad("not a UnixFS node")),
        };
        Ok(Self { kind, data, size, links })
    }
}

fn read_content(mut message: Bytes) -> Result<Content, &'static str> {
    let mut content = Content::default();
    while !message.is_empty() {
        match take_field(&mut message).ok_or("not a UnixFS node")? {
            (1, Value::Number(number)) => content.kind = Some(number),
            (2, Value::Bytes(data)) => content.data = data,
            (3, Value::Number(size)) => content.size = Some(size),
            // Sizes of the parts, hash type, fan-out, mode and time: not needed to join the parts.
            _ => {}
        }
    }
    Ok(content)
}

fn read_link(parent: &Cid, mut message: Bytes) -> Result<Link, Error> {
    let bad = || Error::malformed(parent, "a link of it has no usable CID");
    let (mut name, mut target) = (Bytes::new(), None);
    while !message.is_empty() {
        match take_field(&mut message).ok_or_else(bad)? {
            (1, Value::Bytes(hash)) => {
                target = Some(Cid::try_from(hash.as_ref()).map_err(|_| bad())?);
            }
            (2, Value::Bytes(text)) => name = text,
            _ => {}
        }
    }
    Ok(Link { name, target: identifier::accept(target.ok_or_else(bad)?)? })
}

//! Directories: all files under a root, by path.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::node::{Kind, Node};
use super::{Steps, block, join};
use crate::{Blocks, DAG_PB, Error, Limits};

/// Names in all directories of one artifact together.
const ENTRIES: u64 = 4096;
/// Bytes of one name.
const NAME_BYTES: usize = 255;

/// One file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its root.
    pub cid: Cid,
    /// Its content.
    pub bytes: Bytes,
}

/// What is under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One file.
    File(Bytes),
    /// The files of a directory and of those in it; paths as `a/b.txt`, of plain names only.
    Directory(BTreeMap<String, Entry>),
}

/// Puts together what is under `root`. Files that are the same are read once, and share their bytes.
///
/// # Errors
///
/// [`Error::Malformed`] if a block is missing from `blocks`, is no part of a file or directory, or a name could lead out of
/// its directory; [`Error::TooLarge`] past `limits`, of which bytes count for all different files together, or past 4096
/// names.
pub fn content(root: &Cid, blocks: &Blocks, limits: &Limits) -> Result<Content, Error> {
    let is_directory = root.codec() == DAG_PB
        && matches!(Node::read(root, block(root, blocks)?)?.kind, Kind::Directory);
    if !is_directory {
        return Ok(Content::File(super::file(root, blocks, limits)?));
    }
    let (steps, read) = (Steps::of(limits), BTreeMap::new());
    let mut walk = Walk { root, blocks, limits, steps, read, bytes: 0 };
    let mut files = BTreeMap::new();
    let mut names = 0;
    let mut ahead = vec![(String::new(), *root, 0_usize)];
    while let Some((path, cid, depth)) = ahead.pop() {
        if depth > limits.depth {
            return Err(walk.too_large(limits.depth as u64, "levels"));
        }
        let node = node(&cid, blocks)?;
        if node.kind == Kind::File {
            let file = walk.file(&cid)?;
            if files.insert(path.clone(), Entry { cid, bytes: file }).is_some() {
                return Err(Error::malformed(root, format!("two files in it are called {path:?}")));
            }
            continue;
        }
        for link in node.links {
            names += 1;
            if names > ENTRIES {
                return Err(walk.too_large(ENTRIES, "files and directories"));
            }
            ahead.push((below(&cid, &path, &link.name)?, link.target, depth + 1));
        }
    }
    Ok(Content::Directory(files))
}

/// Bounds that count for the whole walk.
struct Walk<'walk> {
    root: &'walk Cid,
    blocks: &'walk Blocks,
    limits: &'walk Limits,
    steps: Steps,
    read: BTreeMap<Cid, Bytes>,
    /// Of all different files so far.
    bytes: u64,
}

impl Walk<'_> {
    fn file(&mut self, cid: &Cid) -> Result<Bytes, Error> {
        if let Some(file) = self.read.get(cid) {
            return Ok(file.clone());
        }
        let file = join(cid, self.blocks, self.limits, &mut self.steps)?;
        self.bytes += file.len() as u64;
        if self.bytes > self.limits.bytes {
            return Err(self.too_large(self.limits.bytes, "bytes"));
        }
        self.read.insert(*cid, file.clone());
        Ok(file)
    }

    fn too_large(&self, limit: u64, unit: &'static str) -> Error {
        Error::TooLarge { cid: self.root.to_string(), limit, unit }
    }
}

fn node(cid: &Cid, blocks: &Blocks) -> Result<Node, Error> {
    let bytes = block(cid, blocks)?;
    if cid.codec() == DAG_PB { Node::read(cid, bytes) } else { Ok(Node::leaf(bytes.clone())) }
}

/// The path of what is called `name` in the directory `parent` at `path`.
fn below(parent: &Cid, path: &str, name: &Bytes) -> Result<String, Error> {
    let name = str::from_utf8(name).ok().filter(|name| is_plain(name)).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES)]).into_owned();
        Error::malformed(parent, format!("the name {shown:?} in it is not a plain file name"))
    })?;
    Ok(if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") })
}

fn is_plain(name: &str) -> bool {
    let length = (1..=NAME_BYTES).contains(&name.len());
    length
        && !matches!(name, "." | "..")
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
}

//! Trees of blocks as an IPFS node makes them, for the tests of this crate.

use bytes::Bytes;
use coreward_artifact::{Blocks, Cid, DAG_PB, raw};

/// A UnixFS file node of these parts.
pub(crate) fn file_node(size: u64, links: &[Cid], data: &[u8]) -> (Cid, Bytes) {
    let mut content = vec![0x08, 2];
    if !data.is_empty() {
        content.push(0x12);
        put(data.len() as u64, &mut content);
        content.extend_from_slice(data);
    }
    content.push(0x18);
    put(size, &mut content);
    node(links, &content)
}

/// A UnixFS directory of these.
pub(crate) fn directory(entries: &[(&str, Cid)]) -> (Cid, Bytes) {
    named_node(entries, &[0x08, 1])
}

/// A `dag-pb` node with this UnixFS message.
pub(crate) fn node(links: &[Cid], content: &[u8]) -> (Cid, Bytes) {
    let links: Vec<_> = links.iter().map(|link| ("", *link)).collect();
    named_node(&links, content)
}

fn named_node(links: &[(&str, Cid)], content: &[u8]) -> (Cid, Bytes) {
    let mut message = Vec::new();
    for (name, target) in links {
        let hash = target.to_bytes();
        let mut link = vec![0x0a, u8::try_from(hash.len()).unwrap()];
        link.extend_from_slice(&hash);
        link.push(0x12);
        put(name.len() as u64, &mut link);
        link.extend_from_slice(name.as_bytes());
        message.push(0x12);
        put(link.len() as u64, &mut message);
        message.extend_from_slice(&link);
    }
    message.push(0x0a);
    put(content.len() as u64, &mut message);
    message.extend_from_slice(content);
    let cid = Cid::new_v1(DAG_PB, *raw(&message).hash());
    (cid, Bytes::from(message))
}

/// A file of two leaves under one root.
pub(crate) fn two_leaves() -> (Cid, Blocks, Vec<u8>) {
    let (first, second) = (Bytes::from_static(b"one and "), Bytes::from_static(b"two"));
    let (left, right) = (raw(&first), raw(&second));
    let (root, bytes) = file_node(11, &[left, right], b"");
    (root, blocks([(left, first), (right, second), (root, bytes)]), b"one and two".to_vec())
}

/// A chain of nodes, `depth` links long.
pub(crate) fn chain(depth: usize) -> (Cid, Blocks) {
    let leaf = Bytes::from_static(b"x");
    let mut all = vec![(raw(&leaf), leaf)];
    for _ in 0..depth {
        let below = all.last().unwrap().0;
        all.push(file_node(1, &[below], b""));
    }
    (all.last().unwrap().0, blocks(all))
}

/// Blocks that hash to their CIDs.
pub(crate) fn blocks(of: impl IntoIterator<Item = (Cid, Bytes)>) -> Blocks {
    let mut blocks = Blocks::default();
    for (cid, bytes) in of {
        blocks.insert(cid, bytes, "the test").unwrap();
    }
    blocks
}

fn put(mut number: u64, to: &mut Vec<u8>) {
    while number > 0x7f {
        to.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    to.push(u8::try_from(number).unwrap());
}

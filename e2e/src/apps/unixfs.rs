//! Files as IPFS names them: CIDv1, SHA-256, raw leaves of 1 MiB, one dag-pb root above them where there are several.

use alloy::primitives::B256;
use sha2::{Digest, Sha256};

use crate::chain::{abi::CIDV1, cid};

const LEAF: usize = 1024 * 1024;
/// The UnixFS type of a directory.
pub(super) const DIRECTORY: u64 = 1;
/// The UnixFS type of a file.
pub(super) const FILE: u64 = 2;

/// A block and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) cid: CIDV1,
    pub(super) content: Vec<u8>,
}

impl Block {
    /// Its CID as text.
    pub(super) fn name(&self) -> String {
        cid::from_chain(&self.cid)
    }
}

/// The file's CID and all its blocks, leaves first. A node holds up to 1024 leaves here: no app is as large as a GiB.
pub(super) fn file(content: &[u8]) -> (String, Vec<Block>) {
    if content.len() <= LEAF {
        let leaf = raw(content);
        return (leaf.name(), vec![leaf]);
    }
    let mut blocks: Vec<Block> = content.chunks(LEAF).map(raw).collect();
    let root = node(FILE, &blocks.iter().collect::<Vec<_>>());
    let name = root.name();
    blocks.push(root);
    (name, blocks)
}

/// A block of bytes that mean nothing more.
pub(super) fn raw(content: &[u8]) -> Block {
    Block { cid: cid::raw(digest(content)), content: content.to_vec() }
}

/// A node of a UnixFS type with these blocks below it, each of which stands for the bytes that it has.
pub(super) fn node(kind: u64, below: &[&Block]) -> Block {
    let mut node = Vec::new();
    for block in below {
        let mut link = Vec::new();
        let name = [block.cid.prefixes.as_slice(), block.cid.hash.as_slice()].concat();
        push_bytes(&mut link, 1, &name);
        push_bytes(&mut link, 2, b"");
        push_number(&mut link, 3, block.content.len() as u64);
        push_bytes(&mut node, 2, &link);
    }
    let mut data = Vec::new();
    push_number(&mut data, 1, kind);
    push_number(&mut data, 3, below.iter().map(|block| block.content.len() as u64).sum());
    for block in below {
        push_number(&mut data, 4, block.content.len() as u64);
    }
    push_bytes(&mut node, 1, &data);
    Block { cid: cid::dag_pb(digest(&node)), content: node }
}

fn digest(content: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(content))
}

/// A length-delimited protobuf field.
fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A varint protobuf field.
fn push_number(out: &mut Vec<u8>, field: u64, number: u64) {
    push_varint(out, field << 3);
    push_varint(out, number);
}

pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

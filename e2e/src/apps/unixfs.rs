//! Files as IPFS names them: CIDv1, SHA-256, raw leaves of 1 MiB, one dag-pb root above them where there are several.

use alloy::primitives::B256;
use sha2::{Digest, Sha256};

use crate::chain::cid;

const LEAF: usize = 1024 * 1024;
/// A UnixFS node of type file.
const FILE: u64 = 2;

/// A block and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) cid: String,
    pub(super) content: Vec<u8>,
}

/// The file's CID and all its blocks, leaves first. A root holds up to 1024 leaves here: no app is as large as a GiB.
pub(super) fn file(content: &[u8]) -> (String, Vec<Block>) {
    if content.len() <= LEAF {
        let leaf = raw(content);
        return (leaf.cid.clone(), vec![leaf]);
    }
    let mut blocks: Vec<Block> = content.chunks(LEAF).map(raw).collect();
    let root = root(content.len(), &blocks);
    let name = root.cid.clone();
    blocks.push(root);
    (name, blocks)
}

fn raw(content: &[u8]) -> Block {
    Block { cid: cid::from_chain(&cid::raw(digest(content))), content: content.to_vec() }
}

fn root(size: usize, leaves: &[Block]) -> Block {
    let mut node = Vec::new();
    for leaf in leaves {
        let mut link = Vec::new();
        push_bytes(&mut link, 1, &binary_raw_cid(&leaf.content));
        push_bytes(&mut link, 2, b"");
        push_number(&mut link, 3, leaf.content.len() as u64);
        push_bytes(&mut node, 2, &link);
    }
    let mut data = Vec::new();
    push_number(&mut data, 1, FILE);
    push_number(&mut data, 3, size as u64);
    for leaf in leaves {
        push_number(&mut data, 4, leaf.content.len() as u64);
    }
    push_bytes(&mut node, 1, &data);
    Block { cid: cid::from_chain(&cid::dag_pb(digest(&node))), content: node }
}

fn binary_raw_cid(content: &[u8]) -> Vec<u8> {
    let cid = cid::raw(digest(content));
    [cid.prefixes.as_slice(), cid.hash.as_slice()].concat()
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

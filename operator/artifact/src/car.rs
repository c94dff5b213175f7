//! CAR version 1: one root and its blocks in one body. What the node agent serves to workers.

use bytes::Bytes;
use cid::Cid;

use crate::protobuf::{put_varint, take_bytes, take_varint};
use crate::unixfs::{links, take_cid};
use crate::{Blocks, Error, Limits};

/// The media type of a CAR.
pub const MEDIA_TYPE: &str = "application/vnd.ipld.car; version=1";
/// Bytes that a block of this crate's kind takes beside its own: a length and a CID.
const BLOCK_OVERHEAD: u64 = 10 + 36;
/// Bytes of the header and its length.
const HEADER_BYTES: u64 = 64;

/// Writes the archive of `root`.
#[must_use]
pub fn write(root: &Cid, blocks: &Blocks) -> Vec<u8> {
    let mut archive = Vec::new();
    let header = header(root);
    put_varint(header.len() as u64, &mut archive);
    archive.extend_from_slice(&header);
    for (cid, bytes) in blocks.iter() {
        let cid = cid.to_bytes();
        put_varint((cid.len() + bytes.len()) as u64, &mut archive);
        archive.extend_from_slice(&cid);
        archive.extend_from_slice(bytes);
    }
    archive
}

/// Bytes that an archive within `limits` has at most: a bound for whoever downloads one.
#[must_use]
pub const fn longest(limits: &Limits) -> u64 {
    let blocks = limits.blocks as u64;
    limits.bytes.saturating_add(blocks.saturating_mul(BLOCK_OVERHEAD)).saturating_add(HEADER_BYTES)
}

/// Reads the archive of `root` and verifies every block; blocks that nothing under `root` links to are refused too.
///
/// # Errors
///
/// [`Error::Malformed`] if it is no archive of `root`; [`Error::DigestMismatch`] or [`Error::TooLarge`] of a block.
pub fn read(mut archive: Bytes, root: &Cid, limits: &Limits) -> Result<Blocks, Error> {
    let cut = || Error::malformed(root, "the archive is cut short");
    let stated = take_section(&mut archive).ok_or_else(cut)?;
    if stated != header(root) {
        return Err(Error::malformed(root, "the archive has another root"));
    }
    let mut blocks = Blocks::default();
    while !archive.is_empty() {
        let mut section = take_section(&mut archive).ok_or_else(cut)?;
        let cid = take_cid(&mut section)
            .ok_or_else(|| Error::malformed(root, "a block of the archive has no usable CID"))?;
        blocks.insert(cid, section, "the archive")?;
        if blocks.bytes() > limits.bytes {
            return Err(Error::TooLarge {
                cid: root.to_string(),
                limit: limits.bytes,
                unit: "bytes",
            });
        }
        if blocks.count() > limits.blocks {
            return Err(Error::TooLarge {
                cid: root.to_string(),
                limit: limits.blocks as u64,
                unit: "blocks",
            });
        }
    }
    complete(root, &blocks)?;
    Ok(blocks)
}

/// Checks that the blocks are those under the root: none is missing, none is extra.
fn complete(root: &Cid, blocks: &Blocks) -> Result<(), Error> {
    let mut reached = std::collections::BTreeSet::from([*root]);
    let mut ahead = vec![*root];
    while let Some(cid) = ahead.pop() {
        let bytes = blocks
            .get(&cid)
            .ok_or_else(|| Error::malformed(&cid, "the block is missing from the archive"))?;
        ahead.extend(links(&cid, bytes)?.into_iter().filter(|link| reached.insert(*link)));
    }
    if reached.len() == blocks.count() {
        Ok(())
    } else {
        Err(Error::malformed(root, "the archive holds other blocks too"))
    }
}

fn take_section(archive: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(take_varint(archive)?).ok()?;
    take_bytes(archive, length)
}

/// `{"roots": [root], "version": 1}` in DAG-CBOR, which has exactly one form for it.
fn header(root: &Cid) -> Vec<u8> {
    const MAP_OF_2: u8 = 0xa2;
    const TEXT: u8 = 0x60;
    const ARRAY_OF_1: u8 = 0x81;
    const TAG_42: [u8; 2] = [0xd8, 42];
    const BYTES_NEXT_BYTE_LONG: u8 = 0x58;
    let cid = root.to_bytes();
    let mut header = vec![MAP_OF_2, TEXT | 5];
    header.extend_from_slice(b"roots");
    header.push(ARRAY_OF_1);
    header.extend_from_slice(&TAG_42);
    header.push(BYTES_NEXT_BYTE_LONG);
    header.push(u8::try_from(cid.len() + 1).expect("an accepted CID has 36 bytes"));
    header.push(0);
    header.extend_from_slice(&cid);
    header.push(TEXT | 7);
    header.extend_from_slice(b"version");
    header.push(1);
    header
}

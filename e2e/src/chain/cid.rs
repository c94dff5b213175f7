//! CIDs between text and the chain's form.

use alloy::primitives::{B256, FixedBytes};

use super::{
    abi::CIDV1,
    error::{Error, Result},
};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Version, codec, multihash code and digest length take a byte each in what the chain can hold, the digest 32.
const BINARY: usize = 36;
const RAW: [u8; 4] = [0x01, 0x55, 0x12, 0x20];
const DAG_PB: [u8; 4] = [0x01, 0x70, 0x12, 0x20];

/// The chain's form of a CIDv1 in base32 text, such as `bafkrei…`.
///
/// # Errors
/// [`Error::Text`] for another base or version, or a digest that is not of 32 bytes.
pub fn to_chain(text: &str) -> Result<CIDV1> {
    let bad = || Error::Text { what: "CIDv1 in base32", text: text.to_owned() };
    let bytes = text.strip_prefix('b').and_then(decode).ok_or_else(bad)?;
    if bytes.len() != BINARY || bytes[0] != 1 {
        return Err(bad());
    }
    Ok(CIDV1 { prefixes: FixedBytes::from_slice(&bytes[..4]), hash: B256::from_slice(&bytes[4..]) })
}

/// The base32 text of the chain's form.
#[must_use]
pub fn from_chain(cid: &CIDV1) -> String {
    encode(&[cid.prefixes.as_slice(), cid.hash.as_slice()].concat())
}

/// The CID of a raw block with this SHA-256 digest.
#[must_use]
pub fn raw(digest: B256) -> CIDV1 {
    CIDV1 { prefixes: RAW.into(), hash: digest }
}

/// The CID of a dag-pb node with this SHA-256 digest.
#[must_use]
pub fn dag_pb(digest: B256) -> CIDV1 {
    CIDV1 { prefixes: DAG_PB.into(), hash: digest }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::from("b");
    for chunk in bytes.chunks(5) {
        let mut group = [0_u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let value = u64::from_be_bytes(group);
        for place in 0..(chunk.len() * 8).div_ceil(5) {
            text.push(char::from(
                ALPHABET[usize::from((value >> (35 - 5 * place)).to_le_bytes()[0] & 31)],
            ));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut value, mut bits) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        value = value << 5 | u32::try_from(digit).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((value >> bits).to_le_bytes()[0]);
            value &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_known_raw_block_has_its_well_known_cid() {
        // The empty raw block, as every IPFS implementation names it.
        let empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
        let cid = to_chain(empty).unwrap();
        assert_eq!(cid, raw(B256::from_slice(&sha2::Sha256::digest([]))));
        assert_eq!(from_chain(&cid), empty);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "b", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnBUt", "bafkreihdwdc"] {
            assert!(to_chain(text).is_err(), "{text}");
        }
    }

    use sha2::Digest;
}

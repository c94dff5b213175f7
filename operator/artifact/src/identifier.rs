//! CIDs that can be verified: version 1, `raw` or `dag-pb`, SHA2-256.

use cid::Cid;
use cid::multihash::Multihash;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// Multicodec of a block that is the bytes themselves.
pub const RAW: u64 = 0x55;
/// Multicodec of a block with links, as `UnixFS` uses it.
pub const DAG_PB: u64 = 0x70;
/// Multihash code of SHA2-256.
const SHA2_256: u64 = 0x12;
/// Bytes of a SHA2-256 digest.
const DIGEST_BYTES: u8 = 32;
/// Longest text that is looked at; a version 1 CID in base32 has 59 characters.
const LONGEST_TEXT: usize = 128;

/// Reads a CID from text; a version 0 CID becomes the version 1 CID of the same block.
///
/// # Errors
///
/// [`Error::Malformed`] if it is no CID, or one that cannot be verified here.
pub fn parse(text: &str) -> Result<Cid, Error> {
    if text.len() > LONGEST_TEXT {
        return Err(Error::malformed("…", "longer than any CID"));
    }
    let cid = Cid::try_from(text)
        .map_err(|error| Error::malformed(text, format!("not a CID: {error}")))?;
    accept(cid)
}

/// The CID of `bytes` as a `raw` block.
#[must_use]
pub fn raw(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, digest(bytes))
}

/// Normalises to version 1 and refuses what cannot be verified.
pub(crate) fn accept(cid: Cid) -> Result<Cid, Error> {
    if !matches!(cid.codec(), RAW | DAG_PB) {
        return Err(Error::malformed(
            &cid,
            format!("codec {:#x} is neither raw nor dag-pb", cid.codec()),
        ));
    }
    if cid.hash().code() != SHA2_256 || cid.hash().size() != DIGEST_BYTES {
        return Err(Error::malformed(&cid, "its hash is not a SHA2-256 of 32 bytes"));
    }
    Ok(Cid::new_v1(cid.codec(), *cid.hash()))
}

/// Whether `bytes` are what `cid` names.
pub(crate) fn matches(cid: &Cid, bytes: &[u8]) -> bool {
    *cid.hash() == digest(bytes)
}

fn digest(bytes: &[u8]) -> Multihash<64> {
    Multihash::wrap(SHA2_256, &Sha256::digest(bytes)).expect("32 bytes fit into a multihash of 64")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{matches, parse, raw};

    #[test]
    fn a_block_matches_its_own_cid_only() {
        let cid = raw(b"hello");
        assert!(matches(&cid, b"hello"));
        assert!(!matches(&cid, b"hellO"));
    }

    #[test]
    fn the_cid_of_the_empty_raw_block_is_the_known_one() {
        assert_eq!(
            raw(b"").to_string(),
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
    }

    #[test]
    fn a_version_0_cid_becomes_version_1() {
        let cid = parse("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n").unwrap();
        assert_eq!(cid.to_string(), "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    }

    #[rstest]
    #[case::no_cid("hello", "not a CID")]
    #[case::nothing("", "not a CID")]
    #[case::dag_cbor(
        "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "neither raw nor dag-pb"
    )]
    #[case::identity_hash("bafkqabtimvwgy3yk", "SHA2-256")]
    fn refuses(#[case] text: &str, #[case] reason: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

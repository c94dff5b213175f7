//! What a puzzle is made of.

use alloy_primitives::{B256, Keccak256};

/// What the engine is keyed with: it differs between units and between epochs, so no two share a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub B256);

impl Key {
    /// The key of a unit under a global nonce: `keccak256(globalNonce ‖ unitID)`, as the contract computes it.
    #[must_use]
    pub fn of(global_nonce: B256, unit_id: B256) -> Self {
        let mut hasher = Keccak256::new();
        hasher.update(global_nonce);
        hasher.update(unit_id);
        Self(hasher.finalize())
    }
}

/// The greatest hash that is a proof, read as a big-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difficulty(pub B256);

impl Difficulty {
    /// Whether `hash` is a proof; the contract takes equality too.
    #[must_use]
    pub fn is_met_by(self, hash: B256) -> bool {
        hash <= self.0
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_key_hashes_nonce_and_unit() {
        assert_eq!(
            Key::of(B256::repeat_byte(0x11), B256::repeat_byte(0x22)),
            Key(b256!("0x3e92e0db88d6afea9edc4eedf62fffa4d92bcdfc310dccbe943747fe8302e871"))
        );
    }

    #[rstest]
    #[case::far_below(0x00, true)]
    #[case::equal(0x24, true)]
    #[case::above(0x25, false)]
    fn the_first_byte_weighs_most(#[case] first: u8, #[case] met: bool) {
        let mut limit = B256::ZERO;
        limit[0] = 0x24;
        let mut hash = B256::ZERO;
        hash[0] = first;
        assert_eq!(Difficulty(limit).is_met_by(hash), met);
    }

    #[test]
    fn the_last_byte_decides_between_neighbours() {
        let limit = B256::with_last_byte(7);
        assert!(Difficulty(limit).is_met_by(B256::with_last_byte(7)));
        assert!(!Difficulty(limit).is_met_by(B256::with_last_byte(8)));
    }
}

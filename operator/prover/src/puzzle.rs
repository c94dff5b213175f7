//! What a puzzle's engine is keyed with.

use alloy_primitives::{B256, Keccak256};

/// The key of a unit under a global nonce: it differs between units and between epochs, so no two share a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub B256);

impl Key {
    /// `keccak256(globalNonce ‖ unitID)`, as the contract computes it.
    #[must_use]
    pub fn of(global_nonce: B256, unit_id: B256) -> Self {
        let mut hasher = Keccak256::new();
        hasher.update(global_nonce);
        hasher.update(unit_id);
        Self(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    #[test]
    fn the_key_hashes_nonce_and_unit() {
        assert_eq!(
            Key::of(B256::repeat_byte(0x11), B256::repeat_byte(0x22)),
            Key(b256!("0x3e92e0db88d6afea9edc4eedf62fffa4d92bcdfc310dccbe943747fe8302e871"))
        );
    }
}

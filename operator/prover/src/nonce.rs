//! Local nonces.

use alloy_primitives::B256;

/// A walk through local nonces from a random start; two walks do not meet.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    next: B256,
}

impl Nonces {
    pub(crate) fn random() -> Self {
        Self { next: B256::from(rand::random::<[u8; 32]>()) }
    }

    /// The next nonce: the first eight bytes count up, least significant first, and wrap.
    pub(crate) fn step(&mut self) -> B256 {
        let nonce = self.next;
        let (count, _rest) = self.next.split_first_chunk_mut::<8>().expect("a word has 32 bytes");
        *count = u64::from_le_bytes(*count).wrapping_add(1).to_le_bytes();
        nonce
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::counts_up([0x07, 0, 0, 0, 0, 0, 0, 0], [0x08, 0, 0, 0, 0, 0, 0, 0])]
    #[case::carries([0xff, 0, 0, 0, 0, 0, 0, 0], [0x00, 1, 0, 0, 0, 0, 0, 0])]
    #[case::wraps([0xff; 8], [0x00; 8])]
    fn only_the_first_eight_bytes_count(#[case] before: [u8; 8], #[case] after: [u8; 8]) {
        let word = |count: [u8; 8]| {
            let mut word = B256::repeat_byte(0xaa);
            word[..8].copy_from_slice(&count);
            word
        };
        let mut nonces = Nonces { next: word(before) };
        assert_eq!((nonces.step(), nonces.step()), (word(before), word(after)));
    }

    #[test]
    fn two_walks_start_apart() {
        assert_ne!(Nonces::random().step(), Nonces::random().step());
    }
}

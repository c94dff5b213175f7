//! What a program starts from (specification, table 4.5.1).

use super::Masks;
use crate::parameters::{ITEM_BYTES, Parameters};

/// What a program starts from besides its instructions (specification, table 4.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// The constant registers' bits.
    pub(crate) constants: [[u64; 2]; 4],
    pub(crate) memory_address: u32,
    pub(crate) memory_next: u32,
    /// Which registers give addresses: two for the scratchpad, two for the dataset.
    pub(crate) readers: [u8; 4],
    /// Bytes by which the dataset's window is moved.
    pub(crate) dataset_offset: u64,
    /// Bits that are set in every multiplicative operand.
    pub(crate) masks: [u64; 2],
}

impl Configuration {
    #[expect(clippy::cast_possible_truncation, reason = "the low halves are meant")]
    pub(crate) fn of(program: &[u64], parameters: &Parameters) -> Self {
        let word = |at: usize| program.get(at).copied().unwrap_or_default();
        let extra = parameters.dataset_extra_bytes / ITEM_BYTES as u64 + 1;
        let masks = Masks::of(parameters);
        let reader = |pair: u8| 2 * pair + (word(12) >> pair & 1) as u8;
        Self {
            constants: core::array::from_fn(|at| {
                [small_positive(word(2 * at)), small_positive(word(2 * at + 1))]
            }),
            memory_address: word(8) as u32 & masks.item,
            memory_next: word(10) as u32,
            readers: [reader(0), reader(1), reader(2), reader(3)],
            dataset_offset: word(13) % extra * ITEM_BYTES as u64,
            masks: [divisor_bits(word(14)), divisor_bits(word(15))],
        }
    }
}

const FRACTION_BITS: u32 = 52;

/// A double from 1 to 2^32.
const fn small_positive(word: u64) -> u64 {
    (1023 + (word >> 59)) << FRACTION_BITS | word & ((1 << FRACTION_BITS) - 1)
}

/// Four bits of the exponent and 22 of the fraction.
const fn divisor_bits(word: u64) -> u64 {
    (0x300 | word >> 60 << 4) << FRACTION_BITS | word & ((1 << 22) - 1)
}

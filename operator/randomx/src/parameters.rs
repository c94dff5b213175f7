//! What makes one `RandomX` function differ from another: numbers, checked once.

use core::fmt;

/// Bytes of a dataset item, and of a line of the cache.
pub const ITEM_BYTES: usize = 64;

/// All numbers that a `RandomX` v1 function is made of (specification, table 1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The cache in KiB: a power of two.
    pub argon_memory: u32,
    /// Passes of Argon2d over the cache.
    pub argon_iterations: u32,
    /// Salt of Argon2d: at least 8 bytes.
    pub argon_salt: &'static [u8],
    /// Lines of the cache that one dataset item is made from.
    pub cache_accesses: u32,
    /// Cycles of the imagined processor that a superscalar program fills.
    pub superscalar_latency: u32,
    /// Bytes of the dataset that one program reads from: a power of two of at most 4 GiB.
    pub dataset_base_bytes: u64,
    /// Bytes by which that window moves.
    pub dataset_extra_bytes: u64,
    /// Instructions of a program.
    pub program_size: u32,
    /// Times that a program's loop runs.
    pub program_iterations: u32,
    /// Programs of one hash.
    pub program_count: u32,
    /// Bytes of the scratchpad's first level: a power of two.
    pub scratchpad_l1: u32,
    /// Bytes of the second level: a power of two.
    pub scratchpad_l2: u32,
    /// Bytes of the whole scratchpad: a power of two.
    pub scratchpad_l3: u32,
    /// Bits that a branch looks at.
    pub jump_bits: u32,
    /// The lowest bit that a branch can look at.
    pub jump_offset: u32,
    /// Of 256 opcodes, how many each instruction has, in the specification's order; see [`Frequencies`].
    pub frequencies: Frequencies,
}

/// Opcodes of each of the 29 instructions, in the order of the specification's tables 5.2.1, 5.3.1, 5.4.1 and 5.5.1.
pub type Frequencies = [u8; 29];

impl Parameters {
    /// `RandomX` v1 as published.
    pub const STOCK: Self = Self {
        argon_memory: 262_144,
        argon_iterations: 3,
        argon_salt: b"RandomX\x03",
        cache_accesses: 8,
        superscalar_latency: 170,
        dataset_base_bytes: 1 << 31,
        dataset_extra_bytes: 33_554_368,
        program_size: 256,
        program_iterations: 2048,
        program_count: 8,
        scratchpad_l1: 16_384,
        scratchpad_l2: 262_144,
        scratchpad_l3: 2_097_152,
        jump_bits: 8,
        jump_offset: 8,
        frequencies: [
            16, 7, 16, 7, 16, 4, 4, 1, 4, 1, 8, 2, 15, 5, 8, 2, 4, // integer
            4, 16, 5, 16, 5, 6, 32, 4, 6, // floating point
            25, 1, 16, // control and store
        ],
    };

    /// The function of the Fluence market: twice the dataset, twice the work for an item of it.
    pub const FLUENCE: Self =
        Self { cache_accesses: 16, dataset_base_bytes: 1 << 32, ..Self::STOCK };

    /// The same numbers, if a function can be built of them.
    ///
    /// # Errors
    ///
    /// [`Unfit`] names the first number that breaks a rule of the reference's `configuration.md`.
    pub const fn checked(self) -> Result<Self, Unfit> {
        match self.unfit() {
            Some(unfit) => Err(unfit),
            None => Ok(self),
        }
    }

    const fn unfit(&self) -> Option<Unfit> {
        match first(&self.memory_rules()) {
            None => first(&self.program_rules()),
            unfit => unfit,
        }
    }

    const fn memory_rules(&self) -> [Rule; 7] {
        let (memory, base) = (self.argon_memory, self.dataset_base_bytes);
        [
            (
                memory.is_power_of_two() && memory >= 8 && memory <= 1 << 21,
                Unfit("argon_memory is not a power of two from 8 to 2097152"),
            ),
            (
                self.argon_iterations > 0 && self.argon_iterations <= 1024,
                Unfit("argon_iterations is not from 1 to 1024"),
            ),
            (
                self.argon_salt.len() >= 8 && self.argon_salt.len() <= 1024,
                Unfit("argon_salt is not from 8 to 1024 bytes"),
            ),
            (
                self.cache_accesses > 1 && self.cache_accesses <= 256,
                Unfit("cache_accesses is not from 2 to 256"),
            ),
            // Together with the accesses this keeps a key's machine code far below the 2 GiB that a jump reaches.
            (
                self.superscalar_latency > 0 && self.superscalar_latency <= 1024,
                Unfit("superscalar_latency is not from 1 to 1024"),
            ),
            (
                base.is_power_of_two() && base >= 64 && base <= 1 << 32,
                Unfit("dataset_base_bytes is not a power of two from 64 to 4294967296"),
            ),
            (
                self.dataset_extra_bytes.is_multiple_of(64)
                    && self.dataset_extra_bytes <= MOST_DATASET_BYTES.saturating_sub(base),
                Unfit("dataset_extra_bytes is not a multiple of 64, or makes more than 16 GiB"),
            ),
        ]
    }

    const fn program_rules(&self) -> [Rule; 8] {
        let (l1, l2, l3) = (self.scratchpad_l1, self.scratchpad_l2, self.scratchpad_l3);
        let (size, bits) = (self.program_size, self.jump_bits);
        [
            (
                size >= 8 && size <= 32_768 && size.is_multiple_of(8),
                Unfit("program_size is not a multiple of 8 from 8 to 32768"),
            ),
            (
                self.program_iterations > 0 && self.program_iterations <= 1 << 20,
                Unfit("program_iterations is not from 1 to 1048576"),
            ),
            (
                self.program_count > 0 && self.program_count <= 1024,
                Unfit("program_count is not from 1 to 1024"),
            ),
            (
                l1.is_power_of_two() && l1 >= 64,
                Unfit("scratchpad_l1 is not a power of two of at least 64"),
            ),
            (
                l2.is_power_of_two() && l2 >= l1,
                Unfit("scratchpad_l2 is not a power of two of at least scratchpad_l1"),
            ),
            (
                l3.is_power_of_two() && l3 >= l2 && l3 <= 1 << 30,
                Unfit("scratchpad_l3 is not a power of two from scratchpad_l2 to 1 GiB"),
            ),
            (
                bits > 0 && bits <= 16 && self.jump_offset <= 16_u32.saturating_sub(bits),
                Unfit("jump_bits is 0, or jump_bits and jump_offset are more than 16 together"),
            ),
            (sum(&self.frequencies) == 256, Unfit("frequencies do not add up to 256")),
        ]
    }

    /// Bytes of the cache.
    #[must_use]
    pub const fn cache_bytes(&self) -> u64 {
        self.argon_memory as u64 * 1024
    }

    /// Bytes of the dataset.
    #[must_use]
    pub const fn dataset_bytes(&self) -> u64 {
        self.dataset_base_bytes + self.dataset_extra_bytes
    }

    /// Items of the dataset.
    #[must_use]
    pub const fn dataset_items(&self) -> u64 {
        self.dataset_bytes() / ITEM_BYTES as u64
    }
}

/// The most that a dataset may be.
const MOST_DATASET_BYTES: u64 = 1 << 34;

/// Whether a number is fit, and what is wrong if not.
type Rule = (bool, Unfit);

const fn first(rules: &[Rule]) -> Option<Unfit> {
    let mut at = 0;
    while at < rules.len() {
        if !rules[at].0 {
            return Some(rules[at].1);
        }
        at += 1;
    }
    None
}

const fn sum(frequencies: &Frequencies) -> u32 {
    let (mut total, mut at) = (0, 0);
    while at < frequencies.len() {
        total += frequencies[at] as u32;
        at += 1;
    }
    total
}

/// A number of [`Parameters`] that no function can be built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit(&'static str);

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "these are not RandomX parameters: {}", self.0)
    }
}

impl core::error::Error for Unfit {}

/// A `RandomX` function as a type, so that a hash of one is never held against the difficulty of another.
pub trait Function: fmt::Debug + Clone + Copy + PartialEq + Eq + Send + Sync + 'static {
    /// Its numbers; what is unfit does not compile.
    const PARAMETERS: Parameters;

    /// A hash that is known to be right.
    const VECTOR: Vector;
}

/// A key, an input, and the hash that must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector {
    /// What the engine is keyed with.
    pub key: &'static [u8],
    /// What is hashed.
    pub input: &'static [u8],
    /// What must come out.
    pub hash: [u8; 32],
}

/// [`Parameters::STOCK`] as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stock {}

impl Function for Stock {
    const PARAMETERS: Parameters = Parameters::STOCK;
    /// Published with the reference.
    const VECTOR: Vector = Vector {
        key: b"test key 000",
        input: b"This is a test",
        hash: [
            0x63, 0x91, 0x83, 0xaa, 0xe1, 0xbf, 0x4c, 0x9a, 0x35, 0x88, 0x4c, 0xb4, 0x6b, 0x09,
            0xca, 0xd9, 0x17, 0x5f, 0x04, 0xef, 0xd7, 0x68, 0x4e, 0x72, 0x62, 0xa0, 0xac, 0x1c,
            0x2f, 0x0b, 0x4e, 0x3f,
        ],
    };
}

/// [`Parameters::FLUENCE`] as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fluence {}

impl Function for Fluence {
    const PARAMETERS: Parameters = Parameters::FLUENCE;
    /// Zeros, as the market's own engine hashes them.
    const VECTOR: Vector = Vector {
        key: &[0; 32],
        input: &[0; 32],
        hash: [
            0x6b, 0x36, 0x6e, 0x77, 0xbf, 0xd1, 0xe3, 0x81, 0x4d, 0x18, 0x92, 0x5d, 0x66, 0x72,
            0x54, 0xb7, 0x17, 0xf7, 0x99, 0x5b, 0x36, 0x88, 0xbd, 0x52, 0x1c, 0x89, 0x21, 0xb0,
            0x43, 0x5e, 0xdc, 0x88,
        ],
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::cache::Cache;
    use crate::machine::{Machine, Source};
    use crate::mapping::Pages;

    const STOCK: Parameters = Parameters::STOCK;

    #[rstest]
    #[case::stock(STOCK, None)]
    #[case::fluence(Parameters::FLUENCE, None)]
    #[case::memory_that_is_no_power(Parameters { argon_memory: 262_143, ..STOCK }, Some("argon_memory"))]
    #[case::no_pass(Parameters { argon_iterations: 0, ..STOCK }, Some("argon_iterations"))]
    #[case::passes_without_end(Parameters { argon_iterations: u32::MAX, ..STOCK }, Some("argon_iterations"))]
    #[case::a_short_salt(Parameters { argon_salt: b"RandomX", ..STOCK }, Some("argon_salt"))]
    #[case::one_access(Parameters { cache_accesses: 1, ..STOCK }, Some("cache_accesses"))]
    #[case::code_beyond_a_jumps_reach(Parameters { cache_accesses: 257, ..STOCK }, Some("cache_accesses"))]
    #[case::a_long_latency(Parameters { superscalar_latency: 1025, ..STOCK }, Some("superscalar_latency"))]
    #[case::no_latency(Parameters { superscalar_latency: 0, ..STOCK }, Some("superscalar_latency"))]
    #[case::a_base_of_8_gib(Parameters { dataset_base_bytes: 1 << 33, ..STOCK }, Some("dataset_base_bytes"))]
    #[case::a_base_beyond_all(Parameters { dataset_base_bytes: 1 << 40, ..STOCK }, Some("dataset_base_bytes"))]
    #[case::a_torn_item(Parameters { dataset_extra_bytes: 65, ..STOCK }, Some("dataset_extra_bytes"))]
    #[case::an_odd_program(Parameters { program_size: 255, ..STOCK }, Some("program_size"))]
    #[case::no_iteration(Parameters { program_iterations: 0, ..STOCK }, Some("program_iterations"))]
    #[case::iterations_without_end(Parameters { program_iterations: u32::MAX, ..STOCK }, Some("program_iterations"))]
    #[case::programs_without_end(Parameters { program_count: u32::MAX, ..STOCK }, Some("program_count"))]
    #[case::no_program(Parameters { program_count: 0, ..STOCK }, Some("program_count"))]
    #[case::a_tiny_level(Parameters { scratchpad_l1: 32, ..STOCK }, Some("scratchpad_l1"))]
    #[case::levels_that_shrink(Parameters { scratchpad_l2: 8192, ..STOCK }, Some("scratchpad_l2"))]
    #[case::a_top_that_shrinks(Parameters { scratchpad_l3: 131_072, ..STOCK }, Some("scratchpad_l3"))]
    #[case::a_far_jump(Parameters { jump_offset: 9, ..STOCK }, Some("jump_bits"))]
    #[case::too_many_opcodes(Parameters { frequencies: [9; 29], ..STOCK }, Some("frequencies"))]
    fn numbers_are_checked(#[case] parameters: Parameters, #[case] named: Option<&str>) {
        let found = parameters.checked().err().map(|unfit| unfit.to_string());
        assert_eq!(found.is_some(), named.is_some(), "{found:?}");
        assert!(found.unwrap_or_default().contains(named.unwrap_or_default()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever is fit makes a hash, and the same one both ways.
        #[test]
        fn numbers_that_are_fit_make_a_function(
            (memory, accesses, latency) in (3_u32..11, 2_u32..20, 1_u32..400),
            (size, iterations, count) in (1_u32..40, 1_u32..60, 1_u32..4),
            (l1, l2, l3) in (6_u32..12, 0_u32..4, 0_u32..4),
            (base, extra) in (6_u32..22, 0_u64..1000),
            (bits, offset) in (1_u32..17, 0_u32..9),
        ) {
            let parameters = Parameters {
                argon_memory: 1 << memory,
                cache_accesses: accesses,
                superscalar_latency: latency,
                dataset_base_bytes: 1 << base,
                dataset_extra_bytes: 64 * extra,
                program_size: 8 * size,
                program_iterations: iterations,
                program_count: count,
                scratchpad_l1: 1 << l1,
                scratchpad_l2: 1 << (l1 + l2),
                scratchpad_l3: 1 << (l1 + l2 + l3),
                jump_bits: bits,
                jump_offset: offset,
                ..STOCK
            };
            prop_assume!(parameters.checked().is_ok());
            let [interpreted, compiled] = [false, true].map(|is_compiled| {
                let mut cache = Cache::new(parameters, b"key", Pages::Small).unwrap();
                let is_compiled = is_compiled && cache.compile().is_ok();
                let source = Source::Light(Arc::new(cache));
                let mut machine = Machine::new(parameters, source, Pages::Small).unwrap();
                prop_assert!(!is_compiled || machine.compile().is_ok());
                machine.begin(b"input");
                Ok(machine.finish())
            });
            prop_assert_eq!(interpreted?, compiled?);
        }
    }

    #[test]
    fn the_markets_dataset_is_larger_than_4_gib() {
        assert_eq!(Parameters::FLUENCE.dataset_items(), 67_633_151);
        assert_eq!(Parameters::STOCK.dataset_items(), 34_078_719);
    }
}

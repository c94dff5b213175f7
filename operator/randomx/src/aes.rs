//! The generators and the fingerprint that are made of single AES rounds (specification, 3.2 to 3.4).
//!
//! Everything works on a state of four columns of 16 bytes; a column is two little-endian words.

#![expect(
    clippy::inline_always,
    reason = "rounds are compiled for the processor that was asked only where they are inlined"
)]

/// Four columns.
pub(crate) type State = [u64; 8];

/// One round key, as two little-endian words.
type Key = [u64; 2];

/// Words of a state, and of what it takes and gives in one step.
const STEP: usize = 8;

/// Keys of the scratchpad's generator, one for each column.
const FILL: [Key; 4] = [
    [0x6271_6609_6dac_a553, 0xb4f4_4917_dbb5_552b],
    [0x846a_710d_6d7c_af07, 0x0da1_dc4e_1725_d378],
    [0x9f94_7ec6_3f12_62f1, 0x3e20_e345_f4c0_794f],
    [0xb1ba_317c_6aef_8135, 0x4916_9154_1631_4c88],
];

/// Keys of the programs' generator: four rounds for columns 0 and 1, then four for columns 2 and 3.
const PROGRAM: [Key; 8] = [
    [0xd183_3ddb_6421_aadd, 0x99e5_d23f_2f54_6d2b],
    [0xb691_3f55_b20e_3450, 0xa5df_cde5_06f7_9d53],
    [0x515e_7baf_5c3e_d904, 0x171c_02bf_0aa4_679f],
    [0xe78f_5d08_8562_3763, 0xd8de_d291_cd67_3785],
    [0xe3d6_a7a6_b582_6f73, 0x229e_ffb4_3d51_8b6d],
    [0x9c10_b3d9_c756_6bf3, 0xb272_b7d2_e902_4d4e],
    [0xf765_a38b_f273_c9e7, 0xf63b_efa7_2ba9_660a],
    [0x9158_39de_7a7c_d609, 0xc0b0_762d_0c06_d1fd],
];

/// What the fingerprint starts from.
const PRINT: State = [
    0x9fa8_56de_92b5_2c0d,
    0xd798_3aad_cc82_db47,
    0x15c7_b798_338d_996e,
    0xace7_8057_f59e_125a,
    0xae62_c7d0_6a77_0017,
    0xe8a0_7ce4_5079_506b,
    0x07ad_828d_630a_240c,
    0x7e99_4948_79a1_0005,
];

/// Keys of the fingerprint's last two rounds.
const LAST: [Key; 2] = [
    [0x8b24_949f_f6fa_8389, 0x0689_0201_90dc_56bf],
    [0x51f4_e03c_61b2_63d1, 0xed18_f99b_ee10_43c6],
];

/// One column, and the two rounds that it goes through.
trait Column: Copy {
    fn read(words: &Key) -> Self;
    fn words(self) -> Key;
    /// One round of encryption.
    fn encrypt(self, key: Self) -> Self;
    /// One round of decryption.
    fn decrypt(self, key: Self) -> Self;
}

/// Fills `out`, a multiple of 64 bytes, from a state, and leaves the state that follows.
pub(crate) fn fill(state: &mut State, out: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if hardware::is_there() {
        return hardware::fill(state, out);
    }
    fill_by::<portable::Block>(state, out);
}

/// Fills a program's words, a multiple of 64 bytes, from a state.
pub(crate) fn fill_program(state: &State, out: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if hardware::is_there() {
        return hardware::fill_program(state, out);
    }
    fill_program_by::<portable::Block>(state, out);
}

/// The fingerprint of `words`, a multiple of 64 bytes.
pub(crate) fn fingerprint(words: &[u64]) -> State {
    #[cfg(target_arch = "x86_64")]
    if hardware::is_there() {
        return hardware::fingerprint(words);
    }
    fingerprint_by::<portable::Block>(words)
}

/// The fingerprint of `words`, which are filled from `state` in the same pass.
pub(crate) fn fingerprint_and_fill(words: &mut [u64], state: &mut State) -> State {
    #[cfg(target_arch = "x86_64")]
    if hardware::is_there() {
        return hardware::fingerprint_and_fill(words, state);
    }
    fingerprint_and_fill_by::<portable::Block>(words, state)
}

#[inline(always)]
fn read<C: Column>(state: &State) -> [C; 4] {
    let (columns, _) = state.as_chunks::<2>();
    [C::read(&columns[0]), C::read(&columns[1]), C::read(&columns[2]), C::read(&columns[3])]
}

#[inline(always)]
fn write<C: Column>(columns: [C; 4], state: &mut State) {
    for (words, column) in state.as_chunks_mut::<2>().0.iter_mut().zip(columns) {
        *words = column.words();
    }
}

#[inline(always)]
fn fill_step<C: Column>(columns: [C; 4], keys: [C; 4]) -> [C; 4] {
    [
        columns[0].decrypt(keys[0]),
        columns[1].encrypt(keys[1]),
        columns[2].decrypt(keys[2]),
        columns[3].encrypt(keys[3]),
    ]
}

#[inline(always)]
fn print_step<C: Column>(columns: [C; 4], keys: [C; 4]) -> [C; 4] {
    [
        columns[0].encrypt(keys[0]),
        columns[1].decrypt(keys[1]),
        columns[2].encrypt(keys[2]),
        columns[3].decrypt(keys[3]),
    ]
}

#[inline(always)]
fn print_end<C: Column>(mut columns: [C; 4]) -> State {
    for key in &LAST {
        columns = print_step(columns, [C::read(key); 4]);
    }
    let mut state = [0; STEP];
    write(columns, &mut state);
    state
}

#[inline(always)]
fn keys<C: Column>() -> [C; 4] {
    [C::read(&FILL[0]), C::read(&FILL[1]), C::read(&FILL[2]), C::read(&FILL[3])]
}

#[inline(always)]
fn fill_by<C: Column>(state: &mut State, out: &mut [u64]) {
    let (mut columns, keys) = (read::<C>(state), keys());
    for step in out.as_chunks_mut::<STEP>().0 {
        columns = fill_step(columns, keys);
        write(columns, step);
    }
    write(columns, state);
}

#[inline(always)]
fn fill_program_by<C: Column>(state: &State, out: &mut [u64]) {
    let mut columns = read::<C>(state);
    for step in out.as_chunks_mut::<STEP>().0 {
        for round in 0..4 {
            let (low, high) = (C::read(&PROGRAM[round]), C::read(&PROGRAM[round + 4]));
            columns = fill_step(columns, [low, low, high, high]);
        }
        write(columns, step);
    }
}

#[inline(always)]
fn fingerprint_by<C: Column>(words: &[u64]) -> State {
    let mut columns = read::<C>(&PRINT);
    for step in words.as_chunks::<STEP>().0 {
        columns = print_step(columns, read(step));
    }
    print_end(columns)
}

#[inline(always)]
fn fingerprint_and_fill_by<C: Column>(words: &mut [u64], state: &mut State) -> State {
    let (mut print, mut columns, keys) = (read::<C>(&PRINT), read::<C>(state), keys());
    for step in words.as_chunks_mut::<STEP>().0 {
        print = print_step(print, read(step));
        columns = fill_step(columns, keys);
        write(columns, step);
    }
    write(columns, state);
    print_end(print)
}

/// AES rounds of a library, for any processor.
mod portable {
    use aes::hazmat::{cipher_round, equiv_inv_cipher_round};

    use super::{Column, Key};

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Block(aes::Block);

    impl Column for Block {
        fn read(words: &Key) -> Self {
            let bits = u128::from(words[0]) | u128::from(words[1]) << 64;
            Self(bits.to_le_bytes().into())
        }

        #[expect(clippy::cast_possible_truncation, reason = "the halves of a block")]
        fn words(self) -> Key {
            let bits = u128::from_le_bytes(self.0.into());
            [bits as u64, (bits >> 64) as u64]
        }

        fn encrypt(mut self, key: Self) -> Self {
            cipher_round(&mut self.0, &key.0);
            self
        }

        fn decrypt(mut self, key: Self) -> Self {
            equiv_inv_cipher_round(&mut self.0, &key.0);
            self
        }
    }
}

/// The processor's own AES rounds: ten times as fast.
#[cfg(target_arch = "x86_64")]
mod hardware {
    #![expect(unsafe_code, reason = "what not every processor can is called after asking it")]

    use core::arch::x86_64::{
        __m128i, _mm_aesdec_si128, _mm_aesenc_si128, _mm_loadu_si128, _mm_storeu_si128,
    };

    use super::{Column, Key, State};

    pub(super) fn is_there() -> bool {
        is_x86_feature_detected!("aes")
    }

    /// Made and used within this module only, after [`is_there`] has said yes.
    #[derive(Clone, Copy, Debug)]
    struct Lane(__m128i);

    impl Column for Lane {
        #[inline(always)]
        fn read(words: &Key) -> Self {
            // SAFETY: 16 bytes are read from 16 bytes; no alignment is asked for.
            Self(unsafe { _mm_loadu_si128(words.as_ptr().cast()) })
        }

        #[inline(always)]
        fn words(self) -> Key {
            let mut words = [0; 2];
            // SAFETY: 16 bytes are written to 16 bytes; no alignment is asked for.
            unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), self.0) };
            words
        }

        #[inline(always)]
        fn encrypt(self, key: Self) -> Self {
            // SAFETY: the processor has AES instructions, as each entry below makes sure.
            Self(unsafe { _mm_aesenc_si128(self.0, key.0) })
        }

        #[inline(always)]
        fn decrypt(self, key: Self) -> Self {
            // SAFETY: as for `encrypt`.
            Self(unsafe { _mm_aesdec_si128(self.0, key.0) })
        }
    }

    pub(super) fn fill(state: &mut State, out: &mut [u64]) {
        #[target_feature(enable = "aes")]
        fn inner(state: &mut State, out: &mut [u64]) {
            super::fill_by::<Lane>(state, out);
        }
        assert!(is_there());
        // SAFETY: asked above.
        unsafe { inner(state, out) }
    }

    pub(super) fn fill_program(state: &State, out: &mut [u64]) {
        #[target_feature(enable = "aes")]
        fn inner(state: &State, out: &mut [u64]) {
            super::fill_program_by::<Lane>(state, out);
        }
        assert!(is_there());
        // SAFETY: asked above.
        unsafe { inner(state, out) }
    }

    pub(super) fn fingerprint(words: &[u64]) -> State {
        #[target_feature(enable = "aes")]
        fn inner(words: &[u64]) -> State {
            super::fingerprint_by::<Lane>(words)
        }
        assert!(is_there());
        // SAFETY: asked above.
        unsafe { inner(words) }
    }

    pub(super) fn fingerprint_and_fill(words: &mut [u64], state: &mut State) -> State {
        #[target_feature(enable = "aes")]
        fn inner(words: &mut [u64], state: &mut State) -> State {
            super::fingerprint_and_fill_by::<Lane>(words, state)
        }
        assert!(is_there());
        // SAFETY: asked above.
        unsafe { inner(words, state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blake::{hash_256, hash_512};

    fn state(name: &str) -> State {
        let bytes = hash_512(name.as_bytes());
        core::array::from_fn(|word| {
            u64::from_le_bytes(bytes[8 * word..8 * word + 8].try_into().unwrap())
        })
    }

    #[test]
    fn the_keys_are_hashes_of_their_names() {
        assert_eq!(FILL.concat(), state("RandomX AesGenerator1R keys"));
        assert_eq!(PROGRAM[..4].concat(), state("RandomX AesGenerator4R keys 0-3"));
        assert_eq!(PROGRAM[4..].concat(), state("RandomX AesGenerator4R keys 4-7"));
        assert_eq!(PRINT, state("RandomX AesHash1R state"));
        let last = hash_256(b"RandomX AesHash1R xkeys");
        let words = |from: usize| u64::from_le_bytes(last[from..from + 8].try_into().unwrap());
        assert_eq!(LAST.concat(), [words(0), words(8), words(16), words(24)]);
    }

    #[test]
    fn hardware_and_library_agree() {
        let words: Vec<u64> =
            (0..8192).map(|word: u64| word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let (mut fast, mut slow) = (words.clone(), words);
        let (mut state_fast, mut state_slow) = (state("a"), state("a"));
        assert_eq!(fingerprint(&fast), fingerprint_by::<portable::Block>(&slow));
        let print = fingerprint_and_fill(&mut fast, &mut state_fast);
        assert_eq!(print, fingerprint_and_fill_by::<portable::Block>(&mut slow, &mut state_slow));
        assert_eq!((&fast, state_fast), (&slow, state_slow));
        fill(&mut state_fast, &mut fast);
        fill_by::<portable::Block>(&mut state_slow, &mut slow);
        assert_eq!((&fast, state_fast), (&slow, state_slow));
        fill_program(&state_fast, &mut fast[..272]);
        fill_program_by::<portable::Block>(&state_slow, &mut slow[..272]);
        assert_eq!(fast, slow);
    }
}

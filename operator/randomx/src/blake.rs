//! Blake2b as `RandomX` uses it, and the number generator built on it (specification, 3.5).

use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2b512, Digest};

/// Bytes of a generator's state.
const STATE_BYTES: usize = 64;
/// Bytes of a seed that a generator takes.
const SEED_BYTES: usize = 60;

pub(crate) fn hash_512(input: &[u8]) -> [u8; 64] {
    Blake2b512::digest(input).into()
}

pub(crate) fn hash_256(input: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(input).into()
}

/// Gives bytes that depend on a seed only.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    state: [u8; STATE_BYTES],
    used: usize,
}

impl Generator {
    /// A generator for a seed, of which 60 bytes count.
    pub(crate) fn new(seed: &[u8]) -> Self {
        let mut state = [0; STATE_BYTES];
        let length = seed.len().min(SEED_BYTES);
        state[..length].copy_from_slice(&seed[..length]);
        Self { state, used: STATE_BYTES }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > STATE_BYTES {
            self.state = hash_512(&self.state);
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.state[self.used..self.used + N]);
        self.used += N;
        taken
    }
}

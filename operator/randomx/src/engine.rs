//! The engine: keyed in light or full mode, then shared by hashing threads.

use core::fmt;
use core::num::NonZeroUsize;

use alloy_primitives::{B256, b256};
use ccp_randomx::cache::CacheHandle;
use ccp_randomx::dataset::DatasetHandle;
use ccp_randomx::{Cache, RandomXError, RandomXFlags, RandomXVM, ResultHash};

use crate::memory::Memory;
use crate::puzzle::Key;

/// How hashes are computed; both give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the cache of 256 MiB: keyed within a second, about a sixteenth of the rate.
    Light,
    /// From the dataset of 4,128 MiB: keyed in 90 to 180 CPU seconds.
    Full,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The memory is not to be had; the pod's limit is too small, or the node is full.
    #[error("allocate RandomX {what}")]
    Allocate {
        /// Which of the engine's parts.
        what: &'static str,
        /// What the engine says.
        source: RandomXError,
    },
    /// The caller wished it to stop before it was keyed.
    #[error("stopped while the RandomX dataset was built")]
    Stopped,
    /// A hasher of the last key is still alive; drop it, then load again.
    #[error("hashers of the last key are still at work")]
    Busy,
    /// The engine computes another function than the market: a mistake in how this program was built.
    #[error("the RandomX engine gives {got} where the market's parameters give {want}")]
    WrongHash {
        /// What came out.
        got: B256,
        /// What had to.
        want: B256,
    },
}

/// One engine; it keeps its memory from key to key.
#[derive(Debug)]
pub struct Engine {
    mode: Mode,
    memory: Option<Memory>,
}

/// An engine keyed for one puzzle; cheap to clone and to share between threads.
#[derive(Clone, Debug)]
pub struct Loaded {
    source: Source,
    flags: RandomXFlags,
}

#[derive(Clone, Debug)]
enum Source {
    Light(CacheHandle),
    /// The second half is what [`Memory::is_shared`] counts.
    Full(DatasetHandle, Memory),
}

impl Engine {
    /// An engine without a key; allocates nothing yet.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self { mode, memory: None }
    }

    /// How it hashes.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Keys the engine, with `threads` threads in full mode; `stopped` is asked every 100 ms or so there.
    ///
    /// In light mode this takes 0.3 to 0.9 s on one thread and cannot be stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Allocate`]: try again later or with more memory. [`Error::Stopped`]: as wished; the next load starts anew.
    /// [`Error::Busy`]: drop what was loaded before.
    pub fn load(
        &mut self,
        key: Key,
        threads: NonZeroUsize,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Loaded, Error> {
        if self.memory.as_ref().is_some_and(Memory::is_shared) {
            return Err(Error::Busy);
        }
        let flags = RandomXFlags::recommended();
        let cache = Cache::new(key.0.as_slice(), flags)
            .map_err(|source| Error::Allocate { what: "cache", source })?;
        if self.mode == Mode::Light {
            return Ok(Loaded { source: Source::Light(cache.handle()), flags });
        }
        let mut memory = match self.memory.take() {
            Some(memory) => memory,
            None => Memory::allocate()?,
        };
        let filled = memory.fill(&cache, threads, stopped);
        let source = Source::Full(memory.handle(), memory.clone());
        self.memory = Some(memory);
        if !filled {
            return Err(Error::Stopped);
        }
        Ok(Loaded { source, flags: flags | RandomXFlags::FULL_MEM })
    }
}

impl Loaded {
    /// A hasher for the calling thread.
    ///
    /// # Errors
    ///
    /// [`Error::Allocate`] if there is no memory for its scratchpad (2 MiB).
    pub fn hasher(&self) -> Result<Hasher, Error> {
        let allocate = |source| Error::Allocate { what: "virtual machine", source };
        let machine = match &self.source {
            Source::Light(cache) => {
                Machine::Light(RandomXVM::light(cache.clone(), self.flags).map_err(allocate)?)
            }
            Source::Full(dataset, memory) => {
                let machine = RandomXVM::fast(dataset.clone(), self.flags).map_err(allocate)?;
                Machine::Full(machine, memory.clone())
            }
        };
        Ok(Hasher { machine, pending: false })
    }
}

/// One thread's hasher: it overlaps the end of one hash with the start of the next.
pub struct Hasher {
    machine: Machine,
    pending: bool,
}

enum Machine {
    Light(RandomXVM<CacheHandle>),
    Full(
        RandomXVM<DatasetHandle>,
        #[expect(dead_code, reason = "held so that the memory is not filled anew")] Memory,
    ),
}

impl Hasher {
    /// Begins the hash of `input` and gives the hash of the input before it; `None` for the first.
    pub fn advance(&mut self, input: &B256) -> Option<B256> {
        let first = !core::mem::replace(&mut self.pending, true);
        match &self.machine {
            Machine::Light(machine) => step(machine, first, input),
            Machine::Full(machine, _) => step(machine, first, input),
        }
    }

    /// Gives the hash of the last input; `None` without one.
    pub fn finish(&mut self) -> Option<B256> {
        core::mem::take(&mut self.pending).then(|| match &self.machine {
            Machine::Light(machine) => word(&machine.hash_last()),
            Machine::Full(machine, _) => word(&machine.hash_last()),
        })
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hasher").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// Hashes a known input in light mode and compares; takes about half a second and 256 MiB.
///
/// # Errors
///
/// [`Error::WrongHash`] if the engine has other parameters than the market; [`Error::Allocate`] if there is no memory.
pub fn self_check() -> Result<(), Error> {
    let want = b256!("0x6b366e77bfd1e3814d18925d667254b717f7995b3688bd521c8921b0435edc88");
    let loaded = Engine::new(Mode::Light).load(Key(B256::ZERO), NonZeroUsize::MIN, &|| false)?;
    let mut hasher = loaded.hasher()?;
    hasher.advance(&B256::ZERO);
    match hasher.finish() {
        Some(got) if got != want => Err(Error::WrongHash { got, want }),
        _ => Ok(()),
    }
}

fn step<T>(machine: &RandomXVM<T>, first: bool, input: &B256) -> Option<B256> {
    if first {
        machine.hash_first(input.as_slice());
        return None;
    }
    Some(word(&machine.hash_next(input.as_slice())))
}

fn word(hash: &ResultHash) -> B256 {
    B256::from_slice(hash.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(mode: Mode, key: &Key, inputs: &[B256]) -> Vec<B256> {
        let threads = NonZeroUsize::new(2).unwrap();
        let loaded = Engine::new(mode).load(*key, threads, &|| false).unwrap();
        let mut hasher = loaded.hasher().unwrap();
        let mut found: Vec<_> = inputs.iter().filter_map(|input| hasher.advance(input)).collect();
        found.extend(hasher.finish());
        found
    }

    const UNIT_HASH: B256 =
        b256!("0x7adce3372ba6aa75a71db697f7cee24208ff68605cfd2a0f3774714c3d33b278");

    #[test]
    fn light_mode_gives_the_markets_hash() {
        let key = Key::of(B256::repeat_byte(0x11), B256::repeat_byte(0x22));
        let input = B256::repeat_byte(0x33);
        let found = hash(Mode::Light, &key, &[input, B256::ZERO, input]);
        assert_eq!((found.len(), found[0], found[2]), (3, UNIT_HASH, UNIT_HASH));
        assert_ne!(found[1], UNIT_HASH);
    }

    #[test]
    fn the_published_vector_of_short_inputs_comes_out() {
        let flags = RandomXFlags::recommended();
        let cache = Cache::new(&[1, 2, 3, 4, 5, 6, 7], flags).unwrap();
        let machine = RandomXVM::light(cache.handle(), flags).unwrap();
        let got = word(&machine.hash(&[2, 3, 4, 5, 6, 7]));
        assert_eq!(
            got,
            b256!("0x43ef5412f7085db63dfbb799435457da870ef9a31fbe0f5a393c508a25b67a23")
        );
    }

    #[test]
    fn the_self_check_passes_on_the_markets_engine() {
        self_check().unwrap();
    }

    #[test]
    fn a_hasher_without_input_has_no_hash() {
        let loaded =
            Engine::new(Mode::Light).load(Key(B256::ZERO), NonZeroUsize::MIN, &|| false).unwrap();
        assert_eq!(loaded.hasher().unwrap().finish(), None);
    }

    #[test]
    #[ignore = "needs 4.4 GiB and about two minutes"]
    fn full_mode_gives_the_same_and_refills_only_alone() {
        let key = Key::of(B256::repeat_byte(0x11), B256::repeat_byte(0x22));
        let input = B256::repeat_byte(0x33);
        let threads = NonZeroUsize::new(2).unwrap();
        let mut engine = Engine::new(Mode::Full);
        assert!(matches!(engine.load(key, threads, &|| true), Err(Error::Stopped)));
        let loaded = engine.load(key, threads, &|| false).unwrap();
        let mut hasher = loaded.hasher().unwrap();
        drop(loaded);
        hasher.advance(&input);
        assert_eq!(hasher.finish(), Some(UNIT_HASH));
        assert!(matches!(engine.load(key, threads, &|| true), Err(Error::Busy)));
    }
}

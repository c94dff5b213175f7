//! The engine: keyed in light or full mode, then shared by hashing threads.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::cache::Cache;
use crate::dataset::{Dataset, Progress};
use crate::hash::Hash;
use crate::limit::Limits;
use crate::machine::{Machine, Source};
use crate::mapping::{MapError, Pages};
use crate::parameters::{Function, Parameters};

/// How often a caller's wish to stop is asked for while the cache is filled.
const ASKED_EVERY: Duration = Duration::from_millis(10);

/// How hashes are computed; both give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// From the cache of 256 MiB: keyed within a second, about a sixteenth of the rate.
    Light,
    /// From the dataset, 4,128 MiB for the Fluence market: keyed in about a minute of two threads.
    Full,
}

/// How programs are run; all ways give the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Execution {
    /// As machine code where that can be had, else interpreted.
    #[default]
    Best,
    /// As machine code, or not at all.
    Compiled,
    /// Instruction by instruction: several times slower.
    Interpreted,
}

impl Execution {
    fn compiles(self) -> bool {
        self != Self::Interpreted
    }

    /// Whether to go on without machine code where there is none.
    fn settle(self, compiled: Result<(), Error>) -> Result<(), Error> {
        compiled.or_else(|error| if self == Self::Compiled { Err(error) } else { Ok(()) })
    }
}

/// What an engine is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How hashes are computed.
    pub mode: Mode,
    /// Which pages its memory is made of.
    pub pages: Pages,
    /// How programs are run.
    pub execution: Execution,
}

impl From<Mode> for Options {
    fn from(mode: Mode) -> Self {
        Self { mode, pages: Pages::default(), execution: Execution::default() }
    }
}

/// How an engine is keyed.
#[derive(Clone, Copy)]
pub struct Work<'work> {
    /// Threads that make the dataset.
    pub threads: NonZeroUsize,
    /// Asked every 50 ms or so whether to stop.
    pub stopped: &'work (dyn Fn() -> bool + Sync),
    /// Told how far it is.
    pub progress: &'work Progress,
}

impl fmt::Debug for Work<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Work").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The memory is not to be had.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The control group's limit is below what hashing takes: past it the kernel kills instead of refusing.
    #[error(
        "RandomX needs {need} bytes, and the {pages} limit is {limit} bytes: give the pod more memory, or hash in light mode"
    )]
    Limit {
        /// Bytes that the mode needs.
        need: u64,
        /// Bytes that the control group allows.
        limit: u64,
        /// Which memory is meant: that of huge pages is counted apart.
        pages: &'static str,
    },
    /// Argon2 does not take the key, which is too long.
    #[error("the key of RandomX is not one: {0}; give one of less than 4 GiB")]
    Key(argon2::Error),
    /// Machine code was asked for, and the system gives no memory for it.
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    #[error(transparent)]
    Code(#[from] crate::jit::CodeError),
    /// Machine code was asked for, and there is none for this processor.
    #[error(
        "there is no machine code for this processor in this build: let programs be interpreted, or build for x86-64 with the feature `jit`"
    )]
    NoCode,
    /// The caller wished it to stop before it was keyed; the next load of the same key goes on where it was.
    #[error("stopped while RandomX was keyed")]
    Stopped,
    /// A hasher of the last key is still alive; drop it, then load again.
    #[error("hashers of the last key are still at work")]
    Busy,
    /// The thread that fills the cache could not be started, or ended without a cache.
    #[error("fill the RandomX cache on a thread of its own")]
    Thread,
    /// The engine computes another function than it should: a mistake in how this program was built, or a broken processor.
    #[error("this machine's RandomX gives {got} where {want} is right")]
    WrongHash {
        /// What came out, in hex.
        got: String,
        /// What had to.
        want: String,
    },
}

/// One engine; it keeps its memory from key to key.
#[derive(Debug)]
pub struct Engine<F> {
    options: Options,
    dataset: Option<Arc<Dataset>>,
    filling: Option<Filling>,
    partial: Option<Partial>,
    function: PhantomData<F>,
}

/// A cache that is being filled; nothing can stop that.
#[derive(Debug)]
struct Filling {
    key: Vec<u8>,
    thread: JoinHandle<Result<Cache, Error>>,
}

/// A dataset of which a first part is made.
#[derive(Debug)]
struct Partial {
    key: Vec<u8>,
    cache: Cache,
    made: usize,
}

/// An engine keyed for one puzzle; cheap to clone and to share between threads.
#[derive(Clone, Debug)]
pub struct Loaded<F> {
    source: Source,
    options: Options,
    function: PhantomData<F>,
}

impl<F: Function> Engine<F> {
    /// An engine without a key; allocates nothing yet.
    #[must_use]
    pub fn new(options: impl Into<Options>) -> Self {
        const { assert!(F::PARAMETERS.checked().is_ok(), "parameters that make no function") };
        Self {
            options: options.into(),
            dataset: None,
            filling: None,
            partial: None,
            function: PhantomData,
        }
    }

    /// What it was made with.
    #[must_use]
    pub const fn options(&self) -> Options {
        self.options
    }

    /// Bytes of the dataset that the kernel keeps in huge pages; 0 without one.
    #[must_use]
    pub fn huge_bytes(&self) -> u64 {
        self.dataset.as_ref().map_or(0, |dataset| dataset.huge_bytes())
    }

    /// Keys the engine: up to a second for the cache on one thread, then in full mode the dataset with all of `work`'s.
    ///
    /// A stop is obeyed within 100 ms; the cache's fill then goes on by itself, and the next load of its key waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::Map`], [`Error::Limit`], [`Error::Code`]: try again later or with other options. [`Error::Stopped`]: as wished.
    /// [`Error::Busy`]: drop what was loaded before.
    pub fn load(&mut self, key: &[u8], work: &Work<'_>) -> Result<Loaded<F>, Error> {
        self.load_in(self.options.mode, key, work)
    }

    /// As [`Engine::load`], in another mode than it was made for: the memory of a dataset is kept, and the cache of one that
    /// was stopped is used.
    ///
    /// # Errors
    ///
    /// As [`Engine::load`].
    pub fn load_in(&mut self, mode: Mode, key: &[u8], work: &Work<'_>) -> Result<Loaded<F>, Error> {
        if self.dataset.as_mut().is_some_and(|dataset| Arc::get_mut(dataset).is_none()) {
            return Err(Error::Busy);
        }
        check_limit(need(&F::PARAMETERS, mode, work.threads), self.options.pages, &Limits::read())?;
        let items = if mode == Mode::Full { F::PARAMETERS.dataset_items() } else { 0 };
        work.progress.begin(items, 0);
        let options = Options { mode, ..self.options };
        let (cache, begun) = match self.partial.take().filter(|partial| partial.key == key) {
            Some(partial) => (partial.cache, partial.made),
            None => (self.cache(options, key, work)?, 0),
        };
        if mode == Mode::Light {
            let source = Source::Light(Arc::new(cache));
            return Ok(Loaded { source, options, function: PhantomData });
        }
        let mut dataset = match self.dataset.take() {
            Some(dataset) => dataset,
            None => Arc::new(Dataset::new(&F::PARAMETERS, options.pages)?),
        };
        let memory = Arc::get_mut(&mut dataset).ok_or(Error::Busy)?;
        let ready = memory.fill(&cache, begun, work);
        let is_whole = ready == memory.len();
        self.dataset = Some(Arc::clone(&dataset));
        if !is_whole {
            self.partial = Some(Partial { key: key.to_vec(), cache, made: ready });
            return Err(Error::Stopped);
        }
        Ok(Loaded { source: Source::Full(dataset), options, function: PhantomData })
    }

    /// Fills a cache on a thread of its own, so that a stop need not wait for it.
    fn cache(&mut self, options: Options, key: &[u8], work: &Work<'_>) -> Result<Cache, Error> {
        loop {
            let filling = match self.filling.take() {
                Some(filling) => filling,
                None => self.start(key)?,
            };
            while !filling.thread.is_finished() {
                if (work.stopped)() {
                    self.filling = Some(filling);
                    return Err(Error::Stopped);
                }
                thread::park_timeout(ASKED_EVERY);
            }
            let is_wanted = filling.key == key;
            let cache = filling.thread.join().map_err(|_panic| Error::Thread)?;
            // One cache at a time: a second beside it might be more than the pod may have.
            if is_wanted {
                let mut cache = cache?;
                // A dataset's items are compiled even where programs are interpreted.
                if options.mode == Mode::Full || options.execution.compiles() {
                    options.execution.settle(cache.compile())?;
                }
                return Ok(cache);
            }
        }
    }

    fn start(&self, key: &[u8]) -> Result<Filling, Error> {
        let (key, pages, caller) = (key.to_vec(), self.options.pages, thread::current());
        let filled = key.clone();
        let thread = thread::Builder::new().name("randomx-cache".to_owned()).spawn(move || {
            let cache = Cache::new(F::PARAMETERS, &filled, pages);
            caller.unpark();
            cache
        });
        Ok(Filling { key, thread: thread.map_err(|_refused| Error::Thread)? })
    }
}

/// Compares what is needed with what the control group allows of such pages.
fn check_limit(need: u64, pages: Pages, limits: &Limits) -> Result<(), Error> {
    let (limit, pages) = match pages {
        Pages::Huge => (limits.huge, "huge page"),
        Pages::Transparent | Pages::Small => (limits.memory, "memory"),
    };
    match limit {
        Some(limit) if limit < need => Err(Error::Limit { need, limit, pages }),
        _ => Ok(()),
    }
}

/// Bytes that a mode takes at its peak, with a scratchpad for each thread.
fn need(parameters: &Parameters, mode: Mode, threads: NonZeroUsize) -> u64 {
    let scratchpads = u64::from(parameters.scratchpad_l3).saturating_mul(threads.get() as u64);
    let light = parameters.cache_bytes().saturating_add(scratchpads);
    match mode {
        Mode::Light => light,
        Mode::Full => light.saturating_add(parameters.dataset_bytes()),
    }
}

impl<F: Function> Loaded<F> {
    /// How its hashes are computed.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.options.mode
    }

    /// One item of the dataset, by its number from 0; `None` beyond the last. Eight words, read from the dataset or made from the
    /// cache.
    #[must_use]
    pub fn item(&self, number: u64) -> Option<[u64; 8]> {
        (number < F::PARAMETERS.dataset_items()).then(|| self.source.item(number))
    }

    /// A hasher for the calling thread.
    ///
    /// # Errors
    ///
    /// [`Error::Map`] if there is no memory for its scratchpad, [`Error::Code`] if there is none for its programs.
    pub fn hasher(&self) -> Result<Hasher<F>, Error> {
        let mut machine = Machine::new(F::PARAMETERS, self.source.clone(), self.options.pages)?;
        if self.options.execution.compiles() {
            self.options.execution.settle(machine.compile())?;
        }
        Ok(Hasher { machine, is_begun: false, function: PhantomData })
    }
}

/// One thread's hasher: it overlaps the end of one hash with the start of the next.
pub struct Hasher<F> {
    machine: Machine,
    is_begun: bool,
    function: PhantomData<F>,
}

impl<F: Function> Hasher<F> {
    /// Begins the hash of `input` and gives the hash of the input before it; `None` for the first.
    pub fn advance(&mut self, input: &[u8]) -> Option<Hash<F>> {
        if core::mem::replace(&mut self.is_begun, true) {
            return Some(Hash::new(self.machine.advance(input)));
        }
        self.machine.begin(input);
        None
    }

    /// Gives the hash of the last input; `None` without one.
    pub fn finish(&mut self) -> Option<Hash<F>> {
        core::mem::take(&mut self.is_begun).then(|| Hash::new(self.machine.finish()))
    }

    /// The hash of one input; drops one that was begun.
    pub fn hash(&mut self, input: &[u8]) -> Hash<F> {
        self.is_begun = false;
        self.machine.begin(input);
        Hash::new(self.machine.finish())
    }
}

impl<F> fmt::Debug for Hasher<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hasher").field("is_begun", &self.is_begun).finish_non_exhaustive()
    }
}

/// Hashes a known input in light mode and compares; takes about a second and 256 MiB.
///
/// # Errors
///
/// [`Error::WrongHash`] if this machine gives another hash than all others; else those of [`Engine::load`].
pub fn self_check<F: Function>() -> Result<(), Error> {
    let work =
        Work { threads: NonZeroUsize::MIN, stopped: &|| false, progress: &Progress::default() };
    let loaded = Engine::<F>::new(Mode::Light).load(F::VECTOR.key, &work)?;
    let got = loaded.hasher()?.hash(F::VECTOR.input);
    let want = Hash::<F>::new(F::VECTOR.hash);
    if got == want {
        return Ok(());
    }
    Err(Error::WrongHash { got: got.to_string(), want: want.to_string() })
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

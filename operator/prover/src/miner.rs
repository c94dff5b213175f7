//! The hashing threads, and the one that keys the engine for them.

mod worker;

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use alloy_primitives::B256;
use coreward_randomx::{Difficulty, Fluence, Mode, Progress};
use tokio::sync::{mpsc, watch};

use self::worker::Worker;
use crate::clock::now;
use crate::puzzle::Key;
use crate::store::Entry;

/// One puzzle of one unit, ready to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) unit_id: B256,
    pub(crate) epoch: u64,
    pub(crate) global_nonce: B256,
    pub(crate) key: Key,
    pub(crate) difficulty: Difficulty<Fluence>,
}

/// What the miner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Not heard of yet.
    Unknown,
    /// Nothing is of use now.
    Rest,
    /// Hash this, until told otherwise.
    Hash(Job),
    /// End all threads.
    End,
}

/// What the miner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was computed yet.
    Starting,
    /// Rests; its engine was checked, or has hashed.
    Resting,
    /// Builds a cache or a dataset.
    Building,
    /// Hashes, in this mode.
    Hashing(Mode),
    /// Could not build its engine; tries again.
    Broken,
}

/// The handle; dropping it ends the threads without waiting for them.
#[derive(Debug)]
pub(crate) struct Miner {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
}

#[derive(Debug)]
struct Shared {
    goal: Mutex<Goal>,
    changed: Condvar,
    /// Counts changes of `goal`; looked at between hashes.
    generation: AtomicU64,
    hashes: AtomicU64,
    spent: Spent,
    /// When the epoch should be over; `None` while that is not known.
    ends: Mutex<Option<Instant>>,
    progress: Progress,
    huge_bytes: AtomicU64,
    lacks_memory: AtomicBool,
}

/// Nanoseconds of the hashing threads, in hashes and between them.
#[derive(Debug, Default)]
struct Spent {
    hashing: AtomicU64,
    between: AtomicU64,
}

impl Miner {
    /// Starts the threads' thread; found proofs go to `found`, which should be drained all the time.
    pub(crate) fn start(
        mode: Mode,
        threads: NonZeroUsize,
        found: mpsc::Sender<Entry>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::new());
        let (sender, phase) = watch::channel(Phase::Starting);
        let worker = Worker::new(shared.clone(), sender, found, threads, mode);
        thread::Builder::new().name("miner".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared, phase })
    }

    /// Sets the goal; threads that hash something else stop after the hash they are at.
    pub(crate) fn set(&self, goal: Goal) {
        self.shared.set(goal);
    }

    /// Sets when the epoch should be over; what is begun is weighed anew.
    pub(crate) fn ends(&self, at: Instant) {
        *self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// What it does; closed when its threads have ended.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Hashes computed so far.
    pub(crate) fn hashes(&self) -> u64 {
        self.shared.hashes.load(Ordering::Relaxed)
    }

    /// Time that the hashing threads spent in hashes, and around them.
    pub(crate) fn spent(&self) -> (Duration, Duration) {
        let time =
            |nanoseconds: &AtomicU64| Duration::from_nanos(nanoseconds.load(Ordering::Relaxed));
        (time(&self.shared.spent.hashing), time(&self.shared.spent.between))
    }

    /// Items of the dataset that are made, and that are wanted; of none in light mode.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.shared.progress.items()
    }

    /// Bytes that the kernel keeps in huge pages for the dataset, as of when it was made.
    pub(crate) fn huge_bytes(&self) -> u64 {
        self.shared.huge_bytes.load(Ordering::Relaxed)
    }

    /// Whether full mode was wanted, and the memory limit was too small for a dataset when the engine was last keyed.
    pub(crate) fn lacks_memory(&self) -> bool {
        self.shared.lacks_memory.load(Ordering::Relaxed)
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.shared.set(Goal::End);
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            goal: Mutex::new(Goal::Unknown),
            changed: Condvar::new(),
            generation: AtomicU64::new(0),
            hashes: AtomicU64::new(0),
            spent: Spent::default(),
            ends: Mutex::new(None),
            progress: Progress::default(),
            huge_bytes: AtomicU64::new(0),
            lacks_memory: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Goal> {
        self.goal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, goal: Goal) {
        let mut current = self.lock();
        if *current != goal && *current != Goal::End {
            *current = goal;
            self.generation.fetch_add(1, Ordering::Release);
            self.changed.notify_all();
        }
    }

    fn current(&self) -> (u64, Goal) {
        let goal = self.lock();
        (self.generation.load(Ordering::Acquire), *goal)
    }

    /// Time until the epoch should be over.
    fn left(&self) -> Option<Duration> {
        let ends = *self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.map(|ends| ends.saturating_duration_since(now()))
    }

    fn is_over(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) != generation
    }

    fn wait(&self, generation: u64) {
        let unchanged = |_: &mut Goal| !self.is_over(generation);
        drop(self.changed.wait_while(self.lock(), unchanged));
    }

    fn wait_at_most(&self, generation: u64, limit: Duration) {
        let unchanged = |_: &mut Goal| !self.is_over(generation);
        drop(self.changed.wait_timeout_while(self.lock(), limit, unchanged));
    }
}

#[cfg(test)]
#[path = "miner_tests.rs"]
mod tests;

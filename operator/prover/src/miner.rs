//! The hashing threads, and the one that keys the engine for them.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use alloy_primitives::B256;
use coreward_randomx::{
    Difficulty, Engine, Error, Fluence, Function as _, Loaded, Mode, Progress, Work, self_check,
};
use coreward_telemetry::causes;
use coreward_wire::FoundProof;
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use crate::clock::now;
use crate::nonce::Nonces;
use crate::pace::{Build, Pace};
use crate::puzzle::Key;
use crate::store::Entry;

/// How long a fresh miner waits to hear what to do before it checks itself: most hear by then, and the check costs half a
/// second.
const SETTLE: Duration = Duration::from_millis(500);

/// The pause before an engine that could not be built is tried again.
const REBUILD: Duration = Duration::from_secs(5);

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
        let shared = Arc::new(Shared {
            goal: Mutex::new(Goal::Unknown),
            changed: Condvar::new(),
            generation: AtomicU64::new(0),
            hashes: AtomicU64::new(0),
            spent: Spent::default(),
            ends: Mutex::new(None),
            progress: Progress::default(),
            huge_bytes: AtomicU64::new(0),
        });
        let (sender, phase) = watch::channel(Phase::Starting);
        let worker = Worker {
            shared: shared.clone(),
            phase: sender,
            found,
            threads,
            engine: Engine::new(mode),
            pace: Pace::default(),
            loaded: None,
            works: false,
        };
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
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.shared.set(Goal::End);
    }
}

impl Shared {
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

/// The miner's own thread.
struct Worker {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    found: mpsc::Sender<Entry>,
    threads: NonZeroUsize,
    engine: Engine<Fluence>,
    pace: Pace,
    loaded: Option<(Key, Loaded<Fluence>)>,
    /// Whether this engine has hashed.
    works: bool,
}

impl Worker {
    fn run(mut self) {
        self.shared.wait_at_most(0, SETTLE);
        loop {
            let (generation, goal) = self.shared.current();
            let ended = match goal {
                Goal::End => return,
                Goal::Unknown | Goal::Rest => self.rest(generation),
                Goal::Hash(job) => self.hash(generation, &job),
            };
            match ended {
                Ok(()) | Err(Error::Stopped) => {}
                Err(error) => {
                    error!(error = %causes(&error), "the RandomX engine cannot be built; it is tried again in {REBUILD:?}");
                    self.phase.send_replace(Phase::Broken);
                    self.shared.wait_at_most(generation, REBUILD);
                }
            }
        }
    }

    /// Waits; ready means that it works, so a miner without a job shows itself once that it can hash.
    fn rest(&mut self, generation: u64) -> Result<(), Error> {
        if !core::mem::replace(&mut self.works, true) {
            self_check::<Fluence>().inspect_err(|_failure| self.works = false)?;
        }
        self.phase.send_replace(Phase::Resting);
        self.shared.wait(generation);
        Ok(())
    }

    fn hash(&mut self, generation: u64, job: &Job) -> Result<(), Error> {
        let loaded = self.load(generation, job)?;
        let mode = loaded.mode();
        self.works = true;
        self.phase.send_replace(Phase::Hashing(mode));
        let (since, before) = (now(), self.shared.hashes.load(Ordering::Relaxed));
        let ended = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.get())
                .map(|_| scope.spawn(|| self.search(&loaded, (generation, since), job)))
                .collect();
            let ends = threads.into_iter().map(|thread| thread.join().unwrap_or(Ok(())));
            ends.collect::<Result<(), Error>>()
        });
        let hashes = self.shared.hashes.load(Ordering::Relaxed) - before;
        self.pace.hashed(mode, hashes, since.elapsed());
        // All were told to stop; what it does next is the next goal's to say.
        ended
    }

    fn load(&mut self, generation: u64, job: &Job) -> Result<Loaded<Fluence>, Error> {
        if let Some((key, loaded)) = &self.loaded
            && *key == job.key
        {
            return Ok(loaded.clone());
        }
        self.loaded = None;
        self.phase.send_replace(Phase::Building);
        let loaded = match self.build(generation, job) {
            Some(Err(Error::Stopped)) if !self.shared.is_over(generation) => None,
            built => built,
        };
        let loaded = match loaded {
            Some(built) => built?,
            None => self.light(generation, job)?,
        };
        info!(
            unit.id = %job.unit_id, puzzle.epoch = job.epoch, threads = self.threads.get(), mode = ?loaded.mode(),
            "hashes for unit {} in epoch {}", job.unit_id, job.epoch
        );
        self.loaded = Some((job.key, loaded.clone()));
        Ok(loaded)
    }

    /// Makes a dataset, as long as that pays; `None` where it does not, or where full mode is not wanted.
    fn build(&mut self, generation: u64, job: &Job) -> Option<Result<Loaded<Fluence>, Error>> {
        let (shared, pace) = (&self.shared, self.pace);
        let items = Fluence::PARAMETERS.dataset_items();
        if self.engine.options().mode != Mode::Full || !pace.full_pays(items, shared.left()) {
            return None;
        }
        let begun = OnceLock::new();
        let still_pays = || {
            let (made, wanted) = shared.progress.items();
            let &(since, before) = begun.get_or_init(|| (now(), made));
            let (made, missing) = (made.saturating_sub(before), wanted.saturating_sub(made));
            pace.still_pays(Build { made, missing, time: since.elapsed() }, shared.left())
        };
        let work = Work {
            threads: self.threads,
            stopped: &|| shared.is_over(generation) || !still_pays(),
            progress: &shared.progress,
        };
        let loaded = self.engine.load(job.key.0.as_slice(), &work);
        if let (Ok(_), Some((since, before))) = (&loaded, begun.get()) {
            self.pace.built(items - before, since.elapsed());
        }
        shared.huge_bytes.store(self.engine.huge_bytes(), Ordering::Relaxed);
        Some(loaded)
    }

    fn light(&mut self, generation: u64, job: &Job) -> Result<Loaded<Fluence>, Error> {
        let shared = &self.shared;
        if self.engine.options().mode == Mode::Full {
            info!(
                puzzle.epoch = job.epoch, epoch.left = ?shared.left(),
                "the rest of epoch {} is too short for a dataset: it hashes in light mode", job.epoch
            );
        }
        let work = Work {
            threads: self.threads,
            stopped: &|| shared.is_over(generation),
            progress: &shared.progress,
        };
        self.engine.load_in(Mode::Light, job.key.0.as_slice(), &work)
    }

    /// One thread's work: hash after hash until the goal changes.
    fn search(
        &self,
        loaded: &Loaded<Fluence>,
        (generation, since): (u64, Instant),
        job: &Job,
    ) -> Result<(), Error> {
        let (shared, mut idle_since) = (&self.shared, since);
        let mut hasher = loaded.hasher()?;
        let mut nonces = Nonces::random();
        let mut local_nonce = nonces.step();
        hasher.advance(local_nonce.as_slice());
        while !shared.is_over(generation) {
            let next = nonces.step();
            let begun = now();
            let Some(hash) = hasher.advance(next.as_slice()) else { break };
            let ended = now();
            add(&shared.spent.between, begun - idle_since);
            add(&shared.spent.hashing, ended - begun);
            idle_since = ended;
            shared.hashes.fetch_add(1, Ordering::Relaxed);
            if job.difficulty.is_met_by(&hash) {
                let result_hash = B256::from(hash.bytes());
                let Job { unit_id, epoch, global_nonce, .. } = *job;
                let proof = FoundProof { epoch, global_nonce, local_nonce, result_hash };
                if self.found.blocking_send(Entry { unit_id, proof }).is_err() {
                    break;
                }
            }
            local_nonce = next;
        }
        Ok(())
    }
}

fn add(nanoseconds: &AtomicU64, time: Duration) {
    let more = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    nanoseconds.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
#[path = "miner_tests.rs"]
mod tests;

//! The miner's own thread, and the hashing ones that it starts.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use alloy_primitives::B256;
use coreward_randomx::{Engine, Error, Fluence, Function as _, Loaded, Mode, Work, self_check};
use coreward_telemetry::causes;
use coreward_wire::FoundProof;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::{Goal, Job, Phase, Shared};
use crate::clock::now;
use crate::nonce::Nonces;
use crate::pace::{Build, FirstPart, Pace};
use crate::puzzle::Key;
use crate::store::Entry;

/// How long a fresh miner waits to hear what to do before it checks itself: most hear by then, and the check costs half a
/// second.
const SETTLE: Duration = Duration::from_millis(500);

/// The pause before an engine that could not be built is tried again.
const REBUILD: Duration = Duration::from_secs(5);

/// All that the miner's own thread has.
pub(super) struct Worker {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    found: mpsc::Sender<Entry>,
    threads: NonZeroUsize,
    engine: Engine<Fluence>,
    pace: Pace,
    /// What the engine holds of a dataset that was given up.
    given_up: Option<FirstPart>,
    loaded: Option<(Key, Loaded<Fluence>)>,
    /// Whether this engine has hashed.
    works: bool,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        phase: watch::Sender<Phase>,
        found: mpsc::Sender<Entry>,
        threads: NonZeroUsize,
        mode: Mode,
    ) -> Self {
        Self {
            shared,
            phase,
            found,
            threads,
            engine: Engine::new(mode),
            pace: Pace::default(),
            given_up: None,
            loaded: None,
            works: false,
        }
    }

    pub(super) fn run(mut self) {
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
        let loaded = match self.full(generation, job)? {
            Some(loaded) => loaded,
            None => self.light(generation, job)?,
        };
        info!(
            unit.id = %job.unit_id, puzzle.epoch = job.epoch, threads = self.threads.get(), mode = ?loaded.mode(),
            "hashes for unit {} in epoch {}", job.unit_id, job.epoch
        );
        self.loaded = Some((job.key, loaded.clone()));
        Ok(loaded)
    }

    /// Makes a dataset, as long as that pays; `None` where it does not, where none fits, or where full mode is not wanted.
    fn full(&mut self, generation: u64, job: &Job) -> Result<Option<Loaded<Fluence>>, Error> {
        if self.engine.options().mode == Mode::Light {
            return Ok(None);
        }
        if self.pays(job) {
            let built = self.build(generation, job);
            let lacks_memory = matches!(built, Err(Error::Limit { .. }));
            self.shared.lacks_memory.store(lacks_memory, Ordering::Relaxed);
            match built {
                Ok(loaded) => return Ok(Some(loaded)),
                // It was not told to stop: what is left of the epoch turned out too short.
                Err(Error::Stopped) if !self.shared.is_over(generation) => {}
                // With the next key the limit is looked at again: a pod may be given more while it runs.
                Err(error @ Error::Limit { .. }) => {
                    warn!(
                        error = %causes(&error), puzzle.epoch = job.epoch,
                        "there is no memory for a dataset: it hashes in light mode, at about a sixteenth of the rate"
                    );
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        info!(
            puzzle.epoch = job.epoch, epoch.left = ?self.shared.left(),
            "the rest of epoch {} is too short for a dataset: it hashes in light mode", job.epoch
        );
        Ok(None)
    }

    fn pays(&self, job: &Job) -> bool {
        let items = Fluence::PARAMETERS.dataset_items();
        let missing = FirstPart::missing(self.given_up, job.key, items);
        self.pace.full_pays(missing, self.shared.left())
    }

    fn build(&mut self, generation: u64, job: &Job) -> Result<Loaded<Fluence>, Error> {
        let (shared, pace) = (&self.shared, self.pace);
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
        let made = shared.progress.items().0;
        if let (Ok(_), Some((since, before))) = (&loaded, begun.get()) {
            self.pace.built(made - before, since.elapsed());
        }
        self.given_up = match loaded {
            Err(Error::Stopped) => Some(FirstPart { key: job.key, made }),
            Ok(_) | Err(_) => None,
        };
        shared.huge_bytes.store(self.engine.huge_bytes(), Ordering::Relaxed);
        loaded
    }

    fn light(&mut self, generation: u64, job: &Job) -> Result<Loaded<Fluence>, Error> {
        // The engine hashes with the cache that the rest of a dataset would be made from.
        self.given_up = None;
        let shared = &self.shared;
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
mod tests {
    use coreward_randomx::Difficulty;

    use super::*;

    #[test]
    fn a_dataset_of_the_same_key_is_gone_on_with_where_a_new_one_would_not_pay() {
        let (global_nonce, unit_id) = (B256::ZERO, B256::ZERO);
        let job = |key| {
            let difficulty = Difficulty::new([0; 32]);
            Job { unit_id, epoch: 7, global_nonce, key: Key(B256::repeat_byte(key)), difficulty }
        };
        let shared = Arc::new(Shared::new());
        *shared.ends.lock().unwrap() = Some(now() + Duration::from_mins(10));
        let (phase, found) = (watch::Sender::new(Phase::Starting), mpsc::channel(1).0);
        let mut worker = Worker::new(shared, phase, found, NonZeroUsize::MIN, Mode::Full);
        let items = Fluence::PARAMETERS.dataset_items();
        worker.pace.built(items, Duration::from_hours(1));
        worker.given_up = Some(FirstPart { key: job(1).key, made: items / 10 * 9 });
        assert_eq!((worker.pays(&job(1)), worker.pays(&job(2))), (true, false));

        // Told to stop before it began: nothing is made, so nothing is left to go on with.
        worker.shared.set(Goal::Rest);
        assert!(matches!(worker.build(0, &job(1)), Err(Error::Stopped)));
        assert_eq!(worker.given_up, Some(FirstPart { key: job(1).key, made: 0 }));
    }
}

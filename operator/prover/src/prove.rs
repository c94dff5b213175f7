//! The prover's loop: one task owns all that is known, and everything else is told by it.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use alloy_primitives::B256;
use coreward_link::cpu::{CpuError, CpuFiles};
use coreward_link::{AssignmentFile, BackOff, Link, LinkError};
use coreward_telemetry::{
    Health, Liveness, Metrics, Readiness, ServeError, Shutdown, causes, router, serve,
};
use coreward_wire::{
    Assignment, CpuEvidence, Duty, FoundProofs, HashMode, ProofReceipt, ProverReport,
};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use crate::args::ProveArgs;
use crate::book::{Book, Done};
use crate::metrics::Series;
use crate::miner::{Goal, Miner, Phase};
use crate::rate::Rate;
use crate::report::{is_ready, send_reports};
use crate::store::{Entry, Store};

/// How often rate, readiness and metrics are brought up to date.
const TICK: Duration = Duration::from_millis(500);

/// How often all that is not acknowledged is posted and saved again: whoever took it may have been restarted.
const AGAIN: Duration = Duration::from_secs(20);

/// How long the loop, or the hashing while it should hash, may show no progress before a restart is the cure.
const STUCK: Duration = Duration::from_mins(2);

/// Found proofs that wait to be saved; each takes a few milliseconds, a hash takes longer.
const FOUND_QUEUE: usize = 256;

/// How long to leave an operator alone that refuses a post for good.
const REFUSED: Duration = Duration::from_secs(10);

/// Why the prover ended.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The line to the operator is not configured right.
    #[error("set up the line to the operator")]
    Link(#[from] LinkError),
    /// The kernel does not tell about the pod's CPUs.
    #[error("look at the pod's CPUs")]
    Cpu(#[from] CpuError),
    /// The hashing thread could not be started.
    #[error("start the hashing threads")]
    Threads {
        /// What the system says.
        source: io::Error,
    },
    /// A series could not be registered: a mistake in our wiring.
    #[error("register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// Health and metrics could not be served.
    #[error("serve health and metrics")]
    Serve(#[from] ServeError),
    /// The hashing threads ended by themselves.
    #[error("the hashing threads ended")]
    MinerEnded,
}

/// Proves until `shutdown`; proofs that are not acknowledged stay on the volume.
///
/// # Errors
///
/// [`ProveError`]; a restart of the container may help with all but the first.
pub async fn prove(args: ProveArgs, shutdown: &Shutdown) -> Result<(), ProveError> {
    let link = Link::new(args.link.config())?;
    let metrics = Metrics::new("prover", env!("CARGO_PKG_VERSION"))?;
    let (series, health) = (Series::register(&metrics)?, Health::new());
    let cpu = CpuFiles::of_this_machine().evidence()?;
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let store = Store::in_directory(&args.state_dir);
    let book = Book::with_saved(load(&store, &series).await);
    info!(
        cpu.list = cpu.cpus, cpu.whole_cores = cpu.whole_cores, threads = threads.get(), mode = ?args.mode,
        proofs.kept = book.kept(), "the prover starts with {} threads on CPUs {}", threads, cpu.cpus
    );
    let (found_sender, found) = mpsc::channel(FOUND_QUEUE);
    let miner = Miner::start(args.mode.engine(), threads, found_sender)
        .map_err(|source| ProveError::Threads { source })?;
    let (assignments, poll) = link.assignments(Some(AssignmentFile::in_directory(&args.state_dir)));
    let (reports, reported) = watch::channel(None);
    shutdown.spawn_vital("assignments", poll.run(shutdown.token()));
    shutdown.spawn_vital("reports", send_reports(link.clone(), reported, shutdown.token()));
    let now = now();
    let prover = Prover {
        link,
        series,
        store,
        miner,
        book,
        cpu,
        reports,
        mode: args.mode.told(),
        readiness: health.readiness("hashing"),
        turns: health.liveness("turns", STUCK),
        hashing: health.liveness("hashing", STUCK),
        phase: Phase::Starting,
        phase_since: now,
        ticked: now,
        again: now,
        rate: Rate::default(),
        hashes: 0,
        ready: false,
        volume_works: true,
        pauses: BackOff::new(),
        posts: JoinSet::new(),
    };
    let pages = serve(args.listen, router(metrics, health), shutdown.token());
    let ended = tokio::select! {
        ended = prover.run(assignments, found, shutdown) => ended,
        served = pages => served.map_err(ProveError::from),
    };
    shutdown.stop();
    ended
}

/// Reads the volume; one that cannot be read is told of, and the prover goes on without it.
async fn load(store: &Store, series: &Series) -> Vec<Entry> {
    let reading = store.clone();
    match spawn_blocking(move || reading.load()).await {
        Ok(Ok(entries)) => entries,
        Ok(Err(error)) => {
            series.volume_failures.inc();
            error!(error = %error, "the volume for proofs cannot be read; proofs are kept in memory only");
            Vec::new()
        }
        Err(_panicked) => Vec::new(),
    }
}

/// A post that ended: who it was meant for, what it carried, and the answer.
struct Post {
    leader: String,
    proofs: FoundProofs,
    answer: Result<ProofReceipt, LinkError>,
}

struct Prover {
    link: Link,
    series: Series,
    store: Store,
    miner: Miner,
    book: Book,
    cpu: CpuEvidence,
    mode: HashMode,
    reports: watch::Sender<Option<ProverReport>>,
    readiness: Readiness,
    turns: Liveness,
    hashing: Liveness,
    phase: Phase,
    phase_since: Instant,
    ticked: Instant,
    again: Instant,
    rate: Rate,
    hashes: u64,
    ready: bool,
    volume_works: bool,
    pauses: BackOff,
    posts: JoinSet<Post>,
}

impl Prover {
    async fn run(
        mut self,
        mut assignments: watch::Receiver<Option<Arc<Assignment>>>,
        mut found: mpsc::Receiver<Entry>,
        shutdown: &Shutdown,
    ) -> Result<(), ProveError> {
        let stop = shutdown.token();
        let mut phases = self.miner.phase();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        assignments.mark_changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = assignments.changed() => {
                    if changed.is_err() { return Ok(()) }
                    let assignment = assignments.borrow_and_update().clone();
                    if let Some(assignment) = assignment { self.take(&assignment).await }
                }
                Some(entry) = found.recv() => self.keep(entry).await,
                Some(ended) = self.posts.join_next() => if let Ok(post) = ended { self.settle(post).await },
                changed = phases.changed() => {
                    if changed.is_err() { return Err(ProveError::MinerEnded) }
                    let phase = *phases.borrow_and_update();
                    self.enter(phase);
                }
                _ = ticks.tick() => self.tick().await,
            }
            self.miner.set(self.book.goal());
            self.post();
            self.tell();
        }
    }

    async fn take(&mut self, assignment: &Assignment) {
        let Duty::Prover(duty) = &assignment.duty else {
            error!(
                assignment.revision = assignment.revision,
                "the operator gave a duty that is not a prover's; it is ignored"
            );
            return;
        };
        let before = (self.book.puzzle().map(|puzzle| puzzle.epoch), self.book.leader().to_owned());
        let done = self.book.take(&assignment.leader, duty.clone());
        let epoch = self.book.puzzle().map(|puzzle| puzzle.epoch);
        if before != (epoch, assignment.leader.clone()) {
            info!(
                unit.id = %duty.unit_id, puzzle.epoch = epoch, operator.leader = assignment.leader, proofs.kept = self.book.kept(),
                "the operator {} has unit {} work on epoch {}", assignment.leader, duty.unit_id, epoch.unwrap_or_default()
            );
        }
        self.series.epoch.set(i64::try_from(epoch.unwrap_or_default()).unwrap_or(i64::MAX));
        self.forget(done).await;
    }

    /// Makes a found proof durable, then lets it be posted; what the volume refuses is posted from memory.
    async fn keep(&mut self, entry: Entry) {
        self.series.found.inc();
        if !self.book.find(entry.clone()) {
            self.series.stale.inc();
            return;
        }
        info!(
            unit.id = %entry.unit_id, puzzle.epoch = entry.proof.epoch, proof.local_nonce = %entry.proof.local_nonce,
            "found a proof of unit {} for epoch {}", entry.unit_id, entry.proof.epoch
        );
        self.save(entry).await;
    }

    async fn save(&mut self, entry: Entry) {
        let (store, local_nonce) = (self.store.clone(), entry.proof.local_nonce);
        let saved = spawn_blocking(move || store.keep(&entry))
            .await
            .unwrap_or_else(|panicked| Err(panicked.into()));
        match saved {
            Ok(()) => {
                self.book.saved(local_nonce);
                if !core::mem::replace(&mut self.volume_works, true) {
                    info!("the volume takes proofs again");
                }
            }
            Err(error) => {
                self.series.volume_failures.inc();
                if core::mem::replace(&mut self.volume_works, false) {
                    error!(error = %error, "the volume takes no proofs; they are posted from memory, and lost if the pod ends before");
                }
            }
        }
    }

    async fn forget(&mut self, done: Done) {
        self.series.acknowledged.inc_by(done.acknowledged.len() as u64);
        self.series.stale.inc_by(done.stale.len() as u64);
        if !done.stale.is_empty() {
            warn!(
                proofs.stale = done.stale.len(),
                "{} proofs were dropped: their epoch is over",
                done.stale.len()
            );
        }
        let nonces: Vec<B256> = done.acknowledged.into_iter().chain(done.stale).collect();
        if nonces.is_empty() {
            return;
        }
        let store = self.store.clone();
        let forgotten =
            spawn_blocking(move || nonces.into_iter().try_for_each(|nonce| store.forget(nonce)))
                .await;
        if let Ok(Err(error)) = forgotten {
            self.series.volume_failures.inc();
            warn!(error = %error, "a proof that is done with cannot be deleted; it will be after a restart");
        }
    }

    /// Starts a post if none is under way and something is to be told.
    fn post(&mut self) {
        if !self.posts.is_empty() {
            return;
        }
        let Some(proofs) = self.book.to_post() else { return };
        let (link, leader) = (self.link.clone(), self.book.leader().to_owned());
        let mut pauses = self.pauses.clone();
        self.posts.spawn(async move {
            let answer = link.post_proofs(&proofs).await;
            if let Err(error) = &answer {
                sleep(pauses.pause(error.retry().unwrap_or(REFUSED))).await;
            }
            Post { leader, proofs, answer }
        });
    }

    async fn settle(&mut self, post: Post) {
        match post.answer {
            Ok(receipt) => {
                self.pauses.succeeded();
                self.book.posted(&post.leader, &post.proofs);
                let acknowledged = self.book.acknowledge(&receipt.acknowledged);
                self.forget(Done { acknowledged, stale: Vec::new() }).await;
            }
            Err(error) => {
                self.series.post_failures.inc();
                if self.pauses.failures().is_multiple_of(20) {
                    warn!(
                        error = %causes(&error), proofs.kept = self.book.kept(), post.failures = self.pauses.failures(),
                        "proofs are not taken by the operator; they stay on the volume and are posted again"
                    );
                }
                self.pauses.pause(Duration::ZERO);
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.measure();
        self.phase = phase;
        self.phase_since = now();
    }

    /// Adds what was hashed since the last look.
    fn measure(&mut self) {
        let (now, hashes) = (now(), self.miner.hashes());
        let (time, new) = (now - self.ticked, hashes - self.hashes);
        (self.ticked, self.hashes) = (now, hashes);
        if let Some(unit) = self.book.unit().filter(|_| new > 0) {
            self.series.hashed(unit, new);
        }
        if self.phase == Phase::Hashing {
            self.rate.add(time, new);
        }
        if self.phase != Phase::Hashing || new > 0 {
            self.hashing.tick();
        }
    }

    async fn tick(&mut self) {
        self.turns.tick();
        self.measure();
        if self.ticked - self.again >= AGAIN {
            self.again = self.ticked;
            self.book.post_again();
            for entry in self.book.unsaved() {
                self.save(entry).await;
            }
        }
    }

    /// Brings readiness, metrics and the report up to date.
    fn tell(&mut self) {
        let rate = self.rate.per_second();
        self.ready =
            is_ready(self.phase, rate.is_some(), self.ready, self.ticked - self.phase_since);
        self.readiness.set(self.ready);
        self.series.hash_rate.set(rate.unwrap_or_default());
        self.series.kept.set(i64::try_from(self.book.kept()).unwrap_or(i64::MAX));
        let Some(unit_id) = self.book.unit() else { return };
        let report = ProverReport {
            unit_id,
            cpu: self.cpu.clone(),
            mode: self.mode,
            ready: self.ready,
            building: self.phase == Phase::Building,
            hash_rate: rate.unwrap_or_default(),
            epoch: self.book.puzzle().map_or(0, |puzzle| puzzle.epoch),
            found: self.book.found(),
            stale: self.book.stale(),
        };
        self.reports.send_if_modified(|told| {
            let differs = told.as_ref() != Some(&report);
            *told = Some(report);
            differs
        });
    }
}

impl Drop for Prover {
    fn drop(&mut self) {
        self.miner.set(Goal::End);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "rates and intervals are of this process's own clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The prover's loop: one task owns all that is known, and everything else is told by it.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::B256;
use coreward_link::{BackOff, LinkError};
use coreward_randomx::Mode;
use coreward_telemetry::{Health, Liveness, Readiness, causes};
use coreward_wire::{Assignment, Duty, FoundProofs, HashMode, ProofReceipt, ProverReport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::book::Done;
use crate::clock::now;
use crate::miner::{Goal, Phase};
use crate::prove::{Parts, ProveError};
use crate::rate::Rate;
use crate::readiness::{Hindrance, Work, hindrance};
use crate::report::Addressed;
use crate::store::Entry;
use crate::volume::Outcome;

/// How often rate, readiness and metrics are brought up to date: whoever waits for this prover waits for the first look, too.
const TICK: Duration = Duration::from_millis(100);

/// How often all that is not acknowledged is posted and saved again: whoever took it may have been restarted.
const AGAIN: Duration = Duration::from_secs(20);

/// How long the loop, or the hashing while it should hash, may show no progress before a restart is the cure.
const STUCK: Duration = Duration::from_mins(2);

/// How long to leave an operator alone that refuses a post for good.
const REFUSED: Duration = Duration::from_secs(10);

/// Found proofs that may wait for the volume before no more are taken: then the hashing threads wait, too.
const MOST_WAITING: usize = 64;

/// How long a stop waits for the hashes that are under way and for their proofs to be kept: together with the drain it is less
/// than the pod's grace of one second.
const LAST_PROOFS: Duration = Duration::from_millis(300);

/// A post that ended: who it was meant for, what it carried, and the answer.
struct Post {
    leader: String,
    proofs: FoundProofs,
    answer: Result<ProofReceipt, LinkError>,
}

/// All that the loop knows.
pub(crate) struct Prover {
    parts: Parts,
    readiness: Readiness,
    turns: Liveness,
    hashing: Liveness,
    phase: Phase,
    phase_since: Instant,
    /// Whether it rests because all proofs of use are found.
    is_done: bool,
    ticked: Instant,
    again: Instant,
    rate: Rate,
    hashes: u64,
    hindrance: Option<Hindrance>,
    pauses: BackOff,
    posts: JoinSet<Post>,
}

impl Prover {
    /// A prover that has not begun.
    pub(crate) fn new(parts: Parts, health: &Health) -> Self {
        let now = now();
        Self {
            parts,
            readiness: health.readiness("hashing"),
            turns: health.liveness("turns", STUCK),
            hashing: health.liveness("hashing", STUCK),
            phase: Phase::Starting,
            phase_since: now,
            is_done: false,
            ticked: now,
            again: now,
            rate: Rate::default(),
            hashes: 0,
            hindrance: Some(Hindrance::Starting),
            pauses: BackOff::new(),
            posts: JoinSet::new(),
        }
    }

    /// Works until `stop`, or until the miner ends by itself.
    pub(crate) async fn run(
        mut self,
        mut assignments: watch::Receiver<Option<Arc<Assignment>>>,
        mut found: mpsc::Receiver<Entry>,
        stop: CancellationToken,
    ) -> Result<(), ProveError> {
        let mut phases = self.parts.miner.phase();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        assignments.mark_changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = assignments.changed() => {
                    if changed.is_err() { return Ok(()) }
                    let assignment = assignments.borrow_and_update().clone();
                    if let Some(assignment) = assignment { self.take(&assignment) }
                }
                Some(entry) = found.recv(), if self.parts.book.waiting() < MOST_WAITING => self.find(&entry),
                Some(outcome) = self.parts.volume.ended() => self.remember(outcome),
                Some(ended) = self.posts.join_next() => if let Ok(post) = ended { self.settle(post) },
                changed = phases.changed() => {
                    if changed.is_err() { return Err(ProveError::MinerEnded) }
                    let phase = *phases.borrow_and_update();
                    self.enter(phase);
                }
                _ = ticks.tick() => self.tick(),
            }
            self.parts.miner.set(self.parts.book.goal());
            self.save();
            self.post();
            self.tell();
        }
        self.end(found).await;
        Ok(())
    }

    /// Saves what the threads find in the hashes they are at; it is posted by whoever has the volume next.
    async fn end(&mut self, found: mpsc::Receiver<Entry>) {
        self.parts.miner.set(Goal::End);
        if timeout(LAST_PROOFS, self.save_the_last(found)).await.is_err() {
            warn!(
                "the hashing threads or the volume were still at work after {LAST_PROOFS:?}; a proof found just now may be lost"
            );
        }
    }

    /// Ends when the last hashing thread has, and the volume has answered for all that was found.
    async fn save_the_last(&mut self, mut found: mpsc::Receiver<Entry>) {
        let mut is_over = false;
        loop {
            self.save();
            tokio::select! {
                entry = found.recv(), if !is_over => match entry {
                    Some(entry) => self.find(&entry),
                    None => is_over = true,
                },
                Some(outcome) = self.parts.volume.ended() => self.remember(outcome),
                else => return,
            }
        }
    }

    fn take(&mut self, assignment: &Assignment) {
        let Duty::Prover(duty) = &assignment.duty else {
            error!(
                assignment.revision = assignment.revision,
                "the operator gave a duty that is not a prover's; it is ignored"
            );
            return;
        };
        let before = (
            self.parts.book.puzzle().map(|puzzle| puzzle.epoch),
            self.parts.book.leader().to_owned(),
        );
        let done = self.parts.book.take(&assignment.leader, duty.clone());
        let epoch = self.parts.book.puzzle().map(|puzzle| puzzle.epoch);
        if before != (epoch, assignment.leader.clone()) {
            info!(
                unit.id = %duty.unit_id, puzzle.epoch = epoch, operator.leader = assignment.leader, proofs.kept = self.parts.book.kept(),
                "the operator {} has unit {} work on epoch {}", assignment.leader, duty.unit_id, epoch.unwrap_or_default()
            );
        }
        self.parts.series.epoch.set(as_gauge(epoch.unwrap_or_default()));
        if let Some(puzzle) = self.parts.book.puzzle() {
            self.parts.miner.ends(now() + Duration::from_secs(puzzle.remaining_seconds));
        }
        self.forget(done);
    }

    /// Takes a found proof, which is kept next, and posted then; what the volume refuses is posted from memory.
    fn find(&mut self, entry: &Entry) {
        self.parts.series.found.inc();
        if !self.parts.book.find(entry.clone()) {
            self.parts.series.stale.inc();
            return;
        }
        info!(
            unit.id = %entry.unit_id, puzzle.epoch = entry.proof.epoch, proof.local_nonce = %entry.proof.local_nonce,
            "found a proof of unit {} for epoch {}", entry.unit_id, entry.proof.epoch
        );
    }

    /// Gives the volume its next proof if it has none at hand; the loop goes on meanwhile.
    fn save(&mut self) {
        let Parts { volume, book, .. } = &mut self.parts;
        volume.go_on(|| book.to_save());
    }

    fn remember(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Kept(local_nonce) => self.parts.book.saved(local_nonce),
            Outcome::Refused(local_nonce) => self.parts.book.refused(local_nonce),
            Outcome::Forgot => {}
        }
    }

    fn forget(&mut self, done: Done) {
        self.parts.series.acknowledged.inc_by(done.acknowledged.len() as u64);
        self.parts.series.stale.inc_by(done.stale.len() as u64);
        if !done.stale.is_empty() {
            let count = done.stale.len();
            warn!(proofs.stale = count, "{count} proofs were dropped: their epoch is over");
        }
        let local_nonces: Vec<B256> = done.acknowledged.into_iter().chain(done.stale).collect();
        if !local_nonces.is_empty() {
            self.parts.volume.forget(local_nonces);
        }
    }

    /// Starts a post if none is under way and something is to be told.
    fn post(&mut self) {
        if !self.posts.is_empty() {
            return;
        }
        let Some(proofs) = self.parts.book.to_post() else { return };
        let (link, leader) = (self.parts.link.clone(), self.parts.book.leader().to_owned());
        let mut pauses = self.pauses.clone();
        self.posts.spawn(async move {
            let answer = link.post_proofs(&proofs).await;
            if let Err(error) = &answer {
                sleep(pauses.pause(error.retry().unwrap_or(REFUSED))).await;
            }
            Post { leader, proofs, answer }
        });
    }

    fn settle(&mut self, post: Post) {
        match post.answer {
            Ok(receipt) => {
                self.pauses.succeeded();
                self.parts.book.posted(&post.leader, &post.proofs);
                let acknowledged = self.parts.book.acknowledge(&receipt.acknowledged);
                self.forget(Done { acknowledged, stale: Vec::new() });
            }
            Err(error) => {
                self.parts.series.post_failures.inc();
                if self.pauses.failures().is_multiple_of(20) {
                    warn!(
                        error = %causes(&error), proofs.kept = self.parts.book.kept(), post.failures = self.pauses.failures(),
                        "proofs are not taken by the operator; they stay on the volume and are posted again"
                    );
                }
                self.pauses.pause(Duration::ZERO);
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.measure();
        if self.phase == Phase::Resting && self.is_done {
            let idle = (now() - self.phase_since).as_secs();
            info!(prover.idle_seconds = idle, "goes on after {idle} idle seconds");
        }
        self.phase = phase;
        self.phase_since = now();
        self.is_done = phase == Phase::Resting && self.parts.book.puzzle().is_some();
        if self.is_done {
            let epoch = self.parts.book.puzzle().map_or(0, |puzzle| puzzle.epoch);
            info!(
                puzzle.epoch = epoch,
                "has all proofs of use in epoch {epoch}; idles until the next"
            );
        }
        self.parts.series.huge_bytes.set(as_gauge(self.parts.miner.huge_bytes()));
    }

    /// Adds what was hashed, and how long nothing was of use, since the last look.
    fn measure(&mut self) {
        let (now, hashes) = (now(), self.parts.miner.hashes());
        let (time, new) = (now - self.ticked, hashes - self.hashes);
        (self.ticked, self.hashes) = (now, hashes);
        if let Some(unit) = self.parts.book.unit().filter(|_| new > 0) {
            self.parts.series.hashed(unit, new);
        }
        let is_hashing = matches!(self.phase, Phase::Hashing(_));
        if is_hashing {
            self.rate.add(time, new);
        }
        if self.is_done {
            self.parts.series.idle_seconds.inc_by(time.as_secs_f64());
        }
        if !is_hashing || new > 0 {
            self.hashing.tick();
        }
    }

    fn tick(&mut self) {
        self.turns.tick();
        self.measure();
        if self.ticked - self.again >= AGAIN {
            self.again = self.ticked;
            self.parts.book.post_again();
            self.parts.book.save_again();
        }
    }

    /// Brings readiness, metrics and the report up to date.
    fn tell(&mut self) {
        let rate = self.rate.per_second();
        self.hindrance = hindrance(Work {
            phase: self.phase,
            in_phase: self.ticked - self.phase_since,
            is_measured: rate.is_some(),
            was_ready: self.hindrance.is_none(),
            lacks_memory: self.parts.miner.lacks_memory(),
            cpu: &self.parts.cpu,
            whole_cores: self.parts.whole_cores,
        });
        self.readiness.set(self.hindrance.is_none());
        self.parts.series.hindered(self.hindrance);
        self.parts.series.hashes_at(&self.rate);
        self.parts.series.spent(self.parts.miner.spent());
        self.parts.series.kept.set(as_gauge(self.parts.book.kept() as u64));
        let progress = self.parts.miner.progress();
        self.parts.series.dataset_made.set(as_gauge(progress.0));
        self.parts.series.dataset_wanted.set(as_gauge(progress.1));
        let Some(unit_id) = self.parts.book.unit() else { return };
        let mode = match self.phase {
            Phase::Hashing(Mode::Light) => HashMode::Light,
            Phase::Hashing(Mode::Full) => HashMode::Full,
            Phase::Starting | Phase::Resting | Phase::Building | Phase::Broken => self.parts.mode,
        };
        let report = ProverReport {
            unit_id,
            cpu: self.parts.cpu.clone(),
            mode,
            ready: self.hindrance.is_none(),
            hindrance: self.hindrance.and_then(|it| it.words(&self.parts.cpu)),
            building: self.phase == Phase::Building,
            hash_rate: rate.unwrap_or_default(),
            epoch: self.parts.book.puzzle().map_or(0, |puzzle| puzzle.epoch),
            found: self.parts.book.found(),
            stale: self.parts.book.stale(),
        };
        let report = Addressed { leader: self.parts.book.leader().to_owned(), report };
        self.parts.reports.send_if_modified(|told| {
            let differs = told.as_ref() != Some(&report);
            *told = Some(report);
            differs
        });
    }
}

fn as_gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Drop for Prover {
    fn drop(&mut self) {
        self.parts.miner.set(Goal::End);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;

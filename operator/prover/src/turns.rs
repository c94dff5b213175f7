//! The prover's loop: one task owns all that is known, and everything else is told by it.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::B256;
use coreward_link::{BackOff, LinkError};
use coreward_telemetry::{Health, Liveness, Readiness, causes};
use coreward_wire::{Assignment, Duty, FoundProofs, ProofReceipt, ProverReport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::book::Done;
use crate::clock::now;
use crate::miner::{Goal, Phase};
use crate::prove::{Parts, ProveError};
use crate::rate::Rate;
use crate::report::{Addressed, is_ready};
use crate::store::Entry;

/// How often rate, readiness and metrics are brought up to date: whoever waits for this prover waits for the first look, too.
const TICK: Duration = Duration::from_millis(100);

/// How often all that is not acknowledged is posted and saved again: whoever took it may have been restarted.
const AGAIN: Duration = Duration::from_secs(20);

/// How long the loop, or the hashing while it should hash, may show no progress before a restart is the cure.
const STUCK: Duration = Duration::from_mins(2);

/// How long to leave an operator alone that refuses a post for good.
const REFUSED: Duration = Duration::from_secs(10);

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
    ticked: Instant,
    again: Instant,
    rate: Rate,
    hashes: u64,
    ready: bool,
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
            ticked: now,
            again: now,
            rate: Rate::default(),
            hashes: 0,
            ready: false,
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
            self.parts.miner.set(self.parts.book.goal());
            self.post();
            self.tell();
        }
        self.end(found).await;
        Ok(())
    }

    /// Saves what was found in the meantime; it is posted by whoever has the volume next.
    async fn end(&mut self, mut found: mpsc::Receiver<Entry>) {
        self.parts.miner.set(Goal::End);
        while let Ok(entry) = found.try_recv() {
            self.keep(entry).await;
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
        self.parts.series.epoch.set(i64::try_from(epoch.unwrap_or_default()).unwrap_or(i64::MAX));
        self.forget(done).await;
    }

    /// Makes a found proof durable, then lets it be posted; what the volume refuses is posted from memory.
    async fn keep(&mut self, entry: Entry) {
        self.parts.series.found.inc();
        if !self.parts.book.find(entry.clone()) {
            self.parts.series.stale.inc();
            return;
        }
        info!(
            unit.id = %entry.unit_id, puzzle.epoch = entry.proof.epoch, proof.local_nonce = %entry.proof.local_nonce,
            "found a proof of unit {} for epoch {}", entry.unit_id, entry.proof.epoch
        );
        self.save(entry).await;
    }

    async fn save(&mut self, entry: Entry) {
        let local_nonce = entry.proof.local_nonce;
        if self.parts.volume.keep(entry).await {
            self.parts.book.saved(local_nonce);
        }
    }

    async fn forget(&mut self, done: Done) {
        self.parts.series.acknowledged.inc_by(done.acknowledged.len() as u64);
        self.parts.series.stale.inc_by(done.stale.len() as u64);
        if !done.stale.is_empty() {
            let count = done.stale.len();
            warn!(proofs.stale = count, "{count} proofs were dropped: their epoch is over");
        }
        let local_nonces: Vec<B256> = done.acknowledged.into_iter().chain(done.stale).collect();
        if !local_nonces.is_empty() {
            self.parts.volume.forget(local_nonces).await;
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

    async fn settle(&mut self, post: Post) {
        match post.answer {
            Ok(receipt) => {
                self.pauses.succeeded();
                self.parts.book.posted(&post.leader, &post.proofs);
                let acknowledged = self.parts.book.acknowledge(&receipt.acknowledged);
                self.forget(Done { acknowledged, stale: Vec::new() }).await;
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
        self.phase = phase;
        self.phase_since = now();
    }

    /// Adds what was hashed since the last look.
    fn measure(&mut self) {
        let (now, hashes) = (now(), self.parts.miner.hashes());
        let (time, new) = (now - self.ticked, hashes - self.hashes);
        (self.ticked, self.hashes) = (now, hashes);
        if let Some(unit) = self.parts.book.unit().filter(|_| new > 0) {
            self.parts.series.hashed(unit, new);
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
            self.parts.book.post_again();
            for entry in self.parts.book.unsaved() {
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
        self.parts.series.hash_rate.set(rate.unwrap_or_default());
        self.parts.series.kept.set(i64::try_from(self.parts.book.kept()).unwrap_or(i64::MAX));
        let Some(unit_id) = self.parts.book.unit() else { return };
        let report = ProverReport {
            unit_id,
            cpu: self.parts.cpu.clone(),
            mode: self.parts.mode,
            ready: self.ready,
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

impl Drop for Prover {
    fn drop(&mut self) {
        self.parts.miner.set(Goal::End);
    }
}

//! What each pod has to do and what each pod last said, by the pod's UID.
//!
//! A cache that the leader fills: pods keep their last assignment themselves, and report again within a minute.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use coreward_wire::{Assignment, Duty, Report};
use sha2::{Digest, Sha256};
use tokio::sync::{broadcast, watch};

/// Wake-ups kept for a slow listener; one that missed some is told so and looks at everything.
const CHANGES_KEPT: usize = 1024;

/// What a pod last said.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its words.
    pub report: Report,
    /// When they came, by our monotonic clock.
    pub at: Instant,
}

/// The desk between loops and pods. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    leader: String,
    desks: Mutex<HashMap<String, Desk>>,
    changes: broadcast::Sender<String>,
}

#[derive(Debug)]
struct Desk {
    assignment: watch::Sender<Option<Arc<Assignment>>>,
    received: Option<Received>,
}

impl Desk {
    fn new() -> Self {
        Self { assignment: watch::Sender::new(None), received: None }
    }
}

impl Hub {
    /// A hub that signs its assignments with this replica's identity.
    #[must_use]
    pub fn new(leader: impl Into<String>) -> Self {
        let changes = broadcast::Sender::new(CHANGES_KEPT);
        Self { inner: Arc::new(Inner { leader: leader.into(), desks: Mutex::default(), changes }) }
    }

    /// Tells a pod what to do now. The same duty again tells it nothing; seconds that merely pass are no new duty.
    pub fn assign(&self, pod_uid: &str, duty: Duty) {
        let revision = revision(&self.inner.leader, &duty);
        self.with_desk(pod_uid, |desk| {
            desk.assignment.send_if_modified(|present| {
                if present.as_ref().is_some_and(|present| present.revision == revision) {
                    return false;
                }
                *present = Some(Arc::new(Assignment {
                    revision,
                    leader: self.inner.leader.clone(),
                    duty,
                }));
                true
            });
        });
    }

    /// What a pod is told now, if anything.
    #[must_use]
    pub fn duty(&self, pod_uid: &str) -> Option<Duty> {
        let desks = self.inner.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.get(pod_uid)?.assignment.borrow().as_ref().map(|assignment| assignment.duty.clone())
    }

    /// What the pod last said; `None` until it said something to this leader.
    #[must_use]
    pub fn report(&self, pod_uid: &str) -> Option<Received> {
        self.inner
            .desks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(pod_uid)?
            .received
            .clone()
    }

    /// Forgets a pod that is gone.
    pub fn forget(&self, pod_uid: &str) {
        self.inner.desks.lock().unwrap_or_else(PoisonError::into_inner).remove(pod_uid);
    }

    /// Forgets every pod but these.
    pub fn keep(&self, pod_uids: &BTreeSet<String>) {
        self.inner
            .desks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|uid, _| pod_uids.contains(uid));
    }

    /// UIDs of pods whose report changed in more than its rates. A listener that lags gets `Lagged` and looks at all pods.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<String> {
        self.inner.changes.subscribe()
    }

    /// Takes a report; the endpoint calls it for a pod that it knows.
    pub fn receive(&self, pod_uid: &str, report: Report, at: Instant) {
        let changed = self.with_desk(pod_uid, |desk| {
            let changed = desk
                .received
                .as_ref()
                .is_none_or(|before| standing(&before.report) != standing(&report));
            desk.received = Some(Received { report, at });
            changed
        });
        if changed {
            // Nobody listens while this replica does not lead.
            let _ = self.inner.changes.send(pod_uid.to_owned());
        }
    }

    /// Assignments of a pod as they change; the present one first.
    #[must_use]
    pub fn assignments(&self, pod_uid: &str) -> watch::Receiver<Option<Arc<Assignment>>> {
        self.with_desk(pod_uid, |desk| desk.assignment.subscribe())
    }

    fn with_desk<T>(&self, pod_uid: &str, act: impl FnOnce(&mut Desk) -> T) -> T {
        let mut desks = self.inner.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = desks.get_mut(pod_uid) {
            return act(desk);
        }
        act(desks.entry(pod_uid.to_owned()).or_insert_with(Desk::new))
    }
}

/// The report without what changes all the time.
fn standing(report: &Report) -> Report {
    let mut report = report.clone();
    if let Report::Prover(prover) = &mut report {
        prover.hash_rate = 0.0;
        prover.found = 0;
        prover.stale = 0;
    }
    if let Report::Probe(probe) = &mut report {
        probe.hash_rate = 0.0;
    }
    report
}

/// Changes whenever the duty or the leader does.
fn revision(leader: &str, duty: &Duty) -> String {
    let mut duty = duty.clone();
    if let Duty::Prover(prover) = &mut duty
        && let Some(puzzle) = &mut prover.puzzle
    {
        puzzle.remaining_seconds = 0;
    }
    let mut hash = Sha256::new();
    hash.update(leader);
    // A duty is plain data: the serializer has nothing to refuse.
    hash.update(serde_json::to_vec(&duty).unwrap_or_default());
    hex::encode(&hash.finalize()[..12])
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coreward_wire::{CpuEvidence, HashMode, ProofTarget, ProverDuty, ProverReport, Puzzle};

    use super::*;
    use crate::clock;

    fn prover(remaining_seconds: u64, acknowledged: u8) -> Duty {
        Duty::Prover(ProverDuty {
            unit_id: B256::repeat_byte(1),
            puzzle: Some(Puzzle {
                epoch: 7,
                global_nonce: B256::ZERO,
                difficulty: B256::repeat_byte(0xff),
                target: ProofTarget { minimum: 2, useful: 4, on_chain: 0 },
                remaining_seconds,
            }),
            acknowledged: vec![B256::repeat_byte(acknowledged)],
        })
    }

    fn report(ready: bool, hash_rate: f64) -> Report {
        Report::Prover(ProverReport {
            unit_id: B256::repeat_byte(1),
            cpu: CpuEvidence::default(),
            mode: HashMode::Light,
            ready,
            hindrance: None,
            building: false,
            hash_rate,
            epoch: 7,
            found: 0,
            stale: 0,
        })
    }

    #[test]
    fn seconds_that_pass_are_no_news() {
        let hub = Hub::new("a");
        hub.assign("pod", prover(60, 1));
        let mut assignments = hub.assignments("pod");
        assignments.mark_unchanged();
        hub.assign("pod", prover(59, 1));
        assert!(!assignments.has_changed().unwrap());
        hub.assign("pod", prover(58, 2));
        assert!(assignments.has_changed().unwrap());
    }

    #[test]
    fn another_leader_is_news() {
        assert_ne!(revision("a", &prover(60, 1)), revision("b", &prover(60, 1)));
    }

    #[test]
    fn rates_wake_nobody() {
        let hub = Hub::new("a");
        let mut changes = hub.changes();
        hub.receive("pod", report(false, 1.0), clock::now());
        assert_eq!(changes.try_recv().unwrap(), "pod");
        hub.receive("pod", report(false, 2.0), clock::now());
        assert!(changes.try_recv().is_err());
        hub.receive("pod", report(true, 2.0), clock::now());
        assert_eq!(changes.try_recv().unwrap(), "pod");
    }

    #[test]
    fn pods_that_are_gone_are_forgotten() {
        let hub = Hub::new("a");
        hub.assign("gone", Duty::Probe);
        hub.assign("stays", Duty::Probe);
        hub.keep(&BTreeSet::from(["stays".to_owned()]));
        assert_eq!((hub.duty("gone"), hub.duty("stays")), (None, Some(Duty::Probe)));
    }
}

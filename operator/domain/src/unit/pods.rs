//! One peer's pods against the pods that are wanted.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::Seat;
use crate::id::UnitId;

use super::{
    Cordon, DeletionCause, Elsewhere, PROVER_GRACE_SECONDS, Phase, Pod, PodRole, Role, Seen, Step,
    WORKER_GRACE_SECONDS, Why,
};

/// Seconds before the first new try; doubles with every further one.
const FIRST_BACK_OFF_SECONDS: u64 = 1;

/// Longest wait between tries, seconds.
const LONGEST_BACK_OFF_SECONDS: u64 = 300;

/// A pod whose container could not be started for this many seconds is made again.
const STUCK_SECONDS: u64 = 300;

/// A pod that ran this many seconds was no failed try.
const SOUND_RUN_SECONDS: u64 = 600;

/// A pod that is wanted.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Prover(UnitId),
    Worker { seat: Seat, units: BTreeSet<UnitId> },
}

impl Slot {
    fn units(&self) -> BTreeSet<UnitId> {
        match self {
            Self::Prover(unit) => BTreeSet::from([*unit]),
            Self::Worker { units, .. } => units.clone(),
        }
    }

    fn is_filled_by(&self, role: &PodRole) -> bool {
        match (self, role) {
            (Self::Prover(wanted), PodRole::Prover(unit)) => wanted == unit,
            (Self::Worker { seat: wanted, .. }, PodRole::Worker { seat, .. }) => wanted == seat,
            (Self::Prover(_), PodRole::Worker { .. })
            | (Self::Worker { .. }, PodRole::Prover(_)) => false,
        }
    }
}

impl Pod {
    /// Whether its cores are, or may still become, its own.
    pub(super) const fn holds_cores(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. } | Phase::Released)
    }

    const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    fn is_deleting(&self) -> bool {
        self.phase == Phase::Deleting
    }

    /// Whether it never ran, and is not going to.
    const fn is_given_up(&self) -> bool {
        matches!(self.phase, Phase::Stuck { seconds, has_run: false, .. } if seconds >= STUCK_SECONDS)
    }

    /// Whether the pod of a slot with these units cannot be made while this one is there.
    fn stands_before(&self, slot: &Slot, units: &BTreeSet<UnitId>) -> bool {
        match self.phase {
            // The cores of another node are not those that are waited for.
            _ if self.elsewhere.is_some() => false,
            Phase::Ended { .. } => false,
            Phase::Released => slot.is_filled_by(&self.role),
            Phase::Pending
            | Phase::Stuck { .. }
            | Phase::Running
            | Phase::Ready
            | Phase::Deleting => units.iter().any(|unit| self.role.holds(*unit)),
        }
    }
}

/// Where the decisions about one peer's pods are made.
#[derive(Debug)]
pub(super) struct Desk<'seen> {
    pub(super) seen: &'seen Seen,
    pub(super) pods: &'seen [Pod],
    roles: &'seen BTreeMap<UnitId, Role>,
    pub(super) steps: Vec<Step>,
    deleted: BTreeSet<&'seen str>,
    why: BTreeMap<UnitId, Why>,
}

impl<'seen> Desk<'seen> {
    pub(super) fn new(
        seen: &'seen Seen,
        pods: &'seen [Pod],
        roles: &'seen BTreeMap<UnitId, Role>,
    ) -> Self {
        let why = roles.keys().map(|unit| (*unit, Why::Idle)).collect();
        Self { seen, pods, roles, steps: Vec::new(), deleted: BTreeSet::new(), why }
    }

    pub(super) fn finish(self) -> (Vec<Step>, BTreeMap<UnitId, Why>) {
        (self.steps, self.why)
    }

    /// Deletes what the chain says is over, and what is there twice.
    pub(super) fn clear(&mut self) {
        let mut kept: BTreeMap<UnitId, &Pod> = BTreeMap::new();
        let mut pods: Vec<_> =
            self.pods.iter().filter(|pod| pod.holds_cores() && !pod.is_deleting()).collect();
        pods.sort_by_key(|pod| {
            (pod.elsewhere.is_some(), pod.phase != Phase::Ready, &pod.name, &pod.uid)
        });
        for pod in pods {
            let units = pod.role.units();
            let cause = self.cause(&pod.role).or_else(|| {
                let rival = units.iter().find_map(|unit| kept.get(unit))?;
                match pod.elsewhere {
                    None => Some(DeletionCause::Duplicate),
                    Some(Elsewhere::Heard) if rival.phase == Phase::Ready => {
                        Some(DeletionCause::Moved)
                    }
                    Some(Elsewhere::Heard | Elsewhere::Unheard) => None,
                }
            });
            if let Some(cause) = cause {
                self.delete(pod, cause);
            } else if pod.elsewhere.is_none() {
                kept.extend(units.into_iter().map(|unit| (unit, pod)));
            }
        }
    }

    /// The fact of the chain that a running pod contradicts.
    fn cause(&self, role: &PodRole) -> Option<DeletionCause> {
        match role {
            PodRole::Prover(unit) => match self.roles.get(unit) {
                Some(Role::Prover) => None,
                // A seat that is given back frees the unit soon: its prover waits.
                Some(Role::Worker(seat)) if self.seen.refused_seats.contains(seat) => None,
                Some(Role::Worker(_)) => Some(DeletionCause::UnitSeated),
                Some(Role::Spare) => Some(DeletionCause::NotCommitted),
                Some(Role::None) | None => Some(DeletionCause::UnitGone),
            },
            PodRole::Worker { seat, units } => {
                let is_seated = |unit: &UnitId| self.roles.get(unit) == Some(&Role::Worker(*seat));
                (!units.iter().any(is_seated)).then_some(DeletionCause::SeatGone)
            }
        }
    }

    pub(super) fn delete(&mut self, pod: &'seen Pod, cause: DeletionCause) {
        let grace_seconds = match pod.role {
            PodRole::Prover(_) => PROVER_GRACE_SECONDS,
            PodRole::Worker { .. } => WORKER_GRACE_SECONDS,
        };
        if self.deleted.insert(&pod.uid) {
            self.steps.push(Step::DeletePod {
                uid: pod.uid.clone(),
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                grace_seconds,
                cause,
            });
        }
    }

    /// Makes the pod of a slot, if it is missing and its cores are free.
    pub(super) fn fill(&mut self, slot: &Slot) {
        let units = slot.units();
        let why = self.fill_or_say_why(slot, &units);
        for unit in units {
            self.why.insert(unit, why.clone());
        }
    }

    fn fill_or_say_why(&mut self, slot: &Slot, units: &BTreeSet<UnitId>) -> Why {
        if let Slot::Worker { seat, .. } = slot
            && self.seen.refused_seats.contains(seat)
        {
            return Why::SeatRefused;
        }
        let pods = self.pods;
        let holders: Vec<_> = pods.iter().filter(|pod| pod.stands_before(slot, units)).collect();
        let own = holders.iter().find(|pod| slot.is_filled_by(&pod.role) && !self.is_going(pod));
        if let Some(pod) = own {
            self.forget_ended(slot);
            if pod.is_given_up() {
                self.delete(pod, DeletionCause::Stuck);
            }
            return if pod.phase == Phase::Ready { Why::Running } else { Why::Starting };
        }
        if !holders.is_empty() {
            return Why::WaitingForCore;
        }
        if let Some(why) = self.closed(slot) {
            return why;
        }
        if let Slot::Worker { seat, .. } = slot
            && !self.seen.open_seats.contains(seat)
        {
            return Why::WaitingForNamespace;
        }
        let Some(node) = self.seen.node.clone() else {
            return Why::NodeUnknown;
        };
        let attempt = match self.next_attempt(slot) {
            Ok(attempt) => attempt,
            Err(why) => return why,
        };
        self.steps.push(match slot {
            Slot::Prover(unit) => Step::CreateProver { unit: *unit, node, attempt },
            Slot::Worker { seat, units } => {
                Step::CreateWorker { seat: *seat, units: units.clone(), node, attempt }
            }
        });
        self.forget_ended(slot);
        Why::Starting
    }

    pub(super) fn is_going(&self, pod: &Pod) -> bool {
        matches!(pod.phase, Phase::Deleting | Phase::Released)
            || self.deleted.contains(pod.uid.as_str())
    }

    /// The number of the next try, or how long it still waits: the last ended pod is the memory of it.
    fn next_attempt(&self, slot: &Slot) -> Result<u32, Why> {
        let own = || self.pods.iter().filter(|pod| slot.is_filled_by(&pod.role));
        // A name is free once its pod is gone, and that of another node may stay for long.
        let away = own().filter(|pod| pod.elsewhere.is_some()).map(|pod| pod.attempt);
        let first = away.max().map_or(0, |attempt| attempt.saturating_add(1));
        let ended =
            own().filter(|pod| pod.elsewhere.is_none()).filter_map(|pod| match &pod.phase {
                Phase::Ended { reason, seconds_ago, ran_seconds } => {
                    Some((pod.attempt, reason, *seconds_ago, *ran_seconds))
                }
                Phase::Pending
                | Phase::Stuck { .. }
                | Phase::Running
                | Phase::Ready
                | Phase::Deleting
                | Phase::Released => None,
            });
        let Some((attempt, reason, seconds_ago, ran_seconds)) =
            ended.max_by_key(|(attempt, ..)| *attempt)
        else {
            return Ok(first);
        };
        if ran_seconds >= SOUND_RUN_SECONDS {
            return Ok(first);
        }
        let doublings = attempt.min(16);
        let wait = (FIRST_BACK_OFF_SECONDS << doublings).min(LONGEST_BACK_OFF_SECONDS);
        match wait.checked_sub(seconds_ago).filter(|left| *left > 0) {
            Some(seconds) => Err(Why::BackingOff { reason: reason.clone(), seconds }),
            None => Ok(attempt.saturating_add(1).max(first)),
        }
    }

    /// Whether a pod of the slot came to nothing just before.
    pub(super) fn has_ended(&self, slot: &Slot) -> bool {
        self.pods.iter().any(|pod| pod.is_ended() && slot.is_filled_by(&pod.role))
    }

    /// Deletes ended pods of a slot that has a successor.
    fn forget_ended(&mut self, slot: &Slot) {
        let pods = self.pods;
        for pod in pods.iter().filter(|pod| pod.is_ended() && slot.is_filled_by(&pod.role)) {
            self.delete(pod, DeletionCause::Ended);
        }
    }

    /// Replaces provers whose old template may be what keeps them from running. Those that work are renewed offer by offer.
    pub(super) fn renew_unstarted(&mut self) {
        let (seen, pods) = (self.seen, self.pods);
        // Of a node that is not known the template is not known either.
        if seen.node.is_none() || seen.cordon.is_some_and(Cordon::is_cordoned) {
            return;
        }
        for pod in pods.iter().filter(|pod| pod.template != seen.prover_template) {
            let is_prover = matches!(pod.role, PodRole::Prover(_));
            let is_here = pod.elsewhere.is_none();
            if is_prover && is_here && matches!(pod.phase, Phase::Pending | Phase::Stuck { .. }) {
                self.delete(pod, DeletionCause::OldTemplate);
            }
        }
    }

    /// Deletes ended pods of roles that nobody wants any more.
    pub(super) fn forget_unwanted(&mut self) {
        let pods = self.pods;
        for pod in pods.iter().filter(|pod| pod.is_ended()) {
            if self.cause(&pod.role).is_some() {
                self.delete(pod, DeletionCause::Ended);
            }
        }
    }
}

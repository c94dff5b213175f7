//! A node that its people take out of use: nothing new comes, what runs goes once that costs nothing.
//!
//! The eviction of a pod that the standing budget holds leaves no trace, so a cordon alone says that pods are to go: each is
//! taken out of the budget when it may. The first one that is evicted tells a drain from a cordon.

use crate::chain::{CommitmentStatus, Seat};
use crate::condition::{ConditionType, Truth, Verdict};
use crate::id::UnitId;

use super::condition::account;
use super::plan::commitment;
use super::pods::{Desk, Slot};
use super::{Cordon, DeletionCause, Phase, Plan, Pod, PodRole, Seen, Step, Why};

/// Where a unit stands while its node is cordoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Draining {
    /// Its prover is kept until the epoch's minimum is on chain.
    KeptForMinimum,
    /// Its worker is kept while the deal lasts.
    KeptForDeal,
    /// What runs for it may be evicted.
    MayGo,
    /// Nothing of it runs there, and nothing will while the node is cordoned.
    Gone,
}

impl Cordon {
    /// Whether the node is cordoned at all.
    #[must_use]
    pub const fn is_cordoned(self) -> bool {
        match self {
            Self::Open => false,
            Self::Cordoned | Self::Announced | Self::Overdue | Self::Misdated => true,
        }
    }
}

/// Where a unit stands; `None` where its node is not cordoned, or nothing is known of it.
#[must_use]
pub fn draining(seen: &Seen, plan: &Plan, unit: UnitId) -> Option<Draining> {
    seen.cordon.filter(|cordon| cordon.is_cordoned())?;
    let why = plan.why.get(&unit)?;
    Some(match plan.running.get(&unit).map(|running| &running.role) {
        Some(role) if may_go(seen, role) => Draining::MayGo,
        Some(PodRole::Prover(_)) => Draining::KeptForMinimum,
        Some(PodRole::Worker { .. }) => Draining::KeptForDeal,
        None if matches!(why, Why::NodeDrained | Why::NodeCordoned) => Draining::Gone,
        None => Draining::MayGo,
    })
}

/// The condition of a unit about it.
pub(super) fn verdict(seen: &Seen, plan: &Plan, unit: UnitId) -> Verdict {
    let kind = ConditionType::Draining;
    let Some(cordon) = seen.cordon else { return Verdict::unknown(kind, "Unknown", "") };
    if !cordon.is_cordoned() {
        return Verdict::new(kind, Truth::False, "Settled", "");
    }
    let Some(state) = draining(seen, plan, unit) else {
        return Verdict::unknown(kind, "Unknown", "");
    };
    let what = match state {
        Draining::KeptForMinimum => "its prover stays until the epoch's minimum is on chain",
        Draining::KeptForDeal => {
            "its worker stays while the deal lasts, or until the node's coreward.dev/drain-by"
        }
        Draining::MayGo => "nothing of it keeps the node from being drained",
        Draining::Gone => "nothing of it runs there until the node is uncordoned",
    };
    let (reason, asked) = match cordon {
        Cordon::Open | Cordon::Cordoned => ("NodeCordoned", "its node is cordoned"),
        Cordon::Announced => ("Requested", "its node is cordoned, and a time is set"),
        Cordon::Overdue => ("Requested", "its node is cordoned, and the time that was set is over"),
        Cordon::Misdated => (
            "NodeCordoned",
            "its node is cordoned, and its coreward.dev/drain-by is no time like 2030-12-31T18:00:00Z",
        ),
    };
    Verdict::new(kind, Truth::True, reason, format!("{asked}: {what}"))
}

/// Whether a pod's eviction costs nothing, or its cost was accepted.
fn may_go(seen: &Seen, role: &PodRole) -> bool {
    match (seen.cordon, role) {
        (Some(Cordon::Overdue), _) => true,
        (Some(Cordon::Cordoned | Cordon::Announced | Cordon::Misdated), PodRole::Prover(unit)) => {
            has_minimum(seen, *unit)
        }
        (None | Some(_), _) => false,
    }
}

/// Whether the unit loses nothing if it proves no more in this epoch.
pub(crate) fn has_minimum(seen: &Seen, unit: UnitId) -> bool {
    let is_early =
        commitment(seen).is_some_and(|known| known.status == CommitmentStatus::WaitStart);
    is_early || account(seen, unit).is_some_and(|account| account.proofs >= account.required)
}

impl Desk<'_> {
    /// Whether pods of the peer were evicted from its node since that was cordoned.
    fn is_drained(&self) -> bool {
        let is_cordoned = self.seen.cordon.is_some_and(Cordon::is_cordoned);
        is_cordoned
            && (self.seen.drain_noted
                || self.pods.iter().any(|pod| pod.evicted && pod.elsewhere.is_none()))
    }

    /// An evicted pod is gone soon: what it told is kept with the peer, until the node is open again.
    pub(super) fn note_drain(&mut self) {
        let is_over = self.seen.cordon == Some(Cordon::Open);
        if self.is_drained() && !self.seen.drain_noted {
            self.steps.push(Step::NoteDrain { drained: true });
        } else if self.seen.drain_noted && is_over {
            self.steps.push(Step::NoteDrain { drained: false });
        }
    }

    /// Why nothing is made for a slot on its node, if that is so.
    pub(super) fn closed(&self, slot: &Slot) -> Option<Why> {
        if self.is_drained() {
            return Some(Why::NodeDrained);
        }
        let is_cordoned = self.seen.cordon.is_some_and(Cordon::is_cordoned);
        let is_new = match slot {
            Slot::Prover(_) => false,
            Slot::Worker { seat, .. } => !self.is_activated(*seat) && !self.has_ended(slot),
        };
        (is_cordoned && is_new).then_some(Why::NodeCordoned)
    }

    fn is_activated(&self, seat: Seat) -> bool {
        let deal = self.seen.snapshot.as_deref().and_then(|known| known.deals.get(&seat.deal));
        deal.and_then(|deal| deal.workers.get(&seat.worker))
            .is_some_and(crate::chain::Worker::is_activated)
    }

    /// Puts each pod under the standing budget, or takes it out; a prover that waits to come to a drained node is removed.
    pub(super) fn hold_or_let_go(&mut self) {
        if self.seen.cordon.is_none() {
            return;
        }
        let (pods, is_drained) = (self.pods, self.is_drained());
        let here = |pod: &&Pod| pod.elsewhere.is_none() && pod.holds_cores();
        for pod in pods.iter().filter(here).filter(|pod| pod.phase != Phase::Deleting) {
            let held = !may_go(self.seen, &pod.role);
            if is_drained && pod.phase == Phase::Pending && matches!(pod.role, PodRole::Prover(_)) {
                self.delete(pod, DeletionCause::NodeDrained);
            } else if pod.held != held && !self.is_going(pod) {
                self.steps.push(Step::SetHold {
                    uid: pod.uid.clone(),
                    namespace: pod.namespace.clone(),
                    name: pod.name.clone(),
                    held,
                });
            }
        }
    }
}

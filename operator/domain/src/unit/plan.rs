//! From what a peer's turn saw of the chain and of its pods to what is made and deleted.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::{Commitment, CommitmentStatus, Peer, Seat, Snapshot};
use crate::id::UnitId;

use super::pods::{Desk, Slot};
use super::{Plan, Pod, Role, Running, Seen, Step, Why};

/// Decides which pods of a peer are made and deleted.
///
/// A pod is deleted only for a fact that the chain states, or because it ended by itself; never because something is
/// unknown. How far the operator may act does not matter here: staked units prove in every mode.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    let Some(roles) = roles(seen) else {
        return Plan::idle(Why::ChainUnknown);
    };
    let Some(pods) = &seen.pods else {
        return Plan { roles, ..Plan::idle(Why::ClusterUnknown) };
    };
    let mut desk = Desk::new(seen, pods, &roles);
    desk.note_drain();
    desk.clear();
    for slot in slots(&roles) {
        desk.fill(&slot);
    }
    desk.forget_unwanted();
    desk.renew_unstarted();
    desk.hold_or_let_go();
    let (steps, why) = desk.finish();
    let running = running(pods);
    Plan { steps, roles, running, why, blocked: None }
}

impl Plan {
    const fn idle(why: Why) -> Self {
        Self {
            steps: Vec::new(),
            roles: BTreeMap::new(),
            running: BTreeMap::new(),
            why: BTreeMap::new(),
            blocked: Some(why),
        }
    }
}

/// What the chain wants of every unit of the peer; `None` while that is not known.
pub(crate) fn roles(seen: &Seen) -> Option<BTreeMap<UnitId, Role>> {
    let snapshot = seen.snapshot.as_deref()?;
    let Some(peer) = snapshot.peers.get(&seen.peer)? else {
        return Some(BTreeMap::new());
    };
    let is_proving = is_proving(snapshot, peer)?;
    let role = |(unit, known): (&UnitId, &crate::chain::Unit)| {
        let role = match known.seat {
            Some(seat) => Role::Worker(seat),
            None if is_proving => Role::Prover,
            None => Role::Spare,
        };
        (*unit, role)
    };
    Some(peer.units.iter().map(role).collect())
}

/// Whether the peer's idle units are to prove.
fn is_proving(snapshot: &Snapshot, peer: &Peer) -> Option<bool> {
    let Some(id) = peer.commitment else { return Some(false) };
    let commitment = snapshot.commitments.get(&id)?.as_ref()?;
    Some(match commitment.status {
        CommitmentStatus::Active | CommitmentStatus::WaitStart => true,
        CommitmentStatus::WaitDelegation
        | CommitmentStatus::Inactive
        | CommitmentStatus::Failed
        | CommitmentStatus::Removed => false,
    })
}

/// The peer's commitment, if it is known.
pub(super) fn commitment(seen: &Seen) -> Option<&Commitment> {
    let snapshot = seen.snapshot.as_deref()?;
    let id = snapshot.peers.get(&seen.peer)?.as_ref()?.commitment?;
    snapshot.commitments.get(&id)?.as_ref()
}

/// The pods that are wanted: one per idle unit, one per seat.
fn slots(roles: &BTreeMap<UnitId, Role>) -> Vec<Slot> {
    let mut seats: BTreeMap<Seat, BTreeSet<UnitId>> = BTreeMap::new();
    let mut slots = Vec::new();
    for (unit, role) in roles {
        match role {
            Role::Prover => slots.push(Slot::Prover(*unit)),
            Role::Worker(seat) => {
                seats.entry(*seat).or_default().insert(*unit);
            }
            Role::Spare | Role::None => {}
        }
    }
    // Workers first: a customer waits for them.
    let workers = seats.into_iter().map(|(seat, units)| Slot::Worker { seat, units });
    workers.chain(slots).collect()
}

/// What runs for each unit; where two pods claim a unit, the one that is ready.
fn running(pods: &[Pod]) -> BTreeMap<UnitId, Running> {
    let mut running: BTreeMap<UnitId, Running> = BTreeMap::new();
    // A pod on a node that the peer has left counts only where there is no other.
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        pods.iter().filter(|pod| pod.holds_cores()).partition(|pod| pod.elsewhere.is_none());
    for pod in here.into_iter().chain(elsewhere) {
        let ready = pod.phase == super::Phase::Ready;
        for unit in pod.role.units() {
            if running
                .get(&unit)
                .is_none_or(|other| ready && !other.ready && pod.elsewhere.is_none())
            {
                let name = (pod.namespace.clone(), pod.name.clone());
                running.insert(unit, Running { role: pod.role.clone(), pod: name, ready });
            }
        }
    }
    running
}

impl Step {
    /// The unit or units whose core this step gives to a new pod.
    #[must_use]
    pub fn units(&self) -> BTreeSet<UnitId> {
        match self {
            Self::CreateProver { unit, .. } => BTreeSet::from([*unit]),
            Self::CreateWorker { units, .. } => units.clone(),
            Self::DeletePod { .. } | Self::SetHold { .. } | Self::NoteDrain { .. } => {
                BTreeSet::new()
            }
        }
    }
}

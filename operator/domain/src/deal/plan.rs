//! From what the deal's turn saw to what it does.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::{Seat, Snapshot, Worker};
use crate::gate::Draft;
use crate::id::{DealAddress, OnchainWorkerId, PeerId, UnitId};

use super::worker::{self, Scene};
use super::{Member, Namespace, Plan, Seen, Step, Why, WorkerPlan};

/// Decides what is done for our workers of a deal.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    let Some(snapshot) = seen.snapshot.as_deref() else {
        return Plan::idle(Why::ChainUnknown);
    };
    let Some(peers) = &seen.peers else {
        return Plan::idle(Why::ClusterUnknown);
    };
    let Some(deal) = snapshot.deals.get(&seen.deal) else {
        return Plan::idle(Why::ChainUnknown);
    };
    let mut draft = Draft::new(&seen.gate, &seen.flights, snapshot);
    let ours = |(_, worker): &(&OnchainWorkerId, &Worker)| peers.contains(&worker.peer);
    let workers: BTreeMap<_, _> = deal
        .workers
        .iter()
        .filter(ours)
        .map(|(id, worker)| {
            let scene = Scene { seen, snapshot, deal, id: *id, worker };
            (
                *id,
                worker::plan(
                    &mut draft,
                    &scene,
                    units(snapshot, worker.peer, Seat { deal: seen.deal, worker: *id }),
                ),
            )
        })
        .collect();
    if workers.is_empty() {
        return clear(seen, snapshot, peers);
    }
    let mut steps = namespace(seen, &workers);
    let (sends, planned) = draft.finish();
    steps.extend(sends.into_iter().map(Step::Send));
    Plan { steps, planned, workers, why: Why::Joined }
}

impl Plan {
    const fn idle(why: Why) -> Self {
        Self { steps: Vec::new(), planned: Vec::new(), workers: BTreeMap::new(), why }
    }
}

/// The units that the chain has put into a seat; none while the peer is not known.
fn units(snapshot: &Snapshot, peer: PeerId, seat: Seat) -> BTreeSet<UnitId> {
    let units = snapshot.peers.get(&peer).and_then(Option::as_ref).map(|peer| &peer.units);
    units
        .into_iter()
        .flatten()
        .filter(|(_, unit)| unit.seat == Some(seat))
        .map(|(unit, _)| *unit)
        .collect()
}

/// The namespace comes before the pods that are made in it.
fn namespace(seen: &Seen, workers: &BTreeMap<OnchainWorkerId, WorkerPlan>) -> Vec<Step> {
    let is_needed = workers.values().any(|worker| worker.served);
    match seen.namespace {
        Namespace::Absent | Namespace::Incomplete if is_needed => vec![Step::EnsureNamespace],
        Namespace::Absent
        | Namespace::Incomplete
        | Namespace::Ready
        | Namespace::Terminating
        | Namespace::Unknown => Vec::new(),
    }
}

/// Clears away what is left of a deal that the chain lists none of our workers in, once that is final.
fn clear(seen: &Seen, snapshot: &Snapshot, peers: &BTreeSet<PeerId>) -> Plan {
    let are_all_known = peers.iter().all(|peer| snapshot.peers.contains_key(peer));
    if !are_all_known {
        return Plan::idle(Why::ChainUnknown);
    }
    let known = peers.iter().filter_map(|peer| snapshot.peers.get(peer)?.as_ref());
    let is_seated = known
        .flat_map(|peer| peer.units.values())
        .any(|unit| unit.seat.is_some_and(|seat| seat.deal == seen.deal));
    if is_seated {
        // The deal and a peer contradict each other: no knowledge.
        return Plan::idle(Why::ChainUnknown);
    }
    let is_final = seen.gone_since.is_some_and(|block| block <= snapshot.finalized);
    let step = match (seen.namespace, seen.pods) {
        (Namespace::Ready | Namespace::Incomplete, Some(0)) if is_final => {
            Some(Step::DeleteNamespace)
        }
        (Namespace::Absent, Some(0)) if is_final => Some(Step::ReleaseMirror),
        _ => None,
    };
    let why = if step == Some(Step::ReleaseMirror) { Why::Gone } else { Why::Clearing };
    Plan { steps: step.into_iter().collect(), ..Plan::idle(why) }
}

/// The deal's activated workers, as a set: a key that stands there twice counts for the older worker only.
///
/// `None` while the deal is not known. Whether a key is a point of the curve is not asked here: who dials skips it alone.
#[must_use]
pub fn members(snapshot: &Snapshot, deal: DealAddress) -> Option<BTreeSet<Member>> {
    let mut keys = BTreeSet::new();
    let activated =
        snapshot.deals.get(&deal)?.workers.iter().filter(|(_, worker)| worker.is_activated());
    let fresh = activated.filter(|(_, worker)| keys.insert(worker.offchain));
    Some(fresh.map(|(id, worker)| Member { worker: *id, offchain: worker.offchain }).collect())
}

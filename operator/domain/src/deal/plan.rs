use std::collections::{BTreeMap, BTreeSet};
use crate::chain::Snapshot;
use crate::id::DealAddress;
use super::{Member, Plan, Seen, Why};

/// Decides what is done for our workers of a deal.
#[must_use]
pub fn plan(_seen: &Seen) -> Plan {
    Plan { steps: Vec::new(), planned: Vec::new(), workers: BTreeMap::new(), why: Why::ChainUnknown }
}

/// The deal's activated workers, as a set: a key that stands there twice counts for the older worker only.
///
/// `None` while the deal is not known. Whether a key is a point of the curve is not asked here: who dials skips it alone.
#[must_use]
pub fn members(snapshot: &Snapshot, deal: DealAddress) -> Option<BTreeSet<Member>> {
    let mut keys = BTreeSet::new();
    let activated = snapshot.deals.get(&deal)?.workers.iter().filter(|(_, worker)| worker.is_activated());
    let fresh = activated.filter(|(_, worker)| keys.insert(worker.offchain));
    Some(fresh.map(|(id, worker)| Member { worker: *id, offchain: worker.offchain }).collect())
}

//! Deals that people, and not the chain, want left: a few are left at once, many only after a word.

use std::collections::BTreeSet;

use crate::chain::{Deal, DealStatus, Worker};
use crate::id::{DealAddress, PeerId};

use super::{Policy, Seen};

/// So many deals of an offer are left without a word, however few it serves.
const FREE: u64 = 2;

/// One in so many of them too.
const SHARE: u64 = 10;

/// Why a deal is served on though people want it left: so many at once are taken for a mistake. `None` where they are not.
#[must_use]
pub fn stopped(seen: &Seen) -> Option<String> {
    let (snapshot, peers) = (seen.snapshot.as_deref()?, seen.peers.as_ref()?);
    let is_asked = |id: &DealAddress, deal: &Deal| {
        let Policy { exits, deny_owners, .. } = &seen.policy;
        exits.contains(id) || deny_owners.contains(&deal.owner)
    };
    let own = snapshot.deals.get(&seen.deal)?;
    if !is_asked(&seen.deal, own) || !is_served(own, peers) {
        return None;
    }
    let (mut served, mut asked) = (0_u64, 0_u64);
    for (id, deal) in snapshot.deals.iter().filter(|(_, deal)| is_served(deal, peers)) {
        served += 1;
        asked += u64::from(is_asked(id, deal));
    }
    let is_mass = asked > FREE.max(served / SHARE) && asked > seen.policy.confirmed_exits;
    is_mass.then(|| {
        format!(
            "the deal is served on: {asked} of the offer's {served} deals are to be left at once by spec.intake.denyOwners or \
             desiredState: Exit; take that back, or annotate the ProviderOffer with coreward.dev/mass-exit-confirm: \"{asked}\""
        )
    })
}

fn is_served(deal: &Deal, peers: &BTreeSet<PeerId>) -> bool {
    let mut ours = deal.workers.values().filter(|worker| peers.contains(&worker.peer));
    deal.status != DealStatus::Ended && ours.any(Worker::is_activated)
}

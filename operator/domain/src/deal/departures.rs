//! Deals that people, and not the chain, want left: a few are left at once, many only after a word.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::chain::{Deal, DealStatus, Worker};
use crate::id::{DealAddress, OnchainWorkerId, PeerId};

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
    if !is_asked(&seen.deal, own) || !is_served(seen, (&seen.deal, own), peers) {
        return None;
    }
    let (mut served, mut asked) = (0_u64, 0_u64);
    for (id, deal) in snapshot.deals.iter().filter(|known| is_served(seen, *known, peers)) {
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

fn is_served(seen: &Seen, (id, deal): (&DealAddress, &Deal), peers: &BTreeSet<PeerId>) -> bool {
    let mut ours = deal.workers.iter().filter(|(_, worker)| peers.contains(&worker.peer));
    deal.status != DealStatus::Ended && ours.any(|worker| is_engaged(seen, id, worker))
}

/// Whether a worker is activated, as far as we know: an activation of ours that the snapshot does not show yet counts.
pub(super) fn is_engaged(
    seen: &Seen,
    deal: &DealAddress,
    (id, worker): (&OnchainWorkerId, &Worker),
) -> bool {
    let activates = |call: &Call| matches!(call, Call::ActivateWorker { deal: of, worker, .. } if (of, worker) == (deal, id));
    worker.is_activated() || seen.flights.iter().any(|flight| activates(&flight.call))
}

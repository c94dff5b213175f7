//! Peers that are to come: their identities, and their registration in bites that a block can carry.

use alloy_primitives::Address;

use crate::call::{Call, NewPeer, NewResource};
use crate::chain::{Offer, Provider};
use crate::gate::{Draft, Hold, Management, Urgency};
use crate::id::{OfferId, PeerId, UnitId};

use super::plan::{Located, View};
use super::terms::Terms;
use super::{
    Eligibility, Identity, Node, RAM_PER_UNIT_MIB, Step, UNITS_PER_REGISTRATION, VCPU_PER_UNIT,
    adopt, failover,
};

/// Which of the spec's signers owns a peer: follows from its id alone, until the chain has fixed it.
#[must_use]
pub fn owner_of(peer: PeerId, owners: &[Address]) -> Option<Address> {
    let count = u64::try_from(owners.len()).ok().filter(|count| *count > 0)?;
    let low: [u8; 8] = peer.0.0[24..].try_into().ok()?;
    owners.get(usize::try_from(u64::from_be_bytes(low) % count).ok()?).copied()
}

/// Peers that can be registered now, and whether more are being prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    pub(super) ready: Vec<ReadyPeer>,
    pub(super) preparing: bool,
    pub(super) refused: Option<(&'static str, String)>,
}

/// A peer whose identity is persisted and whose node is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadyPeer {
    peer: PeerId,
    owner: Address,
    units: u32,
}

/// Identities to make, then those to put aside: in this order a turn that is cut short counts on from where it was.
pub(super) fn identity_steps(view: &View<'_>, located: &Located<'_>) -> Vec<Step> {
    if view.seen.gate.management == Management::Suspended {
        return Vec::new();
    }
    let kept = failover::kept_free(view, located);
    let makes = view
        .nodes
        .iter()
        .filter(|node| {
            wants_peer(node)
                && !kept.contains(node.name.as_str())
                && usable(view, located, node).is_none()
                && !adopt::waits(view, &node.name)
        })
        .map(|node| Step::MakeIdentity {
            node: node.name.clone(),
            ordinal: next_ordinal(view, &node.name),
        });
    let retires = located.foreign.iter().map(|peer| Step::RetireIdentity { peer: *peer });
    adopt::steps(view).into_iter().chain(makes).chain(retires).collect()
}

/// The place of one more identity that is made for a node: past all that were, wherever they live now.
pub(super) fn next_ordinal(view: &View<'_>, node: &str) -> u32 {
    let made = view.identities.iter().filter(|identity| identity.home == node);
    made.map(|identity| identity.ordinal.saturating_add(1)).max().unwrap_or(0)
}

fn wants_peer(node: &Node) -> bool {
    node.eligibility == Eligibility::Eligible && node.units > 0 && !node.cordoned
}

/// The identity that a node's peer has or gets: a registered one before any other, then the oldest.
fn usable<'seen>(
    view: &View<'seen>,
    located: &Located<'_>,
    node: &Node,
) -> Option<&'seen Identity> {
    let own = |identity: &&Identity| {
        identity.node == node.name && !located.foreign.contains(&identity.peer)
    };
    let age =
        |identity: &&Identity| (!located.registered.contains_key(&identity.peer), identity.ordinal);
    view.identities.iter().filter(own).min_by_key(age)
}

/// Looks for peers that are not on chain and could be.
pub(super) fn growth(view: &View<'_>, located: &Located<'_>, provider: &Provider) -> Growth {
    let mut growth = Growth::default();
    let kept = failover::kept_free(view, located);
    for node in view.nodes {
        let is_pending = node.eligibility == Eligibility::Pending && !node.cordoned;
        if is_pending && located.offer.is_none() {
            growth.preparing = true;
        }
        if !wants_peer(node) || kept.contains(node.name.as_str()) {
            continue;
        }
        let own = usable(view, located, node).filter(|_| !adopt::waits(view, &node.name));
        let Some(identity) = own else {
            growth.preparing = true;
            continue;
        };
        let owner = owner_of(identity.peer, &view.seen.wanted.peer_owners);
        if let Some(owner) = owner.filter(|_| !located.registered.contains_key(&identity.peer)) {
            growth.ready.push(ReadyPeer { peer: identity.peer, owner, units: node.units });
        }
    }
    let more: u64 = growth.ready.iter().map(|peer| u64::from(peer.units)).sum();
    let limit = view.snapshot.rules.max_units_per_provider;
    if more > 0 && provider.unit_count.saturating_add(more) > limit {
        growth.ready.clear();
        growth.refused = Some((
            "spec.capacity",
            format!("the market takes {limit} units of one provider at most"),
        ));
    }
    growth
}

/// Registers the offer with its first peers, once all that are being prepared are ready.
pub(super) fn register(
    draft: &mut Draft<'_>,
    growth: &Growth,
    provider: &Provider,
    terms: &Terms,
    view: &View<'_>,
) {
    let Some(peers) = bites(&growth.ready, terms).into_iter().next() else { return };
    if growth.preparing {
        return;
    }
    if draft.open().any(|call| matches!(call, Call::RegisterOffer { .. })) {
        draft.note_flight();
        return;
    }
    let call = Call::RegisterOffer {
        payment_token: view.seen.wanted.payment_token,
        prices: terms.resource_prices(),
        peers,
        datacenter: terms.datacenter,
    };
    let why = "the chain has no offer with our peers";
    if provider.name.is_empty() {
        draft.want_later(call, why, Hold::EarlierCall, None);
    } else {
        draft.want(call, Urgency::Intent, why);
    }
}

/// Adds peers to the offer that stands.
pub(super) fn add(
    draft: &mut Draft<'_>,
    id: OfferId,
    offer: &Offer,
    growth: &Growth,
    terms: &Terms,
) {
    let is_priced = terms.prices.keys().all(|resource| offer.prices.contains_key(resource));
    for peers in bites(&growth.ready, terms) {
        let call = Call::AddPeers { offer: id, peers };
        let why = "a node has a peer that the chain does not know";
        if is_priced {
            draft.want(call, Urgency::Intent, why);
        } else {
            draft.want_later(call, why, Hold::EarlierCall, None);
        }
    }
}

/// Splits new peers into registrations; a peer too large for one gets the rest of its units later.
fn bites(ready: &[ReadyPeer], terms: &Terms) -> Vec<Vec<NewPeer>> {
    let mut bites: Vec<Vec<NewPeer>> = Vec::new();
    let mut room = 0;
    for peer in ready {
        let units = usize::try_from(peer.units).unwrap_or(usize::MAX).min(UNITS_PER_REGISTRATION);
        if units > room || bites.is_empty() {
            bites.push(Vec::new());
            room = UNITS_PER_REGISTRATION;
        }
        room -= units;
        if let Some(bite) = bites.last_mut() {
            bite.push(new_peer(peer, units, terms));
        }
    }
    bites
}

fn new_peer(ready: &ReadyPeer, units: usize, terms: &Terms) -> NewPeer {
    let count = u64::try_from(units).unwrap_or(u64::MAX);
    let base = [
        (&terms.vcpu, VCPU_PER_UNIT.saturating_mul(count)),
        (&terms.ram, RAM_PER_UNIT_MIB.saturating_mul(count)),
    ];
    let others = terms.others.iter().map(|(resource, quantity)| (resource, *quantity));
    let resources = base.into_iter().chain(others).map(|(resource, supply)| NewResource {
        resource: resource.resource,
        supply,
        details: resource.details.clone(),
    });
    NewPeer {
        peer: ready.peer,
        owner: ready.owner,
        resources: resources.collect(),
        units: (0..ready.units)
            .take(units)
            .map(|index| UnitId::derive(ready.peer, index))
            .collect(),
    }
}

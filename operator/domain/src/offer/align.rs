//! What stands on chain, brought to what the spec says.

use std::collections::BTreeSet;

use alloy_primitives::U256;

use crate::call::{Call, NewResource};
use crate::chain::{Offer, Peer, PeerResource, ResourceClass, Snapshot};
use crate::epoch::Epoch;
use crate::gate::{Draft, Hold, Urgency};
use crate::id::{OfferId, PeerId, ResourceId, UnitId};

use super::plan::View;
use super::terms::Terms;
use super::{
    Eligibility, Node, PendingChange, PendingReason, RAM_PER_UNIT_MIB, UNITS_PER_REGISTRATION,
    VCPU_PER_UNIT, WantedResource,
};

/// Prices, place and token of the offer.
pub(super) fn offer(
    draft: &mut Draft<'_>,
    (id, on_chain): (OfferId, &Offer),
    view: &View<'_>,
    terms: &Terms,
) {
    for (resource, (_, price)) in &terms.prices {
        if on_chain.prices.get(resource) != Some(price) {
            let call = Call::ChangePrice { offer: id, resource: *resource, price: *price };
            draft.want(call, Urgency::Intent, "the spec has another price");
        }
    }
    if on_chain.datacenter != terms.datacenter {
        let call = Call::SetDatacenter { offer: id, datacenter: terms.datacenter };
        draft.want(call, Urgency::Intent, "the spec has another datacenter");
    }
    let token = view.seen.wanted.payment_token;
    if on_chain.payment_token != token {
        draft.want(
            Call::ChangePaymentToken { offer: id, token },
            Urgency::Intent,
            "the spec has another payment token",
        );
    }
}

/// One registered peer and what it is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'seen> {
    pub(super) peer: PeerId,
    pub(super) on_chain: &'seen Peer,
    pub(super) node: Option<&'seen Node>,
    pub(super) offer: &'seen Offer,
    pub(super) terms: &'seen Terms,
    /// Whether units may be added at all.
    pub(super) may_grow: bool,
}

impl Scene<'_> {
    fn units(&self) -> u64 {
        u64::try_from(self.on_chain.units.len()).unwrap_or(u64::MAX)
    }

    /// Units that the peer shall have; what it has while its node says nothing.
    fn wanted_units(&self) -> u64 {
        let eligible = self.node.filter(|node| node.eligibility == Eligibility::Eligible);
        eligible.map_or_else(|| self.units(), |node| u64::from(node.units))
    }

    fn pending(
        &self,
        field: &'static str,
        reason: PendingReason,
        possible_from: Option<Epoch>,
    ) -> PendingChange {
        let subject = self.node.map_or_else(|| self.peer.to_string(), |node| node.name.clone());
        PendingChange { field, subject, reason, possible_from }
    }
}

/// Resources and units of one peer; answers with what the chain does not take now.
pub(super) fn peer(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    view: &View<'_>,
) -> Vec<PendingChange> {
    if !view.seen.wanted.peer_owners.contains(&scene.on_chain.owner) {
        return Vec::new();
    }
    let mut pending: Vec<_> = units(draft, scene, view).into_iter().collect();
    let is_growing = scene.may_grow && pending.is_empty() && scene.wanted_units() > scene.units();
    let units = if is_growing { scene.wanted_units() } else { scene.units() };
    let terms = scene.terms;
    let ram = RAM_PER_UNIT_MIB.saturating_mul(units);
    let wanted = [(&terms.vcpu, None), (&terms.ram, Some(ram))];
    let others = terms.others.iter().map(|(resource, quantity)| (resource, Some(*quantity)));
    for (resource, supply) in wanted.into_iter().chain(others) {
        let used = in_use(scene.on_chain, resource.resource, view.snapshot);
        pending.extend(self::resource(draft, scene, (resource, supply), used));
    }
    pending
}

/// More units where the peer is free; a pending change where it is not.
fn units(draft: &mut Draft<'_>, scene: &Scene<'_>, view: &View<'_>) -> Option<PendingChange> {
    const FIELD: &str = "spec.capacity.unitsPerNode";
    let (present, wanted) = (scene.units(), scene.wanted_units());
    if wanted == present {
        return None;
    }
    if let Some(commitment) = scene.on_chain.commitment {
        let known = view.snapshot.commitments.get(&commitment).and_then(Option::as_ref);
        let end = known.map(|known| known.end_epoch).filter(|epoch| *epoch > view.snapshot.epoch);
        return Some(scene.pending(FIELD, PendingReason::LockedByCommitment, end));
    }
    let commits =
        |call: &Call| matches!(call, Call::CreateCommitment { peer, .. } if *peer == scene.peer);
    if draft.open().any(commits) {
        return Some(scene.pending(FIELD, PendingReason::LockedByCommitment, None));
    }
    if wanted < present {
        let is_seated = scene.on_chain.units.values().any(|unit| unit.seat.is_some());
        let reason =
            if is_seated { PendingReason::LockedByDeal } else { PendingReason::AwaitingApproval };
        return Some(scene.pending(FIELD, reason, None));
    }
    if scene.may_grow {
        add_units(draft, scene, wanted);
    }
    None
}

/// Adds units, once the RAM that must back them is declared.
fn add_units(draft: &mut Draft<'_>, scene: &Scene<'_>, wanted: u64) {
    let missing =
        usize::try_from(wanted - scene.units()).unwrap_or(usize::MAX).min(UNITS_PER_REGISTRATION);
    let fresh = |unit: &UnitId| !scene.on_chain.units.contains_key(unit);
    let units: Vec<_> = (0..u32::MAX)
        .map(|index| UnitId::derive(scene.peer, index))
        .filter(fresh)
        .take(missing)
        .collect();
    let supply = VCPU_PER_UNIT.saturating_mul(u64::try_from(units.len()).unwrap_or(u64::MAX));
    let vcpu = &scene.terms.vcpu;
    let ram = scene.on_chain.resources.get(&scene.terms.ram.resource).map_or(0, |ram| ram.supply);
    let call = Call::AddUnits {
        peer: scene.peer,
        units,
        vcpu: NewResource { resource: vcpu.resource, supply, details: vcpu.details.clone() },
    };
    let why = "the node carries more units than the chain knows";
    if ram >= RAM_PER_UNIT_MIB.saturating_mul(wanted) {
        draft.want(call, Urgency::Intent, why);
    } else {
        draft.want_later(call, why, Hold::EarlierCall, None);
    }
}

/// What the workers on a peer take of a resource by the terms of their deals; `None` while a deal is not known.
fn in_use(peer: &Peer, resource: ResourceId, snapshot: &Snapshot) -> Option<u64> {
    let seats: BTreeSet<_> = peer.units.values().filter_map(|unit| unit.seat).collect();
    seats.iter().try_fold(0_u64, |sum, seat| {
        let required = snapshot.deals.get(&seat.deal)?.required_resources.get(&resource);
        Some(sum.saturating_add(required.map_or(0, |(_, quantity)| *quantity)))
    })
}

/// One resource of a peer; the supply is `None` for vCPU, which follows the units by itself.
fn resource(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    (wanted, supply): (&WantedResource, Option<u64>),
    used: Option<u64>,
) -> Option<PendingChange> {
    const FIELD: &str = "spec.capacity.resources";
    let Some(present) = scene.on_chain.resources.get(&wanted.resource) else {
        let class = scene.terms.prices.get(&wanted.resource).map(|(class, _)| *class);
        let is_single = matches!(class, Some(ResourceClass::Vcpu | ResourceClass::Ram));
        if is_single {
            // A peer has one vCPU and one RAM resource for life: the contract binds its units to them.
            return Some(scene.pending(FIELD, PendingReason::AwaitingApproval, None));
        }
        // Taken away under a worker it must come back before that can leave, and then has what the worker gives back.
        register(draft, scene, wanted, supply.unwrap_or(0).saturating_sub(used?));
        return None;
    };
    if present.details != wanted.details {
        let call = Call::ChangeResourceDetails {
            peer: scene.peer,
            resource: wanted.resource,
            details: wanted.details.clone(),
        };
        draft.want(
            call,
            Urgency::Intent,
            "the details are to be others: of the spec, or of our gateways",
        );
    }
    let supply = supply.filter(|supply| *supply != present.supply)?;
    // Declared again under a worker: what that gives back was not declared, and a larger supply would sell it twice.
    if present.available > present.supply || used? > reserved(present) {
        return None;
    }
    if supply < reserved(present) {
        return Some(scene.pending(FIELD, PendingReason::LockedByDeal, None));
    }
    let call = Call::ChangeResourceSupply { peer: scene.peer, resource: wanted.resource, supply };
    draft.want(call, Urgency::Intent, "the peer shall declare another quantity");
    None
}

fn register(draft: &mut Draft<'_>, scene: &Scene<'_>, wanted: &WantedResource, supply: u64) {
    let resource =
        NewResource { resource: wanted.resource, supply, details: wanted.details.clone() };
    let call = Call::RegisterPeerResource { peer: scene.peer, resource };
    let why = "the peer does not declare this resource yet";
    if scene.offer.prices.get(&wanted.resource).is_some_and(|price| *price > U256::ZERO) {
        draft.want(call, Urgency::Intent, why);
    } else {
        draft.want_later(call, why, Hold::EarlierCall, None);
    }
}

/// What deals have taken of a resource.
const fn reserved(present: &PeerResource) -> u64 {
    present.supply.saturating_sub(present.available)
}

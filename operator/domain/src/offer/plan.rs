//! From what the offer's turn saw to what it does.

use std::collections::BTreeMap;

use crate::call::Call;
use crate::chain::{Offer, Peer, Snapshot};
use crate::epoch::Epoch;
use crate::gate::{Draft, Hold, Urgency};
use crate::id::{OfferId, PeerId};

use super::peers::{self, Growth};
use super::terms::Terms;
use super::{
    Deletion, Eligibility, Identity, NoNode, Node, PendingChange, Plan, Seen, Step, Why, adopt,
    align, failover, withdraw,
};

/// What the turn can work with, all of it known.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'seen> {
    pub(super) seen: &'seen Seen,
    pub(super) nodes: &'seen [Node],
    pub(super) identities: &'seen [Identity],
    pub(super) snapshot: &'seen Snapshot,
}

/// Where this offer stands on chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Located<'seen> {
    pub(super) offer: Option<(OfferId, &'seen Offer)>,
    pub(super) registered: BTreeMap<PeerId, (&'seen Identity, &'seen Peer)>,
    /// Identities whose id a stranger holds.
    pub(super) foreign: Vec<PeerId>,
}

/// Decides what brings the offer on chain to what the spec wants.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    if seen.wanted.deletion == Some(Deletion::Orphan) {
        return Plan { steps: vec![Step::Release], ..Plan::idle(Why::Released) };
    }
    let (Some(nodes), Some(identities)) = (&seen.nodes, &seen.identities) else {
        return Plan::idle(Why::ClusterUnknown);
    };
    let Some(snapshot) = seen.snapshot.as_deref() else {
        return Plan::idle(Why::ChainUnknown);
    };
    let view = View { seen, nodes, identities, snapshot };
    if let Some(by) = seen.taken_by.as_ref().filter(|_| view.has_no_peer()) {
        return match seen.wanted.deletion {
            Some(_) => Plan { steps: vec![Step::Release], ..Plan::idle(Why::Released) },
            None => Plan::idle(Why::Taken { by: by.clone() }),
        };
    }
    let located = match locate(&view) {
        Ok(located) => located,
        Err(why) => return Plan::idle(why),
    };
    let mut plan = decide(&view, &located);
    // What is staked goes on proving, whatever becomes of the offer.
    plan.steps.splice(0..0, failover::steps(&view, &located));
    plan
}

fn decide(view: &View<'_>, located: &Located<'_>) -> Plan {
    match view.seen.wanted.deletion {
        Some(Deletion::Withdraw) => return withdraw::plan(view, located),
        Some(Deletion::Block | Deletion::Orphan) => return deletion(view, located),
        None => {}
    }
    match Terms::of(&view.seen.wanted, view.snapshot) {
        Ok(terms) => converge(view, located, &terms),
        Err(why) => Plan::idle(why).at(located),
    }
}

impl Plan {
    /// A plan that does nothing.
    pub(super) const fn idle(why: Why) -> Self {
        Self {
            steps: Vec::new(),
            planned: Vec::new(),
            pending: Vec::new(),
            offer: None,
            peers: BTreeMap::new(),
            why,
        }
    }

    pub(super) fn at(mut self, located: &Located<'_>) -> Self {
        self.offer = located.offer.map(|(id, _)| id);
        self.peers = located
            .registered
            .iter()
            .map(|(peer, (identity, _))| {
                (*peer, Some(identity.node.clone()).filter(|node| !node.is_empty()))
            })
            .collect();
        self
    }
}

/// Finds the offer by our peers on chain, never by memory.
fn locate<'seen>(view: &View<'seen>) -> Result<Located<'seen>, Why> {
    let mut located = Located::default();
    for identity in view.identities {
        let Some(peer) = view.snapshot.peers.get(&identity.peer).ok_or(Why::ChainUnknown)? else {
            continue;
        };
        let offer = known_offer(view.snapshot, peer.offer)?;
        if offer.provider == view.seen.wanted.provider {
            located.registered.insert(identity.peer, (identity, peer));
            located.settle_on(peer.offer, offer)?;
        } else {
            located.foreign.push(identity.peer);
        }
    }
    // A withdrawal ends with the offer gone, whoever registered it.
    let is_withdrawn = view.seen.wanted.deletion == Some(Deletion::Withdraw);
    if let Some(adopted) = view.seen.wanted.adopt.filter(|_| !is_withdrawn) {
        let offer = view.snapshot.offers.get(&adopted).ok_or(Why::ChainUnknown)?.as_ref();
        let offer =
            offer.filter(|offer| offer.provider == view.seen.wanted.provider).ok_or_else(|| {
                Why::InvalidSpec {
                    field: "spec.offerID",
                    message: format!(
                        "the chain has no offer {adopted} of provider {}; leave the field out to register one",
                        view.seen.wanted.provider
                    ),
                }
            })?;
        located.settle_on(adopted, offer)?;
    }
    if view.seen.wanted.deletion.is_none() {
        adopt::check(view, &located)?;
    }
    Ok(located)
}

fn known_offer(snapshot: &Snapshot, offer: OfferId) -> Result<&Offer, Why> {
    snapshot.offers.get(&offer).and_then(Option::as_ref).ok_or(Why::ChainUnknown)
}

impl<'seen> Located<'seen> {
    fn settle_on(&mut self, id: OfferId, offer: &'seen Offer) -> Result<(), Why> {
        if self.offer.is_some_and(|(known, _)| known != id) {
            return Err(Why::SeveralOffers);
        }
        self.offer = Some((id, offer));
        Ok(())
    }
}

/// Holds the object while anything of it is staked.
fn deletion(view: &View<'_>, located: &Located<'_>) -> Plan {
    let mut until = Some(Epoch(0));
    let mut is_staked = false;
    for (_, peer) in located.registered.values() {
        let seated = peer.units.values().any(|unit| unit.seat.is_some());
        is_staked |= seated || peer.commitment.is_some();
        let end = peer
            .commitment
            .map(|id| view.snapshot.commitments.get(&id)?.as_ref().map(|known| known.end_epoch));
        until = match end {
            _ if seated => None,
            Some(end) => until.zip(end).map(|(latest, end)| latest.max(end)),
            None => until,
        };
    }
    let open = |flight: &crate::gate::Flight| flight.is_open_at(view.snapshot.head.number);
    if is_staked || view.seen.flights.iter().any(open) {
        let until = until.filter(|epoch| epoch.0 > 0);
        return Plan::idle(Why::DeletionBlocked { until }).at(located);
    }
    Plan { steps: vec![Step::Release], ..Plan::idle(Why::Released) }.at(located)
}

/// Everything but deletion.
fn converge(view: &View<'_>, located: &Located<'_>, terms: &Terms) -> Plan {
    let Some(provider) = view.snapshot.providers.get(&view.seen.wanted.provider) else {
        return Plan::idle(Why::ChainUnknown).at(located);
    };
    let Some(elsewhere) = view.seen.units_of_other_offers else {
        return Plan::idle(Why::ClusterUnknown).at(located);
    };
    let mut draft = Draft::new(&view.seen.gate, &view.seen.flights, view.snapshot);
    if provider.name != view.seen.wanted.provider_name {
        let name = view.seen.wanted.provider_name.clone();
        draft.want(
            Call::SetProviderInfo { name },
            Urgency::Intent,
            "the provider has another name on chain, or none",
        );
    }
    let own: usize = located.registered.values().map(|(_, peer)| peer.units.len()).sum();
    let known = elsewhere.saturating_add(u64::try_from(own).unwrap_or(u64::MAX));
    let is_accepted = view.seen.wanted.accept_unknown_units || view.seen.wanted.adopt.is_some();
    let stalled = (provider.unit_count > known && !is_accepted)
        .then_some(Why::UnknownUnits { on_chain: provider.unit_count, known });

    let steps = if stalled.is_none() { peers::identity_steps(view, located) } else { Vec::new() };
    let growth =
        if stalled.is_none() { peers::growth(view, located, provider) } else { Growth::default() };
    let mut pending = Vec::new();
    match located.offer {
        Some(offer) => align::offer(&mut draft, offer, view, terms),
        None => peers::register(&mut draft, &growth, provider, terms, view),
    }
    if let Some((id, offer)) = located.offer {
        peers::add(&mut draft, id, offer, &growth, terms);
        let may_grow = stalled.is_none();
        for (peer, (identity, on_chain)) in &located.registered {
            let node = view.node_of(identity);
            let scene = align::Scene {
                peer: *peer,
                on_chain,
                node,
                offer,
                terms,
                may_grow: may_grow && node.is_none_or(|node| !node.cordoned),
            };
            pending.extend(align::peer(&mut draft, &scene, view));
        }
    }
    pending.extend(adopt::left_alone(view, located));
    let why = why(view, located, &draft, &growth, &pending);
    finish(draft, steps, pending, stalled.unwrap_or(why)).at(located)
}

fn finish(draft: Draft<'_>, mut steps: Vec<Step>, pending: Vec<PendingChange>, why: Why) -> Plan {
    let (sends, planned) = draft.finish();
    steps.extend(sends.into_iter().map(Step::Send));
    Plan { steps, planned, pending, ..Plan::idle(why) }
}

/// The one reason that matters most.
fn why(
    view: &View<'_>,
    located: &Located<'_>,
    draft: &Draft<'_>,
    growth: &Growth,
    pending: &[PendingChange],
) -> Why {
    let owners = &view.seen.wanted.peer_owners;
    let stranger = located.registered.iter().find(|(_, (_, peer))| !owners.contains(&peer.owner));
    if let Some((peer, (_, on_chain))) = stranger {
        return Why::WrongPeerOwner { peer: *peer, owner: on_chain.owner };
    }
    if let Some((field, message)) = &growth.refused {
        return Why::InvalidSpec { field, message: message.clone() };
    }
    match draft.all_held() {
        Some(hold @ (Hold::EarlierCall | Hold::Finality)) if !draft.waits_for_flight() => {
            return Why::Held(hold);
        }
        Some(Hold::EarlierCall | Hold::Finality) => return Why::WaitingForReceipt,
        Some(hold) => return Why::Held(hold),
        None => {}
    }
    if draft.has_sends() {
        return Why::Sending;
    }
    if draft.waits_for_flight() {
        return Why::WaitingForReceipt;
    }
    if growth.preparing {
        return Why::Preparing;
    }
    if let Some(change) = pending.first() {
        return Why::Pending(change.reason);
    }
    if located.offer.is_none() || (located.registered.is_empty() && growth.ready.is_empty()) {
        return Why::NoEligibleNode(no_node(view.nodes));
    }
    Why::InSync
}

fn no_node(nodes: &[Node]) -> NoNode {
    let unfit = nodes.iter().find_map(|node| match node.eligibility {
        Eligibility::Ineligible(reason) => Some(NoNode::Unfit { node: node.name.clone(), reason }),
        Eligibility::Eligible | Eligibility::Pending | Eligibility::Unknown => None,
    });
    let cordoned = nodes.iter().find(|node| node.cordoned);
    let cordoned = cordoned.map(|node| NoNode::Cordoned { node: node.name.clone() });
    unfit.or(cordoned).unwrap_or(if nodes.is_empty() {
        NoNode::NoneSelected
    } else {
        NoNode::Unheard
    })
}

impl<'seen> View<'seen> {
    /// Whether the chain says of each identity that it is no peer.
    fn has_no_peer(&self) -> bool {
        self.identities
            .iter()
            .all(|identity| self.snapshot.peers.get(&identity.peer) == Some(&None))
    }

    /// The node that an identity belongs to, if the selector still names it.
    pub(super) fn node_of(&self, identity: &Identity) -> Option<&'seen Node> {
        self.nodes.iter().find(|node| node.name == identity.node)
    }
}

//! The way off the chain in the order that loses nothing: workers, commitments, rewards, units, resources, peers, the offer.
//!
//! Workers leave by the deals' plans, commitments by the commitments', rewards by the payouts'; here it is decided when the
//! rest may follow. Whoever registers a peer's freed id can withdraw what its commitments still hold, so a peer goes only
//! once the chain says of each of them that nothing is left.

use core::cmp::Reverse;

use crate::call::Call;
use crate::chain::{Commitment, CommitmentStatus, Offer, Peer, ResourceClass, Snapshot};
use crate::epoch::Epoch;
use crate::gate::{Draft, Hold, Urgency};
use crate::id::{OfferId, PeerId};

use super::plan::{Located, View};
use super::{CLOSED_PRICE, Identity, Plan, Step, Why, Withdrawal};

/// Units of one peer whose removal is on its way at once: each is a transaction of its own.
const UNITS_AT_ONCE: usize = 32;

/// Decides the next steps of a withdrawal.
pub(super) fn plan(view: &View<'_>, located: &Located<'_>) -> Plan {
    let offer = match located.offer.map_or_else(|| without_peers(view), |offer| Ok(Some(offer))) {
        Ok(offer) => offer,
        Err(why) => return Plan::idle(why).at(located),
    };
    let draft = Draft::new(&view.seen.gate, &view.seen.flights, view.snapshot);
    let mut desk = Desk { view, draft, held: None };
    if let Some(offer) = offer.filter(|_| has_units(located)) {
        desk.close_intake(offer);
    }
    let peers = located.registered.iter();
    let mut stages: Vec<_> =
        peers.map(|(id, (identity, peer))| desk.peer(*id, identity, peer)).collect();
    if let Some(offer) = offer {
        stages.extend(desk.offer(offer, located).map(Some));
    }
    let why = desk.why(&stages);
    let (sends, planned) = desk.draft.finish();
    let release = (why == Why::Released).then_some(Step::Release);
    let steps = sends.into_iter().map(Step::Send).chain(release).collect();
    let plan = Plan { steps, planned, ..Plan::idle(why) }.at(located);
    Plan { offer: offer.map(|(id, _)| id), ..plan }
}

/// The offer that no peer of ours leads to any more, if the chain still has it.
fn without_peers<'seen>(view: &View<'seen>) -> Result<Option<(OfferId, &'seen Offer)>, Why> {
    for id in named(view) {
        let known = view.snapshot.offers.get(&id).ok_or(Why::ChainUnknown)?.as_ref();
        let own = known.filter(|offer| offer.provider == view.seen.wanted.provider);
        if let Some(offer) = own {
            return Ok(Some((id, offer)));
        }
    }
    Ok(None)
}

/// Offers that the object itself names.
fn named(view: &View<'_>) -> impl Iterator<Item = OfferId> + use<> {
    view.seen.recorded.into_iter().chain(view.seen.wanted.adopt)
}

fn has_units(located: &Located<'_>) -> bool {
    located.registered.values().any(|(_, peer)| !peer.units.is_empty())
}

/// What is wanted so far.
struct Desk<'view, 'seen> {
    view: &'view View<'seen>,
    draft: Draft<'seen>,
    /// What holds back a step that the chain would take.
    held: Option<Hold>,
}

impl Desk<'_, '_> {
    fn want(&mut self, call: Call, why: &'static str) {
        let hold = self.draft.want(call, Urgency::Intent, why);
        self.held = self.held.or(hold);
    }

    /// Without this a unit that left its deal would be matched to the next one.
    fn close_intake(&mut self, (id, offer): (OfferId, &Offer)) {
        let class = |resource| self.view.snapshot.resources.get(resource).map(|kind| kind.class);
        let open: Vec<_> = offer
            .prices
            .iter()
            .filter(|(resource, price)| {
                class(resource) == Some(ResourceClass::Vcpu) && **price != CLOSED_PRICE
            })
            .map(|(resource, _)| *resource)
            .collect();
        for resource in open {
            let call = Call::ChangePrice { offer: id, resource, price: CLOSED_PRICE };
            self.want(call, "the offer is being withdrawn and takes no new deals");
        }
    }

    /// How far one peer is; `None` while that is not known.
    fn peer(&mut self, id: PeerId, identity: &Identity, peer: &Peer) -> Option<Withdrawal> {
        let snapshot = self.view.snapshot;
        let is_seated = peer.units.values().any(|unit| unit.seat.is_some());
        let stage = match peer.commitment {
            _ if is_seated => Some(Withdrawal::Deals),
            Some(commitment) => {
                Some(standing(snapshot.commitments.get(&commitment)?.as_ref()?, snapshot)?)
            }
            None if !identity.is_past_known(snapshot.finalized) => Some(Withdrawal::Past),
            None if is_owed(identity, snapshot)? => {
                Some(Withdrawal::Rewards { until: next_part(snapshot) })
            }
            None if self.is_unsettled(id) => Some(Withdrawal::Finality),
            None => None,
        };
        let Some(stage) = stage else {
            self.take_off(id, peer);
            return Some(Withdrawal::Removal);
        };
        let (hold, until) = match stage {
            Withdrawal::Commitments { until } | Withdrawal::Rewards { until } => {
                (Hold::Epoch, Some(until))
            }
            Withdrawal::Finality => (Hold::Finality, None),
            Withdrawal::Deals
            | Withdrawal::Closing
            | Withdrawal::Past
            | Withdrawal::Removal
            | Withdrawal::StrangePeers { .. } => (Hold::EarlierCall, None),
        };
        let why = "the peer goes once its commitments are over and their rewards fetched";
        self.draft.want_later(Call::RemovePeer { peer: id }, why, hold, until);
        Some(stage)
    }

    /// Whether a reorg could still bring back a commitment or a reward of the peer, or of one that is not known.
    fn is_unsettled(&self, peer: PeerId) -> bool {
        let commitments = &self.view.snapshot.commitments;
        self.view.seen.flights.iter().filter_map(|flight| flight.call.commitment()).any(|id| {
            let known = commitments.get(&id).and_then(Option::as_ref);
            known.is_none_or(|known| known.peer == peer)
        })
    }

    /// Units, then resources, then the peer: resources that outlive their peer would block its id for ever.
    fn take_off(&mut self, id: PeerId, peer: &Peer) {
        let goes = "the offer is being withdrawn, and nothing is owed to this peer";
        if !peer.units.is_empty() {
            self.take_off_units(id, peer, goes);
            return;
        }
        for resource in peer.resources.keys() {
            self.want(Call::RemovePeerResource { peer: id, resource: *resource }, goes);
        }
        if !peer.resources.is_empty() {
            return;
        }
        let call = Call::RemovePeer { peer: id };
        if named(self.view).any(|offer| offer == peer.offer) {
            self.want(call, goes);
        } else {
            // The last peer is the only way from our identities to the offer: its id is written down first.
            self.draft.want_later(call, goes, Hold::EarlierCall, None);
        }
    }

    fn take_off_units(&mut self, id: PeerId, peer: &Peer, why: &'static str) {
        let mut resources = peer.resources.iter();
        let vcpu = resources.find(|(_, resource)| resource.class == ResourceClass::Vcpu);
        let Some((vcpu, _)) = vcpu else {
            // The contract takes no unit without it; somebody else's hand was here.
            self.draft.want_later(Call::RemovePeer { peer: id }, why, Hold::Conflict, None);
            self.held = Some(Hold::Conflict);
            return;
        };
        let calls = peer.units.keys().map(|unit| Call::RemoveUnit { unit: *unit, vcpu: *vcpu });
        let (flying, waiting): (Vec<_>, Vec<_>) =
            calls.partition(|call| self.draft.is_in_flight(call));
        let room = UNITS_AT_ONCE.saturating_sub(flying.len());
        let (now, later) = waiting.split_at(room.min(waiting.len()));
        for call in flying.iter().chain(now) {
            self.want(call.clone(), why);
        }
        for call in later {
            self.draft.want_later(call.clone(), why, Hold::EarlierCall, None);
        }
    }

    /// How far the offer is, once none of our peers is left in it.
    fn offer(
        &mut self,
        (id, offer): (OfferId, &Offer),
        located: &Located<'_>,
    ) -> Option<Withdrawal> {
        let call = Call::RemoveOffer { offer: id };
        if !located.registered.is_empty() {
            self.draft.want_later(call, "the offer goes after its peers", Hold::EarlierCall, None);
            return None;
        }
        if offer.peer_count > 0 {
            self.draft.want_later(call, "the offer has other peers", Hold::Conflict, None);
            return Some(Withdrawal::StrangePeers { count: offer.peer_count });
        }
        self.want(call, "the offer is being withdrawn and has no peers");
        Some(Withdrawal::Removal)
    }

    fn why(&self, stages: &[Option<Withdrawal>]) -> Why {
        if let Some(hold) = self.held {
            return Why::Held(hold);
        }
        if self.draft.has_sends() {
            return Why::Sending;
        }
        if self.draft.waits_for_flight() {
            return Why::WaitingForReceipt;
        }
        if stages.contains(&None) {
            return Why::ChainUnknown;
        }
        let first = stages.iter().flatten().min_by_key(|stage| (rank(**stage), Reverse(*stage)));
        first.map_or_else(|| self.release(), |stage| Why::Withdrawing(*stage))
    }

    /// Nothing is left on chain, and nothing may come back.
    fn release(&self) -> Why {
        let flights = &self.view.seen.flights;
        if flights.iter().any(|flight| flight.is_open_at(self.view.snapshot.head.number)) {
            return Why::WaitingForReceipt;
        }
        let removes = |call: &Call| {
            matches!(
                call,
                Call::RemoveUnit { .. }
                    | Call::RemovePeerResource { .. }
                    | Call::RemovePeer { .. }
                    | Call::RemoveOffer { .. }
            )
        };
        if flights.iter().any(|flight| removes(&flight.call)) {
            return Why::Withdrawing(Withdrawal::Finality);
        }
        Why::Released
    }
}

/// The earlier a stage, the lower.
const fn rank(stage: Withdrawal) -> u8 {
    match stage {
        Withdrawal::Deals => 0,
        Withdrawal::Commitments { .. } => 1,
        Withdrawal::Closing => 2,
        Withdrawal::Past => 3,
        Withdrawal::Rewards { .. } => 4,
        Withdrawal::Removal => 5,
        Withdrawal::StrangePeers { .. } => 6,
        Withdrawal::Finality => 7,
    }
}

/// How far a commitment is whose units are all free.
fn standing(known: &Commitment, snapshot: &Snapshot) -> Option<Withdrawal> {
    let cool = known.failed_epoch.after(snapshot.rules.withdraw_epochs_after_failed);
    match known.status {
        CommitmentStatus::Active | CommitmentStatus::WaitStart => {
            Some(Withdrawal::Commitments { until: known.end_epoch })
        }
        CommitmentStatus::Failed if snapshot.epoch < cool => {
            Some(Withdrawal::Commitments { until: cool })
        }
        CommitmentStatus::Failed
        | CommitmentStatus::Inactive
        | CommitmentStatus::WaitDelegation => Some(Withdrawal::Closing),
        // The peer would name none: two answers that contradict each other are no knowledge.
        CommitmentStatus::Removed => None,
    }
}

/// Whether one of the peer's commitments holds rewards; `None` while one of them is not known.
fn is_owed(identity: &Identity, snapshot: &Snapshot) -> Option<bool> {
    let mut is_owed = false;
    for id in &identity.commitments {
        let known = snapshot.commitments.get(id)?.as_ref();
        is_owed |= known.is_some_and(|known| !known.total_rewards.is_zero());
    }
    Some(is_owed)
}

/// The epoch in which the next part of what vests is free.
fn next_part(snapshot: &Snapshot) -> Epoch {
    let step = snapshot.rules.vesting_period_duration.max(1);
    Epoch((snapshot.epoch.0 / step).saturating_add(1).saturating_mul(step))
}

//! The turn of a `ProviderOffer`: what is sold on the chain, and the mirrors of it.

pub mod act;
pub mod claim;
mod collateral;
mod economics;
pub mod kept;
pub mod mirror;
pub mod observe;
pub mod renewal;
pub mod report;
pub mod resolve;

use std::sync::Arc;

use coreward_crds::{ProviderOffer, ProviderOfferStatus, TransactionState};
use coreward_domain::chain::{Snapshot, Watchlist};
use coreward_domain::condition::{ChainHealth, ConditionType, Verdict};
use coreward_domain::gate::{Flight, Hold, Signer};
use coreward_domain::id::{OfferId, PeerId};
use coreward_domain::offer::{Deletion, Withdrawal};
use coreward_domain::{commitment, offer as domain, payout, renewal as renewals};
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::apply::{self, Manager};
use crate::clock;
use crate::event::Happening;
use crate::gate;
use crate::identity::PeerIdentity;
use crate::labels::{OFFER_FINALIZER, OfferKey};
use crate::metrics::Ending;
use crate::turn::{self, Error, Shared};
use crate::view;
use act::{Done, Plans};
use observe::Sight;
use resolve::{Resolved, deletion, resolve};

pub use observe::{demand, flights, view_of};
pub use report::state;

/// What an offer's owner is told of the endpoints.
const CHAIN_TROUBLE: [(Happening, ChainHealth, &str); 2] = [
    (
        Happening::ChainHeadStale,
        ChainHealth::HeadStale,
        "no endpoint answers, or no new block comes: only proofs are sent",
    ),
    (
        Happening::EndpointsDisagree,
        ChainHealth::EndpointsDisagree,
        "endpoints tell different blocks of one height, or too few of them answer",
    ),
];

/// Takes one turn.
///
/// # Errors
///
/// None: a failed turn is told and taken again.
pub async fn turn(offer: Arc<ProviderOffer>, shared: Arc<Shared>) -> Result<Action, Error> {
    let name = OfferKey::of(&offer).path();
    turn::told("offer", &shared, &name, Box::pin(one(&offer, &shared))).await
}

async fn one(offer: &ProviderOffer, shared: &Shared) -> Result<Ending, Error> {
    if !shared.context.leadership.may_send() {
        return Ok(Ending::Settled);
    }
    if offer.metadata.deletion_timestamp.is_none() {
        apply::finalizer(&shared.context.client, offer, OFFER_FINALIZER, true).await?;
    } else if !offer.finalizers().iter().any(|name| name == OFFER_FINALIZER) {
        return Ok(Ending::Settled);
    }
    match resolve(offer, &shared.context.config) {
        Ok(resolved) => follow(offer, &resolved, shared).await,
        Err(mistake) => {
            let view = view_of(offer, shared);
            if offer.metadata.deletion_timestamp.is_some()
                && nothing_registered(offer, shared, view.snapshot.as_deref())
            {
                mirror::release(shared, offer).await?;
                return Ok(Ending::Acted);
            }
            let status = report::of_mistake(offer, &mistake, chain_synced(view.health));
            write(shared, offer, (&status, view.health != ChainHealth::Unknown)).await
        }
    }
}

/// Whether a deleted offer may go even if its spec cannot be followed: it has no identity; or the chain says of each that it
/// is not registered, and nothing of this provider is on its way. One that is withdrawn leaves no empty offer behind either.
fn nothing_registered(offer: &ProviderOffer, shared: &Shared, snapshot: Option<&Snapshot>) -> bool {
    let is_gone = |id: &str| {
        let id = id.parse().ok().map(OfferId);
        id.zip(snapshot).is_some_and(|(id, snapshot)| snapshot.offers.get(&id) == Some(&None))
    };
    let recorded = offer.status.as_ref().and_then(|status| status.offer_id.as_deref());
    let mut named = recorded.into_iter().chain([offer.spec.offer_id.as_str()]);
    if deletion(offer) == Some(Deletion::Withdraw) && !named.all(|id| id.is_empty() || is_gone(id))
    {
        return false;
    }
    let identities = view::identities(shared, &OfferKey::of(offer));
    let is_unregistered = |identity: &PeerIdentity| {
        snapshot.is_some_and(|snapshot| snapshot.peers.get(&identity.identity.peer) == Some(&None))
    };
    identities.is_empty() || (identities.iter().all(is_unregistered) && !is_sending(offer, shared))
}

/// Whether a transaction of the offer's provider may still come onto the chain; so it is while nothing is known of them.
fn is_sending(offer: &ProviderOffer, shared: &Shared) -> bool {
    let transactions = &shared.context.stores.transactions;
    let mut kept = transactions.all().into_iter();
    let may_come = kept.any(|transaction| {
        let state = transaction.status.as_ref().and_then(|status| status.state).unwrap_or_default();
        transaction.spec.from.eq_ignore_ascii_case(&offer.spec.provider.address)
            && matches!(
                state,
                TransactionState::Signed | TransactionState::Sent | TransactionState::Mined
            )
    });
    may_come || transactions.is_missing()
}

fn chain_synced(health: ChainHealth) -> Verdict {
    Verdict::new(ConditionType::ChainSynced, health.truth(), health.reason(), "")
}

async fn follow(
    offer: &ProviderOffer,
    resolved: &Resolved,
    shared: &Shared,
) -> Result<Ending, Error> {
    let mut sight = observe::observe(offer, resolved, shared);
    // First of all: proofs need the chain's word, even while what is on its way is unknown and the turn ends there.
    let list = watch_chain(offer, &sight, shared);
    let shown = observe::finalized(sight.seen.snapshot.as_deref());
    let provider = [resolved.wanted.provider];
    sight.seen.flights = flights(shared, offer, &provider, shown).await?;
    let mut accounts = resolved.wanted.peer_owners.clone();
    accounts.retain(|account| *account != resolved.wanted.provider);
    let mut all_flights = sight.seen.flights.clone();
    all_flights.extend(flights(shared, offer, &accounts, shown).await?);
    // Last: what somebody else displaced meanwhile is then either still on its way or seen by the gate.
    sight.seen.gate = gate::gate_of(&shared.context, offer).await;
    let plans = plan(offer, (&sight, all_flights), resolved, shared)?;
    let done = act::act(shared, offer, &sight, &plans).await?;
    let may_go = offer.metadata.deletion_timestamp.is_some()
        && nothing_registered(offer, shared, sight.seen.snapshot.as_deref());
    if done.released || may_go {
        mirror::release(shared, offer).await?;
        return Ok(Ending::Acted);
    }
    if let Some(snapshot) = sight.seen.snapshot.as_deref() {
        mirror::mirror(shared, offer, &sight.identities, snapshot).await?;
    }
    let renewed = renewal::act(shared, &plans.renewal).await;
    tell(offer, (&sight, &plans, &done), shared).await;
    let status = report::status(shared, offer, (&sight, &plans, &done), resolved);
    let ending = write(shared, offer, (&status, sight.is_heard(&list))).await?;
    Ok(if renewed? > 0 { Ending::Acted } else { ending })
}

/// Asks for what the next turns must know of the chain, and says what that is.
fn watch_chain(offer: &ProviderOffer, sight: &Sight, shared: &Shared) -> Watchlist {
    let mut list = domain::watchlist(&sight.seen);
    list.commitments.extend(
        sight.identities.iter().flat_map(|identity| identity.identity.commitments.iter().copied()),
    );
    let deals = shared.context.stores.deals.all();
    let own =
        deals.iter().filter(|deal| OfferKey::of_labels(deal.as_ref()).as_ref() == Some(&sight.key));
    list.deals.extend(
        own.filter_map(|deal| deal.spec.deal_address.parse::<alloy_primitives::Address>().ok()),
    );
    if let Some(handle) = shared.context.networks.get(&offer.spec.network) {
        handle.watch(&mirror::watch_owner(&sight.key), list.clone());
    }
    list
}

fn plan(
    offer: &ProviderOffer,
    (sight, flights): (&Sight, Vec<Flight>),
    resolved: &Resolved,
    shared: &Shared,
) -> Result<Plans, Error> {
    let commitments = commitments(sight, resolved, shared);
    let seen = sight.payout(resolved, flights, shared);
    let payout = payout::plan(&seen);
    if let Some(due) = payout::due(&seen, &payout) {
        shared.memory.withdrawals_due(&sight.key.path(), &due, clock::now());
    }
    let renewal = renewals::plan(&renewal::look_at(offer, sight, shared)?);
    Ok(Plans { offer: domain::plan(&sight.seen), commitments, payout, renewal })
}

/// The plan of each registered peer's commitment.
fn commitments(
    sight: &Sight,
    resolved: &Resolved,
    shared: &Shared,
) -> Vec<(PeerId, commitment::Plan)> {
    let Some(snapshot) = sight.seen.snapshot.as_deref() else { return Vec::new() };
    let peers = sight.identities.iter().filter(|identity| {
        snapshot.peers.get(&identity.identity.peer).is_some_and(Option::is_some)
    });
    peers
        .map(|identity| {
            (
                identity.identity.peer,
                commitment::plan(&sight.commitment(identity, resolved, shared)),
            )
        })
        .collect()
}

/// Tells the owner what changed, once each.
async fn tell(
    offer: &ProviderOffer,
    (sight, plans, done): (&Sight, &Plans, &Done),
    shared: &Shared,
) {
    let path = sight.key.path();
    let epoch = sight.seen.snapshot.as_deref().map_or(0, |snapshot| snapshot.epoch.0);
    let was_registered = offer.status.as_ref().is_some_and(|status| status.offer_id.is_some());
    if let (Some(id), false) = (plans.offer.offer, was_registered) {
        once(shared, offer, (&path, Happening::OfferRegistered), &format!("{id} in epoch {epoch}"))
            .await;
    }
    let refused = done.sent.refused.as_deref();
    told_while(shared, offer, (&path, Happening::TransactionReverted, refused)).await;
    let blocked = blocked(&plans.offer.why, epoch);
    told_while(shared, offer, (&path, Happening::DeletionBlocked, blocked.as_deref())).await;
    for (what, health, note) in CHAIN_TROUBLE {
        let note = (sight.seen.chain == health).then_some(note);
        told_while(shared, offer, (&path, what, note)).await;
    }
    let gate = &sight.seen.gate;
    let is_shared = [gate.provider_signer, gate.peer_signer].contains(&Signer::Shared);
    let words = is_shared.then_some(Hold::ForeignSigner.text());
    told_while(shared, offer, (&path, Happening::ForeignSignerDetected, words)).await;
    let words = gate.gas.is_spent().then_some(Hold::GasBudget.text());
    told_while(shared, offer, (&path, Happening::GasBudgetExhausted, words)).await;
    if plans.renewal.why != renewals::Why::Unknown {
        let note = plans.renewal.why.stopped().map(|words| format!("epoch {epoch}: {words}"));
        let what = Happening::MassChangeBreakerOpen;
        told_while(shared, offer, (&path, what, note.as_deref())).await;
    }
    for (peer, plan) in &plans.commitments {
        let key = format!(
            "{path}/{}",
            plan.commitment.map_or_else(|| peer.to_string(), |id| id.to_string())
        );
        if let (Some(what), Some(id)) = (report::happening(&plan.why), plan.commitment) {
            once(shared, offer, (&key, what), &format!("{id} in epoch {epoch}")).await;
        }
    }
    for node in sight.seen.nodes.iter().flatten() {
        let key = format!("{path}/{}", node.name);
        let reason = match &node.eligibility {
            domain::Eligibility::Ineligible(reason) => {
                Some(format!("node {}: {}: {}", node.name, reason.reason(), reason.text()))
            }
            domain::Eligibility::Eligible
            | domain::Eligibility::Pending
            | domain::Eligibility::Unknown => None,
        };
        told_while(shared, offer, (&key, Happening::NodeNotEligible, reason.as_deref())).await;
    }
}

/// Why a deletion cannot go on by itself.
fn blocked(why: &domain::Why, epoch: u64) -> Option<String> {
    if let domain::Why::Withdrawing(Withdrawal::StrangePeers { count }) = why {
        return Some(format!("{count} peers of the offer are none of this object's"));
    }
    matches!(why, domain::Why::DeletionBlocked { .. })
        .then(|| format!("units are staked or in deals in epoch {epoch}"))
}

/// Tells while it holds, once.
async fn told_while(
    shared: &Shared,
    offer: &ProviderOffer,
    (key, what, note): (&str, Happening, Option<&str>),
) {
    match note {
        Some(note) => once(shared, offer, (key, what), note).await,
        None => shared.memory.untold(key, what.reason()),
    }
}

async fn once(shared: &Shared, offer: &ProviderOffer, (key, what): (&str, Happening), note: &str) {
    let before = offer.status.as_ref().map_or(&[][..], |status| &status.conditions);
    if shared.tells(key, what, before) {
        shared.events.tell(offer, what, note).await;
    }
}

async fn write(
    shared: &Shared,
    offer: &ProviderOffer,
    (status, is_heard): (&ProviderOfferStatus, bool),
) -> Result<Ending, Error> {
    let told = offer.status.as_ref().and_then(|status| status.observed_generation);
    let is_kept_back = shared.keeps_back(is_heard, offer.metadata.generation, told);
    if is_kept_back || offer.status.as_ref() == Some(status) {
        return Ok(Ending::Settled);
    }
    apply::status(&shared.context.client, offer, status, Manager::Offer).await?;
    Ok(Ending::Acted)
}

//! What an offer's turn does: identities, transactions, probes; it chooses nothing.

use std::collections::BTreeSet;

use coreward_crds::ProviderOffer;
use coreward_domain::call::Call;
use coreward_domain::chain::CommitmentStatus;
use coreward_domain::id::{CommitmentId, PeerId};
use coreward_domain::offer::Step;
use coreward_domain::payout::Source;
use coreward_domain::{commitment, offer as domain, payout, renewal};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::apply;
use crate::context::Context;
use crate::event::Happening;
use crate::identity::{
    self, COLLATERAL_BACK, LIVES_ON, MOVES, PeerIdentity, RETIRED, WAS_COMMITTED, secret,
    secret_name,
};
use crate::node::probe;
use crate::offer::collateral;
use crate::offer::observe::{Sight, finalized};
use crate::send::{self, Sent};
use crate::turn::{Error, Shared};

/// All plans of one offer's turn.
#[derive(Debug)]
pub struct Plans {
    /// Of the offer itself.
    pub offer: domain::Plan,
    /// Of each registered peer's commitment.
    pub commitments: Vec<(PeerId, commitment::Plan)>,
    /// Of its payouts.
    pub payout: payout::Plan,
    /// Of the renewal of its provers.
    pub renewal: renewal::Plan,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// Transactions.
    pub sent: Sent,
    /// Whether the plan lets the object go.
    pub released: bool,
}

/// Carries the plans out, in their order.
///
/// # Errors
///
/// [`Error`]: the API server did not take a write; nothing that rests on it was sent.
pub async fn act(
    shared: &Shared,
    offer: &ProviderOffer,
    sight: &Sight,
    plans: &Plans,
) -> Result<Done, Error> {
    for (node, evidence) in &sight.nodes {
        probe::ensure(shared, node, evidence).await?;
    }
    let mut done = Done::default();
    for step in &plans.offer.steps {
        match step {
            Step::MakeIdentity { node, ordinal } => {
                make_identity(shared, sight, (node, *ordinal)).await?;
            }
            Step::AdoptIdentity { peer, node, ordinal } => {
                let seed: [u8; 32] = rand::random();
                let secret = identity::adopted_secret(&sight.key, (node, *ordinal), *peer, seed);
                apply::create(&secrets(&shared.context), &secret).await?;
                let note = format!("peer {} on node {node}", identity::text(*peer));
                shared.events.tell(offer, Happening::Adopted, &note).await;
            }
            Step::MovePeer { peer, to } => move_peer(shared, offer, sight, (*peer, to)).await?,
            Step::RetireIdentity { peer } => retire(shared, sight, *peer).await?,
            Step::Release => done.released = true,
            Step::Send(_) => {}
        }
    }
    remember_commitments(shared, sight, plans).await?;
    let Some(snapshot) = sight.seen.snapshot.as_deref() else { return Ok(done) };
    done.sent = send::all(shared, offer, snapshot, calls(plans)).await;
    for call in &done.sent.calls {
        if let Some(source) = Source::of(call) {
            shared.memory.withdrew(source, snapshot.head.timestamp);
        }
        if let Some(what) = send::happening(call) {
            let note = format!("{} in epoch {}", call.function(), snapshot.epoch);
            shared.events.tell(offer, what, &note).await;
        }
    }
    Ok(done)
}

fn calls(plans: &Plans) -> Vec<(Call, &str)> {
    let offer = plans.offer.steps.iter().filter_map(|step| match step {
        Step::Send(call) => Some((call.clone(), send::why(&plans.offer.planned, call))),
        Step::MakeIdentity { .. }
        | Step::AdoptIdentity { .. }
        | Step::MovePeer { .. }
        | Step::RetireIdentity { .. }
        | Step::Release => None,
    });
    let commitments = plans.commitments.iter().flat_map(|(_, plan)| {
        plan.steps
            .iter()
            .map(|commitment::Step::Send(call)| (call.clone(), send::why(&plan.planned, call)))
    });
    let payouts = plans
        .payout
        .steps
        .iter()
        .map(|payout::Step::Send(call)| (call.clone(), send::why(&plans.payout.planned, call)));
    offer.chain(commitments).chain(payouts).collect()
}

fn secrets(context: &Context) -> Api<Secret> {
    Api::namespaced(context.client.clone(), &context.namespace)
}

async fn make_identity(shared: &Shared, sight: &Sight, place: (&str, u32)) -> Result<(), Error> {
    let seed: [u8; 32] = rand::random();
    let born = finalized(sight.seen.snapshot.as_deref());
    apply::create(&secrets(&shared.context), &secret(&sight.key, place, born, seed)).await
}

/// Notes where a peer lives from now on; the turn of its units makes its pods there once that is seen.
async fn move_peer(
    shared: &Shared,
    offer: &ProviderOffer,
    sight: &Sight,
    (peer, to): (PeerId, &str),
) -> Result<(), Error> {
    let Some(identity) = sight.identities.iter().find(|identity| identity.identity.peer == peer)
    else {
        return Ok(());
    };
    let moves = identity.identity.moves.saturating_add(1).to_string();
    annotate_all(&shared.context, identity, &json!({ LIVES_ON: to, MOVES: moves })).await?;
    let from = &identity.identity.node;
    let note = format!("peer {} from node {from}, which is away, to {to}", identity::text(peer));
    shared.events.tell(offer, Happening::PeerMoved, &note).await;
    Ok(())
}

async fn retire(shared: &Shared, sight: &Sight, peer: PeerId) -> Result<(), Error> {
    let Some(identity) = sight.identities.iter().find(|identity| identity.identity.peer == peer)
    else {
        return Ok(());
    };
    annotate(shared, identity, RETIRED, Some("true")).await
}

/// Writes one annotation of an identity's Secret, or removes it.
///
/// # Errors
///
/// [`Error::Write`].
pub async fn annotate(
    shared: &Shared,
    identity: &PeerIdentity,
    key: &str,
    value: Option<&str>,
) -> Result<(), Error> {
    annotate_all(&shared.context, identity, &json!({ key: value })).await
}

/// Writes several annotations of an identity's Secret at once.
///
/// # Errors
///
/// [`Error::Write`].
pub async fn annotate_all(
    context: &Context,
    identity: &PeerIdentity,
    annotations: &Value,
) -> Result<(), Error> {
    let name = secret_name(&identity.offer, &identity.identity.home, identity.identity.ordinal);
    let body = json!({ "metadata": { "annotations": annotations } });
    secrets(context)
        .patch(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map(drop)
        .map_err(|source| Error::write("annotation", &name, source))
}

/// Keeps the ids of commitments that views will forget, and drops those that hold nothing any more.
async fn remember_commitments(shared: &Shared, sight: &Sight, plans: &Plans) -> Result<(), Error> {
    let Some(snapshot) = sight.seen.snapshot.as_deref() else { return Ok(()) };
    let transactions = shared.context.stores.transactions.all();
    for identity in &sight.identities {
        let peer = snapshot.peers.get(&identity.identity.peer).and_then(Option::as_ref);
        let Some(peer) = peer else { continue };
        let known = identity
            .identity
            .commitments
            .iter()
            .filter(|id| !plans.payout.retired.contains(*id))
            .copied();
        let wanted: BTreeSet<CommitmentId> = known.chain(peer.commitment).collect();
        if wanted != identity.identity.commitments {
            let past = identity::past(&wanted, identity.identity.past_read_to);
            annotate_all(&shared.context, identity, &past).await?;
        }
        let present =
            peer.commitment.and_then(|id| snapshot.commitments.get(&id)).and_then(Option::as_ref);
        let is_funded = present.is_some_and(|known| {
            matches!(known.status, CommitmentStatus::WaitStart | CommitmentStatus::Active)
        });
        if is_funded && !identity.was_committed {
            annotate(shared, identity, WAS_COMMITTED, Some("true")).await?;
        }
        let back =
            peer.commitment.filter(|id| collateral::is_to_be_kept(identity, &transactions, *id));
        if let Some(id) = back {
            annotate(shared, identity, COLLATERAL_BACK, Some(&id.to_string())).await?;
        }
    }
    Ok(())
}

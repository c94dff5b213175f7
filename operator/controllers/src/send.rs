//! Handing planned transactions to the outbox, with the key that the plan's call needs.

use coreward_crds::ProviderOffer;
use coreward_domain::call::{Call, KeyRole};
use coreward_domain::chain::Snapshot;
use coreward_domain::gate::PlannedCall;
use kube::ResourceExt;

use crate::event::Happening;
use crate::gate;
use crate::outbox::Order;
use crate::turn::Shared;

/// What became of the transactions of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Calls that were handed in.
    pub calls: Vec<Call>,
    /// The first refusal: what was refused, and why, in words.
    pub refused: Option<String>,
}

/// Hands in calls one after another and stops at the first that is refused: later ones may rest on it.
pub async fn all(
    shared: &Shared,
    offer: &ProviderOffer,
    snapshot: &Snapshot,
    calls: Vec<(Call, &str)>,
) -> Sent {
    let mut sent = Sent::default();
    for (call, why) in calls {
        if !shared.context.leadership.may_send() {
            return sent;
        }
        let Some(signer) = signer_of(shared, offer, snapshot, &call) else {
            sent.refused =
                Some(format!("{}: no signer of this offer owns the peer", call.function()));
            return sent;
        };
        let order = Order {
            network: &offer.spec.network,
            signer: &signer,
            namespace: &offer.namespace().unwrap_or_default(),
            call: call.clone(),
            why,
            planned_at: snapshot.head.number,
        };
        match shared.context.outbox.submit(order).await {
            Ok(_) => sent.calls.push(call),
            Err(error) => {
                let cause = coreward_telemetry::causes(&error).to_string();
                tracing::warn!(
                    offer.name = offer.name_any(),
                    call.function = call.function(),
                    error = cause,
                    "a transaction was not handed in"
                );
                sent.refused = Some(cause);
                return sent;
            }
        }
    }
    sent
}

/// The name of the signer for a call: the provider's, or the one that owns the call's peer.
fn signer_of(
    shared: &Shared,
    offer: &ProviderOffer,
    snapshot: &Snapshot,
    call: &Call,
) -> Option<String> {
    match call.key_role() {
        KeyRole::Provider => Some(offer.spec.provider.signer.clone()),
        KeyRole::Peer => {
            let owner = owner_of(snapshot, call)?;
            gate::signer_of(&shared.context, offer, owner).map(str::to_owned)
        }
    }
}

fn owner_of(snapshot: &Snapshot, call: &Call) -> Option<alloy_primitives::Address> {
    let peer = match call {
        Call::SubmitProofs { peer, .. } => *peer,
        Call::ActivateWorker { deal, worker, .. }
        | Call::RemoveWorker { deal, worker }
        | Call::WithdrawDealRewards { deal, worker, .. } => {
            snapshot.deals.get(deal)?.workers.get(worker)?.peer
        }
        Call::SetProviderInfo { .. }
        | Call::RegisterOffer { .. }
        | Call::AddPeers { .. }
        | Call::AddUnits { .. }
        | Call::ChangePrice { .. }
        | Call::SetDatacenter { .. }
        | Call::ChangePaymentToken { .. }
        | Call::RegisterPeerResource { .. }
        | Call::ChangeResourceDetails { .. }
        | Call::ChangeResourceSupply { .. }
        | Call::CreateCommitment { .. }
        | Call::RemoveCommitment { .. }
        | Call::DepositCollateral { .. }
        | Call::WithdrawCommitmentRewards { .. }
        | Call::WithdrawCollateral { .. }
        | Call::RemoveUnitsFromCommitment { .. }
        | Call::FinishCommitment { .. }
        | Call::RemoveUnit { .. }
        | Call::RemovePeerResource { .. }
        | Call::RemovePeer { .. }
        | Call::RemoveOffer { .. } => return None,
    };
    Some(snapshot.peers.get(&peer)?.as_ref()?.owner)
}

/// Why a plan wants a call, in the plan's own words.
#[must_use]
pub fn why<'a>(planned: &'a [PlannedCall], call: &Call) -> &'a str {
    planned.iter().find(|planned| planned.call == *call).map_or("", |planned| planned.why)
}

/// What the owner of the object is told once a call was handed in.
#[must_use]
pub const fn happening(call: &Call) -> Option<Happening> {
    match call {
        Call::ChangePrice { .. } => Some(Happening::PriceChanged),
        Call::SetProviderInfo { .. }
        | Call::RegisterOffer { .. }
        | Call::AddPeers { .. }
        | Call::AddUnits { .. }
        | Call::SetDatacenter { .. }
        | Call::ChangePaymentToken { .. }
        | Call::RegisterPeerResource { .. }
        | Call::ChangeResourceDetails { .. }
        | Call::ChangeResourceSupply { .. }
        | Call::RemoveUnit { .. }
        | Call::RemovePeerResource { .. }
        | Call::RemovePeer { .. }
        | Call::RemoveOffer { .. } => Some(Happening::OfferUpdated),
        Call::CreateCommitment { .. } => Some(Happening::CommitmentCreated),
        Call::DepositCollateral { .. } => Some(Happening::CollateralDeposited),
        Call::FinishCommitment { .. } => Some(Happening::CommitmentFinished),
        Call::ActivateWorker { .. } => Some(Happening::WorkerActivated),
        Call::RemoveWorker { .. } => Some(Happening::DealExited),
        Call::WithdrawDealRewards { .. } | Call::WithdrawCommitmentRewards { .. } => {
            Some(Happening::RewardsWithdrawn)
        }
        Call::SubmitProofs { .. }
        | Call::RemoveCommitment { .. }
        | Call::WithdrawCollateral { .. }
        | Call::RemoveUnitsFromCommitment { .. } => None,
    }
}

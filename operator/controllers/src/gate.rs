//! How far the operator may act for an offer: one gate for all plans.

use alloy_primitives::{Address, U256};
use coreward_crds::{ChainTransaction, ManagementPolicy, ProviderOffer};
use coreward_domain::call::KeyRole;
use coreward_domain::gate::{Gas, Gate, Management, Signer};
use coreward_domain::money;
use kube::ResourceExt;

use crate::clock;
use crate::context::Context;
use crate::outbox::{self, Refusal, SignerUse};

/// Decimal places of the chain's own coin.
const NATIVE_DECIMALS: u8 = 18;

/// The gate of an offer: for the peers' key, what holds for the worst of its signers.
pub async fn gate_of(context: &Context, offer: &ProviderOffer) -> Gate {
    let namespace = offer.namespace().unwrap_or_default();
    let place = (offer.spec.network.as_str(), namespace.as_str());
    let provider = state_of(context, place, (&offer.spec.provider.signer, KeyRole::Provider)).await;
    let mut peers = Signer::Reachable;
    for signer in &offer.spec.peers.signers {
        let state = state_of(context, place, (signer, KeyRole::Peer)).await;
        if state != Signer::Reachable {
            peers = state;
        }
    }
    Gate {
        management: management(context.config.operator.read_only, Some(offer)),
        ..gate(context, offer, (provider, peers))
    }
}

/// The gate of one peer, on this network and for this namespace, whose owner on chain has this signer. Without its offer it is
/// only observed, so that nothing but the minimum proofs of what is staked is sent.
pub async fn gate_of_peer(
    context: &Context,
    (place, signer): ((&str, &str), Option<&str>),
    offer: Option<&ProviderOffer>,
) -> Gate {
    let peer_signer = match signer {
        Some(signer) => state_of(context, place, (signer, KeyRole::Peer)).await,
        None => Signer::WrongAddress,
    };
    let of_offer = |offer| gate(context, offer, (Signer::Unknown, peer_signer));
    let management = management(context.config.operator.read_only, offer);
    Gate { management, peer_signer, ..offer.map_or_else(Gate::default, of_offer) }
}

/// Which of an offer's signers has this account.
#[must_use]
pub fn signer_of<'offer>(
    context: &Context,
    offer: &'offer ProviderOffer,
    owner: Address,
) -> Option<&'offer str> {
    let signers = offer.spec.peers.signers.iter();
    signers.map(String::as_str).find(|signer| context.outbox.address(signer) == Some(owner))
}

fn gate(
    context: &Context,
    offer: &ProviderOffer,
    (provider_signer, peer_signer): (Signer, Signer),
) -> Gate {
    let limits = &offer.spec.gas;
    // The schema has checked the pattern; a number beyond all fees is no limit.
    let max_fee = limits.max_fee_gwei.as_deref().and_then(|text| money::gwei_to_wei(text).ok());
    let budget = limits.daily_budget.as_deref();
    let daily_budget = budget.and_then(|text| money::to_base_units(text, NATIVE_DECIMALS).ok());
    let spent_today = daily_budget.map_or(U256::ZERO, |_| spent_today(context, offer));
    let gas = Gas { max_fee, daily_budget, spent_today };
    Gate { management: Management::Observe, provider_signer, peer_signer, gas }
}

/// Wei that the offer's signers have spent on gas since midnight UTC.
#[must_use]
pub fn spent_today(context: &Context, offer: &ProviderOffer) -> U256 {
    let signers = std::iter::once(&offer.spec.provider.signer).chain(&offer.spec.peers.signers);
    let accounts = signers.filter_map(|signer| context.outbox.address(signer)).collect();
    let kept = context.stores.transactions.all();
    let kept = kept.iter().map(AsRef::as_ref);
    outbox::spent_today(kept, (&offer.spec.network, &accounts), clock::wall())
}

/// How far the operator may act at all.
fn management(read_only: bool, offer: Option<&ProviderOffer>) -> Management {
    if read_only {
        return Management::ReadOnly;
    }
    match offer.map(|offer| (offer.spec.management_policy, offer.spec.suspend)) {
        None | Some((ManagementPolicy::Observe, _)) => Management::Observe,
        Some((ManagementPolicy::Manage, true)) => Management::Suspended,
        Some((ManagementPolicy::Manage, false)) => Management::Manage,
    }
}

async fn state_of(
    context: &Context,
    (network, namespace): (&str, &str),
    (signer, role): (&str, KeyRole),
) -> Signer {
    let using = SignerUse { network, signer, namespace, role };
    match context.outbox.signer(using).await {
        Ok(account) if is_shared(context, (network, account)) => Signer::Shared,
        Ok(_) => Signer::Reachable,
        Err(Refusal::Unknown { .. } | Refusal::NotAllowed { .. }) => Signer::NotAllowed,
        Err(Refusal::WrongAddress { .. }) => Signer::WrongAddress,
        Err(Refusal::Unreachable { .. }) => Signer::Unreachable,
    }
}

/// Whether a transaction that is not ours has used this account: its record stays until a human deletes it.
fn is_shared(context: &Context, (network, account): (&str, Address)) -> bool {
    let is_of_account = |transaction: &ChainTransaction| {
        transaction.spec.network == network && transaction.spec.from.parse() == Ok(account)
    };
    let all = context.stores.transactions.all();
    all.iter().any(|transaction| outbox::is_displaced(transaction) && is_of_account(transaction))
}

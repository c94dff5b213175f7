//! Series that show what the objects and the last snapshots say; set anew at every look, so that nothing outlives its object.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use coreward_crds::{Condition, Deal, Economics};
use coreward_domain::condition::BREAKER;
use coreward_domain::money;

use crate::labels::OfferKey;
use crate::metrics::{MoneyMetrics, RewardSource};
use crate::turn::Shared;

/// Sets all of them.
pub fn set(shared: &Shared) {
    deals(shared);
    offers(shared);
    wallets(shared);
    orphans(shared);
    breaker(shared);
}

/// Offers whose provers are renewed no further, and deals that are served on though people want many left at once.
fn breaker(shared: &Shared) {
    let is_told = |conditions: &[Condition]| conditions.iter().any(|told| told.reason == BREAKER);
    let stores = &shared.context.stores;
    let offers = stores.offers.all();
    let provers = offers.iter().flat_map(|it| &it.status).any(|it| is_told(&it.conditions));
    let deals = stores.deals.all();
    let deals = deals.iter().flat_map(|it| &it.status).any(|it| is_told(&it.conditions));
    let open = &shared.context.metrics.units.breaker_open;
    for (kind, is_open) in [("prover", provers), ("deal", deals)] {
        open.with_label_values(&[kind]).set(i64::from(is_open));
    }
}

/// Pods whose offer is not there: they are shown and kept, since what they work for may still be staked.
fn orphans(shared: &Shared) {
    let stores = &shared.context.stores;
    let is_orphan = |pod: &std::sync::Arc<k8s_openapi::api::core::v1::Pod>| {
        OfferKey::of_labels(pod.as_ref())
            .is_some_and(|key| stores.offers.get(&key.namespace, &key.name).is_none())
    };
    let count = stores.pods.all().iter().filter(|pod| is_orphan(pod)).count();
    shared
        .context
        .metrics
        .units
        .orphans
        .with_label_values(&["pod"])
        .set(i64::try_from(count).unwrap_or(i64::MAX));
}

fn deals(shared: &Shared) {
    let series = &shared.context.metrics.deals;
    series.deals.reset();
    series.runway.reset();
    series.subnet_members.reset();
    let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
    for deal in shared.context.stores.deals.all() {
        let Some(offer) = OfferKey::of_labels(deal.as_ref()) else { continue };
        let status = deal.status.clone().unwrap_or_default();
        let Some(chain) = status.chain else { continue };
        *counts.entry((offer.path(), chain.state)).or_default() += 1;
        let address = deal.spec.deal_address.as_str();
        if let Some(epoch) = epoch_of(shared, &deal).filter(|_| chain.funded_until_epoch > 0) {
            series
                .runway
                .with_label_values(&[address])
                .set(chain.funded_until_epoch.saturating_sub(epoch));
        }
        if let Some(subnet) = status.subnet {
            series.subnet_members.with_label_values(&[address, "expected"]).set(subnet.expected);
            series.subnet_members.with_label_values(&[address, "reachable"]).set(subnet.reachable);
        }
    }
    for ((offer, state), count) in counts {
        series.deals.with_label_values(&[offer.as_str(), state.as_str()]).set(count);
    }
}

fn epoch_of(shared: &Shared, deal: &Deal) -> Option<i64> {
    let snapshot = shared.context.networks.get(&deal.spec.network)?.snapshot()?;
    i64::try_from(snapshot.epoch.0).ok()
}

fn offers(shared: &Shared) {
    let (units, money) = (&shared.context.metrics.units, &shared.context.metrics.money);
    units.units.reset();
    units.commitment_end.reset();
    money.collateral_at_risk.reset();
    money.earned.reset();
    money.withdrawn.reset();
    for offer in shared.context.stores.offers.all() {
        let path = OfferKey::of(&offer).path();
        let status = offer.status.clone().unwrap_or_default();
        if let Some(counts) = status.units {
            let roles = [
                ("prover", counts.proving),
                ("worker", counts.serving),
                ("spare", counts.spare),
                ("blocked", counts.blocked),
            ];
            for (role, count) in roles {
                units.units.with_label_values(&[path.as_str(), role]).set(count);
            }
        }
        if let Some(end) = status.commitments.and_then(|counts| counts.next_end_epoch) {
            units.commitment_end.with_label_values(&[path.as_str()]).set(end);
        }
        if let Some(economics) = status.economics {
            sums(money, &path, &economics);
        }
    }
}

/// Sums of an offer. A gauge takes no more than a floating number; the exact amounts are in status.
fn sums(money: &MoneyMetrics, offer: &str, economics: &Economics) {
    let number = |amount: &str| amount.parse().unwrap_or(0.0);
    let at_risk = number(&economics.at_risk);
    money.collateral_at_risk.with_label_values(&[offer, "FLT"]).set(at_risk);
    for earned in &economics.earned {
        let source =
            if earned.token == "FLT" { RewardSource::Commitment } else { RewardSource::Deal };
        let labels = [offer, earned.token.as_str(), source.name()];
        money.earned.with_label_values(&labels).set(number(&earned.total));
    }
    for withdrawn in &economics.withdrawn {
        let labels = [offer, withdrawn.token.as_str()];
        money.withdrawn.with_label_values(&labels).set(number(&withdrawn.total));
    }
}

/// Balances of the configured signers, in the native coin.
fn wallets(shared: &Shared) {
    for signer in &shared.context.config.signers {
        if let Some(balance) = balance(shared, &signer.network, signer.address) {
            let whole = money::flt(balance).parse().unwrap_or(0.0);
            let series = &shared.context.metrics.money.wallet_balance;
            series.with_label_values(&[signer.name.as_str(), "FLT"]).set(whole);
        }
    }
}

fn balance(shared: &Shared, network: &str, account: Address) -> Option<U256> {
    shared.context.networks.get(network)?.snapshot()?.wallets.get(&account).copied()
}

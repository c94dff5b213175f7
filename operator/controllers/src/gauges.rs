//! Series that show what the objects and the last snapshots say; set anew at every look, so that nothing outlives its object.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use coreward_crds::{
    ChainTransaction, CommitmentCounts, Condition, Deal, Economics, TransactionState,
};
use coreward_domain::condition::BREAKER;
use coreward_domain::money;
use kube::ResourceExt;
use prometheus::IntGaugeVec;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;

use crate::clock;
use crate::inventory::mismatches;
use crate::labels::OfferKey;
use crate::metrics::{MoneyMetrics, RewardSource};
use crate::outbox;
use crate::turn::Shared;

const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// Sets all of them.
pub fn set(shared: &Shared) {
    offers(shared, &deals(shared));
    wallets(shared);
    orphans(shared);
    breaker(shared);
    conditions(shared);
    waiting(shared);
    inventory(shared);
}

/// Whether units, identities and pods fit together.
fn inventory(shared: &Shared) {
    let stores = &shared.context.stores;
    let (units, identities, pods) =
        (stores.units.all(), stores.identities.all(), stores.pods.all());
    let found = mismatches(
        units.iter().map(AsRef::as_ref),
        identities.iter().map(AsRef::as_ref),
        pods.iter().map(AsRef::as_ref),
    );
    let series = &shared.context.metrics.units.inventory_mismatches;
    for (kind, count) in found.labelled() {
        series.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Labels of a series of conditions: kind, offer, type, status, reason.
type Labels = [String; 5];

/// What each object's conditions say, counted.
fn conditions(shared: &Shared) {
    let stores = &shared.context.stores;
    let mut counts = BTreeMap::new();
    for offer in stores.offers.all() {
        let said = offer.status.as_ref().map(|status| status.conditions.as_slice());
        count(&mut counts, ("ProviderOffer", &OfferKey::of(&offer)), said.unwrap_or_default());
    }
    for unit in stores.units.all() {
        let said = unit.status.as_ref().map(|status| status.conditions.as_slice());
        let namespace = unit.namespace().unwrap_or_default();
        let offer = OfferKey { namespace, name: unit.spec.offer_ref.name.clone() };
        count(&mut counts, ("CapacityUnit", &offer), said.unwrap_or_default());
    }
    for deal in stores.deals.all() {
        let Some(offer) = OfferKey::of_labels(deal.as_ref()) else { continue };
        let said = deal.status.as_ref().map(|status| status.conditions.as_slice());
        count(&mut counts, ("Deal", &offer), said.unwrap_or_default());
    }
    show(&shared.context.metrics.conditions, &counts);
}

fn count(
    counts: &mut BTreeMap<Labels, i64>,
    (kind, offer): (&str, &OfferKey),
    conditions: &[Condition],
) {
    for said in conditions {
        let status = format!("{:?}", said.status);
        let labels =
            [kind.to_owned(), offer.path(), said.type_.clone(), status, said.reason.clone()];
        *counts.entry(labels).or_default() += 1;
    }
}

/// Sets what is counted and drops what no longer is. Never empty in between: an alert would begin its wait anew.
fn show(series: &IntGaugeVec, counts: &BTreeMap<Labels, i64>) {
    for (labels, count) in counts {
        series.with_label_values(&labels.each_ref().map(String::as_str)).set(*count);
    }
    for metric in series.collect().iter().flat_map(MetricFamily::get_metric) {
        let value = |name: &str| {
            let pair = metric.get_label().iter().find(|pair| pair.name() == name);
            pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
        };
        let labels = ["kind", "offer", "type", "status", "reason"].map(value);
        if !counts.contains_key(&labels) {
            // Nobody else removes it.
            let _ = series.remove_label_values(&labels.each_ref().map(String::as_str));
        }
    }
}

/// How long each signer's oldest transaction waits for a block.
fn waiting(shared: &Shared) {
    let transactions = shared.context.stores.transactions.all();
    let now = clock::wall();
    for signer in &shared.context.config.signers {
        let account = signer.address.to_string();
        let own = transactions.iter().filter(|transaction| {
            transaction.spec.network == signer.network && transaction.spec.from == account
        });
        let oldest = own.filter_map(|transaction| waits_since(transaction)).min();
        let seconds = oldest.map_or(0, |since| now.as_second().saturating_sub(since).max(0));
        let series = &shared.context.metrics.transactions.waiting;
        series.with_label_values(&[signer.name.as_str()]).set(seconds);
    }
}

/// When a transaction that is in no block was made, by the API server's clock; `None` for any other.
fn waits_since(transaction: &ChainTransaction) -> Option<i64> {
    let state = transaction.status.as_ref().and_then(|status| status.state).unwrap_or_default();
    let waits = matches!(state, TransactionState::Signed | TransactionState::Sent);
    let made = transaction.metadata.creation_timestamp.as_ref().filter(|_| waits)?;
    Some(made.0.as_second())
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
    let is_orphan = |pod: &std::sync::Arc<crate::pods::Pod>| {
        OfferKey::of_labels(pod.as_ref()).is_some_and(|key| stores.offer(&key).is_none())
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

/// Sets the series of deals; says how many workers each offer has in them.
fn deals(shared: &Shared) -> BTreeMap<String, i64> {
    let series = &shared.context.metrics.deals;
    series.deals.reset();
    series.runway.reset();
    series.subnet_members.reset();
    let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut seats: BTreeMap<String, i64> = BTreeMap::new();
    for deal in shared.context.stores.deals.all() {
        let Some(offer) = OfferKey::of_labels(deal.as_ref()) else { continue };
        let status = deal.status.clone().unwrap_or_default();
        let Some(chain) = status.chain else { continue };
        *seats.entry(offer.path()).or_default() += chain.workers.ours;
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
    seats
}

fn epoch_of(shared: &Shared, deal: &Deal) -> Option<i64> {
    let snapshot = shared.context.networks.get(&deal.spec.network)?.snapshot()?;
    i64::try_from(snapshot.epoch.0).ok()
}

fn offers(shared: &Shared, seats: &BTreeMap<String, i64>) {
    let (units, money) = (&shared.context.metrics.units, &shared.context.metrics.money);
    units.units.reset();
    units.commitment_end.reset();
    units.obligations.reset();
    money.withdrawal_waiting.reset();
    money.collateral_at_risk.reset();
    money.earned.reset();
    money.withdrawn.reset();
    money.slashed.reset();
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
        if let Some(counts) = status.commitments {
            for (kind, count) in obligations(&counts, seats.get(&path).copied()) {
                units.obligations.with_label_values(&[path.as_str(), kind]).set(count);
            }
            if let Some(end) = counts.next_end_epoch {
                units.commitment_end.with_label_values(&[path.as_str()]).set(end);
            }
        }
        if let Some(waiting) = shared.memory.withdrawal_waiting(&path, clock::now()) {
            let seconds = i64::try_from(waiting.as_secs()).unwrap_or(i64::MAX);
            money.withdrawal_waiting.with_label_values(&[path.as_str()]).set(seconds);
        }
        if let Some(economics) = status.economics {
            sums(money, &path, &economics);
        }
    }
}

/// What an offer has taken on and is not over: commitments, also before their first epoch, and workers of deals.
fn obligations(counts: &CommitmentCounts, workers: Option<i64>) -> [(&'static str, i64); 2] {
    let commitments = counts.active.saturating_add(counts.pending);
    [("commitment", commitments), ("worker", workers.unwrap_or(0))]
}

/// Sums of an offer. A gauge takes no more than a floating number; the exact amounts are in status.
fn sums(money: &MoneyMetrics, offer: &str, economics: &Economics) {
    let number = |amount: &str| amount.parse().unwrap_or(0.0);
    let at_risk = number(&economics.at_risk);
    money.collateral_at_risk.with_label_values(&[offer, "FLT"]).set(at_risk);
    money.slashed.with_label_values(&[offer, "FLT"]).set(number(&economics.slashed));
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

/// Balances of the configured signers, in the native coin, and how long they last.
fn wallets(shared: &Shared) {
    let money = &shared.context.metrics.money;
    let (kept, now) = (shared.context.stores.transactions.all(), clock::wall());
    money.wallet_runway.reset();
    for signer in &shared.context.config.signers {
        let Some(balance) = balance(shared, &signer.network, signer.address) else { continue };
        let labels = [signer.name.as_str()];
        let whole = |amount| money::flt(amount).parse().unwrap_or(0.0);
        money.wallet_balance.with_label_values(&[labels[0], "FLT"]).set(whole(balance));
        let account = BTreeSet::from([signer.address]);
        let kept = kept.iter().map(AsRef::as_ref);
        let spent = outbox::spent_in_a_day(kept, (&signer.network, &account), now);
        // What costs nothing lasts for ever: there is no number for that.
        if !spent.is_zero() {
            let days: f64 = whole(balance) / whole(spent);
            money.wallet_runway.with_label_values(&labels).set(days * SECONDS_OF_A_DAY);
        }
    }
}

fn balance(shared: &Shared, network: &str, account: Address) -> Option<U256> {
    shared.context.networks.get(network)?.snapshot()?.wallets.get(&account).copied()
}

#[cfg(test)]
mod tests {
    use coreward_crds::{ChainTransactionSpec, ChainTransactionStatus, ConditionStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use prometheus::{Registry, TextEncoder};

    use super::*;
    use crate::metrics::Metrics;

    fn condition(kind: &str, status: ConditionStatus, reason: &str) -> Condition {
        Condition {
            type_: kind.into(),
            status,
            observed_generation: 1,
            last_transition_time: String::new(),
            reason: reason.into(),
            message: String::new(),
        }
    }

    #[test]
    fn conditions_are_counted_and_leave_with_their_object() {
        let registry = Registry::new();
        let series = Metrics::register(&registry).unwrap().conditions;
        let page = || {
            let page = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
            page.lines().filter(|line| line.starts_with("conditions{")).map(str::to_owned).collect()
        };
        let offer = OfferKey { namespace: "provider".into(), name: "fra1".into() };
        let late = condition("AtRisk", ConditionStatus::True, "EpochWillBeMissed");
        let well = condition("AtRisk", ConditionStatus::False, "OnTrack");

        let mut counts = BTreeMap::new();
        for said in [&late, &late, &well] {
            count(&mut counts, ("CapacityUnit", &offer), std::slice::from_ref(said));
        }
        show(&series, &counts);
        let told: Vec<String> = page();
        let of = r#"conditions{kind="CapacityUnit",offer="provider/fra1""#;
        assert_eq!(
            told,
            [
                format!(r#"{of},reason="EpochWillBeMissed",status="True",type="AtRisk"}} 2"#),
                format!(r#"{of},reason="OnTrack",status="False",type="AtRisk"}} 1"#),
            ]
        );

        let mut counts = BTreeMap::new();
        count(&mut counts, ("CapacityUnit", &offer), &[well]);
        show(&series, &counts);
        let told: Vec<String> = page();
        assert_eq!(told, [format!(r#"{of},reason="OnTrack",status="False",type="AtRisk"}} 1"#)]);
    }

    #[test]
    fn what_has_failed_is_no_obligation_and_what_waits_is() {
        let counts =
            CommitmentCounts { active: 2, pending: 1, failed: 4, ..CommitmentCounts::default() };
        assert_eq!(obligations(&counts, Some(5)), [("commitment", 3), ("worker", 5)]);
        assert_eq!(obligations(&counts, None), [("commitment", 3), ("worker", 0)]);
    }

    #[rstest::rstest]
    #[case::before_the_first_look(None, Some(7))]
    #[case::kept(Some(TransactionState::Signed), Some(7))]
    #[case::sent(Some(TransactionState::Sent), Some(7))]
    #[case::in_a_block(Some(TransactionState::Mined), None)]
    #[case::over(Some(TransactionState::Displaced), None)]
    fn only_what_is_in_no_block_waits(
        #[case] state: Option<TransactionState>,
        #[case] since: Option<i64>,
    ) {
        let spec = ChainTransactionSpec {
            network: "local".into(),
            from: String::new(),
            nonce: 1,
            function: String::new(),
            contract: String::new(),
            arguments: String::new(),
            why: String::new(),
            intent: String::new(),
            raw_transaction: String::new(),
            transaction_hash: String::new(),
            gas_limit: 1,
            max_fee_per_gas: String::new(),
        };
        let mut transaction = ChainTransaction::new("local-1", spec);
        transaction.metadata.creation_timestamp =
            Some(Time(jiff::Timestamp::from_second(7).unwrap()));
        transaction.status = Some(ChainTransactionStatus { state, ..Default::default() });
        assert_eq!(waits_since(&transaction), since);
    }
}

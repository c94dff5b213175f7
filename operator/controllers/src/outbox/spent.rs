//! What transactions have cost today.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use coreward_crds::ChainTransaction;
use jiff::Timestamp;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Wei that these accounts' transactions have cost since midnight UTC, by the receipts of those that are kept.
#[must_use]
pub fn spent_today<'kept>(
    kept: impl Iterator<Item = &'kept ChainTransaction>,
    (network, accounts): (&str, &BTreeSet<Address>),
    now: Timestamp,
) -> U256 {
    let midnight = now.as_second().div_euclid(DAY) * DAY;
    spent_since(kept, (network, accounts), midnight)
}

/// The same of the last 24 hours.
#[must_use]
pub fn spent_in_a_day<'kept>(
    kept: impl Iterator<Item = &'kept ChainTransaction>,
    (network, accounts): (&str, &BTreeSet<Address>),
    now: Timestamp,
) -> U256 {
    spent_since(kept, (network, accounts), now.as_second() - DAY)
}

fn spent_since<'kept>(
    kept: impl Iterator<Item = &'kept ChainTransaction>,
    (network, accounts): (&str, &BTreeSet<Address>),
    since: i64,
) -> U256 {
    let is_meant = |transaction: &&ChainTransaction| {
        let begun = transaction.metadata.creation_timestamp.as_ref();
        let from = transaction.spec.from.parse::<Address>();
        transaction.spec.network == network
            && from.is_ok_and(|from| accounts.contains(&from))
            && begun.is_some_and(|begun| begun.0.as_second() >= since)
    };
    kept.filter(is_meant).map(cost).fold(U256::ZERO, U256::saturating_add)
}

/// Wei that a transaction has cost; nothing before it is in a block.
fn cost(transaction: &ChainTransaction) -> U256 {
    let receipt = transaction.status.as_ref().and_then(|status| status.receipt.as_ref());
    let cost = receipt.and_then(|receipt| {
        let price: U256 = receipt.effective_gas_price.parse().ok()?;
        price.checked_mul(U256::from(u64::try_from(receipt.gas_used).ok()?))
    });
    cost.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const OURS: Address = Address::repeat_byte(0xa1);

    fn transaction(network: &str, from: Address, begun: &str, price: &str) -> ChainTransaction {
        let hash = format!("0x{}", "11".repeat(32));
        serde_json::from_value(json!({
            "metadata": { "name": "it", "creationTimestamp": begun },
            "spec": {
                "network": network, "from": from, "nonce": 1, "function": "transfer",
                "contract": "", "arguments": "", "why": "", "intent": "", "rawTransaction": "0x",
                "transactionHash": hash, "gasLimit": 1, "maxFeePerGas": "1",
            },
            "status": { "receipt": {
                "transactionHash": hash, "block": 7, "blockHash": hash, "outcome": "Succeeded",
                "gasUsed": 1000, "effectiveGasPrice": price,
            } },
        }))
        .unwrap()
    }

    #[rstest]
    #[case::of_today("local", OURS, "2026-05-02T00:00:00Z", "3", 3000)]
    #[case::of_yesterday("local", OURS, "2026-05-01T23:59:59Z", "3", 0)]
    #[case::of_another("local", Address::ZERO, "2026-05-02T01:00:00Z", "3", 0)]
    #[case::of_another_network("main", OURS, "2026-05-02T01:00:00Z", "3", 0)]
    fn only_todays_transactions_of_these_accounts_count(
        #[case] network: &str,
        #[case] from: Address,
        #[case] begun: &str,
        #[case] price: &str,
        #[case] wei: u64,
    ) {
        let kept = [transaction(network, from, begun, price)];
        let now = "2026-05-02T23:59:59Z".parse().unwrap();
        let spent = spent_today(kept.iter(), ("local", &BTreeSet::from([OURS])), now);
        assert_eq!(spent, U256::from(wei));
    }

    #[rstest]
    #[case::an_hour_ago("2026-05-02T11:00:00Z", 5000)]
    #[case::yesterday_evening("2026-05-01T23:00:00Z", 5000)]
    #[case::a_day_and_a_second_ago("2026-05-01T11:59:59Z", 0)]
    fn the_last_day_does_not_end_at_midnight(#[case] begun: &str, #[case] wei: u64) {
        let kept = [transaction("local", OURS, begun, "5")];
        let now = "2026-05-02T12:00:00Z".parse().unwrap();
        let spent = spent_in_a_day(kept.iter(), ("local", &BTreeSet::from([OURS])), now);
        assert_eq!(spent, U256::from(wei));
    }

    #[test]
    fn what_is_in_no_block_has_cost_nothing() {
        let mut waiting = transaction("local", OURS, "2026-05-02T01:00:00Z", "3");
        waiting.status = None;
        let mined = transaction("local", OURS, "2026-05-02T01:00:00Z", "5");
        let kept = [waiting, mined];
        let now = "2026-05-02T02:00:00Z".parse().unwrap();
        let spent = spent_today(kept.iter(), ("local", &BTreeSet::from([OURS])), now);
        assert_eq!(spent, U256::from(5000));
    }
}

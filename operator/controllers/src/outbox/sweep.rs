//! Removes transactions that ended long ago, so that the journal does not grow without end.

use std::collections::BTreeMap;
use std::sync::Arc;

use coreward_crds::{ChainTransaction, TransactionState};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Preconditions};

use crate::context::Context;

/// Transactions of an account that are kept after their end. The highest nonce is always among them: it is the memory of
/// which nonces were used.
const KEPT: usize = 256;

/// Removes what is beyond the bound; a failure is left to the next sweep.
pub async fn sweep(context: &Context) {
    let api: Api<ChainTransaction> = Api::namespaced(context.client.clone(), &context.namespace);
    for transaction in superfluous(context.stores.transactions.all()) {
        if !context.leadership.may_send() {
            return;
        }
        let preconditions = Preconditions {
            resource_version: transaction.resource_version(),
            uid: transaction.uid(),
        };
        let parameters =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        if let Err(error) = api.delete(&transaction.name_any(), &parameters).await {
            let error = coreward_telemetry::causes(&error);
            tracing::debug!(transaction.name = transaction.name_any(), error = %error, "not swept");
        }
    }
}

fn superfluous(all: Vec<Arc<ChainTransaction>>) -> Vec<Arc<ChainTransaction>> {
    let mut accounts: BTreeMap<(String, String), Vec<Arc<ChainTransaction>>> = BTreeMap::new();
    for transaction in all {
        let account =
            (transaction.spec.network.clone(), transaction.spec.from.to_ascii_lowercase());
        accounts.entry(account).or_default().push(transaction);
    }
    let mut superfluous = Vec::new();
    for mut transactions in accounts.into_values() {
        transactions.sort_by_key(|transaction| std::cmp::Reverse(transaction.spec.nonce));
        // A human is told of a stranger on the key by this one, and says by deleting it that the key is ours alone.
        let alarm = transactions.iter().position(|transaction| is_displaced(transaction));
        let beyond = transactions.into_iter().enumerate().skip(KEPT);
        superfluous.extend(
            beyond
                .filter(|(place, transaction)| Some(*place) != alarm && has_ended(transaction))
                .map(|(_, transaction)| transaction),
        );
    }
    superfluous
}

/// Whether a transaction that is not ours took the nonce of this one.
#[must_use]
pub fn is_displaced(transaction: &ChainTransaction) -> bool {
    let state = transaction.status.as_ref().and_then(|status| status.state);
    state == Some(TransactionState::Displaced)
}

fn has_ended(transaction: &ChainTransaction) -> bool {
    let state = transaction.status.as_ref().and_then(|status| status.state);
    matches!(
        state,
        Some(
            TransactionState::Final
                | TransactionState::Replaced
                | TransactionState::Cancelled
                | TransactionState::Displaced
        )
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const OURS: (&str, &str) = ("local", "0x00000000000000000000000000000000000000a1");
    const IN_CAPITALS: (&str, &str) = ("local", "0x00000000000000000000000000000000000000A1");
    const ANOTHER: (&str, &str) = ("local", "0x00000000000000000000000000000000000000b2");
    const ELSEWHERE: (&str, &str) = ("main", OURS.1);

    fn transaction(
        (network, from): (&str, &str),
        nonce: u64,
        state: &str,
    ) -> Arc<ChainTransaction> {
        let hash = format!("0x{}", "11".repeat(32));
        let status = if state.is_empty() { json!({}) } else { json!({ "state": state }) };
        let transaction = serde_json::from_value(json!({
            "metadata": { "name": format!("{network}-{from}-{nonce}") },
            "spec": {
                "network": network, "from": from, "nonce": nonce, "function": "transfer",
                "contract": "", "arguments": "", "why": "", "intent": "", "rawTransaction": "0x",
                "transactionHash": hash, "gasLimit": 1, "maxFeePerGas": "1",
            },
            "status": status,
        }));
        Arc::new(transaction.unwrap())
    }

    /// So many of an account, from nonce 0 on; `Final` but where another state is told.
    fn kept(
        account: (&str, &str),
        count: u64,
        others: &[(u64, &str)],
    ) -> Vec<Arc<ChainTransaction>> {
        let others: BTreeMap<u64, &str> = others.iter().copied().collect();
        let state = |nonce| others.get(&nonce).copied().unwrap_or("Final");
        (0..count).map(|nonce| transaction(account, nonce, state(nonce))).collect()
    }

    #[rstest]
    #[case::as_many_as_are_kept(vec![kept(OURS, 256, &[])], &[])]
    #[case::one_more(vec![kept(OURS, 257, &[])], &[0])]
    #[case::three_more_and_never_the_highest(vec![kept(OURS, 259, &[])], &[0, 1, 2])]
    #[case::whatever_its_end(vec![kept(OURS, 259, &[(0, "Cancelled"), (1, "Replaced")])], &[0, 1, 2])]
    #[case::one_not_sent_stays(vec![kept(OURS, 259, &[(1, "Signed")])], &[0, 2])]
    #[case::one_under_way_stays(vec![kept(OURS, 259, &[(1, "Sent")])], &[0, 2])]
    #[case::one_not_final_stays(vec![kept(OURS, 259, &[(1, "Mined")])], &[0, 2])]
    #[case::one_never_looked_at_stays(vec![kept(OURS, 259, &[(1, "")])], &[0, 2])]
    #[case::the_alarm_stays(vec![kept(OURS, 259, &[(1, "Displaced")])], &[0, 2])]
    #[case::a_newer_alarm_stays(vec![kept(OURS, 259, &[(0, "Displaced"), (1, "Displaced")])], &[0, 2])]
    #[case::another_among_those_that_are_kept_is_the_alarm(vec![kept(OURS, 259, &[(1, "Displaced"), (200, "Displaced")])], &[0, 1, 2])]
    #[case::two_accounts(vec![kept(OURS, 256, &[]), kept(ANOTHER, 256, &[])], &[])]
    #[case::an_account_on_two_networks(vec![kept(OURS, 256, &[]), kept(ELSEWHERE, 256, &[])], &[])]
    #[case::each_account_by_itself(vec![kept(OURS, 257, &[(0, "Sent")]), kept(ANOTHER, 257, &[])], &[0])]
    #[case::an_account_in_two_spellings(vec![kept(IN_CAPITALS, 1, &[]), kept(OURS, 257, &[])[1..].to_vec()], &[0])]
    fn only_what_ended_beyond_the_bound_goes(
        #[case] accounts: Vec<Vec<Arc<ChainTransaction>>>,
        #[case] nonces: &[i64],
    ) {
        // Whatever order a list has.
        for turned in [false, true] {
            let mut all: Vec<_> = accounts.iter().flatten().cloned().collect();
            if turned {
                all.reverse();
            }
            let mut gone: Vec<_> =
                superfluous(all).iter().map(|transaction| transaction.spec.nonce).collect();
            gone.sort_unstable();
            assert_eq!(gone, nonces);
        }
    }
}

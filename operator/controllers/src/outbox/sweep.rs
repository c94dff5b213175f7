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

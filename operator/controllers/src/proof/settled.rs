//! Which proofs the chain has named, from our own transactions that are final.

use coreward_crds::{ChainTransaction, TransactionOutcome, TransactionState};
use coreward_domain::call::Call;
use coreward_domain::epoch::Epoch;
use coreward_domain::proof::Fate;

use crate::context::Context;
use crate::outbox::call_of;

/// Marks proofs of an epoch that a final transaction carried: accepted or flagged, the chain is done with them.
pub(super) fn mark(context: &Context, network: &str, epoch: Epoch) {
    let Some(handle) = context.networks.get(network) else { return };
    let diamond = handle.network().contracts.diamond;
    for transaction in context.stores.transactions.all() {
        if transaction.spec.network != network || !is_settled(&transaction) {
            continue;
        }
        if let Some(Call::SubmitProofs { epoch: of, proofs, .. }) = call_of(&transaction, diamond)
            && of == epoch
        {
            context.proofs.mark(&proofs, epoch, Fate::Settled);
        }
    }
}

fn is_settled(transaction: &ChainTransaction) -> bool {
    let Some(status) = &transaction.status else { return false };
    transaction.spec.function == "submitProofs"
        && status.state == Some(TransactionState::Final)
        && status.receipt.as_ref().is_some_and(|receipt| receipt.outcome == TransactionOutcome::Succeeded)
}

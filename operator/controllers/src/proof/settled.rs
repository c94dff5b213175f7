//! Which proofs the chain has named, from our own transactions that are final.

use std::sync::Arc;

use coreward_chain::effect::Effect;
use coreward_chain::outbox::State;
use coreward_crds::{ChainTransaction, TransactionOutcome, TransactionState};
use coreward_domain::call::Call;
use coreward_domain::epoch::Epoch;
use coreward_domain::proof::Fate;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::observe;
use crate::context::Context;
use crate::metrics::ProofResult;
use crate::outbox::{Moved, call_of};

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
        && status
            .receipt
            .as_ref()
            .is_some_and(|receipt| receipt.outcome == TransactionOutcome::Succeeded)
}

/// Counts the proofs that transactions brought since the last look.
pub(super) fn count(context: &Context, news: &mut Receiver<Arc<Moved>>) {
    let mut peers = None;
    loop {
        let moved = match news.try_recv() {
            Ok(moved) => moved,
            // Some are not counted: a metric may lose what the chain keeps.
            Err(TryRecvError::Lagged(_)) => continue,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        };
        let Call::SubmitProofs { peer, .. } = &moved.change.call else { continue };
        if !matches!(moved.change.state, State::Final(_)) {
            continue;
        }
        let peers = peers.get_or_insert_with(|| observe::peers(context));
        let Some(proving) = peers.iter().find(|proving| proving.id == *peer) else { continue };
        for (wanted, result) in [(true, ProofResult::Accepted), (false, ProofResult::Refused)] {
            let of_result = |effect: &&Effect| matches!(effect, Effect::Proof { accepted, .. } if *accepted == wanted);
            let proofs = moved.change.effects.iter().filter(of_result).count();
            context.metrics.proofs.ended(&proving.path(), result, proofs as u64);
        }
    }
}

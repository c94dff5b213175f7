//! Whether the collateral of a commitment came back: no view of the contract tells, so what was sent must.

use std::sync::Arc;

use coreward_crds::{ChainTransaction, TransactionOutcome, TransactionState};
use coreward_domain::id::CommitmentId;

use crate::identity::PeerIdentity;

/// Whether a withdrawal was mined: the outbox' objects say so until they are swept, the peer's identity from when that is final.
pub(super) fn is_back(
    identity: &PeerIdentity,
    transactions: &[Arc<ChainTransaction>],
    id: CommitmentId,
) -> bool {
    identity.collateral_back == Some(id) || withdrawals(transactions, id).next().is_some()
}

/// Whether that is final, and the identity does not say so yet.
pub(super) fn is_to_be_kept(
    identity: &PeerIdentity,
    transactions: &[Arc<ChainTransaction>],
    id: CommitmentId,
) -> bool {
    let is_final = |transaction: &ChainTransaction| {
        let state = transaction.status.as_ref().and_then(|status| status.state);
        state == Some(TransactionState::Final)
    };
    identity.collateral_back != Some(id) && withdrawals(transactions, id).any(is_final)
}

fn withdrawals(
    transactions: &[Arc<ChainTransaction>],
    id: CommitmentId,
) -> impl Iterator<Item = &ChainTransaction> {
    let text = id.to_string();
    transactions.iter().map(AsRef::as_ref).filter(move |transaction| {
        let receipt = transaction.status.as_ref().and_then(|status| status.receipt.as_ref());
        transaction.spec.function == "withdrawCollateral"
            && transaction.spec.raw_transaction.contains(text.trim_start_matches("0x"))
            && receipt.is_some_and(|receipt| receipt.outcome == TransactionOutcome::Succeeded)
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;
    use crate::identity::{COLLATERAL_BACK, secret};
    use crate::labels::OfferKey;

    const ID: CommitmentId = CommitmentId(B256::repeat_byte(0xcc));
    const OTHER: CommitmentId = CommitmentId(B256::repeat_byte(0xdd));

    fn identity(keeps: Option<CommitmentId>) -> PeerIdentity {
        let key = OfferKey { namespace: "provider".into(), name: "fra1".into() };
        let mut secret = secret(&key, ("n1", 0), None, [1; 32]);
        let kept = keeps.map(|id| (COLLATERAL_BACK.to_owned(), id.to_string()));
        secret.annotations_mut().extend(kept);
        PeerIdentity::read(&secret).unwrap()
    }

    fn sent(function: &str, state: &str, outcome: &str) -> Arc<ChainTransaction> {
        let hash = B256::ZERO.to_string();
        let transaction = json!({
            "metadata": { "name": "local-1" },
            "spec": {
                "network": "local", "from": "", "nonce": 1, "function": function, "contract": "", "arguments": "",
                "why": "", "intent": "", "rawTransaction": format!("0x02f8{}", hex::encode(ID.0)),
                "transactionHash": hash, "gasLimit": 1, "maxFeePerGas": "1",
            },
            "status": {
                "state": state,
                "receipt": {
                    "transactionHash": hash, "block": 7, "blockHash": hash, "outcome": outcome, "gasUsed": 1,
                    "effectiveGasPrice": "1",
                },
            },
        });
        Arc::new(serde_json::from_value(transaction).unwrap())
    }

    const WITHDRAWAL: &str = "withdrawCollateral";

    #[rstest::rstest]
    #[case::nothing_was_sent(None, vec![], (false, false))]
    #[case::it_was_mined(None, vec![sent(WITHDRAWAL, "Mined", "Succeeded")], (true, false))]
    #[case::it_is_final(None, vec![sent(WITHDRAWAL, "Final", "Succeeded")], (true, true))]
    #[case::it_is_final_and_kept(Some(ID), vec![sent(WITHDRAWAL, "Final", "Succeeded")], (true, false))]
    #[case::it_was_swept(Some(ID), vec![], (true, false))]
    #[case::that_of_the_commitment_before(Some(OTHER), vec![], (false, false))]
    #[case::it_was_turned_back(None, vec![sent(WITHDRAWAL, "Final", "Reverted")], (false, false))]
    #[case::another_call(None, vec![sent("finishCommitment", "Final", "Succeeded")], (false, false))]
    fn collateral_that_came_back_is_known_for_good(
        #[case] keeps: Option<CommitmentId>,
        #[case] sent: Vec<Arc<ChainTransaction>>,
        #[case] (back, to_be_kept): (bool, bool),
    ) {
        let identity = identity(keeps);
        assert_eq!(
            (is_back(&identity, &sent, ID), is_to_be_kept(&identity, &sent, ID)),
            (back, to_be_kept)
        );
    }
}

//! Between the outbox's records and `ChainTransaction` objects.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use coreward_chain::outbox::{Attempt, Entry, Purpose, Receipt, Record, State};
use coreward_crds::{
    AttemptPurpose, ChainTransaction, ChainTransactionSpec, ChainTransactionStatus,
    TransactionAttempt, TransactionOutcome, TransactionReceipt, TransactionState,
};

/// What an object says that no record of ours can say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} of transaction `{name}` does not read")]
pub struct Unreadable {
    /// The object.
    pub name: String,
    /// The field.
    pub field: &'static str,
}

/// Longest text that a status takes.
const TEXT: usize = 1024;

/// The object of a new record.
pub(super) fn to_object(
    record: &Record,
    namespace: &str,
    contracts: coreward_chain::Contracts,
) -> ChainTransaction {
    let call = record.call(contracts.diamond).ok();
    let contract =
        call.as_ref().and_then(coreward_domain::call::Call::deal).unwrap_or(contracts.diamond);
    // What calldata does not say is plain data: the serializer has nothing to refuse.
    let arguments = serde_json::to_string(&record.unsaid).unwrap_or_default();
    let spec = ChainTransactionSpec {
        network: record.network.clone(),
        from: record.address.to_string(),
        nonce: whole(record.nonce),
        function: record.function.clone(),
        contract: contract.to_string(),
        intent: intent(record, call.as_ref()).to_string(),
        arguments,
        why: record.why.chars().take(250).collect(),
        raw_transaction: record.first.raw.to_string(),
        transaction_hash: record.first.hash.to_string(),
        gas_limit: whole(record.first.gas_limit()),
        max_fee_per_gas: record.first.max_fee_per_gas.to_string(),
    };
    let mut object = ChainTransaction::new(&record.name(), spec);
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.labels = Some(
        [(crate::stores::MANAGED_LABEL.to_owned(), crate::stores::MANAGED_VALUE.to_owned())].into(),
    );
    object
}

/// The same for the same wish, whatever the nonce and the fee.
fn intent(record: &Record, call: Option<&coreward_domain::call::Call>) -> B256 {
    call.map_or_else(|| keccak256(&record.first.raw), |call| keccak256(format!("{call:?}")))
}

/// The record of an object.
pub(super) fn from_object(object: &ChainTransaction) -> Result<Entry, Unreadable> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let unreadable = |field| Unreadable { name: name.clone(), field };
    let spec = &object.spec;
    let first = Attempt {
        purpose: Purpose::Intent,
        raw: bytes(&spec.raw_transaction).ok_or_else(|| unreadable("spec.rawTransaction"))?,
        hash: parsed(&spec.transaction_hash).ok_or_else(|| unreadable("spec.transactionHash"))?,
        max_fee_per_gas: parsed(&spec.max_fee_per_gas)
            .ok_or_else(|| unreadable("spec.maxFeePerGas"))?,
    };
    let record = Record {
        network: spec.network.clone(),
        address: parsed::<Address>(&spec.from).ok_or_else(|| unreadable("spec.from"))?,
        nonce: u64::try_from(spec.nonce).map_err(|_| unreadable("spec.nonce"))?,
        function: spec.function.clone(),
        why: spec.why.clone(),
        unsaid: serde_json::from_str(&spec.arguments).map_err(|_| unreadable("spec.arguments"))?,
        first,
    };
    let status = object.status.clone().unwrap_or_default();
    let further = status.attempts.iter().map(from_attempt).collect::<Option<Vec<_>>>();
    let state = from_status(&status);
    Ok(Entry {
        record,
        further: further.ok_or_else(|| unreadable("status.attempts"))?,
        state: state.ok_or_else(|| unreadable("status.receipt"))?,
        version: object.metadata.resource_version.clone().unwrap_or_default(),
    })
}

/// The status of an entry.
pub(super) fn to_status(further: &[Attempt], state: &State) -> ChainTransactionStatus {
    let receipt = match state {
        State::Signed | State::Sent | State::Displaced => None,
        State::Mined(receipt)
        | State::Final(receipt)
        | State::Cancelled(receipt)
        | State::Replaced(receipt) => Some(to_receipt(receipt)),
    };
    ChainTransactionStatus {
        observed_generation: Some(1),
        state: Some(match state {
            State::Signed => TransactionState::Signed,
            State::Sent => TransactionState::Sent,
            State::Mined(_) => TransactionState::Mined,
            State::Final(_) => TransactionState::Final,
            State::Cancelled(_) => TransactionState::Cancelled,
            State::Replaced(_) => TransactionState::Replaced,
            State::Displaced => TransactionState::Displaced,
        }),
        attempts: further.iter().map(to_attempt).collect(),
        receipt,
        conditions: Vec::new(),
    }
}

fn from_status(status: &ChainTransactionStatus) -> Option<State> {
    let receipt = || from_receipt(status.receipt.as_ref()?);
    Some(match status.state.unwrap_or_default() {
        TransactionState::Signed => State::Signed,
        TransactionState::Sent => State::Sent,
        TransactionState::Mined => State::Mined(receipt()?),
        TransactionState::Final => State::Final(receipt()?),
        TransactionState::Cancelled => State::Cancelled(receipt()?),
        TransactionState::Replaced => State::Replaced(receipt()?),
        TransactionState::Displaced => State::Displaced,
    })
}

fn to_attempt(attempt: &Attempt) -> TransactionAttempt {
    TransactionAttempt {
        purpose: match attempt.purpose {
            Purpose::Intent | Purpose::HigherFee => AttemptPurpose::HigherFee,
            Purpose::Cancel => AttemptPurpose::Cancel,
        },
        raw_transaction: attempt.raw.to_string(),
        transaction_hash: attempt.hash.to_string(),
        max_fee_per_gas: attempt.max_fee_per_gas.to_string(),
    }
}

fn from_attempt(attempt: &TransactionAttempt) -> Option<Attempt> {
    Some(Attempt {
        purpose: match attempt.purpose {
            AttemptPurpose::HigherFee => Purpose::HigherFee,
            AttemptPurpose::OtherIntent | AttemptPurpose::Cancel => Purpose::Cancel,
        },
        raw: bytes(&attempt.raw_transaction)?,
        hash: parsed(&attempt.transaction_hash)?,
        max_fee_per_gas: parsed(&attempt.max_fee_per_gas)?,
    })
}

fn to_receipt(receipt: &Receipt) -> TransactionReceipt {
    TransactionReceipt {
        transaction_hash: receipt.hash.to_string(),
        block: whole(receipt.block),
        block_hash: receipt.block_hash.to_string(),
        outcome: if receipt.succeeded {
            TransactionOutcome::Succeeded
        } else {
            TransactionOutcome::Reverted
        },
        revert: receipt.revert.as_ref().map(|words| words.chars().take(TEXT).collect()),
        gas_used: whole(receipt.gas_used),
        effective_gas_price: U256::from(receipt.effective_gas_price).to_string(),
        accepted_proofs: receipt.accepted_proofs.map(whole),
        refused_proofs: receipt.refused_proofs.map(whole),
    }
}

fn from_receipt(receipt: &TransactionReceipt) -> Option<Receipt> {
    Some(Receipt {
        hash: parsed(&receipt.transaction_hash)?,
        block: u64::try_from(receipt.block).ok()?,
        block_hash: parsed(&receipt.block_hash)?,
        succeeded: receipt.outcome == TransactionOutcome::Succeeded,
        revert: receipt.revert.clone(),
        gas_used: u64::try_from(receipt.gas_used).ok()?,
        effective_gas_price: parsed(&receipt.effective_gas_price)?,
        accepted_proofs: receipt.accepted_proofs.map(u64::try_from).transpose().ok()?,
        refused_proofs: receipt.refused_proofs.map(u64::try_from).transpose().ok()?,
    })
}

fn parsed<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn bytes(text: &str) -> Option<Bytes> {
    text.parse().ok()
}

/// The API has signed integers only; what does not fit is beyond any chain.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

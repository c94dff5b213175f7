//! What is kept of a transaction, and where.

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, hex};
use coreward_domain::call::Call;

use crate::decode::{DecodeError, decode};
use crate::encode::{Encoded, Unsaid};

/// A transaction as it was signed first; never changes once kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The network's configured name.
    pub network: String,
    /// The account.
    pub address: Address,
    /// The account's nonce.
    pub nonce: u64,
    /// The contract's name of the function.
    pub function: String,
    /// What it is good for, for people.
    pub why: String,
    /// What the calldata does not say.
    pub unsaid: Unsaid,
    /// The first attempt.
    pub first: Attempt,
}

/// Signed bytes for a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What for.
    pub purpose: Purpose,
    /// What is sent.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// Wei per gas.
    pub max_fee_per_gas: u128,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The order itself.
    Intent,
    /// The same, for a higher fee.
    HigherFee,
    /// An empty transfer to ourselves, to spend the nonce.
    Cancel,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Kept, perhaps sent.
    Signed,
    /// A node took it.
    Sent,
    /// In a block that may still go.
    Mined(Receipt),
    /// In a block that is final. An end.
    Final(Receipt),
    /// An empty transfer to ourselves spent the nonce, and is final. An end.
    Cancelled(Receipt),
    /// Proofs that a leader without the API server sent spent the nonce, and are final. An end; the receipt is theirs.
    Replaced(Receipt),
    /// A transaction that is not ours spent the nonce, and is final. An end, and an alert.
    Displaced,
}

/// What a block says of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The attempt that was mined.
    pub hash: B256,
    /// Height of the block.
    pub block: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// Whether the contract carried it out.
    pub succeeded: bool,
    /// The contract's words if it did not, as far as they could be found out.
    pub revert: Option<String>,
    /// Gas.
    pub gas_used: u64,
    /// Wei per gas.
    pub effective_gas_price: u128,
    /// With `submitProofs`: proofs that count.
    pub accepted_proofs: Option<u64>,
    /// With `submitProofs`: proofs that do not.
    pub refused_proofs: Option<u64>,
}

/// A record with what happened to it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was kept.
    pub record: Record,
    /// Later attempts, in order.
    pub further: Vec<Attempt>,
    /// Where it stands.
    pub state: State,
    /// Opaque: of the stored object, for writes that must not overwrite another's.
    pub version: String,
}

/// Whether a record got its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Yes; the version of the stored object.
    Created(String),
    /// The nonce is somebody's already.
    AlreadyExists,
}

/// Why nothing could be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The record changed meanwhile: look again.
    #[error("record `{name}` was changed meanwhile")]
    Conflict {
        /// Its name.
        name: String,
    },
    /// The store does not answer; what was written may or may not be there.
    #[error("store of transactions does not answer")]
    Unavailable(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// The store refuses, or what it holds does not read.
    #[error("store of transactions refuses `{name}`")]
    Refused {
        /// Name of the record.
        name: String,
        /// What went wrong.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

/// Where records are kept; must outlive the process.
pub trait Journal: Send + Sync {
    /// Keeps a new record under [`Record::name`]; must fail on a name that is taken.
    fn create(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Creation, JournalError>> + Send;

    /// One record, read from the store itself, not from a cache.
    fn get(&self, name: &str) -> impl Future<Output = Result<Option<Entry>, JournalError>> + Send;

    /// All records of an account; may lag behind.
    fn entries(
        &self,
        network: &str,
        address: Address,
    ) -> impl Future<Output = Result<Vec<Entry>, JournalError>> + Send;

    /// Adds an attempt, if the record still has the entry's version; gives the new version.
    fn append(
        &self,
        entry: &Entry,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<String, JournalError>> + Send;

    /// Moves a record, if it still has the entry's version; gives the new version.
    fn set_state(
        &self,
        entry: &Entry,
        state: &State,
    ) -> impl Future<Output = Result<String, JournalError>> + Send;
}

impl Record {
    /// The lock on the nonce: a name of at most 253 characters if the network's has at most 190.
    #[must_use]
    pub fn name(&self) -> String {
        record_name(&self.network, self.address, self.nonce)
    }

    /// What the order was.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are none of our calls.
    pub fn call(&self, diamond: Address) -> Result<Call, DecodeError> {
        let foreign = DecodeError::Foreign { to: Address::ZERO };
        let envelope =
            TxEnvelope::decode_2718(&mut self.first.raw.as_ref()).map_err(|_| foreign)?;
        let TxKind::Call(to) = envelope.kind() else { return Err(foreign) };
        let encoded = Encoded { to, input: envelope.input().clone(), value: envelope.value() };
        decode(&encoded, diamond, &self.unsaid)
    }
}

/// The name under which the transaction with this nonce is kept.
#[must_use]
pub(super) fn record_name(network: &str, address: Address, nonce: u64) -> String {
    format!("{network}-{}-{nonce}", hex::encode(address))
}

impl State {
    /// Whether nothing more can happen to it.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        match self {
            Self::Signed | Self::Sent | Self::Mined(_) => false,
            Self::Final(_) | Self::Cancelled(_) | Self::Replaced(_) | Self::Displaced => true,
        }
    }

    /// Height of the block that it is in, if any.
    #[must_use]
    pub const fn mined(&self) -> Option<u64> {
        match self {
            Self::Signed | Self::Sent | Self::Displaced => None,
            Self::Mined(receipt)
            | Self::Final(receipt)
            | Self::Cancelled(receipt)
            | Self::Replaced(receipt) => Some(receipt.block),
        }
    }

    /// One word for metrics and columns.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Signed => "Signed",
            Self::Sent => "Sent",
            Self::Mined(_) => "Mined",
            Self::Final(_) => "Final",
            Self::Cancelled(_) => "Cancelled",
            Self::Replaced(_) => "Replaced",
            Self::Displaced => "Displaced",
        }
    }
}

impl Entry {
    /// All attempts, the newest first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.further.iter().rev().chain([&self.record.first])
    }

    /// The newest attempt.
    #[must_use]
    pub fn newest(&self) -> &Attempt {
        self.further.last().unwrap_or(&self.record.first)
    }
}

impl Attempt {
    /// Gas that it may use at most; 0 if the bytes are no transaction.
    #[must_use]
    pub fn gas_limit(&self) -> u64 {
        TxEnvelope::decode_2718(&mut self.raw.as_ref()).map_or(0, |envelope| envelope.gas_limit())
    }
}

//! The outbox: every transaction is kept before it is sent, and followed until its nonce is spent for good.
//!
//! Order: simulate, sign, keep, send. The name of what is kept is the lock on the nonce, so that two leaders cannot use one
//! twice; whoever finds the name taken throws its bytes away and looks.

mod fee;
mod flights;
mod follow;
mod journal;
mod sender;
mod taker;
#[cfg(test)]
mod tests;

use core::time::Duration;

use alloy::primitives::{Address, B256};
use coreward_domain::call::Call;
use coreward_domain::chain::Head;
use coreward_domain::epoch::Epoch;

pub use self::fee::FeePolicy;
pub use self::journal::{
    Attempt, Creation, Entry, Journal, JournalError, Purpose, Receipt, Record, State,
};
pub use self::sender::{Account, MaySend, Sender};

use crate::effect::Effect;
use crate::endpoint;
use crate::revert::Revert;
use crate::signer;

/// Something to be done on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub call: Call,
    /// What it is good for, for people.
    pub why: String,
    /// Height of the snapshot that it was planned on: the same call, sent but not visible there, is not sent again.
    pub planned_at: u64,
}

/// The block by which records are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The newest block.
    pub head: Head,
    /// Its epoch; proofs of an earlier one are not sent again.
    pub epoch: Epoch,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Kept under this name; `sent` is false if the node did not take it yet, and it is sent again by the next tick.
    Kept {
        /// Name of the record.
        name: String,
        /// Hash of the transaction.
        hash: B256,
        /// Whether a node took it.
        sent: bool,
    },
    /// The same call is on its way already, under this name.
    InFlight {
        /// Name of the record.
        name: String,
    },
    /// Proofs only: sent while nothing could be kept.
    Unkept {
        /// Hash of the transaction.
        hash: B256,
    },
}

/// A call on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Name of the record; `None` for proofs that could not be kept.
    pub name: Option<String>,
    /// What.
    pub call: Call,
    /// Height of the block that it is in, if any.
    pub mined: Option<u64>,
}

/// A record moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the record.
    pub name: String,
    /// What it was for.
    pub call: Call,
    /// Where it stands now.
    pub state: State,
    /// What it did; told when it is mined, and again when it is final.
    pub effects: Vec<Effect>,
}

/// What one tick found; a record that could not be followed does not keep the others.
#[derive(Debug, Default)]
pub struct Followed {
    /// Records that moved.
    pub changes: Vec<Change>,
    /// Records that could not be followed now, by name.
    pub failures: Vec<(String, Error)>,
}

/// Why an order was not carried out, or a record not followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The contract would refuse it; if the refusal is a fact, only a change on chain can help.
    #[error("contract would refuse `{function}`: {revert}")]
    WouldRevert {
        /// The contract's name of the function.
        function: &'static str,
        /// Its words.
        revert: Revert,
    },
    /// We may not send now: the lease is not ours, or the caller changed its mind.
    #[error("may not send `{function}` now")]
    MayNotSend {
        /// The contract's name of the function.
        function: &'static str,
    },
    /// The base fee is above the cap.
    #[error("base fee {base_fee} is above the cap {cap} for `{function}`, wei per gas")]
    FeeAboveCap {
        /// The contract's name of the function.
        function: &'static str,
        /// Wei per gas.
        base_fee: u128,
        /// Wei per gas.
        cap: u128,
    },
    /// Calldata is larger than what can be kept.
    #[error("calldata of `{function}` has {bytes} bytes, at most {limit} can be kept")]
    TooLarge {
        /// The contract's name of the function.
        function: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No free nonce was found in some tries: others write as fast as we do.
    #[error("no free nonce of {address} after {tries} tries, last {nonce}")]
    NonceContended {
        /// The account.
        address: Address,
        /// How many.
        tries: u32,
        /// The last one tried.
        nonce: u64,
    },
    /// A node gave no answer.
    #[error("ask the chain for `{function}`")]
    Chain {
        /// The contract's name of the function.
        function: &'static str,
        /// What went wrong.
        source: endpoint::Error,
    },
    /// No signature.
    #[error("sign `{function}`")]
    Sign {
        /// The contract's name of the function.
        function: &'static str,
        /// What went wrong.
        source: signer::Error,
    },
    /// What is kept could not be read or written.
    #[error("keep transactions of {address}")]
    Journal {
        /// The account.
        address: Address,
        /// What went wrong.
        source: JournalError,
    },
    /// A kept transaction does not read as one of ours; a person must look.
    #[error("kept transaction `{name}` does not read")]
    Unreadable {
        /// Name of the record.
        name: String,
    },
}

impl Error {
    /// When to try again; `None` if only a change on chain or of the configuration can help.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        match self {
            Self::WouldRevert { revert, .. } => {
                if revert.is_fact() {
                    None
                } else {
                    Some(Duration::from_secs(5))
                }
            }
            Self::MayNotSend { .. } | Self::NonceContended { .. } | Self::Journal { .. } => {
                Some(Duration::from_secs(1))
            }
            Self::FeeAboveCap { .. } => Some(Duration::from_secs(15)),
            Self::Chain { source, .. } => source.retry(),
            Self::Sign { source: signer::Error::Unavailable { .. }, .. } => {
                Some(Duration::from_secs(5))
            }
            Self::TooLarge { .. } | Self::Sign { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// One word for conditions and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::WouldRevert { revert, .. } => revert.reason(),
            Self::MayNotSend { .. } => "NotLeading",
            Self::FeeAboveCap { .. } => "FeeAboveCap",
            Self::TooLarge { .. } => "TooLarge",
            Self::NonceContended { .. } => "NonceContended",
            Self::Chain { .. } => "ChainUnreachable",
            Self::Sign { .. } => "SignerRefused",
            Self::Journal { .. } => "NotKept",
            Self::Unreadable { .. } => "Unreadable",
        }
    }
}

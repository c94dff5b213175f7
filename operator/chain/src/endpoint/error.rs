//! Why a node gave no answer.

use core::time::Duration;

use alloy::rpc::types::BlockId;
use alloy::transports::TransportError;

use super::ask::{Ask, Code};
use crate::revert::Revert;

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of an endpoint does not parse: a mistake in the configuration.
    #[error("URL of endpoint `{endpoint}` is not valid: {reason}")]
    Url {
        /// Its name.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No endpoint is configured.
    #[error("no endpoint is configured")]
    NoEndpoint,
    /// The endpoint is of another chain than configured.
    #[error("endpoint `{endpoint}` is of chain {found}, not {wanted}")]
    WrongChain {
        /// Its name.
        endpoint: String,
        /// Its chain id.
        found: u64,
        /// The configured chain id.
        wanted: u64,
    },
    /// No answer in time.
    #[error("{ask} of endpoint `{endpoint}` took more than {limit:?}")]
    Timeout {
        /// Its name.
        endpoint: String,
        /// What it was asked.
        ask: Ask,
        /// The limit.
        limit: Duration,
    },
    /// No connection, or an answer that makes no sense.
    #[error("{ask} of endpoint `{endpoint}`")]
    Transport {
        /// Its name.
        endpoint: String,
        /// What it was asked.
        ask: Ask,
        /// What went wrong.
        source: Box<TransportError>,
    },
    /// The node answered with an error of its own.
    #[error("endpoint `{endpoint}` refused {ask}: {message} ({code})")]
    Refused {
        /// Its name.
        endpoint: String,
        /// What it was asked.
        ask: Ask,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// The node knows no such block.
    #[error("endpoint `{endpoint}` has no block {block}")]
    NoBlock {
        /// Its name.
        endpoint: String,
        /// The block asked for.
        block: BlockId,
    },
    /// The endpoints tell of different chains, and none has more than half of them.
    #[error(
        "endpoints tell different blocks at height {height}, and no block has more than half of them"
    )]
    Disagree {
        /// The height.
        height: u64,
    },
    /// Nothing comes through its WebSocket any more, though it stays open.
    #[error(
        "endpoint `{endpoint}` told none of the last {blocks} blocks over its WebSocket, which is open"
    )]
    Silent {
        /// Its name.
        endpoint: String,
        /// Blocks that were read meanwhile.
        blocks: u32,
    },
    /// A contract turned the call back.
    #[error("contract reverted: {0}")]
    Reverted(Revert),
}

impl Error {
    /// When to try again; `None` if only a change of the configuration or of the chain's state can help.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        match self {
            Self::Url { .. } | Self::NoEndpoint => None,
            Self::WrongChain { .. } => Some(Duration::from_secs(30)),
            Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::NoBlock { .. }
            | Self::Disagree { .. }
            | Self::Silent { .. } => Some(Duration::from_secs(1)),
            Self::Refused { .. } => Some(Duration::from_secs(5)),
            Self::Reverted(revert) => {
                if revert.is_fact() {
                    None
                } else {
                    Some(Duration::from_secs(5))
                }
            }
        }
    }

    /// Whether another node might have answered: this one is away, too slow, of another chain, or limits us.
    pub(super) const fn is_failure_of_the_node(&self) -> bool {
        /// What nodes say to whom asks too much (EIP-1474).
        const LIMIT_EXCEEDED: i64 = -32005;
        match self {
            Self::Timeout { .. } | Self::Transport { .. } | Self::WrongChain { .. } => true,
            Self::Refused { code, .. } => *code == LIMIT_EXCEEDED,
            Self::Url { .. }
            | Self::NoEndpoint
            | Self::NoBlock { .. }
            | Self::Disagree { .. }
            | Self::Silent { .. }
            | Self::Reverted(_) => false,
        }
    }

    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Url { .. } | Self::NoEndpoint | Self::Transport { .. } => Code::Transport,
            Self::WrongChain { .. }
            | Self::Refused { .. }
            | Self::NoBlock { .. }
            | Self::Disagree { .. } => Code::Refused,
            Self::Timeout { .. } => Code::Timeout,
            Self::Silent { .. } => Code::Silent,
            Self::Reverted(_) => Code::Reverted,
        }
    }
}

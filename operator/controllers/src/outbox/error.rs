//! Why a call was not handed in.

use std::time::Duration;

use alloy_primitives::Address;
use coreward_chain::outbox as engine;
use coreward_chain::revert::Revert;

/// Why a signer may not be used, or cannot; each is a reason of the condition `SignersAvailable`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The configuration has no such name, or not for this network.
    #[error("signer `{signer}` is not configured for network `{network}`")]
    Unknown {
        /// As the offer names it.
        signer: String,
        /// As the offer names it.
        network: String,
    },
    /// The configuration does not let this namespace use it, or not for this role.
    #[error("signer `{signer}` may not be used here: {why}")]
    NotAllowed {
        /// The signer.
        signer: String,
        /// Which rule.
        why: String,
    },
    /// The key has another address than configured.
    #[error("signer `{signer}` has the address {found}, not {configured}")]
    WrongAddress {
        /// The signer.
        signer: String,
        /// What the configuration says.
        configured: Address,
        /// What the key says.
        found: Address,
    },
    /// The key cannot be read now.
    #[error("signer `{signer}` cannot be reached: {why}")]
    Unreachable {
        /// The signer.
        signer: String,
        /// What stands in the way.
        why: String,
    },
}

impl Refusal {
    /// Reason of the condition `SignersAvailable`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } | Self::NotAllowed { .. } => "NotAllowed",
            Self::WrongAddress { .. } => "WrongAddress",
            Self::Unreachable { .. } => "Unreachable",
        }
    }
}

/// Why a call was not handed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The signer may not, or cannot.
    #[error("submit `{function}`")]
    Refused {
        /// The contract's function.
        function: &'static str,
        /// Why.
        source: Refusal,
    },
    /// The engine stopped.
    #[error("submit `{function}`")]
    Engine {
        /// The contract's function.
        function: &'static str,
        /// Where and why.
        source: Box<engine::Error>,
    },
}

impl Error {
    /// When to try again; `None` if only a change on chain or of the configuration can help.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        match self {
            Self::Refused { source: Refusal::Unreachable { .. }, .. } => {
                Some(Duration::from_secs(10))
            }
            Self::Refused { .. } => None,
            Self::Engine { source, .. } => source.retry(),
        }
    }

    /// One word for conditions and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "SignerRefused",
            Self::Engine { source, .. } => source.reason(),
        }
    }

    /// The contract's refusal, if it is that and a fact.
    #[must_use]
    pub fn revert(&self) -> Option<&Revert> {
        match self {
            Self::Engine { source, .. } => match source.as_ref() {
                engine::Error::WouldRevert { revert, .. } => {
                    Some(revert).filter(|revert| revert.is_fact())
                }
                engine::Error::MayNotSend { .. }
                | engine::Error::FeeAboveCap { .. }
                | engine::Error::TooLarge { .. }
                | engine::Error::NonceContended { .. }
                | engine::Error::Chain { .. }
                | engine::Error::Sign { .. }
                | engine::Error::Journal { .. }
                | engine::Error::Unreadable { .. } => None,
            },
            Self::Refused { .. } => None,
        }
    }
}

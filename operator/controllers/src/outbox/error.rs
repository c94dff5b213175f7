//! Why a call was not handed in.

use alloy_primitives::Address;

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
    #[error("submit {function}")]
    Refused {
        /// The contract's function.
        function: &'static str,
        /// Why.
        source: Refusal,
    },
    /// The contract would refuse it, said by the contract itself.
    #[error("submit {function}: the contract refuses: {words}")]
    Reverted {
        /// The contract's function.
        function: &'static str,
        /// The contract's words.
        words: String,
    },
    /// This replica does not lead.
    #[error("submit {function}: this replica does not lead")]
    NotLeading {
        /// The contract's function.
        function: &'static str,
    },
}

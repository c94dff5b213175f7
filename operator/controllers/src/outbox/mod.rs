//! Where loops hand in what shall be signed and sent.
//!
//! The engine is the chain crate's; here is its journal, kept as `ChainTransaction` objects, and the rules of who may use
//! which key.

mod error;

use alloy_primitives::Address;
use coreward_domain::call::Call;

pub use error::{Error, Refusal};

/// What a loop wants on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// Network, by name.
    pub network: &'a str,
    /// Signer, by name.
    pub signer: &'a str,
    /// Namespace of the offer that it is for: signers are bound to namespaces.
    pub namespace: &'a str,
    /// What.
    pub call: Call,
    /// What it is good for, in words; ends up in the object's spec and in the log.
    pub why: &'a str,
}

/// The outbox of all networks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {}

impl Outbox {
    /// Simulates, signs, keeps and sends a call, unless the same is on its way already; says the object's name.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the signer may not do this; [`Error::Reverted`] if the contract would refuse it; all others
    /// are unknowns of the moment: plan again at the next turn.
    pub async fn submit(&self, order: Order<'_>) -> Result<String, Error> {
        let _ = order;
        std::future::pending().await
    }

    /// Calls of this account that are not final: neither ask for them again, nor count on them.
    #[must_use]
    pub fn in_flight(&self, network: &str, from: Address) -> Vec<Call> {
        let _ = (network, from);
        Vec::new()
    }

    /// Whether a signer can be used for this role by offers of this namespace, and is there.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] is the reason of the condition `SignersAvailable`.
    pub async fn signer(&self, order: SignerUse<'_>) -> Result<Address, Refusal> {
        let _ = order;
        std::future::pending().await
    }
}

/// A use of a signer that an offer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerUse<'a> {
    /// Network, by name.
    pub network: &'a str,
    /// Signer, by name.
    pub signer: &'a str,
    /// Namespace of the offer.
    pub namespace: &'a str,
    /// For which calls.
    pub role: coreward_domain::call::KeyRole,
}

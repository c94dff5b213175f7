//! The only crate that talks to the chain.

mod abi;
#[cfg(test)]
mod call_tests;
pub mod decode;
pub mod effect;
pub mod encode;
pub mod endpoint;
#[cfg(test)]
mod fake;
mod node;
pub mod outbox;
pub mod past;
pub mod revert;
pub mod signer;
pub mod snapshot;

use alloy::primitives::Address;

/// Where a network's contracts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// The market.
    pub diamond: Address,
    /// Many views in one call.
    pub multicall3: Address,
}

//! Where the deployed contracts are.

use alloy::primitives::{Address, address};
use serde::{Deserialize, Serialize};

/// The addresses of one marketplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contracts {
    /// The one address that does nearly everything.
    pub diamond: Address,
    /// The payment token, six decimals.
    pub usdc: Address,
    /// Holds the token balances of users and deals.
    pub balance_keeper: Address,
    /// Batches reads.
    pub multicall3: Address,
}

impl Contracts {
    /// What a fresh chain has after the recipe, as the npm package says itself for its network `local`.
    pub const LOCAL: Self = Self {
        diamond: address!("09635F643e140090A9A8Dcd712eD6285858ceBef"),
        usdc: address!("9A676e781A523b5d0C0e43731313A708CB607508"),
        balance_keeper: address!("84eA74d481Ee0A5332c457a4d796187F6Ba67fEB"),
        multicall3: address!("67d269191c92Caf3cD7723F116c85e6E9bf55933"),
    };
}

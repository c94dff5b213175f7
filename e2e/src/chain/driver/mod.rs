//! Everybody in a story but the provider's operator: the owner of the contracts, Fluence's backend, developers; and, for
//! tests of the contracts alone and of foreign hands, a provider too.

mod clock;
mod deals;
mod owner;
mod provider;

use alloy::{
    primitives::{Address, U256},
    rpc::types::TransactionReceipt,
    sol_types::SolCall,
};

use super::{
    abi::Token,
    contracts::Contracts,
    deploy::OWNER,
    error::Result,
    node::{At, Node},
};

pub use deals::DealOrder;
pub use owner::CapacityConstant;
pub use provider::{CPU, Proof, RAM, peer_with_units, submission};

/// Plays its parts through a node that signs for every address, and mines what it sends at once.
#[derive(Debug, Clone)]
pub struct Driver {
    node: Node,
    contracts: Contracts,
}

impl Driver {
    /// A driver of the marketplace `contracts` on `node`.
    #[must_use]
    pub fn new(node: Node, contracts: Contracts) -> Self {
        Self { node, contracts }
    }

    /// The connection.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The marketplace.
    #[must_use]
    pub fn contracts(&self) -> Contracts {
        self.contracts
    }

    /// Sets the FLT balance of `address` to `amount` wei, out of nothing.
    ///
    /// # Errors
    /// [`super::Error::Rpc`].
    pub async fn set_flt(&self, address: Address, amount: U256) -> Result<()> {
        self.node
            .request::<_, serde_json::Value>("anvil_setBalance", (address, amount), "set a balance")
            .await
            .map(drop)
    }

    /// Gives `amount` base units of the payment token to `address`.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub async fn give_usdc(&self, address: Address, amount: U256) -> Result<()> {
        let call = Token::transferCall { to: address, amount };
        self.node.send(OWNER, self.contracts.usdc, &call, U256::ZERO).await.map(drop)
    }

    /// Any call of the diamond by anyone.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub async fn call<C: SolCall>(&self, from: Address, call: &C) -> Result<TransactionReceipt> {
        self.node.send(from, self.contracts.diamond, call, U256::ZERO).await
    }

    async fn view<C: SolCall>(&self, call: &C) -> Result<C::Return> {
        self.node.view(self.contracts.diamond, call, At::Latest).await
    }
}

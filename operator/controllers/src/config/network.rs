//! Chains: where they are asked, and the market's contracts on them.

use std::time::Duration;

use alloy_primitives::Address;
use serde::Deserialize;

use super::listed;

/// How long a head may stand still unless a network says otherwise.
const HEAD_STUCK: Duration = Duration::from_mins(10);

/// A chain and the market's contracts on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// Name that offers use.
    pub name: String,
    /// EIP-155 id; checked against every endpoint.
    pub chain_id: u64,
    /// RPC endpoints, at least one.
    pub endpoints: Vec<RpcEndpoint>,
    /// Addresses.
    pub contracts: Contracts,
    /// Payment tokens by symbol.
    #[serde(default)]
    pub tokens: Vec<Token>,
    /// A block is final when this many are on top of it.
    pub finality_blocks: u64,
    /// How often the head is asked for.
    pub poll_milliseconds: u64,
    /// Seconds without a new block after which the endpoints are taken for stuck; 0 means ten minutes.
    #[serde(default)]
    pub head_stuck_seconds: u64,
    /// How provers of this network hash.
    #[serde(default)]
    pub prover_mode: ProverMode,
    /// Namespaces whose offers may use it; empty means all.
    #[serde(default)]
    pub allowed_namespaces: Vec<String>,
}

/// An RPC endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RpcEndpoint {
    /// Name for logs and metrics; the address may hold a secret and is never shown.
    pub name: String,
    /// HTTP address.
    pub url: String,
    /// WebSocket address of the same node: new heads are heard of there, and read over HTTP.
    #[serde(default)]
    pub web_socket_url: Option<String>,
}

/// Addresses of the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contracts {
    /// The market.
    pub diamond: Address,
    /// Multicall3.
    pub multicall3: Address,
}

/// A payment token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Symbol that offers use.
    pub symbol: String,
    /// ERC20.
    pub address: Address,
    /// Places of its base unit.
    pub decimals: u8,
}

/// How provers hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ProverMode {
    /// 256 MiB of memory, slow.
    Light,
    /// The whole dataset in memory.
    #[default]
    Full,
}

impl Network {
    /// How long a head may stand still.
    #[must_use]
    pub const fn head_stuck(&self) -> Duration {
        match self.head_stuck_seconds {
            0 => HEAD_STUCK,
            seconds => Duration::from_secs(seconds),
        }
    }

    /// The token of this symbol.
    #[must_use]
    pub fn token(&self, symbol: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.symbol == symbol)
    }

    /// Whether offers of this namespace may use it.
    #[must_use]
    pub fn allows(&self, namespace: &str) -> bool {
        listed(&self.allowed_namespaces, namespace)
    }
}

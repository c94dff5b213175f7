//! What nodes are asked, how long they may take, who counts it.

use core::fmt;
use core::time::Duration;

use coreward_domain::chain::Head;

/// How long a node may take, by what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the head, a receipt, a nonce.
    pub look: Duration,
    /// For one batch of views or a simulation.
    pub call: Duration,
    /// For taking a transaction.
    pub send: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(3),
            call: Duration::from_secs(10),
            send: Duration::from_secs(5),
        }
    }
}

/// What a node was asked for; a closed list, fit for metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The chain id.
    ChainId,
    /// A block's header.
    Block,
    /// A batch of views, or a simulation.
    Call,
    /// The gas of a transaction.
    Estimate,
    /// An account's nonce.
    Nonce,
    /// A transaction.
    Transaction,
    /// A receipt.
    Receipt,
    /// To take a transaction.
    Send,
    /// Logs.
    Logs,
    /// To tell new heads by itself.
    Subscribe,
}

impl Ask {
    /// The node's name of it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::ChainId => "eth_chainId",
            Self::Block => "eth_getBlockByNumber",
            Self::Call => "eth_call",
            Self::Estimate => "eth_estimateGas",
            Self::Nonce => "eth_getTransactionCount",
            Self::Transaction => "eth_getTransactionByHash",
            Self::Receipt => "eth_getTransactionReceipt",
            Self::Send => "eth_sendRawTransaction",
            Self::Logs => "eth_getLogs",
            Self::Subscribe => "eth_subscribe",
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.method())
    }
}

/// How an answer came out; a closed list, fit for metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Answered.
    Ok,
    /// A contract reverted; the node is well.
    Reverted,
    /// The node said no.
    Refused,
    /// Told a block that more than half of the nodes contradict, or another chain than the one configured.
    Outvoted,
    /// Told no heads any more over a WebSocket that stays open.
    Silent,
    /// No answer in time.
    Timeout,
    /// No connection, or no sense in the answer.
    Transport,
}

impl Code {
    /// As a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Outvoted => "outvoted",
            Self::Silent => "silent",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
        }
    }
}

/// Counts what is asked; called from within the request, so it must be quick.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A node answered, or did not.
    fn asked(&self, endpoint: &str, ask: Ask, code: Code);

    /// A node told its head.
    fn head(&self, endpoint: &str, head: &Head);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn asked(&self, _endpoint: &str, _ask: Ask, _code: Code) {}

    fn head(&self, _endpoint: &str, _head: &Head) {}
}

impl Timeouts {
    pub(super) const fn of(&self, ask: Ask) -> Duration {
        match ask {
            Ask::ChainId | Ask::Block | Ask::Nonce | Ask::Transaction | Ask::Receipt => self.look,
            Ask::Call | Ask::Estimate | Ask::Logs | Ask::Subscribe => self.call,
            Ask::Send => self.send,
        }
    }
}

//! The nodes that we ask: each call with a time limit, the next node when one is away.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::B256;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::{Block, BlockId, BlockNumberOrTag};
use alloy::transports::{RpcError, TransportError};
use coreward_domain::chain::Head;

use crate::revert::Revert;

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
        Self { look: Duration::from_secs(3), call: Duration::from_secs(10), send: Duration::from_secs(5) }
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
            Self::Timeout { .. } | Self::Transport { .. } | Self::NoBlock { .. } => Some(Duration::from_secs(1)),
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

    const fn code(&self) -> Code {
        match self {
            Self::Url { .. } | Self::NoEndpoint | Self::Transport { .. } => Code::Transport,
            Self::WrongChain { .. } | Self::Refused { .. } | Self::NoBlock { .. } => Code::Refused,
            Self::Timeout { .. } => Code::Timeout,
            Self::Reverted(_) => Code::Reverted,
        }
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct Endpoint {
    name: String,
    provider: DynProvider,
}

impl Endpoint {
    /// A node behind HTTP.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if the URL does not parse; it may hold a token and is not repeated.
    pub fn http(name: &str, url: &str) -> Result<Self, Error> {
        let url = url.parse().map_err(|error| Error::Url { endpoint: name.to_owned(), reason: format!("{error}") })?;
        Ok(Self::over(name, RpcClient::new_http(url)))
    }

    /// A node behind any transport.
    #[must_use]
    pub fn over(name: &str, client: RpcClient) -> Self {
        let provider = ProviderBuilder::new().disable_recommended_fillers().connect_client(client).erased();
        Self { name: name.to_owned(), provider }
    }

    fn error(&self, ask: Ask, error: TransportError) -> Error {
        let endpoint = self.name.clone();
        match error {
            RpcError::ErrorResp(payload) => match payload.as_revert_data() {
                Some(data) => Error::Reverted(Revert::decode(&data)),
                None if payload.message.contains("revert") => Error::Reverted(Revert::Unknown),
                None => Error::Refused { endpoint, ask, code: payload.code, message: payload.message.into_owned() },
            },
            RpcError::NullResp
            | RpcError::UnsupportedFeature(_)
            | RpcError::LocalUsageError(_)
            | RpcError::SerError(_)
            | RpcError::DeserError { .. }
            | RpcError::Transport(_) => Error::Transport { endpoint, ask, source: Box::new(error) },
        }
    }
}

/// The nodes of one network. All calls go to one of them, the one that was ahead when the head was last read.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    /// Index of the one that is asked.
    chosen: AtomicUsize,
    timeouts: Timeouts,
    observer: Arc<dyn Observer>,
}

impl Pool {
    /// Nodes of one network, in order of preference.
    ///
    /// # Errors
    ///
    /// [`Error::NoEndpoint`] if the list is empty.
    pub fn new(endpoints: Vec<Endpoint>, timeouts: Timeouts, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        if endpoints.is_empty() {
            return Err(Error::NoEndpoint);
        }
        Ok(Self(Arc::new(Inner { endpoints, chosen: AtomicUsize::new(0), timeouts, observer })))
    }

    /// Fails unless every node that answers is of this chain.
    ///
    /// # Errors
    ///
    /// [`Error::WrongChain`] for the first that is not, and the last error if none answers.
    pub async fn check_chain(&self, wanted: u64) -> Result<(), Error> {
        let mut answer = Err(Error::NoEndpoint);
        for endpoint in &self.0.endpoints {
            let found = self.ask_at(endpoint, Ask::ChainId, async |node| node.get_chain_id().await).await;
            match found {
                Ok(found) if found != wanted => {
                    return Err(Error::WrongChain { endpoint: endpoint.name.clone(), found, wanted });
                }
                Ok(_) => answer = Ok(()),
                Err(error) if answer.is_err() => answer = Err(error),
                Err(_) => {}
            }
        }
        answer
    }

    /// The highest head that any node tells of; that node is asked from now on.
    ///
    /// # Errors
    ///
    /// The last node's, if none answers: the chain is unknown, nothing else follows.
    pub async fn head(&self) -> Result<Head, Error> {
        let chosen = self.0.chosen.load(Ordering::Relaxed);
        let heads = self.0.endpoints.iter().map(|endpoint| self.head_of(endpoint));
        let heads = futures::future::join_all(heads).await;
        let mut best: Option<(usize, Head)> = None;
        let mut failure = Error::NoEndpoint;
        for (index, head) in heads.into_iter().enumerate() {
            match head {
                Ok(head) => {
                    let ahead = best.is_none_or(|(_, known)| {
                        head.number > known.number || (head.number == known.number && index == chosen)
                    });
                    if ahead {
                        best = Some((index, head));
                    }
                }
                Err(error) => failure = error,
            }
        }
        let Some((index, head)) = best else { return Err(failure) };
        self.0.chosen.store(index, Ordering::Relaxed);
        Ok(head)
    }

    async fn head_of(&self, endpoint: &Endpoint) -> Result<Head, Error> {
        let block = self
            .ask_at(endpoint, Ask::Block, async |node| node.get_block_by_number(BlockNumberOrTag::Latest).await)
            .await?;
        let missing = || Error::NoBlock { endpoint: endpoint.name.clone(), block: BlockId::latest() };
        let head = head_from_block(&block.ok_or_else(missing)?);
        self.0.observer.head(&endpoint.name, &head);
        Ok(head)
    }

    /// Hash of the block at this height, if there is one.
    ///
    /// # Errors
    ///
    /// The node's.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, Error> {
        let block = self.ask(Ask::Block, async |node| node.get_block_by_number(number.into()).await).await?;
        Ok(block.map(|block| block.header.hash))
    }

    /// Asks the chosen node.
    pub(crate) async fn ask<T>(
        &self,
        ask: Ask,
        question: impl AsyncFnOnce(&DynProvider) -> Result<T, TransportError>,
    ) -> Result<T, Error> {
        let chosen = self.0.chosen.load(Ordering::Relaxed);
        let endpoint = self.0.endpoints.get(chosen).ok_or(Error::NoEndpoint)?;
        self.ask_at(endpoint, ask, question).await
    }

    async fn ask_at<T>(
        &self,
        endpoint: &Endpoint,
        ask: Ask,
        question: impl AsyncFnOnce(&DynProvider) -> Result<T, TransportError>,
    ) -> Result<T, Error> {
        let limit = self.0.timeouts.of(ask);
        let answer = tokio::time::timeout(limit, question(&endpoint.provider)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|error| endpoint.error(ask, error)),
            Err(_) => Err(Error::Timeout { endpoint: endpoint.name.clone(), ask, limit }),
        };
        let code = answer.as_ref().map_or_else(Error::code, |_| Code::Ok);
        self.0.observer.asked(&endpoint.name, ask, code);
        answer
    }
}

impl Timeouts {
    const fn of(&self, ask: Ask) -> Duration {
        match ask {
            Ask::ChainId | Ask::Block | Ask::Nonce | Ask::Transaction | Ask::Receipt => self.look,
            Ask::Call | Ask::Estimate | Ask::Logs => self.call,
            Ask::Send => self.send,
        }
    }
}

fn head_from_block(block: &Block) -> Head {
    Head {
        number: block.header.number,
        hash: block.header.hash,
        timestamp: block.header.timestamp,
        base_fee: block.header.base_fee_per_gas.unwrap_or_default().into(),
    }
}

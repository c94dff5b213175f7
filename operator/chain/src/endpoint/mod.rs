//! The nodes that we ask: each call with a time limit, the next node when one is away.

mod ask;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::B256;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::{Block, BlockId, BlockNumberOrTag};
use alloy::transports::{RpcError, TransportError};
use coreward_domain::chain::Head;

pub use self::ask::{Ask, Code, Observer, Timeouts, Unobserved};
pub use self::error::Error;

use crate::revert::Revert;

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
        let url = url.parse().map_err(|error| Error::Url {
            endpoint: name.to_owned(),
            reason: format!("{error}"),
        })?;
        Ok(Self::over(name, RpcClient::new_http(url)))
    }

    /// A node behind any transport.
    #[must_use]
    pub fn over(name: &str, client: RpcClient) -> Self {
        let provider =
            ProviderBuilder::new().disable_recommended_fillers().connect_client(client).erased();
        Self { name: name.to_owned(), provider }
    }

    fn error(&self, ask: Ask, error: TransportError) -> Error {
        let endpoint = self.name.clone();
        match error {
            RpcError::ErrorResp(payload) => match payload.as_revert_data() {
                Some(data) => Error::Reverted(Revert::decode(&data)),
                None if payload.message.contains("revert") => Error::Reverted(Revert::Unknown),
                None => Error::Refused {
                    endpoint,
                    ask,
                    code: payload.code,
                    message: payload.message.into_owned(),
                },
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
    pub fn new(
        endpoints: Vec<Endpoint>,
        timeouts: Timeouts,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
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
            let found =
                self.ask_at(endpoint, Ask::ChainId, async |node| node.get_chain_id().await).await;
            match found {
                Ok(found) if found != wanted => {
                    return Err(Error::WrongChain {
                        endpoint: endpoint.name.clone(),
                        found,
                        wanted,
                    });
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
                        head.number > known.number
                            || (head.number == known.number && index == chosen)
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
            .ask_at(endpoint, Ask::Block, async |node| {
                node.get_block_by_number(BlockNumberOrTag::Latest).await
            })
            .await?;
        let missing =
            || Error::NoBlock { endpoint: endpoint.name.clone(), block: BlockId::latest() };
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
        let block = self
            .ask(Ask::Block, async |node| node.get_block_by_number(number.into()).await)
            .await?;
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

fn head_from_block(block: &Block) -> Head {
    Head {
        number: block.header.number,
        hash: block.header.hash,
        timestamp: block.header.timestamp,
        base_fee: block.header.base_fee_per_gas.unwrap_or_default().into(),
    }
}

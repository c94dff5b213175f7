//! The nodes that we ask: each call with a time limit, the next node when one is away.

mod ask;
mod error;
mod quorum;
#[cfg(test)]
mod tests;

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{self, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::B256;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::{Block, BlockId, BlockNumberOrTag, Filter, Log};
use alloy::transports::{RpcError, TransportError};
use coreward_domain::chain::Head;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

pub use self::ask::{Ask, Code, Observer, Timeouts, Unobserved};
pub use self::error::Error;

use self::quorum::{Choice, Voice, choose, common_height};
use crate::revert::Revert;

/// Once more than half of the nodes have told their heads, the others are waited for this long: a frozen one slows nobody.
const GRACE: Duration = Duration::from_millis(250);

/// A node that failed to answer is passed over for this long.
const DEMOTION: Duration = Duration::from_secs(15);

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

/// A head, and what to think of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The block.
    pub head: Head,
    /// Whether enough nodes agree to act upon it. Proofs are tried on whatever a single node tells: one in vain costs gas, one
    /// that is missing costs stake.
    pub is_believed: bool,
}

/// The nodes of one network. All calls go to one of them: the one that was ahead when the head was last read, of those that
/// more than half agree with.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    /// Index of the one that is asked.
    chosen: AtomicUsize,
    standing: Mutex<Standing>,
    timeouts: Timeouts,
    observer: Arc<dyn Observer>,
}

/// What is remembered of the nodes; all of it can be lost.
#[derive(Debug, Default)]
struct Standing {
    /// Until when a node is passed over, by index.
    demoted: BTreeMap<usize, Instant>,
    /// Whether no head was believed at the last look: nobody is left in peace then.
    is_unsure: bool,
    /// Heads that were agreed upon last, by index: the same again need no second question.
    agreed: Vec<(usize, B256)>,
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
        Ok(Self(Arc::new(Inner {
            endpoints,
            chosen: AtomicUsize::new(0),
            standing: Mutex::default(),
            timeouts,
            observer,
        })))
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

    /// The head that is followed, believed or not; see [`Pool::told`].
    ///
    /// # Errors
    ///
    /// As [`Pool::told`].
    pub async fn head(&self) -> Result<Head, Error> {
        Ok(self.told().await?.head)
    }

    /// The highest head that any node tells of and more than half of those that answer agree with; that node is asked from
    /// now on. Of three nodes and more it is believed only if more than half of all agree.
    ///
    /// # Errors
    ///
    /// The last node's, if none answers; [`Error::Disagree`] if no block has more than half of those that do. The chain is
    /// unknown then, and nothing else follows.
    pub async fn told(&self) -> Result<Told, Error> {
        let heads = self.heads().await?;
        let chosen = self.0.chosen.load(atomic::Ordering::Relaxed);
        let configured = self.0.endpoints.len();
        let common = common_height(heads.iter().map(|(_, head)| head.number), configured);
        let voices = self.voices(&heads, common).await;
        let choice = choose(&voices, chosen, configured);
        self.standing().is_unsure = choice.is_none_or(|choice| !choice.is_believed);
        let Choice { voice, is_believed } = choice.ok_or(Error::Disagree { height: common })?;
        let agreed = voices.iter().filter(|other| other.vote == voice.vote);
        self.standing().agreed = agreed.map(|other| (other.index, other.head.hash)).collect();
        self.0.chosen.store(voice.index, atomic::Ordering::Relaxed);
        Ok(Told { head: voice.head, is_believed })
    }

    /// The heads of the nodes that answer, at least one.
    async fn heads(&self) -> Result<Vec<(usize, Head)>, Error> {
        let spared = self.spared();
        let endpoints =
            self.0.endpoints.iter().enumerate().filter(|(index, _)| !spared.contains(index));
        let mut asked: FuturesUnordered<_> = endpoints
            .map(|(index, endpoint)| async move { (index, self.head_of(endpoint).await) })
            .collect();
        let (mut heads, mut failure, mut deadline) = (Vec::new(), Error::NoEndpoint, None);
        loop {
            let told = match deadline {
                None => asked.next().await,
                Some(deadline) => timeout_at(deadline, asked.next()).await.unwrap_or(None),
            };
            match told {
                None if heads.is_empty() => return Err(failure),
                None => return Ok(heads),
                Some((index, Ok(head))) => heads.push((index, head)),
                Some((index, Err(error))) => {
                    self.demote(index, &error);
                    failure = error;
                }
            }
            if deadline.is_none() && heads.len() > self.0.endpoints.len() / 2 {
                deadline = Some(Instant::now() + GRACE);
            }
        }
    }

    /// Whoever failed lately, too often or too slow, is asked again when that is over.
    fn demoted(&self) -> BTreeSet<usize> {
        let mut standing = self.standing();
        standing.demoted.retain(|_, until| *until > Instant::now());
        standing.demoted.keys().copied().collect()
    }

    /// The nodes that are left in peace: those that failed lately, as long as the others can be believed without them.
    fn spared(&self) -> BTreeSet<usize> {
        let (demoted, configured) = (self.demoted(), self.0.endpoints.len());
        let are_enough = configured - demoted.len() > configured / 2;
        if are_enough && !self.standing().is_unsure { demoted } else { BTreeSet::new() }
    }

    fn demote(&self, index: usize, error: &Error) {
        if error.is_failure_of_the_node() {
            self.standing().demoted.insert(index, Instant::now() + DEMOTION);
        }
    }

    /// What each node says of the block at the common height.
    async fn voices(&self, heads: &[(usize, Head)], common: u64) -> Vec<Voice> {
        let demoted = self.demoted();
        let is_demoted = |index| demoted.contains(&index);
        if self.is_agreed(heads) {
            let same = heads.first().map(|(_, head)| head.hash);
            let voice = |(index, head): &(usize, Head)| Voice {
                index: *index,
                head: *head,
                vote: same,
                is_demoted: is_demoted(*index),
            };
            return heads.iter().map(voice).collect();
        }
        let votes = heads.iter().map(|(index, head)| async {
            let vote = match head.number.cmp(&common) {
                Ordering::Less => None,
                Ordering::Equal => Some(head.hash),
                Ordering::Greater => self.block_hash_of(*index, common).await,
            };
            Voice { index: *index, head: *head, vote, is_demoted: is_demoted(*index) }
        });
        futures::future::join_all(votes).await
    }

    /// Whether every node tells the head that was agreed upon last.
    fn is_agreed(&self, heads: &[(usize, Head)]) -> bool {
        let standing = self.standing();
        heads.iter().all(|(index, head)| standing.agreed.contains(&(*index, head.hash)))
    }

    async fn block_hash_of(&self, index: usize, number: u64) -> Option<B256> {
        let endpoint = self.0.endpoints.get(index)?;
        let block = self
            .ask_at(endpoint, Ask::Block, async |node| {
                node.get_block_by_number(number.into()).await
            })
            .await;
        Some(block.ok()??.header.hash)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Asks the chosen node.
    pub(crate) async fn ask<T>(
        &self,
        ask: Ask,
        question: impl AsyncFnOnce(&DynProvider) -> Result<T, TransportError>,
    ) -> Result<T, Error> {
        let chosen = self.0.chosen.load(atomic::Ordering::Relaxed);
        let endpoint = self.0.endpoints.get(chosen).ok_or(Error::NoEndpoint)?;
        let answer = self.ask_at(endpoint, ask, question).await;
        answer.inspect_err(|error| self.demote(chosen, error))
    }

    /// The logs that each node shows. The chosen one must answer, and more than half of all.
    pub(crate) async fn logs(&self, filter: &Filter) -> Result<Vec<Vec<Log>>, Error> {
        let chosen = self.0.chosen.load(atomic::Ordering::Relaxed);
        let asked = self.0.endpoints.iter().map(|endpoint| {
            self.ask_at(endpoint, Ask::Logs, async |node| node.get_logs(filter).await)
        });
        let (mut told, mut failure) = (Vec::new(), None);
        for (index, answer) in futures::future::join_all(asked).await.into_iter().enumerate() {
            match answer {
                Ok(answer) => told.push(answer),
                Err(error) if index == chosen => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if told.len() <= self.0.endpoints.len() / 2 => Err(error),
            Some(_) | None => Ok(told),
        }
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

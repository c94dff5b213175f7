//! The nodes that we ask: each call with a time limit, the next node when one is away.

mod ask;
mod chain;
mod error;
mod node;
mod push;
mod quorum;
mod standing;
#[cfg(test)]
mod tests;

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::atomic::{self, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::{Block, BlockId, BlockNumberOrTag, Filter, Log};
use alloy::transports::TransportError;
use coreward_domain::chain::Head;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

pub use self::ask::{Ask, Code, Observer, Timeouts, Unobserved};
pub use self::error::Error;
pub use self::node::Endpoint;
pub use self::push::Heads;

use self::quorum::{Choice, Voice, choose, common_height};
use self::standing::Standing;

/// Once more than half of the nodes have told their heads, the others are waited for this long: a frozen one slows nobody.
const GRACE: Duration = Duration::from_millis(250);

/// The block that most have may stand still for this long before proofs are tried on the word of one that has newer ones:
/// perhaps most are stuck. If it lies, it shows no state of them.
const STUCK: Duration = Duration::from_secs(20);

/// A head, and what to think of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The block.
    pub head: Head,
    /// Whether enough nodes agree to act upon it. Proofs are tried on whatever a single node tells: one in vain costs gas, one
    /// that is missing costs stake.
    pub is_believed: bool,
}

/// The nodes of one network. All calls go to one of them: one of those that more than half agreed with when the head was last
/// read.
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

    /// The head that is followed, believed or not; see [`Pool::told`].
    ///
    /// # Errors
    ///
    /// As [`Pool::told`].
    pub async fn head(&self) -> Result<Head, Error> {
        Ok(self.told().await?.head)
    }

    /// The newest block that more than half of those that answer agree upon; one of them is asked from now on. Of three nodes
    /// and more it is believed only if more than half of all agree.
    ///
    /// # Errors
    ///
    /// The last node's, if none answers; [`Error::Disagree`] if no block has more than half of those that do. The chain is
    /// unknown then, and nothing else follows.
    pub async fn told(&self) -> Result<Told, Error> {
        let heads = self.heads().await?;
        let chosen = self.0.chosen.load(atomic::Ordering::Relaxed);
        let configured = self.0.endpoints.len();
        let height = common_height(heads.iter().map(|(_, head)| head.number), configured);
        let voices = self.voices(&heads, height).await;
        let choice = choose(&voices, chosen, configured);
        self.standing().is_unsure = choice.is_none_or(|choice| !choice.is_believed);
        let Some(choice) = choice else {
            self.distrust_empty(&voices, height);
            // Perhaps one of them is of another chain by now.
            self.standing().of_chain.clear();
            return Err(Error::Disagree { height });
        };
        let common = choice.voice.vote.unwrap_or(choice.head);
        let (others, agreed): (Vec<Voice>, Vec<Voice>) =
            voices.into_iter().partition(|voice| !voice.agrees(common.hash));
        self.standing().agreed =
            agreed.iter().map(|voice| (voice.index, voice.head.hash)).collect();
        self.standing().common = Some(common);
        if !choice.is_believed {
            self.0.chosen.store(choice.voice.index, atomic::Ordering::Relaxed);
            return Ok(Told { head: choice.head, is_believed: false });
        }
        self.outvote(&others);
        let Choice { voice, head, .. } = self.without_a_step_back(choice, &agreed).await;
        let stands = self.standing().stands(head);
        let is_ahead = |voice: &&Voice| voice.head.number > head.number && !voice.is_demoted;
        let ahead = agreed.iter().filter(is_ahead).max_by_key(|voice| voice.head.number);
        if let Some(ahead) = ahead.filter(|_| stands >= STUCK) {
            self.0.chosen.store(ahead.index, atomic::Ordering::Relaxed);
            return Ok(Told { head: ahead.head, is_believed: false });
        }
        self.0.chosen.store(voice.index, atomic::Ordering::Relaxed);
        Ok(Told { head, is_believed: true })
    }

    /// Who has no block at a height that it claims to have reached is not trusted.
    fn distrust_empty(&self, voices: &[Voice], height: u64) {
        let is_empty = |voice: &&Voice| voice.vote.is_none() && voice.head.number >= height;
        for voice in voices.iter().filter(is_empty) {
            self.standing().distrust(voice.index);
        }
    }

    /// Who tells another block than the one that is believed is passed over.
    fn outvote(&self, others: &[Voice]) {
        for voice in others.iter().filter(|voice| voice.vote.is_some()) {
            self.standing().pass_over(voice.index);
            if let Some(endpoint) = self.0.endpoints.get(voice.index) {
                self.0.observer.asked(&endpoint.name, Ask::Block, Code::Outvoted);
            }
        }
    }

    /// The last believed block, where the choice is an older one only because nodes that had reached it are silent now.
    async fn without_a_step_back(&self, choice: Choice, agreed: &[Voice]) -> Choice {
        let last = self.standing().believed.filter(|(last, _)| last.number > choice.head.number);
        let Some((last, _)) = last else { return choice };
        let may_have_it = |voice: &&Voice| voice.head.number >= last.number && !voice.is_distrusted;
        for voice in agreed.iter().filter(may_have_it) {
            let block = self.block_of(voice.index, last.number).await;
            if block.is_some_and(|block| block.hash == last.hash) {
                return Choice { voice: *voice, head: last, ..choice };
            }
        }
        choice
    }

    /// The node that is asked now did not show what it told of: another one is asked, if there is one.
    pub fn distrust(&self) {
        self.standing().distrust(self.0.chosen.load(atomic::Ordering::Relaxed));
    }

    /// The heads of the nodes that answer, at least one.
    async fn heads(&self) -> Result<Vec<(usize, Head)>, Error> {
        let spared = self.spared();
        let endpoints =
            self.0.endpoints.iter().enumerate().filter(|(index, _)| !spared.contains(index));
        let mut asked: FuturesUnordered<_> = endpoints
            .map(|(index, endpoint)| async move { (index, self.head_of((index, endpoint)).await) })
            .collect();
        let is_unsure = self.standing().is_unsure;
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
            // Where those that answer first did not suffice, the slow ones are needed.
            let are_enough = heads.len() > self.0.endpoints.len() / 2 && !is_unsure;
            if deadline.is_none() && are_enough {
                deadline = Some(Instant::now() + GRACE);
            }
        }
    }

    /// The nodes that are left in peace: those that failed lately, as long as the others can be believed without them.
    fn spared(&self) -> BTreeSet<usize> {
        let (demoted, configured) = (self.standing().demoted(), self.0.endpoints.len());
        let are_enough = configured - demoted.len() > configured / 2;
        if are_enough && !self.standing().is_unsure { demoted } else { BTreeSet::new() }
    }

    fn demote(&self, index: usize, error: &Error) {
        if error.is_failure_of_the_node() {
            self.standing().pass_over(index);
        }
    }

    /// What each node says of the block at the common height.
    async fn voices(&self, heads: &[(usize, Head)], common: u64) -> Vec<Voice> {
        let same = self.standing().agreed_block(heads);
        let votes = heads.iter().map(|(index, head)| async {
            match head.number.cmp(&common) {
                _ if same.is_some() => same,
                Ordering::Less => None,
                Ordering::Equal => Some(*head),
                Ordering::Greater => self.block_of(*index, common).await,
            }
        });
        let votes = futures::future::join_all(votes).await;
        let standing = self.standing();
        heads.iter().zip(votes).map(|(told, vote)| standing.voice(*told, vote)).collect()
    }

    async fn block_of(&self, index: usize, number: u64) -> Option<Head> {
        let endpoint = self.0.endpoints.get(index)?;
        let block = self
            .ask_at(endpoint, Ask::Block, async |node| {
                node.get_block_by_number(number.into()).await
            })
            .await;
        Some(head_from_block(&block.ok()??))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn head_of(&self, (index, endpoint): (usize, &Endpoint)) -> Result<Head, Error> {
        self.check_chain_again((index, endpoint)).await?;
        let block = self
            .ask_at(endpoint, Ask::Block, async |node| {
                node.get_block_by_number(BlockNumberOrTag::Latest).await
            })
            .await?;
        let missing =
            || Error::NoBlock { endpoint: endpoint.name.clone(), block: BlockId::latest() };
        let head = head_from_block(&block.ok_or_else(missing)?);
        self.standing().hears((index, head));
        self.check_chain_again((index, endpoint)).await?;
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

//! What the contract's views forget: the commitments that peers once had, out of the chain's logs.
//!
//! A node that leaves logs out says in effect that there are none. So the other nodes' logs are added to those of the node that
//! all else is asked of; and where nothing was read before, the peer's registration must be among what is shown: it stands before
//! the peer's commitments, and the views say that there was one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;
use coreward_domain::id::{CommitmentId, OfferId, PeerId};

use crate::abi::Diamond;
use crate::endpoint::{Error, Pool};

/// Questions of one turn.
const QUESTIONS: usize = 16;

/// Peers that are searched for at once.
const PEERS: usize = 64;

/// Blocks of the first question. Nodes limit them, each in its own way and words.
const FIRST_BLOCKS: u64 = 10_000;

/// A peer whose past is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub peer: PeerId,
    /// The offer that it is registered in.
    pub offer: OfferId,
    /// The block up to which its past is known; `None` if nothing is.
    pub after: Option<u64>,
}

/// What was found of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Which.
    pub peer: PeerId,
    /// What was known before.
    pub after: Option<u64>,
    /// Up to this block.
    pub read_to: u64,
    /// Commitments that it had; `None` if the logs do not even show its registration: they are no knowledge.
    pub commitments: Option<BTreeSet<CommitmentId>>,
}

/// Searches the logs of one network, some questions a turn. What was found stays until its peer's search is over.
#[derive(Debug)]
pub struct Searcher {
    pool: Pool,
    diamond: Address,
    /// Blocks of the next question: fewer after each failure, more after each answer.
    blocks: u64,
    searches: BTreeMap<PeerId, Search>,
}

#[derive(Debug)]
struct Search {
    wanted: Wanted,
    next: u64,
    is_registered: bool,
    commitments: BTreeSet<CommitmentId>,
}

/// What one log says.
#[derive(Clone, Copy, Debug)]
enum Said {
    Registered { peer: PeerId },
    Committed { peer: PeerId, commitment: CommitmentId },
}

impl Searcher {
    /// A searcher that has seen nothing.
    #[must_use]
    pub const fn new(pool: Pool, diamond: Address) -> Self {
        Self { pool, diamond, blocks: FIRST_BLOCKS, searches: BTreeMap::new() }
    }

    /// Goes on searching up to a final block; says of whom the search is over.
    ///
    /// # Errors
    ///
    /// [`Error`] if the turn's first question was not answered: the next turn asks for fewer blocks. An error after that ends the
    /// turn and is no news: nodes refuse what is too much for them.
    pub async fn turn(&mut self, wanted: &[Wanted], finalized: u64) -> Result<Vec<Past>, Error> {
        self.searches.retain(|_, search| wanted.contains(&search.wanted));
        for wanted in wanted {
            if self.searches.len() < PEERS {
                self.searches.entry(wanted.peer).or_insert_with(|| Search::new(*wanted));
            }
        }
        for question in 0..QUESTIONS {
            let nexts = self.searches.values().map(|search| search.next);
            let Some(from) = nexts.min().filter(|from| *from <= finalized) else { break };
            let to = from.saturating_add(self.blocks - 1).min(finalized);
            match self.read(from, to).await {
                Ok(said) => {
                    self.blocks = self.blocks.saturating_add(self.blocks / 8 + 1);
                    self.searches.values_mut().for_each(|search| search.hear(&said, to));
                }
                Err(error) => {
                    self.blocks = (self.blocks / 2).max(1);
                    if question == 0 {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        let over = self.searches.extract_if(.., |_, search| search.next > finalized);
        Ok(over.map(|(_, search)| search.end()).collect())
    }

    /// What the logs of these blocks say of the peers, each with its block.
    async fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, Said)>, Error> {
        let wanted = self.searches.values().map(|search| search.wanted);
        let names: Vec<B256> = wanted.flat_map(|wanted| [wanted.peer.0, wanted.offer.0]).collect();
        let events =
            [Diamond::CommitmentCreated::SIGNATURE_HASH, Diamond::PeerCreated::SIGNATURE_HASH];
        let filter = Filter::new()
            .address(self.diamond)
            .from_block(from)
            .to_block(to)
            .event_signature(events.to_vec())
            .topic1(names);
        let told = self.pool.logs(&filter).await?;
        let said = told.iter().flatten().filter_map(|log| {
            let block = log.block_number.filter(|block| (from..=to).contains(block))?;
            Some((block, said(log, self.diamond)?))
        });
        Ok(said.collect())
    }
}

impl Search {
    fn new(wanted: Wanted) -> Self {
        let next = wanted.after.map_or(0, |after| after.saturating_add(1));
        Self { wanted, next, is_registered: false, commitments: BTreeSet::new() }
    }

    /// Takes up what was said of this peer since what is known, up to a block.
    fn hear(&mut self, said: &[(u64, Said)], to: u64) {
        for (_, said) in said.iter().filter(|(block, _)| *block >= self.next) {
            match *said {
                Said::Registered { peer } => self.is_registered |= peer == self.wanted.peer,
                Said::Committed { peer, commitment } if peer == self.wanted.peer => {
                    self.commitments.insert(commitment);
                }
                Said::Committed { .. } => {}
            }
        }
        self.next = self.next.max(to.saturating_add(1));
    }

    fn end(self) -> Past {
        let Wanted { peer, after, .. } = self.wanted;
        let is_believed = self.is_registered || after.is_some();
        let commitments = is_believed.then_some(self.commitments);
        Past { peer, after, read_to: self.next.saturating_sub(1), commitments }
    }
}

fn said(log: &Log, diamond: Address) -> Option<Said> {
    if log.address() != diamond || log.removed {
        return None;
    }
    match *log.topic0()? {
        Diamond::CommitmentCreated::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::CommitmentCreated>().ok()?.inner.data;
            let (peer, commitment) = (event.peerId.into(), event.commitmentId.into());
            Some(Said::Committed { peer, commitment })
        }
        Diamond::PeerCreated::SIGNATURE_HASH => {
            let event = log.log_decode::<Diamond::PeerCreated>().ok()?.inner.data;
            Some(Said::Registered { peer: event.peerId.into() })
        }
        _ => None,
    }
}

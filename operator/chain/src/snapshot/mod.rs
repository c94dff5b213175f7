//! The market at one block, read in four rounds of batched views.
//!
//! First what does not depend on anything: constants, providers, offers, peers. Then what the peers name: commitments and
//! deals. Then the deals' workers, and where there are any, the peers of others among these. Units come with their peer, so that their number costs gas and no further calls.

mod batch;
mod deal;
mod elsewhere;
mod market;
mod peer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use alloy::primitives::U256;
use coreward_domain::chain::{Commitment, Deal, Head, Peer, Rules, Seat, Snapshot, Watchlist};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{CommitmentId, DealAddress, PeerId};

use self::batch::{Answers, Batch};
use self::deal::{DealQuestion, WorkersQuestion};
use self::elsewhere::Elsewhere;
use self::market::Questions;
use self::peer::{CommitmentQuestion, PeerQuestion};
use crate::Contracts;
use crate::abi::Diamond;
use crate::endpoint::{self, Pool};

/// Gas of a plain view with its share of the batch.
const VIEW_GAS: u64 = 40_000;

/// Units that a peer is assumed to have before it was read once.
const UNITS_AT_FIRST: u64 = 16;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node gave no answer.
    #[error("read the market")]
    Chain(#[from] endpoint::Error),
    /// What every decision rests on did not come: a wrong address of the diamond or of Multicall3, or a node that grants too
    /// little gas.
    #[error("{part} of the market at block {block} could not be read")]
    Unreadable {
        /// What.
        part: &'static str,
        /// Height.
        block: u64,
    },
}

impl Error {
    /// When to try again.
    #[must_use]
    pub const fn retry(&self) -> Option<core::time::Duration> {
        match self {
            Self::Chain(error) => error.retry(),
            Self::Unreadable { .. } => Some(core::time::Duration::from_secs(5)),
        }
    }
}

/// Reads snapshots of one network.
#[derive(Debug)]
pub struct Reader {
    pool: Pool,
    contracts: Contracts,
    finality_blocks: u64,
    /// Units by peer as last seen; only to cut batches to size.
    sizes: Mutex<BTreeMap<PeerId, u64>>,
    elsewhere: Elsewhere,
}

impl Reader {
    /// A reader; a block is final when `finality_blocks` are on top.
    #[must_use]
    pub fn new(pool: Pool, contracts: Contracts, finality_blocks: u64) -> Self {
        let (sizes, elsewhere) = (Mutex::default(), Elsewhere::default());
        Self { pool, contracts, finality_blocks, sizes, elsewhere }
    }

    /// The market at the newest block.
    ///
    /// # Errors
    ///
    /// [`Error`]: the market is unknown; keep what was known and its age.
    pub async fn snapshot(&self, watch: &Watchlist) -> Result<Snapshot, Error> {
        let head = self.pool.head().await?;
        self.snapshot_at(head, watch).await
    }

    /// The market at this block. Single things that could not be read are missing in it.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; also when the node does not have the block any more.
    pub async fn snapshot_at(&self, head: Head, watch: &Watchlist) -> Result<Snapshot, Error> {
        let base = self.first_round(head, watch).await?;
        let seats = seats(&base.snapshot.peers);
        let second = self.second_round(head, watch, &base, &seats).await?;
        let deals = self.third_round(head, &second, &seats).await?;
        let gateways = self.fourth_round(head, watch, &deals).await;
        let rules = Rules {
            min_proofs: second.min_proofs,
            max_proofs: second.max_proofs,
            ..base.snapshot.rules
        };
        Ok(Snapshot {
            rules,
            reward_pool: second.reward_pool,
            total_success_proofs: second.total_success_proofs,
            commitments: second.commitments,
            deals,
            gateways,
            ..base.snapshot
        })
    }

    async fn run(&self, batch: Batch, head: Head) -> Result<Answers, Error> {
        Ok(batch.run(&self.pool, self.contracts.multicall3, head.hash).await?)
    }

    async fn first_round(&self, head: Head, watch: &Watchlist) -> Result<Base, Error> {
        let mut batch = Batch::default();
        let market = Questions::ask(&mut batch, &self.contracts, watch);
        let diamond = self.contracts.diamond;
        let peers = watch.peers.iter().map(|peer| {
            let question = PeerQuestion::ask(&mut batch, diamond, *peer, self.size_of(*peer));
            (*peer, question)
        });
        let peers: Vec<(PeerId, PeerQuestion)> = peers.collect();
        let answers = self.run(batch, head).await?;
        let unreadable = |part| Error::Unreadable { part, block: head.number };
        let (rules, calendar) = market.rules(&answers).ok_or_else(|| unreadable("constants"))?;
        let (global_nonce, difficulty) =
            market.puzzle(&answers).ok_or_else(|| unreadable("puzzle"))?;
        let peers: BTreeMap<PeerId, Option<Peer>> = peers
            .into_iter()
            .filter_map(|(id, question)| question.read(&answers).entry(id))
            .collect();
        self.remember(&peers);
        let snapshot = Snapshot {
            head,
            calendar,
            epoch: calendar.epoch_at(head.timestamp),
            rules,
            global_nonce,
            difficulty,
            reward_pool: U256::ZERO,
            total_success_proofs: 0,
            finalized: head.number.saturating_sub(self.finality_blocks),
            providers: market.providers(&answers),
            offers: market.offers(&answers),
            peers,
            commitments: BTreeMap::new(),
            deals: BTreeMap::new(),
            gateways: BTreeMap::new(),
            wallets: market.wallets(&answers),
            tokens: market.tokens(&answers),
            datacenters: market.datacenters(&answers).ok_or_else(|| unreadable("datacenters"))?,
            resources: market.resources(&answers).ok_or_else(|| unreadable("resources"))?,
        };
        Ok(Base { snapshot })
    }

    async fn second_round(
        &self,
        head: Head,
        watch: &Watchlist,
        base: &Base,
        seats: &BTreeSet<Seat>,
    ) -> Result<Second, Error> {
        let mut batch = Batch::default();
        let diamond = self.contracts.diamond;
        let Epoch(epoch) = base.snapshot.epoch;
        let epoch = U256::from(epoch);
        let pool = batch.ask(diamond, &Diamond::getRewardPoolCall { epoch }, VIEW_GAS);
        let info = batch.ask(diamond, &Diamond::getRewardInfoCall { epoch }, VIEW_GAS);
        let commitments: Vec<(CommitmentId, CommitmentQuestion)> =
            sized_commitments(watch, &base.snapshot.peers)
                .into_iter()
                .map(|(id, units)| (id, CommitmentQuestion::ask(&mut batch, diamond, id, units)))
                .collect();
        let deals: BTreeSet<DealAddress> =
            watch.deals.iter().copied().chain(seats.iter().map(|seat| seat.deal)).collect();
        let deals: Vec<(DealAddress, DealQuestion)> =
            deals.into_iter().map(|deal| (deal, DealQuestion::ask(&mut batch, deal))).collect();
        let answers = self.run(batch, head).await?;
        let unreadable = || Error::Unreadable { part: "rewards", block: head.number };
        let info = answers.get(info).value().ok_or_else(unreadable)?;
        let reward_pool = answers.get(pool).value().ok_or_else(unreadable)?;
        // Frozen at the epoch's first proof; until then the constants will be.
        let is_frozen = !info.maxProofsPerEpoch.is_zero();
        let rules = &base.snapshot.rules;
        Ok(Second {
            reward_pool,
            min_proofs: if is_frozen {
                info.minProofsPerEpoch.saturating_to()
            } else {
                rules.min_proofs
            },
            max_proofs: if is_frozen {
                info.maxProofsPerEpoch.saturating_to()
            } else {
                rules.max_proofs
            },
            total_success_proofs: small(info.totalSuccessProofs),
            commitments: commitments
                .into_iter()
                .filter_map(|(id, question)| question.read(&answers).entry(id))
                .collect(),
            deals,
            answers,
        })
    }

    async fn third_round(
        &self,
        head: Head,
        second: &Second,
        seats: &BTreeSet<Seat>,
    ) -> Result<BTreeMap<DealAddress, Deal>, Error> {
        let mut batch = Batch::default();
        let workers = second.deals.iter().filter_map(|(deal, question)| {
            let ids = question.worker_ids(&second.answers)?;
            Some((*deal, *question, WorkersQuestion::ask(&mut batch, *deal, &ids, seats)))
        });
        let workers: Vec<(DealAddress, DealQuestion, WorkersQuestion)> = workers.collect();
        let answers = self.run(batch, head).await?;
        let deals = workers.into_iter().filter_map(|(deal, question, workers)| {
            Some((deal, question.read(&second.answers, workers.read(&answers)?)?))
        });
        Ok(deals.collect())
    }

    /// What peers that are not ours publish of their gateways; no call where there are none. Whatever goes wrong is no reason to
    /// have no snapshot.
    async fn fourth_round(
        &self,
        head: Head,
        watch: &Watchlist,
        deals: &BTreeMap<DealAddress, Deal>,
    ) -> BTreeMap<PeerId, Vec<String>> {
        let workers = deals.values().flat_map(|deal| deal.workers.values());
        let peers = workers.map(|worker| worker.peer).filter(|peer| !watch.peers.contains(peer));
        let mut batch = Batch::default();
        let questions = self.elsewhere.ask(&mut batch, self.contracts.diamond, peers.collect());
        if questions.is_empty() {
            return self.elsewhere.read(questions, None);
        }
        let answers = self.run(batch, head).await;
        if let Err(error) = &answers {
            tracing::debug!(%error, chain.block = head.number, "the gateways of other peers were not read: those read before stand");
        }
        self.elsewhere.read(questions, answers.as_ref().ok())
    }

    fn size_of(&self, peer: PeerId) -> u64 {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(&peer).copied().unwrap_or(UNITS_AT_FIRST)
    }

    fn remember(&self, peers: &BTreeMap<PeerId, Option<Peer>>) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.retain(|peer, _| peers.contains_key(peer));
        sizes.extend(
            peers.iter().filter_map(|(id, peer)| Some((*id, peer.as_ref()?.units.len() as u64))),
        );
    }
}

/// A snapshot without what the later rounds add.
#[derive(Debug)]
struct Base {
    snapshot: Snapshot,
}

/// What the second round found.
#[derive(Debug)]
struct Second {
    reward_pool: U256,
    min_proofs: u32,
    max_proofs: u32,
    total_success_proofs: u64,
    commitments: BTreeMap<CommitmentId, Option<Commitment>>,
    deals: Vec<(DealAddress, DealQuestion)>,
    answers: Answers,
}

/// Seats that units of these peers serve in.
fn seats(peers: &BTreeMap<PeerId, Option<Peer>>) -> BTreeSet<Seat> {
    peers
        .values()
        .flatten()
        .flat_map(|peer| peer.units.values())
        .filter_map(|unit| unit.seat)
        .collect()
}

/// Commitments to read, with the units that each may have.
fn sized_commitments(
    watch: &Watchlist,
    peers: &BTreeMap<PeerId, Option<Peer>>,
) -> BTreeMap<CommitmentId, u64> {
    let mut sized: BTreeMap<CommitmentId, u64> =
        watch.commitments.iter().map(|id| (*id, UNITS_AT_FIRST)).collect();
    let present = peers.values().flatten();
    sized.extend(present.filter_map(|peer| Some((peer.commitment?, peer.units.len() as u64))));
    sized
}

/// A word as a number; what needs more than 64 bits becomes the largest.
fn small(word: U256) -> u64 {
    word.saturating_to()
}

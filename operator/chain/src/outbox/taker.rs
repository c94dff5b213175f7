//! Who spent a nonce that a record of ours was to spend.

use alloy::consensus::Transaction as _;
use alloy::network::TransactionResponse as _;
use alloy::rpc::types::{BlockId, Transaction, TransactionReceipt};
use coreward_domain::call::Call;

use super::Error;
use super::journal::Journal;
use super::sender::{Desk, Sender};
use crate::decode::submits_proofs;
use crate::encode::Encoded;
use crate::endpoint;

/// Blocks that are looked through for the transaction; a nonce that was spent before counts as spent by a stranger.
const WINDOW: u64 = 1 << 16;

/// Nonces between our highest and the chain's next that are looked into; a stranger who took more has taken one of these.
const MOST_STRANGE: usize = 8;

impl<J: Journal> Sender<J> {
    /// The first nonce beyond all that we kept that a transaction of somebody else took since this process first looked; `None`
    /// where a node does not tell. Proofs are nobody's else: a leader that lost the API server sends them without keeping them.
    /// An order of proofs does not ask: it waits for nothing.
    pub(super) async fn strangers(
        &self,
        desk: &mut Desk,
        call: &Call,
    ) -> Result<Option<u64>, Error> {
        if matches!(call, Call::SubmitProofs { .. }) {
            return Ok(None);
        }
        match self.look_for_strangers(desk).await {
            Ok(found) => Ok(found),
            Err(endpoint::Error::Refused { .. }) => Ok(None),
            Err(source) => Err(Error::Chain { function: call.function(), source }),
        }
    }

    async fn look_for_strangers(&self, desk: &mut Desk) -> Result<Option<u64>, endpoint::Error> {
        let spent = self.pool.nonce(self.address(), BlockId::latest()).await?;
        let first = desk.next.max(*desk.watched_from.get_or_insert(spent));
        if spent <= first {
            return Ok(None);
        }
        let head = self.pool.head().await?.number;
        for nonce in (first..spent).take(MOST_STRANGE) {
            if desk.unkept.contains_key(&nonce) {
                continue;
            }
            let taker = self.taker(nonce, head).await?;
            if taker.is_some_and(|taker| !self.is_proofs(&taker)) {
                return Ok(Some(nonce));
            }
        }
        Ok(None)
    }

    /// The transaction that spent a nonce, known to be spent at `block`; `None` where it is too long ago to be found.
    async fn taker(&self, nonce: u64, block: u64) -> Result<Option<Transaction>, endpoint::Error> {
        let Some(block) = self.block_that_spent(nonce, block).await? else { return Ok(None) };
        let transactions = self.pool.transactions(block).await?;
        Ok(transactions
            .into_iter()
            .find(|found| found.inner.signer() == self.address() && found.inner.nonce() == nonce))
    }

    /// The receipt of proofs that spent this nonce: a leader that lost the API server sends them without keeping them.
    /// `None` if another transaction spent it, or if a node does not tell.
    pub(super) async fn own_proofs(
        &self,
        (nonce, call): (u64, &Call),
        buried: u64,
    ) -> Result<Option<TransactionReceipt>, Error> {
        let looked = self.look_for_proofs(nonce, buried).await;
        match looked {
            Ok(found) => Ok(found),
            // A node that has dropped old state says so; what cannot be told is no proof of ours.
            Err(endpoint::Error::Refused { .. }) => Ok(None),
            Err(source) => Err(Error::Chain { function: call.function(), source }),
        }
    }

    async fn look_for_proofs(
        &self,
        nonce: u64,
        buried: u64,
    ) -> Result<Option<TransactionReceipt>, endpoint::Error> {
        match self.taker(nonce, buried).await?.filter(|taker| self.is_proofs(taker)) {
            Some(taker) => self.pool.receipt(taker.tx_hash()).await,
            None => Ok(None),
        }
    }

    fn is_proofs(&self, found: &Transaction) -> bool {
        let sent = &found.inner;
        let call =
            sent.to().map(|to| Encoded { to, input: sent.input().clone(), value: sent.value() });
        call.is_some_and(|call| submits_proofs(&call, self.account.contracts.diamond))
    }

    /// The first block after which the nonce was spent, known to be spent at `buried`: found by steps back that double, and
    /// by halving then.
    async fn block_that_spent(
        &self,
        nonce: u64,
        buried: u64,
    ) -> Result<Option<u64>, endpoint::Error> {
        let (mut spent, mut step) = (buried, 1);
        let mut unspent = loop {
            let earlier = buried.saturating_sub(step);
            if !self.is_spent_at(nonce, earlier).await? {
                break earlier;
            }
            if earlier == 0 || step >= WINDOW {
                return Ok(None);
            }
            (spent, step) = (earlier, step * 2);
        };
        while spent - unspent > 1 {
            let middle = unspent + (spent - unspent) / 2;
            if self.is_spent_at(nonce, middle).await? {
                spent = middle;
            } else {
                unspent = middle;
            }
        }
        Ok(Some(spent))
    }

    async fn is_spent_at(&self, nonce: u64, block: u64) -> Result<bool, endpoint::Error> {
        Ok(self.pool.nonce(self.address(), BlockId::number(block)).await? > nonce)
    }
}

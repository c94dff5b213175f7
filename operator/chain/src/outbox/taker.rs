//! Who spent a nonce that a record of ours was to spend.

use alloy::consensus::Transaction as _;
use alloy::network::TransactionResponse as _;
use alloy::rpc::types::{BlockId, Transaction, TransactionReceipt};
use coreward_domain::call::Call;

use super::Error;
use super::journal::Journal;
use super::sender::Sender;
use crate::decode::submits_proofs;
use crate::encode::Encoded;
use crate::endpoint;

/// Blocks that are looked through for the transaction; a nonce that was spent before counts as spent by a stranger.
const WINDOW: u64 = 1 << 16;

impl<J: Journal> Sender<J> {
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
        let Some(block) = self.block_that_spent(nonce, buried).await? else { return Ok(None) };
        let transactions = self.pool.transactions(block).await?;
        let taker = transactions
            .iter()
            .find(|found| found.inner.signer() == self.address() && found.inner.nonce() == nonce);
        match taker.filter(|taker| self.is_proofs(taker)) {
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

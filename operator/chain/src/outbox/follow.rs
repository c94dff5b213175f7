//! Following what was kept: receipts, burial, sending again, dearer attempts.

use std::collections::BTreeMap;

use alloy::consensus::Transaction;
use alloy::primitives::{Bytes, U256};
use alloy::rpc::types::{BlockId, TransactionReceipt};
use coreward_domain::call::Call;
use tracing::{debug, error, info};

use super::fee::Fees;
use super::journal::{Attempt, Entry, Journal, JournalError, Purpose, Receipt, State};
use super::sender::{Desk, Draft, MaySend, Sender};
use super::{Change, Error, Followed, Tick};
use crate::effect::{Effect, effects};
use crate::encode::{Encoded, encode};
use crate::endpoint;
use crate::node::envelope;

/// Attempts on one nonce; what an object of the API server is made to hold.
const MOST_ATTEMPTS: usize = 16;

/// Gas of an empty transfer.
const TRANSFER_GAS: u64 = 21_000;

impl<J: Journal> Sender<J> {
    /// Follows every record that has not ended by one block: takes note of receipts, sends what got lost, makes dearer what
    /// waits too long. Asks the chain nothing when nothing is open.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] or [`Error::Chain`] when nothing could be followed; a single record's failure is in the result.
    pub async fn tick(&self, at: &Tick, may_send: &MaySend<'_>) -> Result<Followed, Error> {
        let mut desk = self.desk.lock().await;
        let entries = self.known(&mut desk).await?;
        let open: BTreeMap<u64, Entry> =
            entries.into_iter().filter(|(_, entry)| !entry.state.is_end()).collect();
        desk.waiting.retain(|nonce, _| open.contains_key(nonce));
        let mut followed = Followed::default();
        if open.is_empty() && desk.unkept.is_empty() {
            return Ok(followed);
        }
        let head = self.pool.nonce(self.address(), BlockId::latest()).await;
        let spent = head.map_err(|source| Error::Chain { function: "transfer", source })?;
        desk.watched_from.get_or_insert(spent);
        self.follow_unkept(&mut desk, at, spent).await?;
        self.send_unkept_again(&desk, spent, may_send).await;
        for entry in open.into_values() {
            let name = entry.record.name();
            match self.follow(&mut desk, entry, (at, spent), may_send).await {
                Ok(change) => followed.changes.extend(change),
                Err(Error::Journal { source: JournalError::Conflict { .. }, .. }) => {
                    debug!(
                        transaction.name = name,
                        "list of transactions lags; the next tick looks again"
                    );
                }
                Err(failure) => followed.failures.push((name, failure)),
            }
        }
        Ok(followed)
    }

    /// Looks where proofs without a record are; those whose nonce another transaction took are forgotten, to be sent again.
    async fn follow_unkept(&self, desk: &mut Desk, at: &Tick, spent: u64) -> Result<(), Error> {
        desk.unkept.retain(|_, proofs| !is_stale(&proofs.call, at));
        let taken: Vec<u64> = desk.unkept.range(..spent).map(|(nonce, _)| *nonce).collect();
        for nonce in taken {
            let Some(proofs) = desk.unkept.get_mut(&nonce).filter(|proofs| proofs.mined.is_none())
            else {
                continue;
            };
            let found = self.pool.receipt(proofs.attempt.hash).await;
            let function = proofs.call.function();
            let found = found.map_err(|source| Error::Chain { function, source })?;
            proofs.mined = found.and_then(|receipt| receipt.block_number);
            if proofs.mined.is_none() {
                desk.unkept.remove(&nonce);
            }
        }
        Ok(())
    }

    /// Hands proofs without a record to the node once more, the same bytes: it may have lost them, or never got them.
    async fn send_unkept_again(&self, desk: &Desk, spent: u64, may_send: &MaySend<'_>) {
        for (nonce, proofs) in desk.unkept.range(spent..) {
            if may_send(&proofs.call) {
                self.send(&format!("with nonce {nonce}, not kept"), &proofs.attempt).await;
            }
        }
    }

    /// Height of the newest final block.
    const fn buried(&self, at: &Tick) -> u64 {
        at.head.number.saturating_sub(self.account.finality_blocks)
    }

    /// Whether the account's nonce was beyond this one in the newest final block.
    async fn is_spent_for_good(&self, nonce: u64, call: &Call, at: &Tick) -> Result<bool, Error> {
        let spent = self.pool.nonce(self.address(), BlockId::number(self.buried(at))).await;
        Ok(spent.map_err(|source| Error::Chain { function: call.function(), source })? > nonce)
    }

    async fn follow(
        &self,
        desk: &mut Desk,
        mut entry: Entry,
        (at, spent): (&Tick, u64),
        may_send: &MaySend<'_>,
    ) -> Result<Option<Change>, Error> {
        let diamond = self.account.contracts.diamond;
        let unreadable = |_| Error::Unreadable { name: entry.record.name() };
        let call = entry.record.call(diamond).map_err(unreadable)?;
        if let Some((purpose, receipt)) = self.receipt(&entry, &call).await? {
            return self.mined(desk, entry, call, (purpose, receipt), at).await;
        }
        if spent > entry.record.nonce {
            return self.lost(desk, entry, call, at).await;
        }
        if matches!(entry.state, State::Mined(_)) {
            info!(transaction.name = entry.record.name(), "the block of this transaction is gone");
            self.set_state(desk, &mut entry, State::Signed).await?;
        }
        self.push(desk, entry, call, (at, spent), may_send).await
    }

    /// A record whose nonce was spent by none of its attempts.
    async fn lost(
        &self,
        desk: &mut Desk,
        entry: Entry,
        call: Call,
        at: &Tick,
    ) -> Result<Option<Change>, Error> {
        let (name, nonce) = (entry.record.name(), entry.record.nonce);
        if !self.is_spent_for_good(nonce, &call, at).await? {
            return Ok(None);
        }
        let state = if let Some(receipt) = self.own_proofs((nonce, &call), self.buried(at)).await? {
            info!(transaction.name = name, "proofs that could not be kept took this nonce");
            State::Replaced(self.read(&call, Purpose::Cancel, &receipt).await.0)
        } else {
            error!(transaction.name = name, "a transaction that is not ours took this nonce");
            State::Displaced
        };
        self.moved(desk, entry, call, state, Vec::new()).await.map(Some)
    }

    /// The receipt of any attempt.
    async fn receipt(
        &self,
        entry: &Entry,
        call: &Call,
    ) -> Result<Option<(Purpose, TransactionReceipt)>, Error> {
        for attempt in entry.attempts() {
            let found = self.pool.receipt(attempt.hash).await;
            let found =
                found.map_err(|source| Error::Chain { function: call.function(), source })?;
            if let Some(receipt) = found.filter(|receipt| receipt.block_number.is_some()) {
                return Ok(Some((attempt.purpose, receipt)));
            }
        }
        Ok(None)
    }

    async fn mined(
        &self,
        desk: &mut Desk,
        entry: Entry,
        call: Call,
        (purpose, found): (Purpose, TransactionReceipt),
        at: &Tick,
    ) -> Result<Option<Change>, Error> {
        let block = found.block_number.unwrap_or_default();
        let is_final = at.head.number >= block.saturating_add(self.account.finality_blocks);
        if let State::Mined(known) = &entry.state
            && !is_final
            && known.block_hash == found.block_hash.unwrap_or_default()
        {
            return Ok(None);
        }
        let (receipt, effects) = self.read(&call, purpose, &found).await;
        let state = match (is_final, purpose) {
            (false, _) => State::Mined(receipt),
            (true, Purpose::Cancel) => State::Cancelled(receipt),
            (true, Purpose::Intent | Purpose::HigherFee) => State::Final(receipt),
        };
        self.moved(desk, entry, call, state, effects).await.map(Some)
    }

    async fn read(
        &self,
        call: &Call,
        purpose: Purpose,
        found: &TransactionReceipt,
    ) -> (Receipt, Vec<Effect>) {
        let succeeded = found.status();
        let carried_out = succeeded && purpose != Purpose::Cancel;
        let effects = if carried_out {
            effects(call, found.logs(), self.account.contracts.diamond)
        } else {
            Vec::new()
        };
        let proofs = |wanted: bool| {
            let counted = |effect: &&Effect| matches!(effect, Effect::Proof { accepted, .. } if *accepted == wanted);
            matches!(call, Call::SubmitProofs { .. })
                .then(|| effects.iter().filter(counted).count() as u64)
        };
        let receipt = Receipt {
            hash: found.transaction_hash,
            block: found.block_number.unwrap_or_default(),
            block_hash: found.block_hash.unwrap_or_default(),
            succeeded,
            revert: if succeeded { None } else { self.why_reverted(call, found).await },
            gas_used: found.gas_used,
            effective_gas_price: found.effective_gas_price,
            accepted_proofs: proofs(true),
            refused_proofs: proofs(false),
        };
        (receipt, effects)
    }

    /// Runs the call again where it failed; a guess, since the block's other transactions count as done.
    async fn why_reverted(&self, call: &Call, found: &TransactionReceipt) -> Option<String> {
        let encoded = encode(call, self.account.contracts.diamond);
        let again =
            self.pool.call_at(self.address(), &encoded, BlockId::number(found.block_number?)).await;
        match again {
            Err(endpoint::Error::Reverted(revert)) if revert.is_fact() => Some(revert.to_string()),
            Ok(_) | Err(_) => None,
        }
    }

    async fn moved(
        &self,
        desk: &mut Desk,
        mut entry: Entry,
        call: Call,
        state: State,
        effects: Vec<Effect>,
    ) -> Result<Change, Error> {
        self.set_state(desk, &mut entry, state.clone()).await?;
        Ok(Change { name: entry.record.name(), call, state, effects })
    }

    async fn set_state(
        &self,
        desk: &mut Desk,
        entry: &mut Entry,
        state: State,
    ) -> Result<(), Error> {
        let written = self.journal.set_state(entry, &state).await;
        entry.version =
            written.map_err(|source| Error::Journal { address: self.address(), source })?;
        entry.state = state;
        if let Some(known) = desk.written.get_mut(&entry.record.nonce) {
            known.clone_from(entry);
        }
        Ok(())
    }

    /// A record whose nonce is free: sent again if the node lost it, replaced if it waits too long.
    async fn push(
        &self,
        desk: &mut Desk,
        entry: Entry,
        call: Call,
        (at, spent): (&Tick, u64),
        may_send: &MaySend<'_>,
    ) -> Result<Option<Change>, Error> {
        if !may_send(&call) {
            return Ok(None);
        }
        let function = call.function();
        let known = self.pool.knows(entry.newest().hash).await;
        let known = known.map_err(|source| Error::Chain { function, source })?;
        let nonce = entry.record.nonce;
        let attempts = entry.further.len();
        let (seen, since) = desk.waiting.get(&nonce).copied().unwrap_or((attempts, at.head.number));
        let since = if seen == attempts { since } else { at.head.number };
        desk.waiting.insert(nonce, (attempts, since));
        let is_stale = is_stale(&call, at) && entry.newest().purpose != Purpose::Cancel;
        let is_slow = at.head.number.saturating_sub(since) >= self.fees.patience_blocks;
        if is_stale {
            return self.replace(desk, entry, call, (at, Purpose::Cancel), may_send).await;
        }
        let is_cancel = entry.newest().purpose == Purpose::Cancel;
        let is_next = nonce == spent;
        if !known && is_next && !is_cancel && self.is_refused(&call).await? {
            return self.replace(desk, entry, call, (at, Purpose::Cancel), may_send).await;
        }
        // Also one that the node dropped: if it did so for the fee, it does not take the same bytes again.
        if is_slow {
            let purpose = if is_cancel { Purpose::Cancel } else { Purpose::HigherFee };
            return self.replace(desk, entry, call, (at, purpose), may_send).await;
        }
        if known {
            return Ok(None);
        }
        self.send_again(desk, entry, call, may_send).await
    }

    async fn is_refused(&self, call: &Call) -> Result<bool, Error> {
        match self.simulate(call).await {
            Ok(_) => Ok(false),
            Err(Error::WouldRevert { revert, .. }) if revert.is_fact() => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn send_again(
        &self,
        desk: &mut Desk,
        mut entry: Entry,
        call: Call,
        may_send: &MaySend<'_>,
    ) -> Result<Option<Change>, Error> {
        let name = entry.record.name();
        if !may_send(&call) || !self.send(&name, entry.newest()).await || entry.state == State::Sent
        {
            return Ok(None);
        }
        self.set_state(desk, &mut entry, State::Sent).await?;
        Ok(Some(Change { name, call, state: State::Sent, effects: Vec::new() }))
    }

    /// Signs another attempt on the nonce, keeps it, sends it.
    async fn replace(
        &self,
        desk: &mut Desk,
        mut entry: Entry,
        call: Call,
        (at, purpose): (&Tick, Purpose),
        may_send: &MaySend<'_>,
    ) -> Result<Option<Change>, Error> {
        let name = entry.record.name();
        if entry.further.len() >= MOST_ATTEMPTS {
            return self.send_again(desk, entry, call, may_send).await;
        }
        let unreadable = || Error::Unreadable { name: name.clone() };
        let old = envelope(&entry.newest().raw).ok_or_else(unreadable)?;
        let old_fees = Fees {
            max: old.max_fee_per_gas(),
            priority: old.max_priority_fee_per_gas().unwrap_or_default(),
        };
        let Some(fees) = self.fees.dearer(old_fees, at.head.base_fee, &call) else {
            debug!(transaction.name = name, "fee cap forbids a dearer attempt");
            return Ok(None);
        };
        let draft = match purpose {
            Purpose::Cancel => {
                let encoded =
                    Encoded { to: self.address(), input: Bytes::new(), value: U256::ZERO };
                Draft { encoded, gas: TRANSFER_GAS, fees }
            }
            Purpose::Intent | Purpose::HigherFee => Draft {
                encoded: encode(&call, self.account.contracts.diamond),
                gas: old.gas_limit(),
                fees,
            },
        };
        let signed = self.sign(&call, &draft, entry.record.nonce).await?;
        let attempt =
            Attempt { purpose, raw: signed.raw, hash: signed.hash, max_fee_per_gas: fees.max };
        let kept = self.journal.append(&entry, &attempt).await;
        entry.version =
            kept.map_err(|source| Error::Journal { address: self.address(), source })?;
        entry.further.push(attempt);
        if let Some(known) = desk.written.get_mut(&entry.record.nonce) {
            known.clone_from(&entry);
        }
        info!(
            transaction.name = name,
            attempts = entry.further.len(),
            "replaced a waiting transaction"
        );
        self.send_again(desk, entry, call, may_send).await
    }
}

/// Whether the call can only fail by now: proofs hold in one epoch.
fn is_stale(call: &Call, at: &Tick) -> bool {
    matches!(call, Call::SubmitProofs { epoch, .. } if *epoch < at.epoch)
}

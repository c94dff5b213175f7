//! One sender per account: orders in, kept and sent transactions out.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use alloy::rpc::types::BlockId;
use coreward_domain::call::Call;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::fee::{FeePolicy, Fees};
use super::flights::is_unseen;
use super::journal::{Attempt, Creation, Entry, Journal, JournalError, Purpose, Record, State};
use super::{Error, Order, Submitted};
use crate::Contracts;
use crate::encode::{Encoded, Unsaid, encode};
use crate::endpoint::{self, Pool};
use crate::node::Taken;
use crate::signer::{Permitted, Signed, Unsigned};

/// Asked before anything is signed and again right before it is sent: whether this call may go out now.
pub type MaySend<'a> = dyn Fn(&Call) -> bool + Send + Sync + 'a;

/// Calldata above this is not kept: an object of the API server carries it twice as hex, and attempts besides.
const LARGEST_CALLDATA: usize = 128 * 1024;

/// Names that may turn out taken before an order gives up; another leader can only have written a few more than we know.
const NONCE_TRIES: u32 = 8;

/// Spare gas over the estimate, as a divisor: a quarter. State moves between the estimate and the block.
const GAS_MARGIN: u64 = 4;

/// Whose transactions are sent, and where to.
#[derive(Clone, Debug)]
pub struct Account {
    /// The network's configured name.
    pub network: String,
    /// The chain.
    pub chain_id: u64,
    /// Its contracts.
    pub contracts: Contracts,
    /// A block is final when this many are on top.
    pub finality_blocks: u64,
}

/// The only writer of one account on one chain.
#[derive(Debug)]
pub struct Sender<J> {
    pub(super) account: Account,
    pub(super) signer: Permitted,
    pub(super) pool: Pool,
    pub(super) journal: J,
    pub(super) fees: FeePolicy,
    /// Held through every order and tick, so that there is one sender.
    pub(super) desk: Mutex<Desk>,
}

/// Proofs that were sent without a record.
#[derive(Clone, Debug)]
pub(super) struct Unkept {
    pub(super) call: Call,
    pub(super) attempt: Attempt,
    /// Height of the block that holds them, if any.
    pub(super) mined: Option<u64>,
}

/// What the sender remembers; all of it can be lost.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The nonce after the highest that any record of ours has.
    pub(super) next: u64,
    /// The chain's next nonce when this process first looked: what was spent before is the past, whose records may be gone.
    pub(super) watched_from: Option<u64>,
    /// Records that we wrote and a lagging list may not show yet, by nonce.
    pub(super) written: BTreeMap<u64, Entry>,
    /// Proofs sent while nothing could be kept, by nonce; remembered until their epoch is over.
    pub(super) unkept: BTreeMap<u64, Unkept>,
    /// Height at which an attempt was first seen waiting, by nonce: the attempts so far, the height.
    pub(super) waiting: BTreeMap<u64, (usize, u64)>,
}

impl<J: Journal> Sender<J> {
    /// A sender for the signer's account. There must be no other in this process, and no other process with the lease.
    #[must_use]
    pub fn new(
        account: Account,
        signer: Permitted,
        pool: Pool,
        journal: J,
        fees: FeePolicy,
    ) -> Self {
        Self { account, signer, pool, journal, fees, desk: Mutex::default() }
    }

    /// The account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Runs a call at the pending block without sending it; gives the gas that it needs.
    ///
    /// # Errors
    ///
    /// [`Error::WouldRevert`], whose revert is a fact or not; [`Error::Chain`].
    pub async fn simulate(&self, call: &Call) -> Result<u64, Error> {
        let encoded = encode(call, self.account.contracts.diamond);
        let function = call.function();
        self.pool.simulate(self.address(), &encoded).await.map_err(|error| {
            if let endpoint::Error::Reverted(revert) = error {
                Error::WouldRevert { function, revert }
            } else {
                Error::Chain { function, source: error }
            }
        })
    }

    /// Carries an order out, once: the same call that is on its way already is not sent again.
    ///
    /// Cancel safe: once kept, the transaction is sent by the next tick of whoever leads.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing was sent then. After [`Error::Journal`] a record may exist, and the next tick finds it.
    pub async fn submit(&self, order: &Order, may_send: &MaySend<'_>) -> Result<Submitted, Error> {
        let mut desk = self.desk.lock().await;
        let call = &order.call;
        let encoded = encode(call, self.account.contracts.diamond);
        check(call, &encoded, may_send)?;
        let entries = match self.entries(&mut desk).await {
            Ok(entries) => entries,
            Err(Error::Journal { source: JournalError::Unavailable(_), .. }) if is_proof(call) => {
                return self.submit_unkept(&mut desk, order, may_send).await;
            }
            Err(error) => return Err(error),
        };
        if let Some(name) = self.same_in_flight(&entries, order) {
            return Ok(Submitted::InFlight { name });
        }
        let draft = self.draft(call, encoded).await?;
        let mut nonce = match self.strangers(&mut desk, call).await? {
            // Kept there, it ends as displaced, and people learn of the stranger.
            Some(taken) => taken,
            None => self.next_nonce(&desk, call).await?,
        };
        for _ in 0..NONCE_TRIES {
            let record = self.record(order, &draft, nonce).await?;
            if !may_send(call) {
                return Err(Error::MayNotSend { function: call.function() });
            }
            match self.journal.create(&record).await {
                Ok(Creation::Created(version)) => {
                    return Ok(self.send_kept(&mut desk, record, version, call, may_send).await);
                }
                Ok(Creation::AlreadyExists) => {}
                Err(JournalError::Unavailable(_)) if is_proof(call) => {
                    // Perhaps it was kept after all: so these bytes, and no others with this nonce.
                    return self.send_unkept(&mut desk, call, &record.first, nonce).await;
                }
                Err(source) => return Err(Error::Journal { address: self.address(), source }),
            }
            if let Some(name) = self.look(&mut desk, order, nonce).await? {
                return Ok(Submitted::InFlight { name });
            }
            nonce += 1;
        }
        Err(Error::NonceContended { address: self.address(), tries: NONCE_TRIES, nonce })
    }

    fn same_in_flight(&self, entries: &BTreeMap<u64, Entry>, order: &Order) -> Option<String> {
        let diamond = self.account.contracts.diamond;
        let same = |entry: &&Entry| {
            is_unseen(entry, order.planned_at)
                && entry.record.call(diamond).is_ok_and(|call| call == order.call)
        };
        entries.values().find(same).map(|entry| entry.record.name())
    }

    /// Simulates, and chooses gas and fees.
    async fn draft(&self, call: &Call, encoded: Encoded) -> Result<Draft, Error> {
        let function = call.function();
        let gas = self.simulate(call).await?;
        let head = self.pool.head().await.map_err(|source| Error::Chain { function, source })?;
        let fees = self.fees.first(head.base_fee, call);
        let fees =
            fees.map_err(|cap| Error::FeeAboveCap { function, base_fee: head.base_fee, cap })?;
        Ok(Draft { encoded, gas: gas.saturating_add(gas / GAS_MARGIN), fees })
    }

    /// The lowest nonce that neither the chain nor we have used.
    async fn next_nonce(&self, desk: &Desk, call: &Call) -> Result<u64, Error> {
        let chain = |source| Error::Chain { function: call.function(), source };
        let latest = self.pool.nonce(self.address(), BlockId::latest()).await.map_err(chain)?;
        let pending = self.pool.nonce(self.address(), BlockId::pending()).await.map_err(chain)?;
        let unkept = desk.unkept.last_key_value().map_or(0, |(nonce, _)| nonce + 1);
        Ok(latest.max(pending).max(desk.next).max(unkept))
    }

    async fn record(&self, order: &Order, draft: &Draft, nonce: u64) -> Result<Record, Error> {
        let signed = self.sign(&order.call, draft, nonce).await?;
        Ok(Record {
            network: self.account.network.clone(),
            address: self.address(),
            nonce,
            function: order.call.function().to_owned(),
            why: order.why.clone(),
            unsaid: Unsaid::of(&order.call),
            first: Attempt {
                purpose: Purpose::Intent,
                raw: signed.raw,
                hash: signed.hash,
                max_fee_per_gas: draft.fees.max,
            },
        })
    }

    pub(super) async fn sign(
        &self,
        call: &Call,
        draft: &Draft,
        nonce: u64,
    ) -> Result<Signed, Error> {
        let transaction = Unsigned {
            chain_id: self.account.chain_id,
            nonce,
            to: draft.encoded.to,
            input: draft.encoded.input.clone(),
            value: draft.encoded.value,
            gas_limit: draft.gas,
            max_fee_per_gas: draft.fees.max,
            max_priority_fee_per_gas: draft.fees.priority,
        };
        let signed = self.signer.sign(&transaction).await;
        signed.map_err(|source| Error::Sign { function: call.function(), source })
    }

    /// Sends what is kept. Failing to send is no failure of the order: the next tick sends it.
    async fn send_kept(
        &self,
        desk: &mut Desk,
        record: Record,
        version: String,
        call: &Call,
        may_send: &MaySend<'_>,
    ) -> Submitted {
        let (name, hash) = (record.name(), record.first.hash);
        let mut entry = Entry { record, further: Vec::new(), state: State::Signed, version };
        let sent = may_send(call) && self.send(&name, &entry.record.first).await;
        if sent {
            match self.journal.set_state(&entry, &State::Sent).await {
                Ok(version) => {
                    entry.version = version;
                    entry.state = State::Sent;
                }
                Err(error) => {
                    warn!(transaction.name = name, %error, "transaction was sent and not marked so");
                }
            }
        }
        desk.written.insert(entry.record.nonce, entry);
        Submitted::Kept { name, hash, sent }
    }

    /// Hands an attempt to the node; whether it has it now.
    pub(super) async fn send(&self, name: &str, attempt: &Attempt) -> bool {
        let hash = attempt.hash;
        match self.pool.send(&attempt.raw).await {
            Ok(Taken::Yes) => {
                info!(transaction.name = name, transaction.hash = %hash, "sent a transaction");
                true
            }
            Ok(Taken::NonceSpent | Taken::TooCheap) => {
                info!(transaction.name = name, transaction.hash = %hash, "node prefers another transaction");
                false
            }
            Err(error) => {
                warn!(transaction.name = name, transaction.hash = %hash, %error, "node did not take a transaction");
                false
            }
        }
    }

    /// After a taken name: whether its record is this very order.
    async fn look(
        &self,
        desk: &mut Desk,
        order: &Order,
        nonce: u64,
    ) -> Result<Option<String>, Error> {
        let name = super::journal::record_name(&self.account.network, self.address(), nonce);
        let found = self.journal.get(&name).await;
        let found = found.map_err(|source| Error::Journal { address: self.address(), source })?;
        let Some(entry) = found else { return Ok(None) };
        let same = self.same_in_flight(&BTreeMap::from([(nonce, entry.clone())]), order);
        desk.written.insert(nonce, entry);
        Ok(same)
    }

    /// Proofs are sent even while nothing can be kept: repeated they cost gas, missing they cost the stake.
    async fn submit_unkept(
        &self,
        desk: &mut Desk,
        order: &Order,
        may_send: &MaySend<'_>,
    ) -> Result<Submitted, Error> {
        let call = &order.call;
        let function = call.function();
        if desk.unkept.values().any(|sent| sent.call == *call) {
            return Err(Error::MayNotSend { function });
        }
        let draft = self.draft(call, encode(call, self.account.contracts.diamond)).await?;
        let nonce = self.next_nonce(desk, call).await?;
        let record = self.record(order, &draft, nonce).await?;
        if !may_send(call) {
            return Err(Error::MayNotSend { function });
        }
        self.send_unkept(desk, call, &record.first, nonce).await
    }

    async fn send_unkept(
        &self,
        desk: &mut Desk,
        call: &Call,
        attempt: &Attempt,
        nonce: u64,
    ) -> Result<Submitted, Error> {
        // Remembered first: a term that ends while the node has it already must not have the next one send it again.
        let unkept = Unkept { call: call.clone(), attempt: attempt.clone(), mined: None };
        desk.unkept.insert(nonce, unkept);
        if let Err(source) = self.pool.send(&attempt.raw).await {
            desk.unkept.remove(&nonce);
            return Err(Error::Chain { function: call.function(), source });
        }
        warn!(transaction.hash = %attempt.hash, transaction.nonce = nonce, "sent proofs that could not be kept");
        Ok(Submitted::Unkept { hash: attempt.hash })
    }
}

/// A transaction but for its nonce.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) encoded: Encoded,
    pub(super) gas: u64,
    pub(super) fees: Fees,
}

fn check(call: &Call, encoded: &Encoded, may_send: &MaySend<'_>) -> Result<(), Error> {
    let function = call.function();
    let bytes = encoded.input.len();
    if bytes > LARGEST_CALLDATA {
        return Err(Error::TooLarge { function, bytes, limit: LARGEST_CALLDATA });
    }
    if may_send(call) { Ok(()) } else { Err(Error::MayNotSend { function }) }
}

const fn is_proof(call: &Call) -> bool {
    matches!(call, Call::SubmitProofs { .. })
}

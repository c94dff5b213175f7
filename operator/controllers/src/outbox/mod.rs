//! Where loops hand in what shall be signed and sent.
//!
//! The engine is the chain crate's; here are its journal, kept as `ChainTransaction` objects, and the rules of who may use
//! which key.

mod error;
mod journal;
mod keys;
mod record;
mod spent;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::Address;
use coreward_chain::Contracts;
use coreward_chain::endpoint::Pool;
use coreward_chain::outbox::{self as engine, Change, Submitted, Tick};
use coreward_crds::ChainTransaction;
use coreward_domain::call::{Call, KeyRole};
use coreward_domain::gate::Flight;
use tokio::sync::broadcast;

pub use error::{Error, Refusal};
pub use journal::TransactionJournal;
pub use record::Unreadable;
pub use spent::{spent_in_a_day, spent_today};
pub use sweep::{is_displaced, sweep};

use crate::config::Config;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::stores::Stores;
use keys::{Keys, Sender};

/// Changes kept for a slow listener.
const CHANGES_KEPT: usize = 256;

/// What a loop wants on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// Network, by name.
    pub network: &'a str,
    /// Signer, by name.
    pub signer: &'a str,
    /// Namespace of the offer that it is for: signers are bound to namespaces.
    pub namespace: &'a str,
    /// What.
    pub call: Call,
    /// What it is good for, in words; ends up in the object's spec and in the log.
    pub why: &'a str,
    /// Height of the snapshot that it was planned on.
    pub planned_at: u64,
}

/// A use of a signer that an offer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerUse<'a> {
    /// Network, by name.
    pub network: &'a str,
    /// Signer, by name.
    pub signer: &'a str,
    /// Namespace of the offer.
    pub namespace: &'a str,
    /// For which calls.
    pub role: KeyRole,
}

/// A transaction of ours moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Network, by name.
    pub network: String,
    /// The account.
    pub from: Address,
    /// What happened, and what it did.
    pub change: Change,
}

/// How a network is reached.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its nodes.
    pub pool: Pool,
    /// Its contracts.
    pub contracts: Contracts,
}

/// What a kept transaction was for; `None` if it does not read as one of ours.
#[must_use]
pub fn call_of(transaction: &ChainTransaction, diamond: Address) -> Option<Call> {
    record::from_object(transaction).ok()?.record.call(diamond).ok()
}

/// The outbox of all networks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    keys: Keys,
    changes: broadcast::Sender<Arc<Moved>>,
}

impl Outbox {
    /// An outbox over these networks; keys are read when they are first asked for.
    #[must_use]
    pub fn new(
        foundation: (kube::Client, String, Arc<Config>),
        links: BTreeMap<String, Link>,
        stores: &Stores,
        (leadership, metrics): (Leadership, Arc<Metrics>),
    ) -> Self {
        let (client, namespace, config) = foundation;
        let keys =
            Keys::new(client, namespace, Arc::clone(&config), links, stores.transactions.clone());
        let changes = broadcast::Sender::new(CHANGES_KEPT);
        Self { inner: Arc::new(Inner { config, leadership, metrics, keys, changes }) }
    }

    /// Simulates, signs, keeps and sends a call, unless the same is on its way already; says the object's name.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the signer may not do this; [`Error::Engine`] otherwise, whose `retry` says whether another
    /// turn can help. Nothing was sent then.
    pub async fn submit(&self, order: Order<'_>) -> Result<String, Error> {
        let function = order.call.function();
        let using = SignerUse {
            network: order.network,
            signer: order.signer,
            namespace: order.namespace,
            role: order.call.key_role(),
        };
        let sender =
            self.sender(using).await.map_err(|source| Error::Refused { function, source })?;
        let engine_order = engine::Order {
            call: order.call,
            why: order.why.to_owned(),
            planned_at: order.planned_at,
        };
        let submitted = sender.submit(&engine_order, &|call| self.may_send(call)).await;
        match submitted.map_err(|source| Error::Engine { function, source: Box::new(source) })? {
            Submitted::Kept { name, hash, sent } => {
                tracing::info!(
                    transaction.name = name, transaction.hash = %hash, transaction.function = function,
                    transaction.sent = sent, transaction.why = order.why, "a transaction was signed and kept"
                );
                Ok(name)
            }
            Submitted::InFlight { name } => Ok(name),
            Submitted::Unkept { hash } => {
                tracing::warn!(transaction.hash = %hash, "proofs were sent although nothing could be kept");
                Ok(hash.to_string())
            }
        }
    }

    /// Calls of this account that have not come to their end, and those that have in a block above this height: what a
    /// snapshot does not show of them is neither to be asked for again nor to be counted on.
    ///
    /// # Errors
    ///
    /// [`Error`]: what is on its way is unknown, so nothing that could repeat it may be planned.
    pub async fn in_flight(
        &self,
        network: &str,
        from: Address,
        at_block: u64,
    ) -> Result<Vec<Flight>, Error> {
        let Some(sender) = self.of_account(network, from).await? else { return Ok(Vec::new()) };
        flights(sender.in_flight(at_block).await)
    }

    /// As [`Outbox::in_flight`], for proofs, which go on while nothing can be kept: repeated they cost gas, missing they cost
    /// the stake.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn proofs_in_flight(
        &self,
        network: &str,
        from: Address,
        at_block: u64,
    ) -> Result<Vec<Flight>, Error> {
        let Some(sender) = self.of_account(network, from).await? else { return Ok(Vec::new()) };
        flights(sender.proofs_in_flight(at_block).await)
    }

    async fn of_account(&self, network: &str, from: Address) -> Result<Option<Arc<Sender>>, Error> {
        let sender = self.inner.keys.of_account(network, from).await;
        sender.map_err(|source| Error::Refused { function: "transactions", source })
    }

    /// Runs a call at the pending block without sending it; says the gas that it needs.
    ///
    /// # Errors
    ///
    /// As [`Outbox::submit`].
    pub async fn simulate(&self, using: SignerUse<'_>, call: &Call) -> Result<u64, Error> {
        let function = call.function();
        let sender =
            self.sender(using).await.map_err(|source| Error::Refused { function, source })?;
        sender
            .simulate(call)
            .await
            .map_err(|source| Error::Engine { function, source: Box::new(source) })
    }

    /// Whether a signer can be used for this role by offers of this namespace, and is there; says its account.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] is the reason of the condition `SignersAvailable`.
    pub async fn signer(&self, using: SignerUse<'_>) -> Result<Address, Refusal> {
        self.sender(using).await.map(|sender| sender.address())
    }

    /// The account of a signer as configured, whether or not its key is there.
    #[must_use]
    pub fn address(&self, signer: &str) -> Option<Address> {
        self.inner.config.signer(signer).map(|signer| signer.address)
    }

    /// Transactions of ours as they move, with what they did. A listener that lags looks at the chain again.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<Moved>> {
        self.inner.changes.subscribe()
    }

    /// Follows every transaction of a network by one block: call it once for each new head.
    pub async fn tick(&self, network: &str, tick: Tick) {
        let accounts = self.accounts(network);
        let all = accounts
            .iter()
            .map(|(signer, account)| self.tick_of(network, (signer.as_str(), *account), tick));
        // One key that cannot be had keeps no other waiting.
        futures::future::join_all(all).await;
    }

    async fn tick_of(&self, network: &str, (signer, account): (&str, Address), tick: Tick) {
        let up = self.inner.metrics.transactions.signer_up.with_label_values(&[signer]);
        match self.inner.keys.of_account(network, account).await {
            Ok(Some(sender)) => {
                up.set(1);
                self.follow(network, signer, &sender, tick).await;
            }
            Ok(None) => {}
            Err(refusal) => {
                up.set(0);
                tracing::debug!(signer.name = signer, error = %refusal, "a signer cannot be used");
            }
        }
    }

    async fn follow(&self, network: &str, signer: &str, sender: &Sender, tick: Tick) {
        let followed = match sender.tick(&tick, &|call| self.may_send(call)).await {
            Ok(followed) => followed,
            Err(error) => {
                let error = coreward_telemetry::causes(&error);
                tracing::warn!(signer.name = signer, error = %error, "transactions could not be followed");
                return;
            }
        };
        for (name, error) in &followed.failures {
            let error = coreward_telemetry::causes(error);
            tracing::warn!(transaction.name = name, error = %error, "a transaction could not be followed");
        }
        let transactions = &self.inner.metrics.transactions;
        if let Ok(flights) = sender.in_flight(tick.head.number).await {
            let count = i64::try_from(flights.len()).unwrap_or(i64::MAX);
            transactions.in_flight.with_label_values(&[signer]).set(count);
        }
        for change in followed.changes {
            tracing::info!(
                transaction.name = change.name,
                transaction.function = change.call.function(),
                transaction.state = change.state.name(),
                "a transaction moved"
            );
            note_end(transactions, signer, &change);
            let moved = Moved { network: network.to_owned(), from: sender.address(), change };
            // Nobody may be listening.
            let _ = self.inner.changes.send(Arc::new(moved));
        }
    }

    /// Asked right before each send. Proofs are idempotent: they may go on while it is unknown who leads.
    fn may_send(&self, call: &Call) -> bool {
        let leadership = &self.inner.leadership;
        leadership.may_send()
            || (matches!(call, Call::SubmitProofs { .. }) && leadership.is_blind())
    }

    /// One signer's name for each account of a network.
    fn accounts(&self, network: &str) -> Vec<(String, Address)> {
        let mut seen = BTreeSet::new();
        let signers = self.inner.config.signers.iter().filter(|signer| signer.network == network);
        signers
            .filter(|signer| seen.insert(signer.address))
            .map(|signer| (signer.name.clone(), signer.address))
            .collect()
    }

    async fn sender(&self, using: SignerUse<'_>) -> Result<Arc<Sender>, Refusal> {
        let signer = keys::permitted(&self.inner.config, using)?;
        let unknown = || Refusal::Unknown {
            signer: using.signer.to_owned(),
            network: using.network.to_owned(),
        };
        self.inner.keys.of_account(using.network, signer.address).await?.ok_or_else(unknown)
    }
}

fn flights(found: Result<Vec<engine::InFlight>, engine::Error>) -> Result<Vec<Flight>, Error> {
    let found = found
        .map_err(|source| Error::Engine { function: "transactions", source: Box::new(source) })?;
    Ok(found
        .into_iter()
        .map(|flight| Flight { call: flight.call, included: flight.mined })
        .collect())
}

fn note_end(metrics: &crate::metrics::TransactionMetrics, signer: &str, change: &Change) {
    let result = match &change.state {
        engine::State::Signed | engine::State::Sent | engine::State::Mined(_) => return,
        engine::State::Final(receipt) if receipt.succeeded => "succeeded",
        engine::State::Final(_) => "reverted",
        engine::State::Cancelled(_) => "cancelled",
        engine::State::Replaced(_) => "replaced",
        engine::State::Displaced => "displaced",
    };
    metrics.total.with_label_values(&[change.call.function(), result]).inc();
    if let engine::State::Final(receipt)
    | engine::State::Cancelled(receipt)
    | engine::State::Replaced(receipt) = &change.state
    {
        #[expect(clippy::cast_precision_loss, reason = "a metric: sixteen digits are enough")]
        let spent = receipt.gas_used as f64 * receipt.effective_gas_price as f64 / 1e18;
        metrics.gas_spent.with_label_values(&[signer]).inc_by(spent);
    }
}

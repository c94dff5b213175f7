//! What loops see of a network, and what they ask of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coreward_domain::chain::{Snapshot, Watchlist};
use tokio::sync::watch;

use super::health::{Health, age};
use crate::config;

/// A snapshot whose head no endpoint has confirmed for this long is not planned on, not even for proofs.
const FRESH: Duration = Duration::from_secs(30);

/// What was read last, believed or not: good for proofs, which are tried on any endpoint's word.
#[derive(Clone, Debug)]
pub struct Read {
    /// The market.
    pub snapshot: Arc<Snapshot>,
    /// Whether enough endpoints tell of its block to forget anything by it.
    pub is_believed: bool,
}

/// A network, as loops see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NetworkHandle {
    network: Arc<config::Network>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    reads: watch::Receiver<Option<Read>>,
    health: watch::Receiver<Health>,
    watched: Arc<Watched>,
}

/// The other end of a [`NetworkHandle`].
#[derive(Debug)]
pub struct Publisher {
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    reads: watch::Sender<Option<Read>>,
    health: watch::Sender<Health>,
    watched: Arc<Watched>,
}

impl Publisher {
    /// Shows a new snapshot: to all loops if it is believed, else to those that prove.
    pub fn publish(&self, snapshot: Snapshot, is_believed: bool) {
        let snapshot = Arc::new(snapshot);
        if is_believed {
            self.snapshots.send_replace(Some(Arc::clone(&snapshot)));
        }
        self.reads.send_replace(Some(Read { snapshot, is_believed }));
    }

    /// Changes what is known of the endpoints.
    pub fn note(&self, change: impl FnOnce(&mut Health)) {
        self.health.send_modify(change);
    }

    /// What is to be read, as it changes.
    #[must_use]
    pub fn wanted(&self) -> watch::Receiver<Watchlist> {
        self.watched.union.subscribe()
    }
}

/// What the loops want to be read, by owner.
#[derive(Debug)]
struct Watched {
    lists: Mutex<BTreeMap<String, Watchlist>>,
    union: watch::Sender<Watchlist>,
}

impl Watched {
    fn new() -> Self {
        Self { lists: Mutex::default(), union: watch::Sender::new(Watchlist::default()) }
    }

    fn change(&self, act: impl FnOnce(&mut BTreeMap<String, Watchlist>)) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut lists);
        let union = union(lists.values());
        self.union.send_if_modified(|present| {
            let changed = *present != union;
            *present = union;
            changed
        });
    }
}

impl NetworkHandle {
    /// A network without a snapshot yet, and the end that fills it.
    #[must_use]
    pub fn new(network: config::Network) -> (Self, Publisher) {
        let (snapshots, snapshots_receiver) = watch::channel(None);
        let (reads, reads_receiver) = watch::channel(None);
        let (health, health_receiver) = watch::channel(Health::default());
        let watched = Arc::new(Watched::new());
        let handle = Self {
            network: Arc::new(network),
            snapshots: snapshots_receiver,
            reads: reads_receiver,
            health: health_receiver,
            watched: Arc::clone(&watched),
        };
        (handle, Publisher { snapshots, reads, health, watched })
    }

    /// Its configuration.
    #[must_use]
    pub fn network(&self) -> &config::Network {
        &self.network
    }

    /// Snapshots as they come. The last one stays through an outage; [`NetworkHandle::health`] tells its age.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    /// What was read as it comes, believed or not.
    #[must_use]
    pub fn reads(&self) -> watch::Receiver<Option<Read>> {
        self.reads.clone()
    }

    /// What was read last, if some endpoint lately confirmed it.
    #[must_use]
    pub fn last_read(&self, now: Instant) -> Option<Read> {
        let age = age(self.health().read_at, now)?;
        self.reads.borrow().clone().filter(|_| age <= FRESH)
    }

    /// The last snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
    }

    /// The last snapshot, if it is fresh enough to plan on.
    #[must_use]
    pub fn fresh_snapshot(&self, now: Instant) -> Option<Arc<Snapshot>> {
        let age = self.health().snapshot_age(now)?;
        self.snapshot().filter(|_| age <= FRESH)
    }

    /// What is known of the endpoints.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Says what `owner` wants to be read from now on; replaces what it said before. A list that asks for more leads to
    /// another snapshot without waiting for a block.
    pub fn watch(&self, owner: &str, list: Watchlist) {
        self.watched.change(|lists| {
            lists.insert(owner.to_owned(), list);
        });
    }

    /// `owner` wants nothing any more.
    pub fn forget(&self, owner: &str) {
        self.watched.change(|lists| {
            lists.remove(owner);
        });
    }
}

fn union<'a>(lists: impl Iterator<Item = &'a Watchlist>) -> Watchlist {
    let mut union = Watchlist::default();
    for list in lists {
        let Watchlist { providers, offers, peers, commitments, deals, wallets, tokens } = list;
        union.providers.extend(providers);
        union.offers.extend(offers);
        union.peers.extend(peers);
        union.commitments.extend(commitments);
        union.deals.extend(deals);
        union.wallets.extend(wallets);
        union.tokens.extend(tokens);
    }
    union
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_primitives::Address;

    use super::*;

    fn network() -> config::Network {
        config::Network {
            name: "local".into(),
            chain_id: 1,
            endpoints: Vec::new(),
            contracts: config::Contracts { diamond: Address::ZERO, multicall3: Address::ZERO },
            tokens: Vec::new(),
            finality_blocks: 2,
            poll_milliseconds: 300,
            head_stuck_seconds: 0,
            prover_mode: config::ProverMode::Light,
            allowed_namespaces: Vec::new(),
        }
    }

    fn provider(byte: u8) -> Watchlist {
        Watchlist {
            providers: BTreeSet::from([Address::repeat_byte(byte)]),
            ..Watchlist::default()
        }
    }

    #[test]
    fn lists_of_all_owners_are_read_together() {
        let (handle, publisher) = NetworkHandle::new(network());
        handle.watch("a", provider(1));
        handle.watch("b", provider(2));
        assert_eq!(publisher.wanted().borrow().providers.len(), 2);
        handle.forget("a");
        assert_eq!(*publisher.wanted().borrow(), provider(2));
    }

    #[test]
    fn the_same_list_again_wakes_nobody() {
        let (handle, publisher) = NetworkHandle::new(network());
        handle.watch("a", provider(1));
        let union = publisher.wanted();
        handle.watch("a", provider(1));
        assert!(!union.has_changed().unwrap());
    }
}

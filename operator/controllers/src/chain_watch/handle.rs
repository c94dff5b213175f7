//! What loops see of a network, and what they ask of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coreward_domain::chain::{Snapshot, Watchlist};
use tokio::sync::watch;

use crate::config;

/// What is known of a network's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When a head that is new was last seen, by our clock.
    pub head_at: Option<Instant>,
    /// When an endpoint last answered.
    pub answered_at: Option<Instant>,
    /// When the last snapshot was taken.
    pub snapshot_at: Option<Instant>,
    /// Endpoints that are asked.
    pub endpoints_good: usize,
    /// Endpoints left out: silent, behind, or of another mind than the rest.
    pub endpoints_bad: usize,
    /// Endpoints contradict each other about a block.
    pub disagree: bool,
}

impl Health {
    /// How old the last snapshot is; `None` if there was none.
    #[must_use]
    pub fn snapshot_age(&self, now: Instant) -> Option<Duration> {
        self.snapshot_at.map(|at| now.saturating_duration_since(at))
    }

    /// How long no endpoint has answered; `None` if none ever did.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        self.answered_at.map(|at| now.saturating_duration_since(at))
    }
}

/// A network, as loops see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NetworkHandle {
    network: Arc<config::Network>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    health: watch::Receiver<Health>,
    watched: Arc<Watched>,
}

/// The other end of a [`NetworkHandle`].
#[derive(Debug)]
pub struct Publisher {
    pub(super) snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    pub(super) health: watch::Sender<Health>,
    pub(super) watched: Arc<Watched>,
}

/// What the loops want to be read, by owner.
#[derive(Debug)]
pub(super) struct Watched {
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

    pub(super) fn union(&self) -> watch::Receiver<Watchlist> {
        self.union.subscribe()
    }
}

impl NetworkHandle {
    /// A network without a snapshot yet, and the end that fills it.
    #[must_use]
    pub fn new(network: config::Network) -> (Self, Publisher) {
        let (snapshots, snapshots_receiver) = watch::channel(None);
        let (health, health_receiver) = watch::channel(Health::default());
        let watched = Arc::new(Watched::new());
        let handle = Self {
            network: Arc::new(network),
            snapshots: snapshots_receiver,
            health: health_receiver,
            watched: Arc::clone(&watched),
        };
        (handle, Publisher { snapshots, health, watched })
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

    /// The last snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
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
            prover_mode: config::ProverMode::Light,
            allowed_namespaces: Vec::new(),
        }
    }

    fn provider(byte: u8) -> Watchlist {
        Watchlist { providers: BTreeSet::from([Address::repeat_byte(byte)]), ..Watchlist::default() }
    }

    #[test]
    fn lists_of_all_owners_are_read_together() {
        let (handle, publisher) = NetworkHandle::new(network());
        handle.watch("a", provider(1));
        handle.watch("b", provider(2));
        assert_eq!(publisher.watched.union().borrow().providers.len(), 2);
        handle.forget("a");
        assert_eq!(*publisher.watched.union().borrow(), provider(2));
    }

    #[test]
    fn the_same_list_again_wakes_nobody() {
        let (handle, publisher) = NetworkHandle::new(network());
        handle.watch("a", provider(1));
        let union = publisher.watched.union();
        handle.watch("a", provider(1));
        assert!(!union.has_changed().unwrap());
    }
}

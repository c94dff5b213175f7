//! What loops see of a network, and what they ask of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coreward_domain::chain::{Snapshot, Watchlist};
use coreward_domain::condition::ChainHealth;
use tokio::sync::watch;

use crate::config;

/// A snapshot whose head no endpoint has confirmed for this long is not planned on.
pub const FRESH: Duration = Duration::from_secs(30);
/// A head that stands still for this long is a node that is stuck, whatever it answers.
const STUCK: Duration = Duration::from_mins(10);
/// How long a replaced block is told of.
const REORG_TOLD: Duration = Duration::from_mins(1);

/// What is known of a network's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When a head that is new was last seen, by our clock.
    pub head_at: Option<Instant>,
    /// When an endpoint last answered.
    pub answered_at: Option<Instant>,
    /// When an endpoint last said that the last snapshot's block is still the head.
    pub confirmed_at: Option<Instant>,
    /// When a block was last replaced by another.
    pub reorg_at: Option<Instant>,
    /// Endpoints give different blocks at one height.
    pub disagree: bool,
}

impl Health {
    /// How old the last snapshot is: since its block was last said to be the head. `None` if there was none.
    #[must_use]
    pub fn snapshot_age(&self, now: Instant) -> Option<Duration> {
        age(self.confirmed_at, now)
    }

    /// Since the head arrived; `None` if none ever did.
    #[must_use]
    pub fn head_age(&self, now: Instant) -> Option<Duration> {
        age(self.head_at, now)
    }

    /// In the words of `ChainSynced`.
    #[must_use]
    pub fn word(&self, now: Instant) -> ChainHealth {
        let Some(silence) = age(self.answered_at, now) else { return ChainHealth::Unknown };
        if silence > FRESH || self.head_age(now).is_none_or(|age| age > STUCK) {
            return ChainHealth::HeadStale;
        }
        if self.disagree {
            return ChainHealth::EndpointsDisagree;
        }
        if age(self.reorg_at, now).is_some_and(|age| age < REORG_TOLD) {
            return ChainHealth::Reorg;
        }
        ChainHealth::HeadFresh
    }
}

fn age(at: Option<Instant>, now: Instant) -> Option<Duration> {
    at.map(|at| now.saturating_duration_since(at))
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
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    health: watch::Sender<Health>,
    watched: Arc<Watched>,
}

impl Publisher {
    /// Shows a new snapshot to all loops.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
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

    #[rstest::rstest]
    #[case::nothing_heard(None, None, ChainHealth::Unknown)]
    #[case::a_new_head(Some(1), Some(1), ChainHealth::HeadFresh)]
    #[case::a_quiet_chain(Some(1), Some(300), ChainHealth::HeadFresh)]
    #[case::a_stuck_node(Some(1), Some(601), ChainHealth::HeadStale)]
    #[case::a_silent_node(Some(31), Some(31), ChainHealth::HeadStale)]
    fn health_has_a_word(
        #[case] answered: Option<u64>,
        #[case] head: Option<u64>,
        #[case] word: ChainHealth,
    ) {
        let begun = crate::clock::now();
        let now = begun + Duration::from_hours(1);
        let ago = |seconds: Option<u64>| {
            seconds.and_then(|seconds| now.checked_sub(Duration::from_secs(seconds)))
        };
        let health = Health { answered_at: ago(answered), head_at: ago(head), ..Health::default() };
        assert_eq!(health.word(now), word);
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

//! What loops see of a network, and what they ask of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coreward_domain::chain::{Head, Snapshot, Watchlist};
use coreward_domain::condition::ChainHealth;
use tokio::sync::watch;

use crate::config;

/// A snapshot whose head no endpoint has confirmed for this long is not planned on, not even for proofs.
pub const FRESH: Duration = Duration::from_secs(30);
/// Without a word on the last snapshot for this long, what the chain last said is not acted upon: an endpoint that tells
/// heads and nothing else is as good as silent.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a replaced block is told of.
const REORG_TOLD: Duration = Duration::from_mins(1);

/// What is known of a network's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When a head that is new was last seen, by our clock.
    pub head_at: Option<Instant>,
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

    /// An endpoint told this head, and `last` was told before.
    pub fn told(&mut self, last: Option<Head>, head: Head, now: Instant) {
        if self.head_at.is_none() || last.is_none_or(|last| last.hash != head.hash) {
            self.head_at = Some(now);
        }
        if last.is_some_and(|last| replaced(last, head)) {
            self.reorg_at = Some(now);
        }
    }

    /// In the words of `ChainSynced`; a head that stands still for longer than `stuck` is a node that is stuck, whatever it
    /// answers.
    #[must_use]
    pub fn word(&self, now: Instant, stuck: Duration) -> ChainHealth {
        let Some(silence) = self.snapshot_age(now) else { return ChainHealth::Unknown };
        if silence > SILENCE || self.head_age(now).is_none_or(|age| age > stuck) {
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

/// Whether the second head cannot stand on the first: the same height or lower, and another block.
pub(super) fn replaced(last: Head, head: Head) -> bool {
    head.number <= last.number && head.hash != last.hash
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

    use alloy_primitives::{Address, B256};

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

    fn head(number: u64, hash: u8) -> Head {
        Head { number, hash: B256::repeat_byte(hash), timestamp: 0, base_fee: 0 }
    }

    #[rstest::rstest]
    #[case::the_next_block(head(7, 1), head(8, 2), false)]
    #[case::the_same_block(head(7, 1), head(7, 1), false)]
    #[case::another_of_the_same_height(head(7, 1), head(7, 2), true)]
    #[case::a_lower_one(head(7, 1), head(6, 2), true)]
    fn a_block_that_cannot_follow_is_a_reorg(
        #[case] last: Head,
        #[case] now: Head,
        #[case] reorg: bool,
    ) {
        assert_eq!(replaced(last, now), reorg);
    }

    /// Seconds ago, of what may never have been.
    #[derive(Clone, Copy)]
    struct Ago {
        confirmed: Option<u64>,
        head: Option<u64>,
        reorg: Option<u64>,
        disagree: bool,
    }

    const AGO: Ago = Ago { confirmed: Some(1), head: Some(1), reorg: None, disagree: false };

    #[rstest::rstest]
    #[case::nothing_heard(Ago { confirmed: None, head: None, ..AGO }, ChainHealth::Unknown)]
    #[case::nothing_was_read_yet(Ago { confirmed: None, ..AGO }, ChainHealth::Unknown)]
    #[case::a_new_head(AGO, ChainHealth::HeadFresh)]
    #[case::a_quiet_chain(Ago { head: Some(300), ..AGO }, ChainHealth::HeadFresh)]
    #[case::a_stuck_node(Ago { head: Some(601), ..AGO }, ChainHealth::HeadStale)]
    #[case::a_stuck_node_that_disagrees(Ago { head: Some(601), disagree: true, ..AGO }, ChainHealth::HeadStale)]
    #[case::a_silent_node(Ago { confirmed: Some(16), head: Some(16), ..AGO }, ChainHealth::HeadStale)]
    #[case::heads_come_and_nothing_can_be_read(Ago { confirmed: Some(16), ..AGO }, ChainHealth::HeadStale)]
    #[case::two_blocks_of_one_height(Ago { disagree: true, reorg: Some(1), ..AGO }, ChainHealth::EndpointsDisagree)]
    #[case::a_replaced_block(Ago { reorg: Some(59), ..AGO }, ChainHealth::Reorg)]
    #[case::a_replaced_block_long_ago(Ago { reorg: Some(60), ..AGO }, ChainHealth::HeadFresh)]
    fn health_has_a_word(#[case] past: Ago, #[case] word: ChainHealth) {
        let now = crate::clock::now() + Duration::from_hours(1);
        let ago = |seconds: Option<u64>| {
            seconds.and_then(|seconds| now.checked_sub(Duration::from_secs(seconds)))
        };
        let health = Health {
            head_at: ago(past.head),
            confirmed_at: ago(past.confirmed),
            reorg_at: ago(past.reorg),
            disagree: past.disagree,
        };
        assert_eq!(health.word(now, network().head_stuck()), word);
    }

    #[test]
    fn the_same_head_again_is_no_sign_of_life() {
        let (begun, later) = (crate::clock::now(), crate::clock::now() + Duration::from_secs(5));
        let mut health = Health::default();
        health.told(None, head(7, 1), begun);
        health.told(Some(head(7, 1)), head(7, 1), later);
        assert_eq!((health.head_at, health.reorg_at), (Some(begun), None));
        health.told(Some(head(7, 1)), head(8, 2), later);
        assert_eq!((health.head_at, health.reorg_at), (Some(later), None));
        health.told(Some(head(8, 2)), head(8, 3), later);
        assert_eq!(health.reorg_at, Some(later));
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

//! The task that follows one network while this replica leads.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use coreward_chain::endpoint::{self, Heads, Observer, Pool, Told};
use coreward_chain::outbox::Tick;
use coreward_chain::snapshot::Reader;
use coreward_domain::chain::{Head, Snapshot, Watchlist};
use coreward_link::BackOff;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::health::replaced;
use super::{EndpointObserver, NetworkHandle, Publisher};
use crate::clock;
use crate::config::RpcEndpoint;
use crate::metrics::Metrics;
use crate::outbox::Outbox;

/// Lists change in bursts: all loops say theirs at once.
const SETTLE: Duration = Duration::from_millis(50);
/// However often nodes tell new heads by themselves, there is this much between two looks.
const PUSH_GAP: Duration = Duration::from_millis(250);
/// The least pause before a node is asked again to tell heads by itself: without it the head is polled as ever.
const RESUBSCRIBE: Duration = Duration::from_secs(2);
/// Longest time that following the transactions may take for one block.
const TICK_LIMIT: Duration = Duration::from_mins(1);

/// Follows one network.
#[derive(Debug)]
pub struct Follower {
    publisher: Publisher,
    handle: NetworkHandle,
    pool: Pool,
    reader: Reader,
    /// Those that tell new heads by themselves.
    pushing: Vec<Heads>,
    /// Wakes the next look early.
    pushed: Notify,
    /// The newest block that was believed.
    read: watch::Sender<u64>,
    observer: Arc<EndpointObserver>,
    metrics: Arc<Metrics>,
}

/// What the last snapshot was of, and the head that was told last.
#[derive(Debug, Default)]
struct Last {
    told: Option<Head>,
    shown: Option<Told>,
    list: Watchlist,
}

impl Follower {
    /// A follower of the network that `handle` shows.
    #[must_use]
    pub fn new(
        (handle, publisher): (NetworkHandle, Publisher),
        (pool, reader): (Pool, Reader),
        observer: Arc<EndpointObserver>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let pushing = pushing(&handle, &observer);
        let (pushed, read) = (Notify::new(), watch::Sender::new(0));
        Self { publisher, handle, pool, reader, pushing, pushed, read, observer, metrics }
    }

    /// Polls the head and takes a snapshot of each new one, until stopped. An outage is waited out; the last snapshot stays.
    pub async fn follow(&self, stop: &CancellationToken, turned: impl FnMut()) {
        let listen = futures::future::join_all(self.pushing.iter().map(|heads| self.listen(heads)));
        tokio::select! {
            () = self.look(stop, turned) => {}
            // Nobody listens where no node tells by itself.
            _ = listen, if !self.pushing.is_empty() => {}
        }
    }

    /// Wakes the next look when this node tells a head; asks it again, with pauses, when it told the last.
    async fn listen(&self, heads: &Heads) -> Infallible {
        let mut pauses = BackOff::new();
        loop {
            let told = |number| {
                pauses.succeeded();
                // What another told first was read already.
                if number > *self.read.borrow() {
                    self.pushed.notify_one();
                }
            };
            let error = heads.listen(self.read.subscribe(), told).await;
            tracing::warn!(
                network.name = self.name(), endpoint.name = heads.endpoint(),
                error = %coreward_telemetry::causes(&error), "an endpoint tells no heads by itself; they are asked for"
            );
            drop(error);
            sleep(pauses.pause(RESUBSCRIBE)).await;
        }
    }

    async fn look(&self, stop: &CancellationToken, mut turned: impl FnMut()) {
        let poll = Duration::from_millis(self.handle.network().poll_milliseconds);
        let mut wanted = self.publisher.wanted();
        let (mut last, mut pauses) = (Last::default(), BackOff::new());
        if stop.run_until_cancelled(self.check_chain(&mut turned)).await.is_none() {
            return;
        }
        loop {
            let asked = wanted.borrow_and_update().clone();
            let pause = match stop.run_until_cancelled(self.turn(&mut last, asked)).await {
                None => return,
                Some(true) => {
                    pauses.succeeded();
                    poll
                }
                Some(false) => pauses.pause(poll),
            };
            turned();
            let woken = async {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = wanted.changed() => sleep(SETTLE).await,
                    () = self.is_pushed() => {}
                }
            };
            if stop.run_until_cancelled(woken).await.is_none() {
                return;
            }
        }
    }

    async fn is_pushed(&self) {
        sleep(PUSH_GAP).await;
        self.pushed.notified().await;
    }

    /// Nothing is read from an endpoint of another chain, however long that lasts.
    async fn check_chain(&self, turned: &mut impl FnMut()) {
        let mut pauses = BackOff::new();
        while let Err(error) = self.pool.check_chain(self.handle.network().chain_id).await {
            tracing::warn!(
                network.name = self.name(), error = %coreward_telemetry::causes(&error), "the network cannot be used"
            );
            drop(error);
            turned();
            sleep(pauses.pause(Duration::ZERO)).await;
        }
    }

    /// One look at the head; false if something did not answer.
    async fn turn(&self, last: &mut Last, asked: Watchlist) -> bool {
        let told = self.pool.told().await;
        self.observer.show_ages(clock::now());
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                if matches!(error, endpoint::Error::Disagree { .. }) {
                    self.publisher.note(|health| health.doubted_at = Some(clock::now()));
                }
                tracing::warn!(
                    network.name = self.name(), error = %coreward_telemetry::causes(&error), "no endpoint told a head"
                );
                return false;
            }
        };
        let Told { head, is_believed } = told;
        self.note_head(last.told.replace(head), told);
        let same = |shown: Told| shown.head.hash == head.hash && shown.is_believed == is_believed;
        if last.shown.is_some_and(same) && covers(&last.list, &asked) {
            self.publisher.note(|health| health.confirm(is_believed, clock::now()));
            return true;
        }
        let begun = clock::now();
        match self.reader.snapshot_at(head, &asked).await {
            Ok(snapshot) => {
                let took = clock::now().saturating_duration_since(begun);
                self.show(&snapshot, took);
                *last = Last { told: Some(head), shown: Some(told), list: asked };
                self.publisher.note(|health| health.confirm(is_believed, begun));
                self.publisher.publish(snapshot, is_believed);
                true
            }
            Err(error) => {
                self.pool.distrust();
                tracing::warn!(
                    network.name = self.name(), chain.block = head.number,
                    error = %coreward_telemetry::causes(&error), "no snapshot could be taken"
                );
                false
            }
        }
    }

    fn note_head(&self, last: Option<Head>, Told { head, is_believed }: Told) {
        if last.is_some_and(|last| replaced(last, head)) {
            tracing::warn!(
                network.name = self.name(),
                chain.block = head.number,
                "a block was replaced"
            );
        }
        if is_believed {
            self.read.send_if_modified(|read| mem::replace(read, head.number) != head.number);
        }
        self.publisher.note(|health| {
            health.told(last, head, clock::now());
            if !is_believed {
                health.doubted_at = Some(clock::now());
            }
        });
    }

    fn show(&self, snapshot: &Snapshot, took: Duration) {
        let chain = &self.metrics.chain;
        let labels = [self.name()];
        let remaining = snapshot.calendar.remaining(snapshot.head.timestamp);
        chain
            .epoch
            .with_label_values(&labels)
            .set(i64::try_from(snapshot.epoch.0).unwrap_or(i64::MAX));
        chain
            .epoch_remaining
            .with_label_values(&labels)
            .set(i64::try_from(remaining).unwrap_or(i64::MAX));
        chain.snapshot_seconds.with_label_values(&labels).set(took.as_secs_f64());
        self.metrics.proofs.require(self.name(), snapshot.rules.min_proofs);
    }

    /// Follows the transactions of the network by each new snapshot, until stopped.
    pub async fn follow_transactions(
        &self,
        outbox: &Outbox,
        stop: &CancellationToken,
        mut turned: impl FnMut(),
    ) {
        let mut reads = self.handle.reads();
        reads.mark_changed();
        let mut followed: Option<B256> = None;
        loop {
            let tick = reads
                .borrow_and_update()
                .as_ref()
                .map(|read| Tick { head: read.snapshot.head, epoch: read.snapshot.epoch });
            if let Some(tick) = tick.filter(|tick| followed != Some(tick.head.hash)) {
                followed = Some(tick.head.hash);
                let ticked = timeout(TICK_LIMIT, Box::pin(outbox.tick(self.name(), tick)));
                match stop.run_until_cancelled(ticked).await {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(_)) => tracing::warn!(
                        network.name = self.name(),
                        "transactions took too long to follow"
                    ),
                }
            }
            turned();
            let woken = async {
                tokio::select! {
                    _ = reads.changed() => {}
                    // A sign of life while the chain stands still.
                    () = sleep(TICK_LIMIT) => {}
                }
            };
            if stop.run_until_cancelled(woken).await.is_none() {
                return;
            }
        }
    }

    fn name(&self) -> &str {
        &self.handle.network().name
    }
}

/// The nodes that can tell new heads by themselves.
fn pushing(handle: &NetworkHandle, observer: &Arc<EndpointObserver>) -> Vec<Heads> {
    let endpoints = handle.network().endpoints.iter();
    let heads = |endpoint: &RpcEndpoint| {
        let observer = Arc::clone(observer) as Arc<dyn Observer>;
        let url = endpoint.web_socket_url.as_deref()?;
        Some(Heads::new(&endpoint.name, url, observer))
    };
    endpoints.filter_map(heads).collect()
}

/// Whether all of `list` was read when `known` was.
#[must_use]
pub fn covers(known: &Watchlist, list: &Watchlist) -> bool {
    let Watchlist { providers, offers, peers, commitments, deals, wallets, tokens } = list;
    providers.is_subset(&known.providers)
        && offers.is_subset(&known.offers)
        && peers.is_subset(&known.peers)
        && commitments.is_subset(&known.commitments)
        && deals.is_subset(&known.deals)
        && wallets.is_subset(&known.wallets)
        && tokens.is_subset(&known.tokens)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_primitives::Address;

    use super::*;

    #[test]
    fn less_is_covered_by_more() {
        let some = Watchlist { wallets: BTreeSet::from([Address::ZERO]), ..Watchlist::default() };
        assert!(covers(&some, &Watchlist::default()));
        assert!(!covers(&Watchlist::default(), &some));
    }
}

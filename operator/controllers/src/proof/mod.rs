//! The loop that brings found proofs onto the chain, and tells each prover its puzzle and what it may delete.
//!
//! It runs whatever an offer's management policy is: the minimum proofs of staked units never stop.

mod act;
mod observe;
mod orphan;
mod settled;
mod sort;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coreward_domain::id::UnitId;
use coreward_domain::proof::plan;
use futures::future::BoxFuture;
use futures::stream::{SelectAll, StreamExt};
use futures::{FutureExt, Stream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::observe::network_of;

use crate::clock;
use crate::context::Context;
use crate::metrics::Ending;

/// Proofs and blocks come in bursts.
const SETTLE: Duration = Duration::from_millis(20);
/// A turn is taken at least this often: some waits end by time alone.
const RESYNC: Duration = Duration::from_secs(2);
/// Longest turn; the next one sees what this one left.
const LIMIT: Duration = Duration::from_mins(1);
/// Name of the loop in logs and metrics.
const NAME: &str = "proof";

/// Runs until stopped.
#[must_use]
pub fn run(context: Arc<Context>, stop: CancellationToken) -> BoxFuture<'static, ()> {
    async move {
        let mut wakes = wakes(&context);
        let mut moves = context.outbox.changes();
        let mut orphans = BTreeSet::new();
        loop {
            let begun = clock::now();
            settled::count(&context, &mut moves);
            orphan::watch(&context, &mut orphans);
            let Some(turned) = stop.run_until_cancelled(timeout(LIMIT, turn(&context))).await
            else {
                return;
            };
            let took = clock::now().saturating_duration_since(begun);
            let ending = turned.unwrap_or(Ending::Failed);
            context.metrics.turns.ended(NAME, ending, took);
            let woken = async {
                tokio::select! {
                    _ = wakes.next() => sleep(SETTLE).await,
                    () = sleep(RESYNC) => {}
                }
            };
            if stop.run_until_cancelled(woken).await.is_none() {
                return;
            }
            // What came while the burst settled is seen by the turn that follows.
            while wakes.next().now_or_never().flatten().is_some() {}
        }
    }
    .boxed()
}

/// Whatever may change a plan: proofs, blocks, pods, transactions.
fn wakes(context: &Context) -> SelectAll<std::pin::Pin<Box<dyn Stream<Item = ()> + Send>>> {
    let mut wakes = SelectAll::new();
    wakes.push(on_change(context.proofs.changes()));
    for network in context.networks.values() {
        wakes.push(on_change(network.reads()));
    }
    wakes.push(context.stores.pods.changes().map(drop).boxed());
    wakes.push(context.stores.transactions.changes().map(drop).boxed());
    wakes
}

fn on_change<T: Clone + Send + Sync + 'static>(
    receiver: tokio::sync::watch::Receiver<T>,
) -> std::pin::Pin<Box<dyn Stream<Item = ()> + Send>> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        receiver.mark_unchanged();
        Some(((), receiver))
    })
    .boxed()
}

/// One turn over all peers that have prover pods; what stops one peer stops no other.
async fn turn(context: &Context) -> Ending {
    let peers = observe::peers(context);
    let mut units: BTreeMap<&str, BTreeSet<UnitId>> = BTreeMap::new();
    for peer in &peers {
        units.entry(&peer.network).or_default().extend(peer.provers.keys());
    }
    for (network, units) in &units {
        let handle = context.networks.get(*network);
        if let Some(snapshot) = handle.and_then(|handle| handle.fresh_snapshot(clock::now())) {
            context.proofs.drop_before(snapshot.epoch, units);
            settled::mark(context, network, snapshot.epoch);
        }
    }
    let mut ending = Ending::Settled;
    for peer in &peers {
        ending = worse(ending, turn_of_peer(context, peer).await);
    }
    ending
}

async fn turn_of_peer(context: &Context, peer: &observe::ProvingPeer) -> Ending {
    let seen = match observe::observe(context, peer).await {
        Ok(seen) => seen,
        Err(error) => {
            tracing::warn!(
                peer.id = %peer.id, offer.name = peer.path(), error = %coreward_telemetry::causes(&error),
                "what is on its way for this peer is unknown"
            );
            return Ending::Failed;
        }
    };
    let plan = plan(&seen);
    tracing::debug!(peer.id = %peer.id, plan.why = ?plan.why, plan.steps = plan.steps.len(), "proofs were planned");
    let ending = act::act(context, peer, &seen, &plan.steps).await;
    act::assign(context, peer, &seen);
    ending
}

const fn worse(one: Ending, other: Ending) -> Ending {
    match (one, other) {
        (Ending::Failed, _) | (_, Ending::Failed) => Ending::Failed,
        (Ending::Acted, _) | (_, Ending::Acted) => Ending::Acted,
        (Ending::Settled, Ending::Settled) => Ending::Settled,
    }
}

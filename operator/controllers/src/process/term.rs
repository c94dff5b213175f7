//! What runs only while this replica leads.

use std::sync::Arc;
use std::time::Duration;

use coreward_telemetry::{Health, Shutdown};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::chain_watch::Follower;
use crate::context::Context;
use crate::outbox::sweep;
use crate::{loops, proof};

/// Loops may take this long to end; what they leave is taken up by the next leader.
const DRAIN: Duration = Duration::from_secs(2);
/// A turn of a follower: some calls of at most ten seconds each.
const FOLLOW_LIMIT: Duration = Duration::from_mins(3);
/// Between two sweeps of what nobody needs any more.
const SWEEP: Duration = Duration::from_mins(1);
/// Longest wait for the authority at the start of a term; loops live without.
const ANCHOR_LIMIT: Duration = Duration::from_secs(5);

/// Leads whenever elected, until the process stops; then cancels `election`.
pub(super) async fn lead_when_elected(
    context: Arc<Context>,
    followers: Vec<Follower>,
    (shutdown, health): (Shutdown, Health),
    election: CancellationToken,
) {
    let followers: Vec<Arc<Follower>> = followers.into_iter().map(Arc::new).collect();
    let stop = shutdown.token();
    let mut leadership = context.leadership.clone();
    while let Some(term) = stop.run_until_cancelled(leadership.begins()).await {
        context.metrics.leader.set(1);
        let mut anchor = context.anchor.clone();
        let anchored = timeout(ANCHOR_LIMIT, anchor.wait_for(Option::is_some)).await.is_ok();
        tracing::info!(lease.term = term, anchored, "a term begins");
        let mut proving = Tasks::default();
        prove(&mut proving, &context, &followers, &health);
        let mut acting = Tasks::default();
        act(&mut acting, &context);
        let well = tokio::select! {
            () = leadership.ends(term) => true,
            () = stop.cancelled() => true,
            () = acting.one_ends() => false,
            () = proving.one_ends() => false,
        };
        acting.end().await;
        context.metrics.leader.set(0);
        if leadership.is_blind() {
            tracing::warn!(
                lease.term = term,
                "the API server is silent; proofs go on, nothing else"
            );
        }
        let well = well
            && tokio::select! {
                () = leadership.sees() => true,
                () = stop.cancelled() => true,
                () = proving.one_ends() => false,
            };
        proving.end().await;
        if !well {
            // Nothing of a term ends by itself: a panic, or a mistake. Another process begins afresh.
            tracing::error!("a task of the leader ended by itself; the process stops");
            shutdown.stop();
        }
        tracing::info!(lease.term = term, "a term is over");
    }
    election.cancel();
}

/// Tasks that are stopped together.
#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<()>,
    stop: CancellationToken,
}

impl Tasks {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(task);
    }

    async fn one_ends(&mut self) {
        if self.set.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        // Whoever is slow is cut off below.
        let _ = timeout(DRAIN, async { while self.set.join_next().await.is_some() {} }).await;
        self.set.shutdown().await;
    }
}

/// Begins what brings proofs onto the chain.
fn prove(tasks: &mut Tasks, context: &Arc<Context>, followers: &[Arc<Follower>], health: &Health) {
    for follower in followers {
        let alive = health.liveness("heads", FOLLOW_LIMIT);
        let (follower, stop) = (Arc::clone(follower), tasks.stop.clone());
        let (sender, outbox, sender_stop) =
            (Arc::clone(&follower), context.outbox.clone(), tasks.stop.clone());
        tasks.spawn(async move { follower.follow(&stop, || alive.tick()).await });
        let alive = health.liveness("transactions", FOLLOW_LIMIT);
        tasks.spawn(async move {
            Box::pin(sender.follow_transactions(&outbox, &sender_stop, || alive.tick())).await;
        });
    }
    tasks.spawn(proof::run(Arc::clone(context), tasks.stop.clone()));
}

/// Begins everything else.
fn act(tasks: &mut Tasks, context: &Arc<Context>) {
    for (name, run) in loops() {
        tracing::debug!(loop.name = name, "a loop begins");
        tasks.spawn(run(Arc::clone(context), tasks.stop.clone()));
    }
    let (context, stop) = (Arc::clone(context), tasks.stop.clone());
    tasks.spawn(async move {
        while stop.run_until_cancelled(sleep(SWEEP)).await.is_some() {
            context.hub.keep(&context.stores.pod_uids());
            let swept = stop.run_until_cancelled(timeout(SWEEP, sweep(&context))).await;
            if matches!(swept, Some(Err(_))) {
                tracing::warn!("sweeping transactions took too long");
            }
        }
    });
}

//! The loop that finds what the contract's views forget, and keeps it with the peers' identities: commitments that a peer had
//! before its identity was taken over, or that are younger than the backup which its Secret came from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coreward_chain::past::{Past, Searcher, Wanted};
use coreward_domain::chain::Snapshot;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::context::Context;
use crate::identity::{self, PeerIdentity};
use crate::metrics::Ending;
use crate::offer::act::annotate_all;
use crate::turn::Error;
use crate::view;

/// Between two turns.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after failures; the first is one turn's, each further twice as long.
const LONGEST: Duration = Duration::from_mins(5);
/// Pause after logs that cannot be all: to search again from the first block is much to ask.
const UNBELIEVED: Duration = Duration::from_mins(30);
/// Longest turn; its questions have limits of their own.
const LIMIT: Duration = Duration::from_mins(3);
/// Name of the loop in logs and metrics.
const NAME: &str = "past";

/// One network.
#[derive(Debug)]
struct Desk {
    network: String,
    searcher: Searcher,
    pause: Duration,
    next: Instant,
}

/// Runs until stopped.
#[must_use]
pub fn run(context: Arc<Context>, stop: CancellationToken) -> BoxFuture<'static, ()> {
    async move {
        let networks = context.links.iter().map(|(name, link)| {
            let searcher = Searcher::new(link.pool.clone(), link.contracts.diamond);
            let desk = Desk { network: name.clone(), searcher, pause: PAUSE, next: clock::now() };
            Box::pin(follow(desk, Arc::clone(&context), stop.clone()))
        });
        futures::future::join_all(networks).await;
        stop.cancelled().await;
    }
    .boxed()
}

async fn follow(mut desk: Desk, context: Arc<Context>, stop: CancellationToken) {
    while stop.run_until_cancelled(desk.turn(&context)).await.is_some()
        && stop.run_until_cancelled(sleep(PAUSE)).await.is_some()
    {}
}

impl Desk {
    /// Searches on, if there is something to search and it is time.
    async fn turn(&mut self, context: &Context) {
        let begun = clock::now();
        if !context.leadership.may_send() {
            return;
        }
        let Some(snapshot) = context
            .networks
            .get(&self.network)
            .and_then(|handle| view::of(handle, begun).snapshot)
            .filter(|_| begun >= self.next)
        else {
            return;
        };
        let due = due(context, &self.network, &snapshot);
        if due.is_empty() {
            return;
        }
        let searched = timeout(LIMIT, self.search(context, (&due, snapshot.finalized))).await;
        let pause = searched.unwrap_or(None);
        self.pause = pause.unwrap_or_else(|| (self.pause * 2).min(LONGEST));
        let now = clock::now();
        self.next = now + self.pause;
        let ending = if pause == Some(PAUSE) { Ending::Acted } else { Ending::Failed };
        context.metrics.turns.ended(NAME, ending, now.saturating_duration_since(begun));
    }

    /// When to go on; `None` if something did not answer.
    async fn search(
        &mut self,
        context: &Context,
        (due, finalized): (&[(PeerIdentity, Wanted)], u64),
    ) -> Option<Duration> {
        let wanted: Vec<_> = due.iter().map(|(_, wanted)| *wanted).collect();
        let found = match self.searcher.turn(&wanted, finalized).await {
            Ok(found) => found,
            Err(error) => {
                let error = coreward_telemetry::causes(&error);
                tracing::warn!(
                    network.name = self.network, error = %error,
                    "logs for past commitments were not shown; fewer blocks are asked for next"
                );
                return None;
            }
        };
        let mut pause = Some(PAUSE);
        for past in found {
            let searched = due.iter().find(|(_, wanted)| wanted.peer == past.peer);
            let Some((identity, _)) = searched else { continue };
            if let Err(error) = keep(context, identity, &past).await {
                let error = coreward_telemetry::causes(&error);
                tracing::warn!(error = %error, "past commitments were found and not kept");
                pause = None;
            }
            if past.commitments.is_none() {
                pause = Some(UNBELIEVED);
            }
        }
        pause
    }
}

/// Identities of registered peers whose past is to be read.
fn due(context: &Context, network: &str, snapshot: &Snapshot) -> Vec<(PeerIdentity, Wanted)> {
    let secrets = context.stores.identities.all();
    let identities = secrets.iter().filter_map(|secret| PeerIdentity::read(secret));
    let due = identities.filter(|identity| {
        let offer = context.stores.offer(&identity.offer);
        offer.is_some_and(|offer| offer.spec.network == network)
            && !identity.retired
            && identity.identity.is_past_due(snapshot.finalized)
    });
    due.filter_map(|identity| {
        let peer = identity.identity.peer;
        let offer = snapshot.peers.get(&peer)?.as_ref()?.offer;
        let wanted = Wanted { peer, offer, after: identity.identity.past_read_to };
        Some((identity, wanted))
    })
    .collect()
}

/// Keeps what was found with the identity as it is now, if it is to be believed.
async fn keep(context: &Context, identity: &PeerIdentity, past: &Past) -> Result<(), Error> {
    let peer = identity::text(past.peer);
    let Some(found) = &past.commitments else {
        tracing::warn!(
            peer.id = peer,
            "the endpoints do not show the logs of this peer's registration: they keep too few blocks, and its past commitments \
             stay unknown; name one that keeps all"
        );
        return Ok(());
    };
    let secrets = context.stores.identities.all();
    let mut identities = secrets.iter().filter_map(|secret| PeerIdentity::read(secret));
    let present = identities
        .find(|other| other.offer == identity.offer && other.identity.peer == past.peer)
        .filter(|present| present.identity.past_read_to == past.after);
    let Some(present) = present else { return Ok(()) };
    let all = present.identity.commitments.union(found).copied().collect();
    annotate_all(context, &present, &identity::past(&all, Some(past.read_to))).await?;
    tracing::info!(
        peer.id = peer,
        chain.block = past.read_to,
        found = found.len(),
        "past commitments were read"
    );
    Ok(())
}

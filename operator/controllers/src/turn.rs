//! What the turns of all loops share: the context, what may be forgotten, errors, wake-ups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coreward_crds::Condition;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kube::runtime::controller::Action;
use tokio::sync::{broadcast, watch};

use crate::apply;
use crate::clock;
use crate::context::Context;
use crate::event::{Events, Happening};
use crate::memory::Memory;
use crate::metrics::Ending;

/// A turn is taken at least this often, whatever happens.
const RESYNC: Duration = Duration::from_secs(15);

/// For so long after it began to lead, what a leader has not heard yet is no news: the one before told what it knew.
const HEARING: Duration = Duration::from_secs(15);

/// Wake-ups within this time are one turn.
pub const DEBOUNCE: Duration = Duration::from_millis(15);

/// What every turn of the market's loops is given.
#[derive(Debug)]
pub struct Shared {
    /// What all loops of the operator share.
    pub context: Arc<Context>,
    /// The one recorder.
    pub events: Events,
    /// What may be forgotten.
    pub memory: Memory,
    bell: watch::Sender<u64>,
    since: Instant,
}

impl Shared {
    /// Puts it together.
    #[must_use]
    pub fn new(context: Arc<Context>, events: Events, memory: Memory) -> Self {
        Self { context, events, memory, bell: watch::Sender::new(0), since: clock::now() }
    }

    /// Whether this leader has only begun, and may still hear from those that it has not heard from.
    #[must_use]
    pub fn is_new(&self) -> bool {
        clock::now().saturating_duration_since(self.since) < HEARING
    }

    /// Whether this is to be told as an event of an object with these conditions now: once until it no longer holds. What
    /// they said already when this leader began was told by the one before.
    pub fn tells(&self, key: &str, what: Happening, conditions: &[Condition]) -> bool {
        self.memory.tell_once(key, what.reason()) && !(self.is_new() && what.stands_in(conditions))
    }

    /// Whether a status is kept back since not everybody has been heard that it is made from: the object has one of the same
    /// generation, from the leader before.
    #[must_use]
    pub fn keeps_back(&self, is_heard: bool, generation: Option<i64>, told: Option<i64>) -> bool {
        !is_heard && generation.is_some() && generation == told && self.is_new()
    }

    /// Wakes all turns: something changed that no watch tells of.
    pub fn ring(&self) {
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What stops a turn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("write {what} of `{name}`")]
    Write {
        /// Which part.
        what: &'static str,
        /// Of which object.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server did not answer a read.
    #[error("read {what} `{name}`")]
    Read {
        /// Which kind.
        what: &'static str,
        /// Which object.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Transactions that are under way could not be listed.
    #[error("list the transactions of `{what}` that are under way")]
    Outbox {
        /// Which signer.
        what: String,
        /// Why.
        source: Box<crate::outbox::Error>,
    },
    /// The authority of the pods' endpoint was not made yet.
    #[error("the certificate for pods is not there yet")]
    NoAnchor,
    /// A body of ours is not what its kind takes: a mistake in this program.
    #[error("build {what}")]
    Build {
        /// Which object.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

impl Error {
    /// A failed write.
    #[must_use]
    pub fn write(what: &'static str, name: &str, source: kube::Error) -> Self {
        Self::Write { what, name: name.to_owned(), source: Box::new(source) }
    }

    /// A failed read.
    #[must_use]
    pub fn read(what: &'static str, name: &str, source: kube::Error) -> Self {
        Self::Read { what, name: name.to_owned(), source: Box::new(source) }
    }

    /// When to take the turn again: up to a third later than is due, at random, so that the turns that one outage stopped do
    /// not come back in step.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.retry_with(rand::random::<f64>())
    }

    /// `dice` in 0..1.
    fn retry_with(&self, dice: f64) -> Duration {
        self.due().mul_f64(1.0 + dice.clamp(0.0, 1.0) / 3.0)
    }

    fn due(&self) -> Duration {
        match self {
            Self::Write { source, .. } | Self::Read { source, .. } => match apply::code(source) {
                Some(409) => Duration::from_millis(200),
                Some(429) => asked_to_wait(source).unwrap_or(Duration::from_secs(5)),
                Some(_) | None => Duration::from_secs(2),
            },
            Self::NoAnchor => Duration::from_secs(1),
            Self::Outbox { .. } => Duration::from_secs(2),
            Self::Build { .. } => RESYNC,
        }
    }
}

/// How long an API server that has too much to do wants to be left alone; for a turn's time at most.
fn asked_to_wait(refusal: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = refusal else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(RESYNC))
}

/// Wraps a turn: counts it, logs a failure once, says when the next one is due.
///
/// # Errors
///
/// None: a failed turn is told here and taken again.
pub async fn told(
    controller: &'static str,
    shared: &Shared,
    object: &str,
    turn: impl Future<Output = Result<Ending, Error>>,
) -> Result<Action, Error> {
    let begin = clock::now();
    let ended = turn.await;
    let took = clock::now().saturating_duration_since(begin);
    match ended {
        Ok(ending) => {
            shared.context.metrics.turns.ended(controller, ending, took);
            Ok(Action::requeue(RESYNC))
        }
        Err(error) => {
            shared.context.metrics.turns.ended(controller, Ending::Failed, took);
            let cause = coreward_telemetry::causes(&error);
            tracing::warn!(controller, object, error = %cause, "a turn stopped at an error and will be taken again");
            Ok(Action::requeue(error.retry()))
        }
    }
}

/// Ticks whenever something changes that any turn may depend on: a block, a report, a pod, a node, a namespace.
#[must_use]
pub fn wakes(shared: &Shared) -> BoxStream<'static, ()> {
    let context = &shared.context;
    let stores = &context.stores;
    let mut streams: Vec<BoxStream<'static, ()>> = context
        .networks
        .values()
        .flat_map(|network| [snapshots(network.snapshots()).boxed()])
        .collect();
    streams.push(snapshots(shared.bell.subscribe()).boxed());
    streams.push(reports(context.hub.changes()).boxed());
    streams.push(stores.pods.changes().map(drop).boxed());
    streams.push(stores.namespaces.changes().map(drop).boxed());
    streams.push(stores.identities.changes().map(drop).boxed());
    stream::select_all(streams).boxed()
}

/// Ticks whenever an object of another kind changes that a turn may depend on.
#[must_use]
pub fn object_wakes(context: &Context) -> BoxStream<'static, ()> {
    let stores = &context.stores;
    let streams: Vec<BoxStream<'static, ()>> = vec![
        stores.offers.changes().map(drop).boxed(),
        stores.units.changes().map(drop).boxed(),
        stores.deals.changes().map(drop).boxed(),
        stores.nodes.changes().map(drop).boxed(),
        stores.transactions.changes().map(drop).boxed(),
    ];
    stream::select_all(streams).boxed()
}

fn snapshots<T: Clone + Send + Sync + 'static>(
    receiver: watch::Receiver<T>,
) -> impl Stream<Item = ()> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        match receiver.changed().await {
            Ok(()) => Some(((), receiver)),
            // The chain's follower is over, and so is the process.
            Err(_) => std::future::pending().await,
        }
    })
}

fn reports(receiver: broadcast::Receiver<String>) -> impl Stream<Item = ()> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        match receiver.recv().await {
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Some(((), receiver)),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, retry_after_seconds: u32) -> Error {
        let status = serde_json::json!({
            "code": code, "details": { "retryAfterSeconds": retry_after_seconds }
        });
        let status = serde_json::from_value(status).unwrap();
        Error::write("status", "o", kube::Error::Api(Box::new(status)))
    }

    #[rstest::rstest]
    #[case::a_conflict(refused(409, 0), 200, 266)]
    #[case::too_many_requests(refused(429, 0), 5_000, 6_666)]
    #[case::too_many_requests_and_when_to_come_back(refused(429, 9), 9_000, 12_000)]
    #[case::and_that_is_far_off(refused(429, 3_600), 15_000, 20_000)]
    #[case::out_of_order(refused(503, 0), 2_000, 2_666)]
    #[case::no_certificate_yet(Error::NoAnchor, 1_000, 1_333)]
    fn a_stopped_turn_is_taken_again_within_its_bounds(
        #[case] error: Error,
        #[case] soonest: u128,
        #[case] latest: u128,
    ) {
        assert_eq!(error.retry_with(0.0).as_millis(), soonest);
        assert_eq!(error.retry_with(1.0).as_millis(), latest);
        assert!((soonest..=latest).contains(&error.retry().as_millis()));
    }
}

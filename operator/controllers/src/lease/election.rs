//! The task that holds or watches the Lease.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Decision, LEASE_NAME, Observation, Term, Times, decide};
use crate::clock;

/// A turn of the election that did not work; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Lease cannot be read.
    #[error("read lease `{LEASE_NAME}`")]
    Read {
        /// Why.
        source: Box<kube::Error>,
    },
    /// The Lease cannot be written; a conflict means that another was faster.
    #[error("write lease `{LEASE_NAME}`")]
    Write {
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server did not answer.
    #[error("lease `{LEASE_NAME}`: no answer within {}ms", limit.as_millis())]
    Silent {
        /// How long we waited.
        limit: Duration,
    },
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    me: String,
    times: Times,
    terms: watch::Sender<Option<Term>>,
    blind: watch::Sender<bool>,
    seen: Option<Seen>,
    count: u64,
}

/// The last version of the Lease that we saw, and when first.
#[derive(Clone, Debug)]
struct Seen {
    lease: Lease,
    since: Instant,
}

impl Election {
    /// An election in which `me` must be unique to this process: a restarted one is another candidate.
    #[must_use]
    pub fn new(api: Api<Lease>, me: String, times: Times) -> (Self, super::Leadership) {
        let (terms, terms_receiver) = watch::channel(None);
        let (blind, blind_receiver) = watch::channel(false);
        let leadership = super::Leadership::new(terms_receiver, blind_receiver);
        (Self { api, me, times, terms, blind, seen: None, count: 0 }, leadership)
    }

    /// Takes part until stopped, then gives the Lease back; `turned` is called after each turn, as a sign of life.
    pub async fn run(mut self, stop: CancellationToken, mut turned: impl FnMut()) {
        loop {
            let turn = stop.run_until_cancelled(self.turn()).await;
            match turn {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(error = %coreward_telemetry::causes(&error), "the turn of the election failed");
                }
            }
            turned();
            if stop.run_until_cancelled(self.pause()).await.is_none() {
                break;
            }
        }
        self.blind.send_replace(false);
        self.release().await;
    }

    /// Waits for the next turn, and steps down if the deadline comes first.
    async fn pause(&self) {
        let next = clock::now() + self.times.renew;
        let term = *self.terms.borrow();
        if let Some(term) = term.filter(|term| term.until <= next) {
            tokio::time::sleep_until(term.until.into()).await;
            self.go_blind();
        }
        tokio::time::sleep_until(next.into()).await;
    }

    /// One turn: look where needed, decide, write. A silent API server is given up soon, so that there is time for
    /// another try before the deadline.
    async fn turn(&mut self) -> Result<(), Error> {
        let begun = clock::now();
        let leading = *self.terms.borrow();
        let patience = self.times.renew * 2;
        let limit = leading
            .map_or(patience, |term| patience.min(term.until.saturating_duration_since(begun)));
        let ended = match timeout(limit, self.attempt(begun, leading.is_some())).await {
            Ok(ended) => ended,
            Err(_) => Err(Error::Silent { limit }),
        };
        if ended.is_err() {
            // What we know may be old: read before the next write.
            self.forget_version();
            if leading.is_some_and(|term| term.until <= clock::now()) {
                self.go_blind();
            }
        }
        ended
    }

    async fn attempt(&mut self, begun: Instant, leading: bool) -> Result<(), Error> {
        let known =
            self.seen.as_ref().is_some_and(|seen| seen.lease.metadata.resource_version.is_some());
        if !(leading && known) {
            self.look().await?;
        }
        let observation = self.seen.as_ref().map(|seen| observe(seen, self.times.duration));
        match decide(&self.me, observation.as_ref()) {
            Decision::Wait => {
                self.step_down();
                Ok(())
            }
            Decision::Create => self.write(begun, None).await,
            Decision::Take | Decision::Renew => {
                let present = self.seen.as_ref().map(|seen| seen.lease.clone());
                self.write(begun, present).await
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let read = self
            .api
            .get_opt(LEASE_NAME)
            .await
            .map_err(|source| Error::Read { source: Box::new(source) })?;
        self.note(read);
        self.blind.send_replace(false);
        Ok(())
    }

    /// Keeps when this version was first seen.
    fn note(&mut self, read: Option<Lease>) {
        let since = match (&self.seen, &read) {
            (Some(seen), Some(lease)) if seen.lease.spec == lease.spec => seen.since,
            _ => clock::now(),
        };
        self.seen = read.map(|lease| Seen { lease, since });
    }

    async fn write(&mut self, begun: Instant, present: Option<Lease>) -> Result<(), Error> {
        let wanted = written(&self.me, self.times.duration, present.as_ref());
        let parameters = PostParams::default();
        let answer = if present.is_some() {
            self.api.replace(LEASE_NAME, &parameters, &wanted).await
        } else {
            self.api.create(&parameters, &wanted).await
        };
        let lease = answer.map_err(|source| Error::Write { source: Box::new(source) })?;
        self.seen = Some(Seen { lease, since: clock::now() });
        self.blind.send_replace(false);
        self.lead_from(begun);
        Ok(())
    }

    fn lead_from(&mut self, begun: Instant) {
        let until = begun + self.times.deadline;
        let number = if let Some(term) = *self.terms.borrow() {
            term.number
        } else {
            self.count += 1;
            tracing::info!(lease.holder = %self.me, lease.term = self.count, "this replica leads");
            self.count
        };
        self.terms.send_replace(Some(Term { number, until }));
    }

    fn step_down(&self) {
        if self.terms.send_replace(None).is_some() {
            tracing::warn!(lease.holder = %self.me, "this replica no longer leads");
        }
    }

    /// The deadline is over and nobody has answered: whether another leads is unknown.
    fn go_blind(&self) {
        if self.terms.borrow().is_some() {
            // Before the term ends, so that whoever waits for its end finds it told.
            self.blind.send_replace(true);
        }
        self.step_down();
    }

    /// Keeps since when the Lease stands still, but makes the next turn read it.
    fn forget_version(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.lease.metadata.resource_version = None;
        }
    }

    /// Gives the Lease back, so that another need not wait.
    async fn release(&mut self) {
        let leading = self.terms.send_replace(None).is_some_and(|term| clock::now() < term.until);
        let Some(seen) = self.seen.take().filter(|_| leading) else { return };
        let mut lease = seen.lease;
        if lease.metadata.resource_version.is_none() {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(clock::wall()));
        }
        let parameters = PostParams::default();
        let released =
            timeout(self.times.renew, self.api.replace(LEASE_NAME, &parameters, &lease)).await;
        match released {
            Ok(Ok(_)) => tracing::info!(lease.holder = %self.me, "the lease was given back"),
            Ok(Err(error)) => {
                tracing::warn!(error = %coreward_telemetry::causes(&error), "the lease was not given back");
            }
            Err(_) => tracing::warn!("the lease was not given back: no answer"),
        }
    }
}

/// A holder's promise shorter than ours is not believed: nobody is robbed by a garbled Lease.
fn observe(seen: &Seen, least: Duration) -> Observation {
    let spec = seen.lease.spec.as_ref();
    let holder =
        spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty());
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Observation {
        holder,
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).max(least),
        unchanged: clock::now().saturating_duration_since(seen.since),
    }
}

/// The Lease with our name in it, at the version that was read.
fn written(me: &str, duration: Duration, present: Option<&Lease>) -> Lease {
    let now = MicroTime(clock::wall());
    let before = present.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let ours = before.holder_identity.as_deref() == Some(me);
    let seconds = i32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(seconds),
        acquire_time: if ours { before.acquire_time } else { Some(now.clone()) },
        renew_time: Some(now),
        lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!ours)),
        ..LeaseSpec::default()
    };
    let metadata = present.map_or_else(
        || ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() },
        |lease| lease.metadata.clone(),
    );
    Lease { metadata, spec: Some(spec) }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;

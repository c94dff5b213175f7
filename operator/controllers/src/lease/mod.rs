//! Who leads: one Lease object, renewed against a deadline that is shorter than its duration.
//!
//! A replica leads only while its last successful write is younger than the deadline, by its own monotonic clock counted
//! from *before* the request. Others wait for the whole duration, counted from when they saw the write. So two never lead
//! at once, whatever the network does. What must not run twice asks [`Leadership::may_send`] right before it acts.

mod decide;
mod election;

use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use decide::{Decision, Observation, decide};
pub use election::{Election, Error};

use crate::clock;
use crate::config::LeaseTimes;

/// Name of the Lease, in the operator's namespace.
pub const LEASE_NAME: &str = "coreward-operator";

/// The times as durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Another replica may take the lease when it stood still for this long.
    pub duration: Duration,
    /// Between writes of the leader, and between looks of the others.
    pub renew: Duration,
    /// The leader stops when its last success is this old.
    pub deadline: Duration,
}

impl From<LeaseTimes> for Times {
    fn from(times: LeaseTimes) -> Self {
        Self {
            duration: Duration::from_millis(times.duration_milliseconds),
            renew: Duration::from_millis(times.renew_milliseconds),
            deadline: Duration::from_millis(times.deadline_milliseconds),
        }
    }
}

/// A time of leading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Counts up with every term of this process.
    pub number: u64,
    /// Leading ends here unless it is renewed.
    pub until: Instant,
}

/// Whether this replica leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    terms: watch::Receiver<Option<Term>>,
    blind: watch::Receiver<bool>,
}

impl Leadership {
    /// A leadership that is told from the outside: the term, and whether it ended because nobody answered.
    #[must_use]
    pub const fn new(terms: watch::Receiver<Option<Term>>, blind: watch::Receiver<bool>) -> Self {
        Self { terms, blind }
    }

    /// Whether this replica may act now: it leads, and its deadline is not over. Ask right before every write and every send.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.terms.borrow().is_some_and(|term| clock::now() < term.until)
    }

    /// Whether this replica led until the API server fell silent, and has not heard from it since: another may lead by now.
    /// Proofs may still be sent, as they are idempotent and an epoch does not wait; nothing else may.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        *self.blind.borrow()
    }

    /// Waits until this replica is not blind; at once if it is not. Cancel safe.
    pub async fn sees(&mut self) {
        // An error means that the election itself is over.
        let _ = self.blind.wait_for(|blind| !blind).await;
    }

    /// The number of the present term; `None` while another leads or nobody does.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.terms.borrow().filter(|term| clock::now() < term.until).map(|term| term.number)
    }

    /// Waits until this replica leads, and says the term's number. Never ends once the election is over. Cancel safe.
    pub async fn begins(&mut self) -> u64 {
        match self.terms.wait_for(Option::is_some).await {
            Ok(term) => term.map_or(0, |term| term.number),
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until this replica neither leads nor goes on blindly; at once if so. Cancel safe.
    pub async fn lost(&mut self) {
        // An error means that the election itself is over.
        let _ = self.terms.wait_for(Option::is_none).await;
        self.sees().await;
    }

    /// Waits until the term is another than this one, or none. Cancel safe.
    pub async fn turns(&mut self, from: Option<u64>) {
        let turned =
            self.terms.wait_for(|term| term.map(|term| term.number) != from).await.is_err();
        if turned {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the term of this number is over. Cancel safe.
    pub async fn ends(&mut self, number: u64) {
        // An error means that the election itself is over, and every term with it.
        let _ = self.terms.wait_for(|term| term.is_none_or(|term| term.number != number)).await;
    }
}

//! Whether the process lives, and whether it works.
//!
//! Liveness is progress: each loop ticks, and one that has not ticked within its limit is stuck; a restart is then the
//! cure. It must never depend on the chain or the API server. Readiness is a set of named checks, each true or false;
//! a process is ready when all are true and there is at least one.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The health of one process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    loops: BTreeMap<&'static str, Loop>,
    checks: BTreeMap<&'static str, bool>,
}

#[derive(Debug)]
struct Loop {
    ticked: Instant,
    limit: Duration,
}

/// One loop's handle: dropped when the loop ends on purpose.
#[derive(Debug)]
pub struct Liveness {
    health: Health,
    name: &'static str,
}

/// One check's handle; false until set.
#[derive(Clone, Debug)]
pub struct Readiness {
    health: Health,
    name: &'static str,
}

/// What is wrong, one finding a line; empty when nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings(Vec<String>);

impl Health {
    /// A process without loops and without checks: alive, and not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches a loop that ticks at least once per `limit`; it counts from now.
    #[must_use]
    pub fn liveness(&self, name: &'static str, limit: Duration) -> Liveness {
        self.lock().loops.insert(name, Loop { ticked: now(), limit });
        Liveness { health: self.clone(), name }
    }

    /// Adds a check that readiness waits for.
    #[must_use]
    pub fn readiness(&self, name: &'static str) -> Readiness {
        self.lock().checks.insert(name, false);
        Readiness { health: self.clone(), name }
    }

    /// Whether every check holds, and there is one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready().is_empty()
    }

    pub(crate) fn stuck(&self, now: Instant) -> Findings {
        let state = self.lock();
        let stuck = state.loops.iter().filter_map(|(name, each)| {
            let idle = now.saturating_duration_since(each.ticked);
            let Loop { limit, .. } = each;
            (idle > *limit)
                .then(|| format!("{name}: no progress for {idle:.0?}, limit {limit:.0?}"))
        });
        Findings(stuck.collect())
    }

    pub(crate) fn unready(&self) -> Findings {
        let state = self.lock();
        if state.checks.is_empty() {
            return Findings(vec!["starting".to_owned()]);
        }
        let failing = state.checks.iter().filter(|(_, holds)| !**holds);
        Findings(failing.map(|(name, _)| format!("{name}: not yet")).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Liveness {
    /// Tells that the loop goes on.
    pub fn tick(&self) {
        self.tick_at(now());
    }

    fn tick_at(&self, at: Instant) {
        if let Some(each) = self.health.lock().loops.get_mut(self.name) {
            each.ticked = at;
        }
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        self.health.lock().loops.remove(self.name);
    }
}

impl Readiness {
    /// Sets the check.
    pub fn set(&self, holds: bool) {
        self.health.lock().checks.insert(self.name, holds);
    }
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| writeln!(formatter, "{finding}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "progress is measured by this process's own clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_only_past_its_limit() {
        let health = Health::new();
        let turns = health.liveness("turns", Duration::from_secs(30));
        let start = now();
        turns.tick_at(start);
        assert_eq!(health.stuck(start + Duration::from_secs(30)), Findings::default());
        let told = health.stuck(start + Duration::from_secs(31)).to_string();
        assert_eq!(told, "turns: no progress for 31s, limit 30s\n");
    }

    #[test]
    fn a_loop_that_ended_on_purpose_is_not_missed() {
        let health = Health::new();
        drop(health.liveness("turns", Duration::ZERO));
        assert!(health.stuck(now() + Duration::from_secs(1)).is_empty());
    }

    #[test]
    fn ready_means_that_all_checks_hold() {
        let health = Health::new();
        assert!(!health.is_ready(), "nothing was checked yet");
        let (hashing, listed) = (health.readiness("hashing"), health.readiness("listed"));
        hashing.set(true);
        assert_eq!(health.unready().to_string(), "listed: not yet\n");
        listed.set(true);
        assert!(health.is_ready());
        hashing.set(false);
        assert!(!health.is_ready());
    }
}

//! Renewal of an offer's provers once their template changed: few at a time, and no more of them while those that were
//! renewed do not come up.
//!
//! No fact of the chain orders it, so a mistake in it would reach all units at once. It holds back nothing else: what the
//! chain orders, what failed and what never ran is decided with each peer's pods.

mod fleet;

use std::collections::{BTreeMap, BTreeSet};

use crate::condition::{BREAKER, ConditionType, Truth, Verdict};
use crate::id::UnitId;
use crate::unit;

use fleet::{Fleet, Old};

/// One in so many of an offer's provers may be away for its renewal at a time; one always may.
const SHARE: usize = 10;

/// Everything that the renewals of one offer are decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Each of the offer's peers as the turn of its units sees it.
    pub peers: Vec<unit::Seen>,
    /// Units that people suspended: nothing is made or deleted for them.
    pub frozen: BTreeSet<UnitId>,
    /// Of pods that are not ready, by UID.
    pub unready: BTreeMap<String, Unready>,
}

/// A pod that is not ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unready {
    /// For so many seconds.
    pub seconds: u64,
    /// Why, in the cluster's words; empty where it says nothing.
    pub reason: String,
}

/// What is renewed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Deletions of working provers; the turns of their units make them again.
    pub steps: Vec<unit::Step>,
    /// Namespace and name of every prover that works with an old template.
    pub old: Vec<(String, String)>,
    /// Why.
    pub why: Why,
}

/// Why renewals are as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// What the chain asks, or what runs, is not known.
    Unknown,
    /// No prover has an old template.
    Settled,
    /// Some have, and wait for their turn.
    Renewing,
    /// The breaker is open: renewed provers do not come up.
    Stopped {
        /// How many are not ready.
        away: usize,
        /// How many still work with the old template.
        old: usize,
        /// Name of one that is not ready.
        pod: String,
        /// What keeps it.
        reason: String,
    },
}

/// Decides which provers of an offer are replaced because their template changed.
///
/// The first of them is alone: until one is ready with the new template, no second one goes.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    let Some(fleet) = Fleet::of(seen) else {
        return Plan { steps: Vec::new(), old: Vec::new(), why: Why::Unknown };
    };
    let away = fleet.coming.len();
    let total = fleet.renewed + fleet.old.len() + away;
    let limit = if fleet.renewed == 0 { 1 } else { (total / SHARE).max(1) };
    let free = limit.saturating_sub(away);
    let trouble = fleet.coming.iter().find_map(|coming| coming.trouble.clone());
    let why = match trouble.filter(|_| free == 0) {
        _ if fleet.old.is_empty() => Why::Settled,
        Some((pod, reason)) => Why::Stopped { away, old: fleet.old.len(), pod, reason },
        None => Why::Renewing,
    };
    let old = fleet.old.iter().map(|old| (old.pod.namespace.clone(), old.pod.name.clone()));
    let steps = fleet.candidates().take(free).map(Old::deletion).collect();
    Plan { steps, old: old.collect(), why }
}

impl Why {
    /// Whether the breaker is open, and why, in words.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        let Self::Stopped { away, old, pod, reason } = self else { return None };
        Some(format!(
            "no more provers are renewed: {away} made from the new template not ready, {old} still prove with the old one; \
             pod {pod}: {reason}; set right what changed (the provers' image or values), or change it back"
        ))
    }

    /// The condition while the breaker is open.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let words = self.stopped()?;
        Some(Verdict::new(ConditionType::Stalled, Truth::True, BREAKER, words))
    }
}

//! The conditions of a `CapacityUnit`.

use crate::condition::Verdict;
use crate::id::UnitId;

use super::{NodeEvidence, Plan, Seen};

/// What is known of one unit besides its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitReport {
    /// The unit.
    pub unit: UnitId,
    /// Evidence about its node.
    pub node: NodeEvidence,
    /// Whether its pod has whole cores of its own, as the pod itself sees it; `None` without a report.
    pub exclusive_cores: Option<bool>,
    /// Whether its prover builds a dataset just now.
    pub building: bool,
    /// Message of the last pod problem, e.g. `Unschedulable: …`; empty if none.
    pub pod_message: String,
    /// Whether the object carries `suspend: true`.
    pub suspended: bool,
    /// Whether the object is being deleted.
    pub deleting: bool,
}

/// The conditions of one unit.
#[must_use]
pub fn conditions(_seen: &Seen, _plan: &Plan, _report: &UnitReport) -> Vec<Verdict> {
    Vec::new()
}

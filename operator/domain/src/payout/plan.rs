use std::collections::BTreeSet;
use super::{Plan, Seen, Why};

/// Decides what is withdrawn.
#[must_use]
pub fn plan(_seen: &Seen) -> Plan {
    Plan { steps: Vec::new(), planned: Vec::new(), retired: BTreeSet::new(), why: Why::ChainUnknown }
}

use std::collections::BTreeMap;
use super::{Plan, Seen, Why};

/// Decides which pods of a peer are made and deleted.
#[must_use]
pub fn plan(_seen: &Seen) -> Plan {
    Plan { steps: Vec::new(), roles: BTreeMap::new(), running: BTreeMap::new(), why: BTreeMap::new(), blocked: Some(Why::ChainUnknown) }
}

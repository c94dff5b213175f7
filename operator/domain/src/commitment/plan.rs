use super::{Plan, Seen, Why};

/// Decides what becomes of a peer's commitment.
#[must_use]
pub fn plan(_seen: &Seen) -> Plan {
    Plan { steps: Vec::new(), planned: Vec::new(), commitment: None, why: Why::ChainUnknown }
}

//! The conditions of a `ProviderOffer`.

use crate::commitment;
use crate::condition::Verdict;

use super::{Plan, Seen};

/// The conditions of an offer; `commitments` holds the why of each of its peers.
#[must_use]
pub fn conditions(_seen: &Seen, _plan: &Plan, _commitments: &[commitment::Why]) -> Vec<Verdict> {
    Vec::new()
}

//! The conditions of a `Deal`.

use crate::condition::Verdict;

use super::{Plan, Seen};

/// The conditions of a deal.
#[must_use]
pub fn conditions(_seen: &Seen, _plan: &Plan) -> Vec<Verdict> {
    Vec::new()
}

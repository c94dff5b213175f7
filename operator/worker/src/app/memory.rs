//! The memory of all live instances of a component together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use super::engine::TABLE_ELEMENTS;
use crate::metrics::Metrics;

/// The most of a worker's memory that one instance may hold, in quarters: what is left keeps others alive beside a hog.
const MOST_QUARTERS: u64 = 3;
/// Core instances, tables and memories of one component.
const PARTS: usize = 64;

/// A worker's memory, shared by its instances.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicU64,
    metrics: Metrics,
}

impl Budget {
    /// Nothing held yet.
    pub(crate) fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), metrics })
    }

    fn take(&self, bytes: u64, limit: u64) -> bool {
        let add = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= limit);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        self.metrics.memory_is(self.held.load(Ordering::Relaxed));
        taken
    }

    fn give_back(&self, bytes: u64) {
        let before = self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.memory_is(before.saturating_sub(bytes));
    }
}

/// One instance's part of the budget; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    limit: u64,
    held: u64,
    denied: bool,
}

impl Share {
    /// A share of a budget of `limit` bytes for all.
    pub(crate) fn of(budget: &Arc<Budget>, limit: u64) -> Self {
        Self { budget: Arc::clone(budget), limit, held: 0, denied: false }
    }

    /// Whether memory was asked for that was not there.
    pub(crate) const fn was_denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for Share {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let within_maximum = maximum.is_none_or(|maximum| desired <= maximum);
        let within_share = self.held + more <= self.limit / 4 * MOST_QUARTERS;
        let granted = within_maximum && within_share && self.budget.take(more, self.limit);
        if granted {
            self.held += more;
        } else {
            self.denied = true;
        }
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(TABLE_ELEMENTS).min(TABLE_ELEMENTS))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::{Budget, ResourceLimiter as _, Share};
    use crate::metrics::Metrics;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_hog_leaves_a_quarter_to_others_and_gives_all_back() {
        let budget = Budget::new(Metrics::register(&Registry::new()).unwrap());
        let limit = 64 * MIB as u64;
        let mut hog = Share::of(&budget, limit);
        assert!(hog.memory_growing(0, 48 * MIB, None).unwrap());
        assert!(!hog.memory_growing(48 * MIB, 49 * MIB, None).unwrap());
        assert!(hog.was_denied());
        let mut other = Share::of(&budget, limit);
        assert!(other.memory_growing(0, 16 * MIB, None).unwrap());
        assert!(!other.memory_growing(16 * MIB, 17 * MIB, None).unwrap());
        drop(hog);
        assert!(other.memory_growing(16 * MIB, 48 * MIB, None).unwrap());
    }
}

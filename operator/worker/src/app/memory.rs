//! The worker's memory: one budget that instances, their code and the compiler draw from. What the pod may use beyond it is
//! the host's own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use coreward_wire::WorkerLimits;
use wasmtime::ResourceLimiter;

use super::engine::TABLE_ELEMENTS;
use super::idle::Idle;
use crate::metrics::Metrics;

/// The most of a worker's memory that one instance may hold, in quarters: what is left keeps others alive beside a hog.
const MOST_QUARTERS: u64 = 3;
/// Core instances, tables and memories of one component.
const PARTS: usize = 64;
/// Bytes of one element of a table.
const ELEMENT_BYTES: u64 = 8;

/// A worker's memory, in bytes.
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

    /// Takes `most` of a budget of `limit`, or as much as is left of it.
    pub(crate) fn reserve(self: &Arc<Self>, most: u64, limit: u64) -> Reserved {
        let mut taken = 0;
        let _always = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            taken = most.min(limit.saturating_sub(held));
            Some(held.saturating_add(taken))
        });
        Reserved { budget: Arc::clone(self), bytes: taken }
    }

    fn take(&self, bytes: u64, limit: u64) -> bool {
        let add = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A part of the budget that is no instance's; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Reserved {
    /// How much it is.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// One instance's part of the budget; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    /// Instances that give way: they hold memory and do nothing.
    idle: Weak<Idle>,
    limit: u64,
    most: u64,
    held: u64,
    denied: bool,
}

impl Share {
    /// A share of a worker's budget.
    pub(super) fn of(budget: &Arc<Budget>, idle: &Arc<Idle>, limits: &WorkerLimits) -> Self {
        let (budget, idle) = (Arc::clone(budget), Arc::downgrade(idle));
        let (limit, most) = bounds(limits);
        Self { budget, idle, limit, most, held: 0, denied: false }
    }

    /// Puts it under the limits of another request.
    pub(super) fn turn_to(&mut self, limits: &WorkerLimits) {
        (self.limit, self.most) = bounds(limits);
    }

    fn take(&self, bytes: u64) -> bool {
        let relieved = || self.idle.upgrade().is_some_and(|idle| idle.give_up());
        self.budget.take(bytes, self.limit) || (relieved() && self.budget.take(bytes, self.limit))
    }

    /// Whether memory was asked for that was not there.
    pub(crate) const fn was_denied(&self) -> bool {
        self.denied
    }

    fn grow(&mut self, more: u64) -> bool {
        let granted = self.held.saturating_add(more) <= self.most && self.take(more);
        if granted {
            self.held += more;
            self.budget.metrics.memory_grows(more);
        } else {
            self.denied = true;
        }
        granted
    }
}

/// Bytes that all instances may hold, and one of them.
fn bounds(limits: &WorkerLimits) -> (u64, u64) {
    let limit = limits.memory_mib << 20;
    (limit, (limits.request.memory_mib << 20).min(limit / 4 * MOST_QUARTERS))
}

impl ResourceLimiter for Share {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within_maximum = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(within_maximum && self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within_maximum = desired <= maximum.unwrap_or(TABLE_ELEMENTS).min(TABLE_ELEMENTS);
        let more = (desired.saturating_sub(current) as u64).saturating_mul(ELEMENT_BYTES);
        Ok(within_maximum && self.grow(more))
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
        self.budget.metrics.memory_shrinks(self.held);
    }
}

#[cfg(test)]
mod tests {
    use coreward_wire::{RequestLimits, WorkerLimits};
    use prometheus::Registry;

    use super::{Arc, Budget, ResourceLimiter as _, Share};
    use crate::metrics::Metrics;

    const MIB: usize = 1 << 20;

    fn budget() -> Arc<Budget> {
        Budget::new(Metrics::register(&Registry::new()).unwrap())
    }

    fn limits(memory_mib: u64, instance_mib: u64) -> WorkerLimits {
        let request = RequestLimits { memory_mib: instance_mib, ..RequestLimits::default() };
        WorkerLimits {
            memory_mib,
            request_milliseconds: 1,
            connections: 1,
            storage_mib: 0,
            request,
            reuse_instances: false,
        }
    }

    #[test]
    fn a_hog_leaves_a_quarter_to_others_and_gives_all_back() {
        let (budget, limits) = (budget(), limits(64, 512));
        let idle = Arc::default();
        let mut hog = Share::of(&budget, &idle, &limits);
        assert!(hog.memory_growing(0, 48 * MIB, None).unwrap());
        assert!(!hog.memory_growing(48 * MIB, 49 * MIB, None).unwrap());
        assert!(hog.was_denied());
        let mut other = Share::of(&budget, &idle, &limits);
        assert!(other.memory_growing(0, 16 * MIB, None).unwrap());
        assert!(!other.memory_growing(16 * MIB, 17 * MIB, None).unwrap());
        drop(hog);
        assert!(other.memory_growing(16 * MIB, 48 * MIB, None).unwrap());
    }

    #[test]
    fn an_instance_has_a_limit_of_its_own_for_memory_and_tables_together() {
        let mut share = Share::of(&budget(), &Arc::default(), &limits(4096, 512));
        assert!(share.memory_growing(0, 512 * MIB, Some(600 * MIB)).unwrap());
        assert!(!share.table_growing(0, 1, None).unwrap());
        assert!(share.was_denied());
    }

    #[test]
    fn the_limits_of_the_next_request_are_those_of_the_order_then() {
        let mut share = Share::of(&budget(), &Arc::default(), &limits(64, 2));
        assert!(!share.memory_growing(0, 3 * MIB, None).unwrap());
        share.turn_to(&limits(64, 4));
        assert!(share.memory_growing(0, 3 * MIB, None).unwrap());
        share.turn_to(&limits(64, 2));
        assert!(!share.memory_growing(3 * MIB, 4 * MIB, None).unwrap());
    }

    #[test]
    fn what_is_reserved_is_not_there_for_instances_until_it_is_given_back() {
        let (budget, limits) = (budget(), limits(64, 512));
        let compiler = budget.reserve(32 << 20, 64 << 20);
        let mut share = Share::of(&budget, &Arc::default(), &limits);
        assert!(!share.memory_growing(0, 33 * MIB, None).unwrap());
        assert!(share.memory_growing(0, 32 * MIB, None).unwrap());
        assert_eq!(budget.reserve(1 << 20, 64 << 20).bytes(), 0);
        drop(compiler);
        assert!(share.memory_growing(32 * MIB, 48 * MIB, None).unwrap());
        assert_eq!(budget.reserve(100 << 20, 64 << 20).bytes(), 16 << 20);
    }
}

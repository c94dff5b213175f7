//! The chain's own calendar.

use core::fmt;

/// A point on the chain's calendar.
///
/// - Unit: whole epochs; the first is 1.
/// - Source: `1 + (block.timestamp - initTimestamp) / epochDuration`, never a node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch `count` later.
    #[must_use]
    pub const fn after(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// Epochs from `earlier` to this one; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How block timestamps become epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Start of epoch 1, seconds.
    pub init_timestamp: u64,
    /// Seconds of one epoch, at least 1.
    pub epoch_duration: u64,
}

impl Calendar {
    /// The epoch of a block.
    #[must_use]
    pub fn epoch_at(&self, timestamp: u64) -> Epoch {
        Epoch(1 + timestamp.saturating_sub(self.init_timestamp) / self.epoch_duration.max(1))
    }

    /// Seconds from `timestamp` to the end of its epoch; at least 1.
    #[must_use]
    pub fn remaining(&self, timestamp: u64) -> u64 {
        let duration = self.epoch_duration.max(1);
        duration - timestamp.saturating_sub(self.init_timestamp) % duration
    }

    /// Seconds from the start of its epoch to `timestamp`.
    #[must_use]
    pub fn elapsed(&self, timestamp: u64) -> u64 {
        timestamp.saturating_sub(self.init_timestamp) % self.epoch_duration.max(1)
    }
}

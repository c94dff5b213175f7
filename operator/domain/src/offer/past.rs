//! How much of a peer's past is known. The contract's views forget a commitment that is over, and its unpaid rewards stay: only
//! logs tell of it.

use super::Identity;

/// Final blocks that may be unread. What was created in them is seen as the peers' present commitment or by the next reading, and
/// no commitment begins, earns and ends within so few.
pub const UNREAD: u64 = 50_000;

impl Identity {
    /// Whether every commitment that the peer ever had is among those that are kept, or holds nothing.
    #[must_use]
    pub const fn is_past_known(&self, finalized: u64) -> bool {
        self.is_read(finalized, UNREAD)
    }

    /// Whether logs are to be read, early enough that a past once known stays so.
    #[must_use]
    pub const fn is_past_due(&self, finalized: u64) -> bool {
        !self.is_read(finalized, UNREAD / 2)
    }

    /// Whether the logs were read, and at most so many blocks came since.
    const fn is_read(&self, finalized: u64, most: u64) -> bool {
        match self.past_read_to {
            Some(read_to) => finalized <= read_to.saturating_add(most),
            None => false,
        }
    }
}

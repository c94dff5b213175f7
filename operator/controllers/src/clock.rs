//! The one place of this crate where a clock is read; everything else takes `now` as an argument.

use std::time::Instant;

use jiff::Timestamp;

/// Monotonic time, for deadlines and ages; the runtime's, so that a test may hold it still.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Time of day, for what people read. Never compared with the chain.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the crate's one reading of the time of day")]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

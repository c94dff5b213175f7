//! The one place where this process looks at its clock.

use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "rates and intervals are of this process's own clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

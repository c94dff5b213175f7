//! Pauses between tries.

use core::time::Duration;

/// The first pause's bound.
const FIRST: Duration = Duration::from_millis(200);

/// No pause is longer: a new leader must hear from all pods within seconds.
const LONGEST: Duration = Duration::from_secs(3);

/// Pauses that double up to three seconds, each shortened at random so that callers do not call in step.
#[derive(Clone, Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// No failure yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// The pause after one more failure, at least `least`.
    pub fn pause(&mut self, least: Duration) -> Duration {
        self.pause_with(least, rand::random::<f64>())
    }

    /// Forgets the failures.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// `dice` in 0..1 takes up to half of the bound away.
    fn pause_with(&mut self, least: Duration, dice: f64) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(1.0 - dice.clamp(0.0, 1.0) / 2.0).max(least)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first_full(0, 0.0, 200)]
    #[case::first_half(0, 1.0, 100)]
    #[case::doubled(2, 0.0, 800)]
    #[case::bounded(40, 0.0, 3_000)]
    #[case::bounded_half(40, 1.0, 1_500)]
    fn a_pause_is_within_its_bounds(
        #[case] failures: u32,
        #[case] dice: f64,
        #[case] milliseconds: u64,
    ) {
        let mut pauses = BackOff { failures };
        assert_eq!(pauses.pause_with(Duration::ZERO, dice), Duration::from_millis(milliseconds));
    }

    #[test]
    fn the_least_pause_is_kept_and_success_starts_anew() {
        let mut pauses = BackOff::new();
        assert_eq!(pauses.pause(Duration::from_mins(1)), Duration::from_mins(1));
        pauses.succeeded();
        assert_eq!(pauses.failures(), 0);
    }
}

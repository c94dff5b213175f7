//! The hash rate.

use core::time::Duration;
use std::collections::VecDeque;

/// How much time of hashing the rate is over.
const WINDOW: Duration = Duration::from_mins(1);

/// Hashes per second over the last minute of hashing; time spent resting or building does not count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Duration, u64)>,
    time: Duration,
    hashes: u64,
}

impl Rate {
    /// Adds a stretch of hashing.
    pub(crate) fn add(&mut self, time: Duration, hashes: u64) {
        self.samples.push_back((time, hashes));
        self.time += time;
        self.hashes += hashes;
        while let Some(&(oldest, count)) = self.samples.front()
            && self.time.saturating_sub(oldest) >= WINDOW
        {
            self.samples.pop_front();
            self.time = self.time.saturating_sub(oldest);
            self.hashes -= count;
        }
    }

    /// `None` until a hash was seen.
    #[expect(clippy::cast_precision_loss, reason = "a minute's hashes are far below 2^52")]
    pub(crate) fn per_second(&self) -> Option<f64> {
        (self.hashes > 0 && !self.time.is_zero())
            .then(|| self.hashes as f64 / self.time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], None)]
    #[case::no_hash_yet(&[(1, 0)], None)]
    #[case::one_stretch(&[(2, 40)], Some(20.0))]
    #[case::the_last_minute_counts(&[(30, 3_000), (30, 600), (30, 600)], Some(20.0))]
    fn it_is_hashes_over_time(#[case] stretches: &[(u64, u64)], #[case] rate: Option<f64>) {
        let mut meter = Rate::default();
        for (seconds, hashes) in stretches {
            meter.add(Duration::from_secs(*seconds), *hashes);
        }
        assert_eq!(meter.per_second(), rate);
    }
}

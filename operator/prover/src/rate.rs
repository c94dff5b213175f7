//! The hash rate.

use core::time::Duration;
use std::collections::VecDeque;

/// The windows that rates are told over, with their names on the metrics page.
pub(crate) const WINDOWS: [(&str, Duration); 3] = [
    ("10s", Duration::from_secs(10)),
    ("60s", Duration::from_mins(1)),
    ("15m", Duration::from_mins(15)),
];

/// The window of the one rate that is reported.
const REPORTED: Duration = WINDOWS[1].1;

/// The longest window.
const KEPT: Duration = WINDOWS[2].1;

/// Stretches shorter than this are kept as one.
const LEAST: Duration = Duration::from_secs(1);

/// Hashes per second of hashing; time spent resting or building does not count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    /// The newest comes last.
    stretches: VecDeque<(Duration, u64)>,
    time: Duration,
}

impl Rate {
    /// Adds a stretch of hashing.
    pub(crate) fn add(&mut self, time: Duration, hashes: u64) {
        match self.stretches.back_mut().filter(|last| last.0 < LEAST) {
            Some(last) => *last = (last.0 + time, last.1 + hashes),
            None => self.stretches.push_back((time, hashes)),
        }
        self.time += time;
        while let Some(&(oldest, _)) = self.stretches.front()
            && self.time.saturating_sub(oldest) >= KEPT
        {
            self.stretches.pop_front();
            self.time = self.time.saturating_sub(oldest);
        }
    }

    /// Over the last minute of hashing; `None` until a hash was seen.
    pub(crate) fn per_second(&self) -> Option<f64> {
        self.over(REPORTED)
    }

    /// Over the last `window` of hashing, and no less of it; `None` until a hash was seen in it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a quarter of an hour's hashes are far below 2^52"
    )]
    pub(crate) fn over(&self, window: Duration) -> Option<f64> {
        let (mut time, mut hashes) = (Duration::ZERO, 0);
        for (length, count) in self.stretches.iter().rev() {
            if time >= window {
                break;
            }
            time += *length;
            hashes += count;
        }
        (hashes > 0 && !time.is_zero()).then(|| hashes as f64 / time.as_secs_f64())
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

    #[test]
    fn each_window_is_its_own() {
        let mut meter = Rate::default();
        for (seconds, per_second) in [(900, 1_000), (840, 10), (50, 20), (10, 30)] {
            for _ in 0..seconds * 10 {
                meter.add(Duration::from_millis(100), per_second / 10);
            }
        }
        let rates = WINDOWS.map(|(_, window)| format!("{:.0}", meter.over(window).unwrap()));
        assert_eq!(rates, ["30", "22", "11"]);
        assert!(meter.stretches.len() <= 901, "{}", meter.stretches.len());
    }
}

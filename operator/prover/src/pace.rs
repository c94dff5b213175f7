//! Whether a dataset is worth its time: what this machine has shown of its speed, and what is left of the epoch.

use core::time::Duration;

use coreward_randomx::Mode;

use crate::puzzle::Key;

/// How many times as fast it hashes in full mode, where it has not shown that itself. Source: the engine's `BENCH.md`.
const FULL_OVER_LIGHT: f64 = 16.0;

/// The part of a dataset after which its building shows how long the rest will take.
const TELLING_PART: f64 = 0.02;

/// Speeds as far as they were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    items_per_second: Option<f64>,
    light: Option<f64>,
    full: Option<f64>,
}

/// A dataset that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Build {
    /// Items made since it was begun.
    pub(crate) made: u64,
    /// Items that are missing.
    pub(crate) missing: u64,
    /// Time since it was begun.
    pub(crate) time: Duration,
}

/// The first part of a dataset that was given up; the engine goes on with it if it is next keyed with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstPart {
    pub(crate) key: Key,
    /// Items of it that are made.
    pub(crate) made: u64,
}

impl FirstPart {
    /// Items that a dataset of this key still lacks, of so many that it has when it is whole.
    pub(crate) fn missing(kept: Option<Self>, key: Key, items: u64) -> u64 {
        let kept = kept.filter(|kept| kept.key == key);
        items.saturating_sub(kept.map_or(0, |kept| kept.made))
    }
}

impl Pace {
    /// Remembers how long a dataset's items took.
    pub(crate) fn built(&mut self, items: u64, time: Duration) {
        self.items_per_second = per_second(items, time).or(self.items_per_second);
    }

    /// Remembers how fast it hashed.
    pub(crate) fn hashed(&mut self, mode: Mode, hashes: u64, time: Duration) {
        let rate = match mode {
            Mode::Light => &mut self.light,
            Mode::Full => &mut self.full,
        };
        *rate = per_second(hashes, time).or(*rate);
    }

    /// Whether more is hashed in the time that is left by making `items` first than in light mode at once; yes where either
    /// the time or the speed is not known.
    pub(crate) fn full_pays(&self, items: u64, left: Option<Duration>) -> bool {
        let (Some(left), Some(speed)) = (left, self.items_per_second) else { return true };
        let left = left.as_secs_f64();
        let build = as_float(items) / speed;
        (left - build) * self.full_over_light() > left
    }

    /// The same while a dataset is being made.
    pub(crate) fn still_pays(&self, build: Build, left: Option<Duration>) -> bool {
        let mut shown = *self;
        if as_float(build.made) >= as_float(build.missing) * TELLING_PART {
            shown.built(build.made, build.time);
        }
        shown.full_pays(build.missing, left)
    }

    fn full_over_light(&self) -> f64 {
        match (self.full, self.light) {
            (Some(full), Some(light)) => full / light,
            (None, _) | (_, None) => FULL_OVER_LIGHT,
        }
    }
}

fn per_second(count: u64, time: Duration) -> Option<f64> {
    (count > 0 && !time.is_zero()).then(|| as_float(count) / time.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "items and an epoch's hashes are far below 2^52")]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use rstest::rstest;

    use super::*;

    const ITEMS: u64 = 64_000;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A machine that needs 64 s for a dataset.
    fn known() -> Pace {
        let mut pace = Pace::default();
        pace.built(ITEMS, seconds(64));
        pace
    }

    #[rstest]
    #[case::a_day(86_400, true)]
    #[case::just_worth_it(69, true)]
    #[case::just_not_worth_it(68, false)]
    #[case::less_than_the_build(30, false)]
    #[case::an_epoch_that_should_be_over(0, false)]
    fn it_is_built_when_that_gives_more_hashes(#[case] left: u64, #[case] pays: bool) {
        assert_eq!(known().full_pays(ITEMS, Some(seconds(left))), pays);
    }

    #[rstest]
    #[case::twice_as_fast_needs_twice_the_time(20, 127, false)]
    #[case::and_a_little(20, 129, true)]
    fn measured_rates_count_more_than_the_usual_ratio(
        #[case] full: u64,
        #[case] left: u64,
        #[case] pays: bool,
    ) {
        let mut pace = known();
        pace.hashed(Mode::Light, 10, seconds(1));
        pace.hashed(Mode::Full, full, seconds(1));
        assert_eq!(pace.full_pays(ITEMS, Some(seconds(left))), pays);
    }

    #[rstest]
    #[case::no_speed(Pace::default(), Some(seconds(1)))]
    #[case::no_time(known(), None)]
    fn what_is_not_known_hinders_nothing(#[case] pace: Pace, #[case] left: Option<Duration>) {
        assert!(pace.full_pays(ITEMS, left));
    }

    #[rstest]
    #[case::too_early_to_tell(ITEMS / 100, 10, 60, true)]
    #[case::it_turns_out_slow(ITEMS / 40, 10, 60, false)]
    #[case::slow_but_with_time(ITEMS / 40, 10, 600, true)]
    #[case::nearly_done(ITEMS - 640, 6_300, 100, true)]
    fn a_build_that_is_too_slow_for_the_epoch_is_given_up(
        #[case] made: u64,
        #[case] took: u64,
        #[case] left: u64,
        #[case] pays: bool,
    ) {
        let build = Build { made, missing: ITEMS - made, time: seconds(took) };
        assert_eq!(Pace::default().still_pays(build, Some(seconds(left))), pays);
    }

    #[rstest]
    #[case::nothing_is_made(None, 20, ITEMS, false)]
    #[case::another_key(Some((2, ITEMS / 10 * 9)), 20, ITEMS, false)]
    #[case::nine_tenths_are_made(Some((1, ITEMS / 10 * 9)), 20, ITEMS / 10, true)]
    #[case::and_even_that_takes_too_long(Some((1, ITEMS / 10 * 9)), 6, ITEMS / 10, false)]
    #[case::all_is_made(Some((1, ITEMS)), 1, 0, true)]
    fn a_dataset_that_was_given_up_is_weighed_by_what_is_missing(
        #[case] kept: Option<(u8, u64)>,
        #[case] left: u64,
        #[case] missing: u64,
        #[case] pays: bool,
    ) {
        let key = |byte| Key(B256::repeat_byte(byte));
        let kept = kept.map(|(byte, made)| FirstPart { key: key(byte), made });
        assert_eq!(FirstPart::missing(kept, key(1), ITEMS), missing);
        assert_eq!(known().full_pays(missing, Some(seconds(left))), pays);
    }

    #[test]
    fn nothing_seen_changes_nothing() {
        let mut pace = known();
        pace.built(0, seconds(1));
        pace.hashed(Mode::Full, 7, Duration::ZERO);
        assert_eq!(pace, known());
    }
}

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::parameters::{Fluence, Frequencies, Stock, Vector};

/// A function small enough for a full dataset within a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Small {}

impl Function for Small {
    const PARAMETERS: Parameters = Parameters {
        argon_memory: 1024,
        cache_accesses: 3,
        dataset_base_bytes: 1 << 20,
        dataset_extra_bytes: 64 * 1000,
        scratchpad_l3: 1 << 18,
        program_count: 3,
        // Odd: machine code makes items two at a time.
        program_iterations: 201,
        frequencies: SHIFTED,
        ..Parameters::STOCK
    };
    const VECTOR: Vector = Stock::VECTOR;
}

/// Other weights than the published ones, with more of what is rare.
const SHIFTED: Frequencies = [
    10, 7, 10, 7, 10, 10, 10, 7, 10, 7, 8, 4, 9, 7, 8, 8, 8, //
    8, 10, 8, 10, 8, 8, 16, 8, 10, //
    14, 8, 8,
];

fn work<'work>(
    stopped: &'work (dyn Fn() -> bool + Sync),
    progress: &'work Progress,
) -> Work<'work> {
    Work { threads: NonZeroUsize::new(2).unwrap(), stopped, progress }
}

fn options(mode: Mode, execution: Execution) -> Options {
    Options { execution, ..mode.into() }
}

fn hashes<F: Function>(options: Options, key: &[u8], inputs: &[Vec<u8>]) -> Vec<Hash<F>> {
    let progress = Progress::default();
    let loaded = Engine::<F>::new(options).load(key, &work(&|| false, &progress)).unwrap();
    let mut hasher = loaded.hasher().unwrap();
    let mut found: Vec<_> = inputs.iter().filter_map(|input| hasher.advance(input)).collect();
    found.extend(hasher.finish());
    found
}

fn inputs(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|input| vec![input; usize::from(input) * 7 % 100]).collect()
}

#[test]
fn all_ways_of_hashing_give_the_same() {
    for key in [
        "a",
        "another key",
        "a key that is longer than what programs are drawn from, which is 60 bytes",
    ] {
        let inputs = inputs(20);
        let all = [Mode::Light, Mode::Full].into_iter().flat_map(|mode| {
            [Execution::Interpreted, Execution::Compiled].map(|execution| options(mode, execution))
        });
        let found: Vec<_> =
            all.map(|options| hashes::<Small>(options, key.as_bytes(), &inputs)).collect();
        assert_eq!(found[0].len(), 20);
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
    }
}

#[test]
fn the_self_check_passes_on_both_published_functions() {
    self_check::<Fluence>().unwrap();
    self_check::<Stock>().unwrap();
}

#[test]
fn a_wrong_hash_is_told_with_both() {
    let error = self_check::<Small>().unwrap_err().to_string();
    assert!(error.starts_with("this machine's RandomX gives "), "{error}");
}

#[test]
fn a_hasher_without_input_has_no_hash_and_takes_single_inputs() {
    let progress = Progress::default();
    let loaded = Engine::<Small>::new(Mode::Light).load(b"k", &work(&|| false, &progress)).unwrap();
    let mut hasher = loaded.hasher().unwrap();
    assert_eq!(hasher.finish(), None);
    let one = hasher.hash(b"one");
    hasher.advance(b"begun and dropped");
    assert_eq!(hasher.hash(b"one"), one);
    assert_eq!(hasher.finish(), None);
}

#[test]
fn a_load_that_was_stopped_goes_on_where_it_was() {
    let (progress, asked) = (Progress::default(), AtomicUsize::new(0));
    let mut engine = Engine::<Small>::new(Mode::Full);
    // One thread makes one chunk: it asks before each.
    let stop_soon = || progress.items().0 > 0 || asked.fetch_add(1, Ordering::Relaxed) > 1_000_000;
    let one = Work { threads: NonZeroUsize::MIN, stopped: &stop_soon, progress: &progress };
    assert!(matches!(engine.load(b"key", &one), Err(Error::Stopped)));
    let (made, wanted) = progress.items();
    assert!(0 < made && made < wanted, "{made} of {wanted}");
    let from = AtomicU64::new(u64::MAX);
    let watch = || {
        from.fetch_min(progress.items().0, Ordering::Relaxed);
        false
    };
    let mut hasher = engine.load(b"key", &work(&watch, &progress)).unwrap().hasher().unwrap();
    assert_eq!(from.load(Ordering::Relaxed), made, "it began anew");
    assert_eq!(progress.items(), (wanted, wanted));
    let fresh = hashes::<Small>(options(Mode::Full, Execution::Best), b"key", &[b"x".to_vec()]);
    assert_eq!(hasher.hash(b"x"), fresh[0]);
}

#[test]
fn a_dataset_that_was_given_up_leaves_its_cache_to_light_mode() {
    let progress = Progress::default();
    let mut engine = Engine::<Small>::new(Mode::Full);
    let stop_soon = || progress.items().0 > 0;
    let one = Work { threads: NonZeroUsize::MIN, stopped: &stop_soon, progress: &progress };
    assert!(matches!(engine.load(b"key", &one), Err(Error::Stopped)));
    // It would stop while a cache is filled, if one were.
    let loaded = engine.load_in(Mode::Light, b"key", &work(&|| true, &progress)).unwrap();
    assert_eq!(progress.items(), (0, 0), "nothing is made in light mode");
    let fresh = hashes::<Small>(options(Mode::Light, Execution::Best), b"key", &[b"x".to_vec()]);
    assert_eq!(loaded.hasher().unwrap().hash(b"x"), fresh[0]);
    drop(loaded);
    let full = engine.load(b"key", &work(&|| false, &progress)).unwrap();
    assert_eq!(full.hasher().unwrap().hash(b"x"), fresh[0]);
}

#[test]
fn a_stop_does_not_wait_for_the_cache() {
    let progress = Progress::default();
    let mut engine = Engine::<Fluence>::new(Mode::Light);
    assert!(matches!(engine.load(b"key", &work(&|| true, &progress)), Err(Error::Stopped)));
    assert!(engine.filling.is_some(), "the cache was waited for");
    let mut hasher = engine.load(b"other", &work(&|| false, &progress)).unwrap().hasher().unwrap();
    let want = hashes::<Fluence>(options(Mode::Light, Execution::Best), b"other", &[b"x".to_vec()]);
    assert_eq!(hasher.hash(b"x"), want[0]);
}

#[test]
fn a_dataset_is_filled_anew_only_when_nobody_reads_it() {
    let progress = Progress::default();
    let mut engine = Engine::<Small>::new(Mode::Full);
    let loaded = engine.load(b"one", &work(&|| false, &progress)).unwrap();
    let mut hasher = loaded.hasher().unwrap();
    drop(loaded);
    assert!(matches!(engine.load(b"two", &work(&|| false, &progress)), Err(Error::Busy)));
    let first = hasher.hash(b"x");
    drop(hasher);
    let before = engine.dataset.as_ref().unwrap().start();
    let two = engine.load(b"two", &work(&|| false, &progress)).unwrap();
    assert_eq!(engine.dataset.as_ref().unwrap().start(), before, "no second memory");
    assert_ne!(two.hasher().unwrap().hash(b"x"), first);
}

#[rstest]
#[case::memory(
    Pages::Transparent,
    Some(4_601_151_423),
    None,
    Some("needs 4601151424 bytes, and the memory limit is 4601151423 bytes")
)]
#[case::just_enough(Pages::Transparent, Some(4_601_151_424), Some(0), None)]
#[case::huge_pages(Pages::Huge, Some(1 << 20), Some(1 << 30), Some("needs 4601151424 bytes, and the huge page limit is 1073741824 bytes"))]
#[case::huge_pages_are_not_memory(Pages::Huge, Some(1 << 20), None, None)]
#[case::no_limit(Pages::Small, None, None, None)]
fn a_limit_below_the_need_is_told_before_the_kernel_kills(
    #[case] pages: Pages,
    #[case] memory: Option<u64>,
    #[case] huge: Option<u64>,
    #[case] told: Option<&str>,
) {
    let need = need(&Parameters::FLUENCE, Mode::Full, NonZeroUsize::new(2).unwrap());
    let error = check_limit(need, pages, &Limits { memory, huge }).err();
    assert_eq!(error.is_some(), told.is_some(), "{error:?}");
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains(told.unwrap_or_default()), "{text}");
}

#[test]
fn a_whole_dataset_has_given_its_cache_back_and_keeps_the_items() {
    let progress = Progress::default();
    let mut engine = Engine::<Small>::new(Mode::Full);
    let full = engine.load(b"key", &work(&|| false, &progress)).unwrap();
    assert!(engine.partial.is_none() && engine.filling.is_none(), "a cache is still there");
    assert!(matches!(full.source, Source::Full(_)));
    let mut engine = Engine::<Small>::new(Mode::Light);
    let light = engine.load(b"key", &work(&|| false, &progress)).unwrap();
    let last = Small::PARAMETERS.dataset_items() - 1;
    for number in [0, 1, 4711, last] {
        assert_eq!(full.item(number).unwrap(), light.item(number).unwrap());
    }
    assert_eq!((full.item(last + 1), light.item(last + 1)), (None, None));
}

#[test]
fn no_memory_is_writable_and_executable_while_code_runs() {
    let progress = Progress::default();
    let loaded = Engine::<Small>::new(options(Mode::Light, Execution::Compiled))
        .load(b"key", &work(&|| false, &progress))
        .unwrap();
    let mut hasher = loaded.hasher().unwrap();
    let first = hasher.hash(b"x");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains("memfd:randomx"));
    let rights: Vec<_> = ours.filter_map(|line| line.split(' ').nth(1)).collect();
    assert!(rights.contains(&"rw-s") && rights.contains(&"r-xs"), "{rights:?}");
    assert!(!maps.lines().any(|line| line.contains(" rwx")), "{maps}");
    assert_eq!(hasher.hash(b"x"), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_key_and_any_input_have_one_hash(
        key in vec(any::<u8>(), 0..300),
        inputs in vec(vec(any::<u8>(), 0..5000), 1..4),
    ) {
        let found = [
            (Mode::Light, Execution::Interpreted),
            (Mode::Light, Execution::Compiled),
            (Mode::Full, Execution::Compiled),
        ]
        .map(|(mode, execution)| hashes::<Small>(options(mode, execution), &key, &inputs));
        prop_assert_eq!(found[0].len(), inputs.len());
        prop_assert!(found.iter().all(|one| *one == found[0]));
    }
}

#[test]
#[ignore = "needs 4.4 GiB and about a minute"]
fn the_markets_full_mode_gives_the_markets_hash() {
    let (progress, stopped) = (Progress::default(), AtomicBool::new(false));
    let mut engine = Engine::<Fluence>::new(Mode::Full);
    let is_stopped = || stopped.load(Ordering::Relaxed);
    let loaded = engine.load(Fluence::VECTOR.key, &work(&is_stopped, &progress)).unwrap();
    let mut hasher = loaded.hasher().unwrap();
    assert_eq!(hasher.hash(Fluence::VECTOR.input).bytes(), Fluence::VECTOR.hash);
}

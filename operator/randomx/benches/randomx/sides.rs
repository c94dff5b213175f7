//! The two sides, and how they take turns.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::fs;
use std::thread;
use std::time::Instant;

use ccp_randomx::cache::CacheHandle;
use ccp_randomx::dataset::DatasetHandle;
use ccp_randomx::{Cache, Dataset, RandomXFlags, RandomXVM};
use coreward_randomx::{
    Engine, Error, Execution, Function as _, Hasher, ITEM_BYTES, Loaded, Mode, Pages, Progress,
    Work,
};
use rustix::mm::{Advice, madvise};
use rustix::time::{ClockId, clock_gettime};

use crate::{Market, options};

const KEY: &[u8] = b"a key of both sides";

/// A side that hashes input after input, one hash overlapping the next.
pub(crate) trait Hashes {
    fn advance(&mut self, input: &[u8; 32]) -> Option<[u8; 32]>;
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Turns of the same number of hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alternation {
    turns: usize,
    hashes: u64,
}

impl Alternation {
    pub(crate) const fn of(turns: usize, hashes: u64) -> Self {
        Self { turns, hashes }
    }

    /// Gives our rate divided by the other side's, turn by turn; stops if the sides disagree on a hash.
    pub(crate) fn run(
        &self,
        name: &str,
        ours: &mut dyn Hashes,
        other: &mut dyn Hashes,
    ) -> Vec<f64> {
        let mut ratios = Vec::new();
        for turn in 0..=self.turns {
            let (a, ours_last) = self.one(turn as u64, ours);
            let (b, other_last) = self.one(turn as u64, other);
            assert_eq!(ours_last, other_last, "the sides of `{name}` give different hashes");
            // The first turn only warms up.
            if turn > 0 {
                println!("{name}: {a:.1} to {b:.1} hashes a second");
                ratios.push(a / b);
            }
        }
        ratios
    }

    fn one(&self, turn: u64, side: &mut dyn Hashes) -> (f64, Option<[u8; 32]>) {
        let mut input = [0; 32];
        let (begun, mut last) = (cpu_time(), None);
        for number in 0..self.hashes {
            input[..8].copy_from_slice(&(turn << 32 | number).to_le_bytes());
            last = side.advance(&input).or(last);
        }
        (self.hashes as f64 / cpu_time().saturating_sub(begun).as_secs_f64(), last)
    }
}

/// Our side.
pub(crate) struct Ours(Hasher<Market>);

impl Ours {
    pub(crate) fn light(execution: Execution, pages: Pages) -> Self {
        let loaded = load(&mut Engine::new(options(Mode::Light, execution, pages)), 1);
        Self(loaded.hasher().expect("memory for a machine"))
    }
}

fn load(engine: &mut Engine<Market>, threads: usize) -> Loaded<Market> {
    let (threads, progress) = (NonZeroUsize::new(threads).expect("threads"), Progress::default());
    let work = Work { threads, stopped: &|| false, progress: &progress };
    engine.load(KEY, &work).expect("memory for the engine")
}

impl Hashes for Ours {
    fn advance(&mut self, input: &[u8; 32]) -> Option<[u8; 32]> {
        self.0.advance(input).map(|hash| hash.bytes())
    }
}

/// A whole dataset of ours.
pub(crate) struct Full {
    loaded: Loaded<Market>,
    pub(crate) seconds: f64,
    pub(crate) huge_bytes: u64,
}

impl Full {
    pub(crate) fn build(pages: Pages, threads: NonZeroUsize) -> Self {
        let mut engine = Engine::new(options(Mode::Full, Execution::Compiled, pages));
        let begun = Instant::now();
        let loaded = load(&mut engine, threads.get());
        Self { loaded, seconds: begun.elapsed().as_secs_f64(), huge_bytes: engine.huge_bytes() }
    }

    pub(crate) fn hasher(&self) -> Ours {
        Ours(self.loaded.hasher().expect("memory for a machine"))
    }
}

/// The C++ engine.
pub(crate) enum Reference {
    Light(RandomXVM<CacheHandle>, bool),
    Full(RandomXVM<DatasetHandle>, bool),
}

/// A whole dataset of the C++ engine.
pub(crate) struct ReferenceFull {
    dataset: Dataset,
    pub(crate) seconds: f64,
    pub(crate) huge_bytes: u64,
}

impl Reference {
    pub(crate) fn light(is_compiled: bool) -> Self {
        let flags = flags(is_compiled);
        let cache = Cache::new(KEY, flags).expect("memory for the reference's cache");
        let machine = RandomXVM::light(cache.handle(), flags).expect("memory for a machine");
        Self::Light(machine, false)
    }

    pub(crate) fn full(threads: usize) -> ReferenceFull {
        let before = huge_bytes();
        let dataset = reference_memory();
        let cache = Cache::new(KEY, flags(true)).expect("memory for the reference's cache");
        let begun = Instant::now();
        fill(&dataset, &cache, 0, dataset.items_count(), threads);
        let seconds = begun.elapsed().as_secs_f64();
        ReferenceFull { dataset, seconds, huge_bytes: huge_bytes() - before }
    }
}

/// Bytes of this process that the kernel keeps in huge pages.
fn huge_bytes() -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps_rollup").expect("the kernel tells of memory");
    let line = maps.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    kibibytes(line.expect("the kernel tells of huge pages")) * 1024
}

fn kibibytes(text: &str) -> u64 {
    text.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

fn flags(is_compiled: bool) -> RandomXFlags {
    let mut flags = RandomXFlags::recommended();
    flags.set(RandomXFlags::FLAG_JIT, is_compiled);
    flags
}

/// Memory for the reference's dataset, on the same pages as ours.
#[expect(unsafe_code, reason = "advice is given on an address of the other engine's")]
fn reference_memory() -> Dataset {
    let dataset = Dataset::allocate(false).expect("memory for the reference's dataset");
    let start = dataset.handle().memory();
    let skipped = start.align_offset(4096);
    let length = usize::try_from(dataset.items_count()).expect("a size") * ITEM_BYTES - skipped;
    // SAFETY: the range lies within the dataset's memory, and the advice changes no content.
    unsafe { madvise(start.byte_add(skipped).cast(), length, Advice::LinuxHugepage) }
        .expect("transparent huge pages");
    dataset
}

fn fill(dataset: &Dataset, cache: &Cache, first: u64, count: u64, threads: usize) {
    let share = count / threads as u64;
    thread::scope(|scope| {
        for thread in 0..threads as u64 {
            let (mut part, cache) = (dataset.handle(), cache.handle());
            let begin = first + thread * share;
            let count = if thread + 1 == threads as u64 { first + count - begin } else { share };
            scope.spawn(move || part.initialize(&cache, begin, count));
        }
    });
}

impl ReferenceFull {
    pub(crate) fn hasher(&self) -> Reference {
        let flags = flags(true) | RandomXFlags::FULL_MEM;
        let machine = RandomXVM::fast(self.dataset.handle(), flags).expect("memory for a machine");
        Reference::Full(machine, false)
    }
}

impl Hashes for Reference {
    fn advance(&mut self, input: &[u8; 32]) -> Option<[u8; 32]> {
        match self {
            Self::Light(machine, is_begun) => step(machine, is_begun, input),
            Self::Full(machine, is_begun) => step(machine, is_begun, input),
        }
    }
}

fn step<T>(machine: &RandomXVM<T>, is_begun: &mut bool, input: &[u8; 32]) -> Option<[u8; 32]> {
    if core::mem::replace(is_begun, true) {
        return Some(machine.hash_next(input).into_slice());
    }
    machine.hash_first(input);
    None
}

/// Items that one turn makes.
const TURN_ITEMS: u64 = 1_500_000;
/// Steps of the loop without memory: about a second.
const SPINS: u64 = 500_000_000;

/// What was seen of making items, turn by turn.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// Time for an item with two threads, ours divided by the reference's.
    pub(crate) ratios: Vec<f64>,
    /// How much faster two threads of ours are than one.
    pub(crate) scaling: Vec<f64>,
    /// The same of the reference.
    pub(crate) reference_scaling: Vec<f64>,
    /// The same of a loop that needs no memory: what the machine's second core is worth at that moment.
    pub(crate) machine_scaling: Vec<f64>,
}

/// Makes items in turns, on both sides, with one thread and with two.
pub(crate) fn items(turns: usize) -> Items {
    let mut engine =
        Engine::<Market>::new(options(Mode::Full, Execution::Compiled, Pages::Transparent));
    let (dataset, cache) = (
        reference_memory(),
        Cache::new(KEY, flags(true)).expect("memory for the reference's cache"),
    );
    let (mut seen, mut first) = (Items::default(), 0);
    let mut theirs_per_item = |threads: usize| {
        let begun = Instant::now();
        fill(&dataset, &cache, first, TURN_ITEMS, threads);
        first += TURN_ITEMS;
        begun.elapsed().as_secs_f64() / TURN_ITEMS as f64
    };
    for turn in 0..=turns {
        let (two, reference_two) = (ours_per_item(&mut engine, 2), theirs_per_item(2));
        let (one, reference_one) = (ours_per_item(&mut engine, 1), theirs_per_item(1));
        let machine = spin(1) / spin(2) * 2.0;
        if turn > 0 {
            let of = [two, reference_two, one, reference_one].map(|time| time * 1e9);
            let [two_ns, reference_two_ns, one_ns, reference_one_ns] = of;
            println!(
                "items: {two_ns:.0} ns to {reference_two_ns:.0} ns with 2 threads, {one_ns:.0} ns to \
                 {reference_one_ns:.0} ns with 1; the machine scales {machine:.3}"
            );
            seen.ratios.push(two / reference_two);
            seen.scaling.push(one / two);
            seen.reference_scaling.push(reference_one / reference_two);
            seen.machine_scaling.push(machine);
        }
    }
    seen
}

/// Seconds that as many threads take for the same sums each, without memory.
fn spin(threads: usize) -> f64 {
    let begun = Instant::now();
    thread::scope(|scope| {
        for seed in 0..threads as u64 {
            scope.spawn(move || {
                let sum = (0..SPINS).fold(seed, |sum, next| {
                    sum.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) ^ next
                });
                core::hint::black_box(sum);
            });
        }
    });
    begun.elapsed().as_secs_f64()
}

/// Goes on with the dataset for a turn's items, and gives the seconds for one; the first call fills the cache as well, and its
/// figure is not used.
fn ours_per_item(engine: &mut Engine<Market>, threads: usize) -> f64 {
    let (threads, progress) = (NonZeroUsize::new(threads).expect("threads"), Progress::default());
    let before = AtomicU64::new(u64::MAX);
    let stopped = || {
        let (made, _) = progress.items();
        made >= before.fetch_min(made, Ordering::Relaxed).min(made) + TURN_ITEMS
    };
    let begun = Instant::now();
    let ended = engine.load(KEY, &Work { threads, stopped: &stopped, progress: &progress });
    assert!(matches!(ended, Err(Error::Stopped)), "the dataset came to its end");
    begun.elapsed().as_secs_f64() / (progress.items().0 - before.load(Ordering::Relaxed)) as f64
}

/// What a process of ours held at its peak, and what its parts add up to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) measured: f64,
    pub(crate) parts: f64,
}

pub(crate) fn resident() -> Resident {
    let program = std::env::current_exe().expect("this program");
    let out = std::process::Command::new(program)
        .arg("--resident")
        .output()
        .expect("a process of its own");
    let measured = String::from_utf8_lossy(&out.stdout).trim().parse().expect("bytes");
    let parameters = Market::PARAMETERS;
    let parts = parameters.dataset_bytes()
        + parameters.cache_bytes()
        + 2 * u64::from(parameters.scratchpad_l3);
    Resident { measured, parts: parts as f64 }
}

/// Builds a dataset and hashes with two threads; gives the most that was resident, in bytes.
pub(crate) fn resident_at_peak() -> u64 {
    let full = Full::build(Pages::Transparent, NonZeroUsize::new(2).expect("threads"));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| Alternation::of(1, 200).one(1, &mut full.hasher()));
        }
    });
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells of memory");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    kibibytes(peak.expect("the kernel tells of the peak")) * 1024
}

/// Lets `coreward-prover calibrate` measure three times; gives the figures of the line that begins with some words.
pub(crate) fn calibration() -> impl Fn(&str) -> Vec<f64> {
    let pages: Vec<String> = (0..3).map(|_| calibrated()).collect();
    move |words| {
        let of = |page: &String| {
            println!("{}", page.lines().find(|line| line.starts_with(words)).unwrap_or_default());
            let line = page.lines().find_map(|line| line.strip_prefix(words));
            let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            figure.expect("calibrate prints this line")
        };
        pages.iter().map(of).collect()
    }
}

fn calibrated() -> String {
    let line = "run --quiet --release --package coreward-prover -- calibrate --seconds 20";
    let out = std::process::Command::new(env!("CARGO")).args(line.split(' ')).output();
    let out = out.expect("cargo builds the prover");
    assert!(out.status.success(), "calibrate: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

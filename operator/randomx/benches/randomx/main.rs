//! Our engine beside the C++ one with the same constants: `make bench-randomx`.
//!
//! Both sides are measured in one run, turn by turn, and a bar is the median of the turns' ratios. Rates are hashes for a second of
//! a thread's CPU time, so that a neighbour on the machine costs both sides the same. With the name of a part (`light`,
//! `interpreted`, `items`, `full`, `resident`, `prover`) only that is measured, and nothing is kept.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, measures, and ends where it cannot go on"
)]

mod report;
mod sides;

use core::num::NonZeroUsize;

use coreward_randomx::{Execution, Fluence, Function as _, Mode, Options, Pages};

use report::{Report, Row, Sense, Subject};
use sides::{Alternation, Full, Ours, Reference, Resident};

/// One part of the run.
type Measure = fn(&mut Report);

/// Turns of each comparison.
const TURNS: usize = 5;

const SUBJECT: Subject = Subject {
    name: "randomx",
    title: "How fast the engine is",
    command: "make bench-randomx",
    explanation: "Each figure is ours divided by the other side's, turn by turn in one run; the bar is the median. Those of the prover are its own, in percent and milliseconds.",
};

fn main() {
    if std::env::args().any(|argument| argument == "--resident") {
        println!("{}", sides::resident_at_peak());
        return;
    }
    let parts: [(&str, Measure); 6] = [
        ("light", light),
        ("interpreted", interpreted),
        ("items", items),
        ("full", full),
        ("resident", resident),
        ("prover", prover),
    ];
    let wanted: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut report = Report::of(SUBJECT);
    for (name, measure) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure(&mut report);
        }
    }
    if wanted.is_empty() {
        report.end();
    }
}

/// The reference's cache lies on small pages, and nothing can change that; so does ours here.
fn light(report: &mut Report) {
    let mut ours = Ours::light(Execution::Compiled, Pages::Small);
    let mut reference = Reference::light(true);
    let ratio = Alternation::of(TURNS, 120).run("light", &mut ours, &mut reference);
    report.push(Row::new("light_hash_rate", ratio, Sense::AtLeast(0.97), Some(1.10)));
    let mut huge = Ours::light(Execution::Compiled, Pages::Transparent);
    let ratio = Alternation::of(3, 120).run("light, huge pages", &mut huge, &mut ours);
    report.note(format!(
        "light mode with transparent huge pages: {} times its rate on small ones",
        two(&ratio)
    ));
}

fn interpreted(report: &mut Report) {
    let mut ours = Ours::light(Execution::Interpreted, Pages::Small);
    let mut reference = Reference::light(false);
    let ratio = Alternation::of(3, 8).run("interpreted", &mut ours, &mut reference);
    report.push(Row::new("light_interpreter_rate", ratio, Sense::AtLeast(0.9), None));
}

fn two(ratios: &[f64]) -> String {
    format!("{:.2}", report::median(ratios))
}

fn items(report: &mut Report) {
    let seen = sides::items(TURNS);
    report.push(Row::new(
        "dataset_init_time_2_threads",
        seen.ratios,
        Sense::AtMost(0.75),
        Some(0.54),
    ));
    report.push(Row::new("dataset_init_scaling_1_to_2", seen.scaling, Sense::AtLeast(1.9), None));
    report.note(format!(
        "from one thread to two the reference's items scale {} times, and a loop that needs no memory {} times, \
         which is what a second CPU of this machine is worth",
        two(&seen.reference_scaling),
        two(&seen.machine_scaling)
    ));
}

fn full(report: &mut Report) {
    let threads = NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN);
    let ours = Full::build(Pages::Transparent, threads);
    report.note(format!(
        "dataset built in {:.1} s with 2 threads; {} MiB of it in huge pages",
        ours.seconds,
        ours.huge_bytes >> 20
    ));
    let small = Full::build(Pages::Small, threads);
    let reference = Reference::full(threads.get());
    report.note(format!(
        "the reference built the same in {:.1} s; {} MiB of it in huge pages",
        reference.seconds,
        reference.huge_bytes >> 20
    ));
    let least = Market::PARAMETERS.dataset_bytes() / 100 * 99;
    assert!(
        ours.huge_bytes >= least && reference.huge_bytes >= least,
        "one side has no huge pages, which is no comparison: free memory, and let the kernel compact it"
    );
    let mut turn = ours.hasher();
    let ratio = Alternation::of(TURNS, 3000).run("full", &mut turn, &mut reference.hasher());
    report.push(Row::new("full_hash_rate", ratio, Sense::AtLeast(0.97), Some(1.03)));
    let ratio = Alternation::of(3, 2000).run("huge pages", &mut turn, &mut small.hasher());
    report.push(Row::new("full_huge_pages_to_small", ratio, Sense::AtLeast(1.4), None));
}

fn resident(report: &mut Report) {
    let turns =
        (0..3).map(|_| sides::resident()).map(|Resident { measured, parts }| measured / parts);
    report.push(Row::new("peak_resident", turns.collect(), Sense::AtMost(1.02), None));
}

/// What the prover's own counters and clock say, in a process of its own.
fn prover(report: &mut Report) {
    let told = sides::calibration();
    let rows = [
        ("prover_percent_lost_outside_hashes", "time lost outside hashes", 0.5),
        ("prover_stop_hashing_milliseconds", "stops hashing within", 100.0),
        ("prover_stop_building_milliseconds", "stops building within", 250.0),
        ("prover_new_epoch_milliseconds", "takes a new epoch within", 100.0),
        ("prover_new_difficulty_milliseconds", "takes a new difficulty within", 100.0),
        (
            "prover_new_epoch_building_milliseconds",
            "takes a new epoch while building within",
            250.0,
        ),
    ];
    for (name, line, limit) in rows {
        report.push(Row::new(name, told(line), Sense::AtMost(limit), None));
    }
}

/// What the comparisons are of.
fn options(mode: Mode, execution: Execution, pages: Pages) -> Options {
    Options { mode, pages, execution }
}

type Market = Fluence;

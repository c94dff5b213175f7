//! Our worker beside `wasmtime serve`: `make bench-worker`.
//!
//! Both sides serve the same component in one run, turn by turn, each on one core with the generator on another; a bar is the median of
//! the turns' ratios. With the name of a part (`rate`, `latency`, `reuse`, `subnet`, `start`, `memory`, `instance`, `interruption`) only that
//! is measured, and nothing is kept.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, measures, and ends where it cannot go on"
)]

mod inside;
mod load;
#[path = "../../../randomx/benches/randomx/report.rs"]
mod report;
mod server;
mod subnet;
mod tools;

use std::path::{Path, PathBuf};

use coreward_wire::Member;
use load::{Load, Outcome};
use report::{Report, Row, Sense, Subject, load_average, median};
use server::{Reference, Server, Side, Worker};
use tempfile::TempDir;
use tools::Node;

/// Turns of each comparison, after one that only warms up.
const TURNS: usize = 5;
/// One side's part of a turn of rates.
const SECONDS: f64 = 3.0;
/// One side's part of a turn of latencies.
const LATENCY_SECONDS: f64 = 8.0;
/// The cores of the generator and of the server.
const GENERATOR_CORE: usize = 0;
const SERVER_CORE: usize = 1;
/// Part of the lower peak that latencies are measured at.
const LATENCY_LOAD: f64 = 0.8;

/// The pages kept as our worker keeps them.
const KEPT: &[&str] = &[
    "-O",
    "pooling-memory-keep-resident=2097152,pooling-table-keep-resident=65536,pooling-async-stack-keep-resident=65536,pooling-pagemap-scan=y",
];

const SUBJECT: Subject = Subject {
    name: "worker",
    title: "How fast the worker is",
    command: "make bench-worker",
    explanation: "Each figure is ours divided by the other side's, turn by turn in one run; the bar is the median. The other side is `wasmtime serve` \
        48.0.8 with the flags named; the component is the stories' `hello`. Each server runs on one core, the generator (32 kept connections, closed loop where not \
        said otherwise) on another.",
};

/// All that the parts need.
struct Bench {
    wasmtime: PathBuf,
    hello: PathBuf,
    directory: TempDir,
    node: Node,
    /// Medians of answers per second of our worker and of the reference with kept pages.
    peaks: Option<(f64, f64)>,
}

/// One part of the run.
type Measure = fn(&mut Bench, &mut Report);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == load::ARGUMENT) {
        println!("{}", load::run(&arguments[place + 1..]));
        return;
    }
    if let Some(place) = arguments.iter().position(|argument| argument == subnet::ARGUMENT) {
        println!("{}", subnet::run(&arguments[place + 1..]));
        return;
    }
    let parts: [(&str, Measure); 8] = [
        ("rate", rate),
        ("latency", latency),
        ("reuse", reuse),
        ("subnet", subnet::subnet),
        ("start", start),
        ("memory", memory),
        ("instance", inside::instance),
        ("interruption", inside::interruption),
    ];
    let wanted: Vec<_> = arguments.iter().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut report = Report::of(SUBJECT);
    let mut bench = Bench::prepare();
    report.note(format!("load average at the start: {}", load_average()));
    for (name, measure) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            measure(&mut bench, &mut report);
        }
    }
    if wanted.is_empty() {
        report.end();
    }
}

impl Bench {
    fn prepare() -> Self {
        let (wasmtime, hello) = (tools::wasmtime(), tools::hello());
        let directory = TempDir::new().expect("a directory");
        let node = Node::with(&hello);
        let bench = Self { wasmtime, hello, directory, node, peaks: None };
        for reuses in [false, true] {
            bench.ready(&bench.state(reuses), reuses, Vec::new());
        }
        bench
    }

    fn state(&self, reuses: bool) -> PathBuf {
        self.directory.path().join(if reuses { "reuse" } else { "fresh" })
    }

    /// Lets a worker with these members fetch and compile: all later starts in this state find the code.
    fn ready(&self, state: &Path, reuses: bool, members: Vec<Member>) {
        std::fs::create_dir_all(state).expect("a directory");
        self.node.order(state, reuses, members);
        drop(Server::start(&worker(state), SERVER_CORE));
    }

    fn reference(&self, flags: &'static [&'static str]) -> Reference<'_> {
        Reference { wasmtime: &self.wasmtime, component: &self.hello, flags }
    }
}

fn worker(state: &Path) -> Worker<'_> {
    Worker { program: Path::new(env!("CARGO_BIN_EXE_coreward-worker")), state, overlay_port: 0 }
}

/// Lets sides answer in turns; gives what each turn gave each side.
fn turns<const SIDES: usize>(
    sides: [&dyn Side; SIDES],
    turns: usize,
    seconds: f64,
    rate: Option<f64>,
) -> Vec<[Outcome; SIDES]> {
    let servers = sides.map(|side| Server::start(side, SERVER_CORE));
    let turn = |seconds: f64| {
        servers.each_ref().map(|server| {
            let before = server.cpu_seconds();
            let outcome = Load { server: server.address, seconds, rate }.on_core(GENERATOR_CORE);
            let cpu = server.cpu_seconds() - before;
            println!(
                "  {:.0} answers/s, p50 {:.0} us, p99 {:.0} us, {:.0} us of CPU time each",
                outcome.rate,
                outcome.p50,
                outcome.p99,
                cpu / (outcome.rate * (seconds + load::WARM_UP.as_secs_f64())) * 1e6
            );
            outcome
        })
    };
    turn(1.0);
    (0..turns).map(|_| turn(seconds)).collect()
}

fn of<const SIDES: usize>(
    turns: &[[Outcome; SIDES]],
    ratio: impl Fn(&[Outcome; SIDES]) -> f64,
) -> Vec<f64> {
    turns.iter().map(ratio).collect()
}

/// Answers per second with an instance for each request.
fn rate(bench: &mut Bench, report: &mut Report) {
    let state = bench.state(false);
    let (ours, plain, kept) = (worker(&state), bench.reference(&[]), bench.reference(KEPT));
    let turns = turns([&ours, &plain, &kept], TURNS, SECONDS, None);
    let to_plain = of(&turns, |[ours, plain, _]| ours.rate / plain.rate);
    report.push(Row::new("requests_fresh_to_defaults", to_plain, Sense::AtLeast(1.8), Some(2.1)));
    let to_kept = of(&turns, |[ours, _, kept]| ours.rate / kept.rate);
    report.push(Row::new("requests_fresh_to_kept_pages", to_kept, Sense::AtLeast(0.9), Some(1.0)));
    let peak = |side: usize| median(&of(&turns, |turn| turn[side].rate));
    report.note(format!(
        "answers per second with a fresh instance each: {:.0} by the worker, {:.0} by `wasmtime serve`, {:.0} with kept pages",
        peak(0),
        peak(1),
        peak(2)
    ));
    bench.peaks = Some((peak(0), peak(2)));
}

/// Latency on a fixed schedule, from when each request was due.
fn latency(bench: &mut Bench, report: &mut Report) {
    let state = bench.state(false);
    let (ours, kept) = (worker(&state), bench.reference(KEPT));
    let (ours_peak, kept_peak) = bench.peaks.unwrap_or_else(|| {
        let turns = turns([&ours, &kept], 3, SECONDS, None);
        let peak = |side: usize| median(&of(&turns, |turn| turn[side].rate));
        (peak(0), peak(1))
    });
    let rate = LATENCY_LOAD * ours_peak.min(kept_peak);
    let turns = turns([&ours, &kept], TURNS, LATENCY_SECONDS, Some(rate));
    let ratios = of(&turns, |[ours, kept]| ours.p99 / kept.p99);
    report.push(Row::new("latency_p99_to_kept_pages", ratios, Sense::AtMost(1.0), Some(0.8)));
    let p99 = |side: usize| median(&of(&turns, |turn| turn[side].p99));
    report.note(format!(
        "p99 at {rate:.0} requests/s, open loop: {:.0} us by the worker, {:.0} us by `wasmtime serve` with kept pages",
        p99(0),
        p99(1)
    ));
}

/// Answers per second where an instance serves up to 128 requests.
fn reuse(bench: &mut Bench, report: &mut Report) {
    let state = bench.state(true);
    let (ours, reference) =
        (worker(&state), bench.reference(&["--max-instance-reuse-count", "128"]));
    let turns = turns([&ours, &reference], TURNS, SECONDS, None);
    let ratios = of(&turns, |[ours, reference]| ours.rate / reference.rate);
    report.push(Row::new("requests_reused_to_reused", ratios, Sense::AtLeast(0.9), Some(1.0)));
    let rate = |side: usize| median(&of(&turns, |turn| turn[side].rate));
    report.note(format!(
        "answers per second with reuse: {:.0} by the worker, {:.0} by `wasmtime serve`",
        rate(0),
        rate(1)
    ));
}

/// From the start of a process to its first answer, with code compiled before.
fn start(bench: &mut Bench, report: &mut Report) {
    let code = tools::precompiled(&bench.wasmtime, &bench.hello, bench.directory.path());
    let state = bench.state(false);
    let ours = worker(&state);
    let reference =
        Reference { wasmtime: &bench.wasmtime, component: &code, flags: &["--allow-precompiled"] };
    let milliseconds =
        |side: &dyn Side| Server::start(side, SERVER_CORE).first_answer.as_secs_f64() * 1e3;
    let turns: Vec<_> =
        (0..=3 * TURNS).map(|_| [milliseconds(&ours), milliseconds(&reference)]).skip(1).collect();
    let ratios = turns.iter().map(|[ours, reference]| ours / reference).collect();
    report.push(Row::new("cold_start_to_precompiled", ratios, Sense::AtMost(1.2), None));
    let ours = turns.iter().map(|[ours, _]| *ours).collect();
    report.push(Row::new("cold_start_milliseconds", ours, Sense::AtMost(50.0), None));
    let reference: Vec<_> = turns.iter().map(|[_, reference]| *reference).collect();
    report.note(format!("cold start of the reference: {:.1} ms", median(&reference)));
}

/// Resident memory after the first answer, and after a turn of load.
fn memory(bench: &mut Bench, report: &mut Report) {
    let state = bench.state(false);
    let (ours, reference) = (worker(&state), bench.reference(&[]));
    let resident = |side: &dyn Side| {
        let server = Server::start(side, SERVER_CORE);
        let idle = server.resident();
        Load { server: server.address, seconds: 1.0, rate: None }.on_core(GENERATOR_CORE);
        [idle, server.resident()]
    };
    let turns: Vec<_> = (0..TURNS).map(|_| [resident(&ours), resident(&reference)]).collect();
    let ratio = |moment: usize| {
        turns.iter().map(|[ours, reference]| ours[moment] / reference[moment]).collect::<Vec<_>>()
    };
    report.push(Row::new("resident_idle", ratio(0), Sense::AtMost(1.5), None));
    let kib = |side: usize, moment: usize| {
        median(&turns.iter().map(|turn| turn[side][moment]).collect::<Vec<_>>())
    };
    report.note(format!(
        "resident after the first answer: {:.0} KiB to {:.0} KiB (the worker's with its overlay listening, without members); after load: {:.0} KiB to {:.0} KiB",
        kib(0, 0),
        kib(1, 0),
        kib(0, 1),
        kib(1, 1)
    ));
}

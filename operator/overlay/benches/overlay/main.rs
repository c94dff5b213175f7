//! The overlay's streams beside a bare libp2p stream and beside TLS: `make bench-overlay`.
//!
//! Client and server of each side are two processes with one thread each. All sides take turns in one run, and a bar is the
//! median of the turns' ratios.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, measures, and ends where it cannot go on"
)]

mod bare;
mod ours;
#[path = "../../../randomx/benches/randomx/report.rs"]
mod report;
mod server;
mod tls;

use std::io;
use std::time::{Duration, Instant};

use report::{Report, Row, Sense, Subject};
use server::Server;

const SUBJECT: Subject = Subject {
    name: "overlay",
    title: "How fast the overlay is",
    command: "make bench-overlay",
    explanation: "Each figure is ours divided by the other side's, turn by turn in one run, client and server in two processes; the bar is the median. Milliseconds are our own.",
};
/// Turns of each comparison.
const TURNS: usize = 7;
/// Bytes of one transfer.
const TRANSFER: u64 = 1 << 30;
/// Round trips of one turn.
const TRIPS: usize = 10_000;
/// Bytes of one write, on the sides where we choose it.
const PIECE: usize = 64 * 1024;
/// Bytes of a round trip's request; its answer has one.
const QUESTION: usize = 64;

/// One way to a server.
trait Side {
    /// Reads so many bytes from the server.
    async fn download(&mut self, bytes: u64) -> io::Result<()>;
    /// Sends 64 bytes and reads the answer of one.
    async fn round_trip(&mut self) -> io::Result<()>;
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let kind = std::env::args().skip_while(|word| word != "--serve").nth(1);
    match kind.as_deref() {
        Some("ours") => runtime.block_on(runtime.spawn(ours::serve())).unwrap(),
        Some("bare") => runtime.block_on(runtime.spawn(bare::serve())).unwrap(),
        Some("tls") => runtime.block_on(runtime.spawn(tls::serve())).unwrap(),
        _ => runtime.block_on(runtime.spawn(measure())).unwrap(),
    }
}

async fn measure() {
    let servers = [Server::start("ours"), Server::start("bare"), Server::start("tls")];
    let mut ours = ours::Ours::connect(&servers[0].said).await;
    let mut bare = bare::Bare::connect(&servers[1].said).await;
    let mut tls = tls::Tls::connect(&servers[2].said).await;
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let mut trips = [Vec::new(), Vec::new()];
    for turn in 0..=TURNS {
        let rate = [rate(&mut ours).await, rate(&mut bare).await, rate(&mut tls).await];
        let trip = [trip(&mut ours).await, trip(&mut bare).await];
        println!("turn {turn}: {rate:.0?} MiB/s, {trip:.1?} µs");
        // The first one warms up.
        if turn > 0 {
            rates.iter_mut().zip(rate).for_each(|(all, rate)| all.push(rate));
            trips.iter_mut().zip(trip).for_each(|(all, trip)| all.push(trip));
        }
    }
    let ratios = |ours: &[f64], theirs: &[f64]| {
        ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
    };
    let mut report = Report::of(SUBJECT);
    let [our_rates, bare_rates, tls_rates] = &rates;
    let [our_trips, bare_trips] = &trips;
    report.push(Row::new(
        "stream_throughput_to_bare_stream",
        ratios(our_rates, bare_rates),
        Sense::AtLeast(0.9),
        None,
    ));
    report.push(Row::new(
        "stream_throughput_to_rustls",
        ratios(our_rates, tls_rates),
        Sense::AtLeast(0.35),
        Some(0.45),
    ));
    report.push(Row::new(
        "round_trip_p50_to_bare_stream",
        ratios(our_trips, bare_trips),
        Sense::AtMost(1.3),
        None,
    ));
    let mut removals = Vec::new();
    for _ in 0..TURNS {
        removals.push(ours::removal().await);
    }
    report.push(Row::new("removed_stream_end_milliseconds", removals, Sense::AtMost(1000.0), None));
    let [ours, bare, tls] = rates.map(|rates| report::median(&rates));
    report.note(format!("medians: {ours:.0} MiB/s on a stream of the overlay, {bare:.0} on a bare libp2p stream, {tls:.0} with TLS 1.3 over TCP"));
    let [ours, bare] = trips.map(|trips| report::median(&trips));
    report.note(format!("medians of the round trip's p50: {ours:.1} µs as a request of the overlay, {bare:.1} µs as bytes on a bare libp2p stream"));
    report.end();
}

/// MiB a second.
async fn rate(side: &mut impl Side) -> f64 {
    let began = Instant::now();
    side.download(TRANSFER).await.unwrap();
    (TRANSFER >> 20) as f64 / began.elapsed().as_secs_f64()
}

/// The middle round trip in microseconds.
async fn trip(side: &mut impl Side) -> f64 {
    let mut times = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let began = Instant::now();
        side.round_trip().await.unwrap();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times.get(TRIPS / 2).map_or(f64::NAN, Duration::as_secs_f64) * 1e6
}

//! What the person at the terminal sees of a long step.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

/// A step longer than this is announced.
const QUIET: Duration = Duration::from_secs(2);
/// How often a long step says that it goes on.
const INTERVAL: Duration = Duration::from_secs(15);

/// Runs a step; if it takes longer than two seconds, says so, goes on saying so, and tells the time at its end.
///
/// # Errors
/// Those of the step.
pub async fn step<T, E>(
    name: impl Display,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let started = now();
    tokio::pin!(work);
    let mut next = QUIET;
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            () = tokio::time::sleep(next) => say(format_args!("{name} … {:.0} s", started.elapsed().as_secs_f32())),
        }
        next = INTERVAL;
    };
    let took = started.elapsed();
    let end = if result.is_ok() { "done" } else { "failed" };
    if took >= QUIET {
        say(format_args!("{name}: {end} in {:.1} s", took.as_secs_f32()));
    }
    result
}

/// Tells the person at the terminal one line.
#[expect(clippy::print_stderr, reason = "the terminal is where this program's words go")]
pub fn say(line: impl Display) {
    eprintln!("coreward: {line}");
}

/// The clock that limits and measurements of the bed use.
#[expect(clippy::disallowed_methods, reason = "the bed acts; nothing in it is planned")]
pub(super) fn now() -> Instant {
    Instant::now()
}

//! Who tells a story: each step in plain words, with its time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::world::Result;

/// Tells steps on standard error, where tests and terminals expect them.
#[derive(Debug, Clone)]
pub struct Teller {
    story: &'static str,
    began: Instant,
}

impl Teller {
    /// Begins to tell `story`, whose name stands before each line.
    #[must_use]
    pub fn of(story: &'static str) -> Self {
        Self { story, began: now() }
    }

    /// Does a step, and tells it with the time that it took.
    ///
    /// # Errors
    /// Those of the step, after telling which one it was.
    pub async fn step<T>(&self, words: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = now();
        let result = work.await;
        let end = if result.is_ok() { "" } else { " FAILED" };
        self.line(&format!("{:>7}  {words}{end}", seconds(began.elapsed())));
        result
    }

    /// Tells something that took no time.
    pub fn aside(&self, words: &str) {
        self.line(&format!("{:>7}  {words}", ""));
    }

    /// Since the story began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    #[expect(clippy::print_stderr, reason = "the terminal is where a story is told")]
    fn line(&self, line: &str) {
        eprintln!("{}: {line}", self.story);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}

/// The clock that stories measure with.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "stories act and measure; nothing in them is planned"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The day of the machine's clock in UTC, such as 2030-12-31.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness' one reading of the day")]
pub fn today() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%F").to_string()
}

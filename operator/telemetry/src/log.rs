//! The log: one JSON object a line on standard output, or plain lines beside what a command prints.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse; what is accepted is `level` or `target=level`, with commas between.
    #[error("read the log filter `{filter}`")]
    Filter {
        /// As it was given.
        filter: String,
        /// What the parser says.
        source: ParseError,
    },
    /// This process has a log already: a mistake in our wiring.
    #[error("set up the log")]
    SetUp {
        /// What the subscriber says.
        source: TryInitError,
    },
}

/// Sends the process's log to standard output as JSON lines, filtered by `filter` (e.g. `info,coreward_link=debug`).
///
/// Fields of an event stand at the top of its object, next to `timestamp`, `level`, `message` and `target`.
///
/// # Errors
///
/// [`LogError`] for a filter that does not parse, or a second call in one process.
pub fn log_to_stdout(filter: &str) -> Result<(), LogError> {
    let parsed = parse(filter)?;
    fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(parsed)
        .with_writer(io::stdout)
        .finish()
        .try_init()
        .map_err(|source| LogError::SetUp { source })
}

/// Sends the process's log to standard error as plain lines, for people who wait for what a command prints.
///
/// # Errors
///
/// As [`log_to_stdout`].
pub fn log_to_stderr(filter: &str) -> Result<(), LogError> {
    let parsed = parse(filter)?;
    fmt()
        .compact()
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .finish()
        .try_init()
        .map_err(|source| LogError::SetUp { source })
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_refused_and_named() {
        let error = log_to_stdout("coreward=loud").unwrap_err();
        assert_eq!(error.to_string(), "read the log filter `coreward=loud`");
    }
}

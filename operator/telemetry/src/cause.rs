//! Errors in one line.

use core::fmt;
use std::error::Error;

/// Shows an error and all its sources, outermost first, in one line: `error = %causes(&error)`.
///
/// Each error must tell its own level only; ours do.
#[must_use]
pub fn causes(error: &dyn Error) -> Causes<'_> {
    Causes(error)
}

/// What [`causes`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(&'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read epoch at block {block}")]
    struct ReadEpoch {
        block: u64,
        source: io::Error,
    }

    #[test]
    fn each_cause_is_told_once() {
        let error = ReadEpoch { block: 7, source: io::Error::other("no answer") };
        assert_eq!(causes(&error).to_string(), "read epoch at block 7: no answer");
    }
}

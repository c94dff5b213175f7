//! What can go wrong between a story and its chain.

use std::path::PathBuf;

use alloy::transports::{RpcError, TransportErrorKind};

/// A failure of the chain part of the bed, naming what was being done to what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node could not be asked, or refused the request for a reason that is not a revert.
    #[error("cannot {what}")]
    Rpc {
        /// What was being asked for.
        what: String,
        /// The transport's own account.
        #[source]
        source: RpcError<TransportErrorKind>,
    },
    /// A contract refused the call; `reason` is its text, or the decoded custom error.
    #[error("{what} reverted: {reason}")]
    Reverted {
        /// The call that was refused.
        what: String,
        /// The contract's words; `no revert data` when it gave none.
        reason: String,
    },
    /// An answer or an event was not what its ABI says.
    #[error("{what} cannot be decoded")]
    Undecodable {
        /// What was being decoded.
        what: String,
        /// Where the decoding stopped.
        #[source]
        source: alloy::sol_types::Error,
    },
    /// Something that must be on the chain is not there.
    #[error("{0} is not on the chain")]
    Absent(String),
    /// A file or a process of the machine failed.
    #[error("cannot {what} {path}", path = path.display())]
    Machine {
        /// The operation as a verb.
        what: &'static str,
        /// The file or program concerned.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A program ran and failed; `output` is the end of what it printed.
    #[error("{program} failed: {output}")]
    Program {
        /// The command line in short.
        program: String,
        /// Its last lines.
        output: String,
    },
    /// A file that we wrote or extracted does not have the expected form.
    #[error("{path} is not a valid {what}", path = path.display())]
    Malformed {
        /// What the file should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it could not be read.
        #[source]
        source: serde_json::Error,
    },
    /// A wait ended without its condition.
    #[error("{what} did not happen within {limit:?}")]
    Late {
        /// The awaited condition.
        what: String,
        /// The limit that passed.
        limit: std::time::Duration,
    },
    /// A text is not the identifier that it should be.
    #[error("{text:?} is no {what}")]
    Text {
        /// What was expected.
        what: &'static str,
        /// What was found.
        text: String,
    },
    /// The chain's own records contradict each other or the rules; the message is the finding.
    #[error("{0}")]
    Finding(String),
}

impl Error {
    pub(crate) fn machine(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Machine { what, path, source }
    }

    /// The contract's words, where the failure was a revert.
    #[must_use]
    pub fn revert_reason(&self) -> Option<&str> {
        if let Self::Reverted { reason, .. } = self { Some(reason) } else { None }
    }
}

/// The result of nearly everything in [`super`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

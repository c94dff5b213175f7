//! What can stop the bed.

use std::{io, path::PathBuf};

/// What can stop the bed, in words for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that must be there before anything starts is not.
    #[error("{missing}. {remedy}")]
    Missing {
        /// What is missing.
        missing: String,
        /// What to do about it.
        remedy: String,
    },
    /// A program could not be started.
    #[error("cannot start {program} to {operation}")]
    Start {
        /// The program.
        program: String,
        /// What it was to do.
        operation: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("cannot {operation}: {program} said: {output}")]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        operation: String,
        /// The last lines it wrote.
        output: String,
    },
    /// A file or folder refused an operation.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something did not happen within its limit.
    #[error("{what} did not happen within {seconds} s; {look}")]
    Late {
        /// What was waited for.
        what: String,
        /// The limit.
        seconds: u64,
        /// Where to look.
        look: String,
    },
    /// The API server refused or did not answer.
    #[error("cannot {operation} on the cluster")]
    Cluster {
        /// What was tried.
        operation: String,
        /// The client's answer.
        source: Box<kube::Error>,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {subject}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// The library's answer.
        source: rcgen::Error,
    },
    /// A text that should be JSON or YAML is not.
    #[error("cannot read {what}")]
    Malformed {
        /// What was read.
        what: String,
        /// The parser's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The chain of the bed failed.
    #[error("cannot {operation} the chain")]
    Chain {
        /// What was tried.
        operation: &'static str,
        /// The driver's answer.
        source: Box<crate::chain::Error>,
    },
    /// Someone ended the start.
    #[error("the start of the bed was interrupted, and what had started was taken down")]
    Interrupted,
    /// The bed was asked for and is not up.
    #[error("no bed is up under the name {0}; start it with `bed up`")]
    Down(String),
}

/// A result of the bed.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err` on an operation with a file.
    pub fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }

    /// For `map_err` on a call of the cluster.
    pub fn cluster(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Cluster { operation, source: Box::new(source) }
    }

    /// For `map_err` on a parser.
    pub fn malformed<E>(what: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let what = what.into();
        move |source| Self::Malformed { what, source: Box::new(source) }
    }
}

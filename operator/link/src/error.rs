//! What can go wrong on the line.

use core::fmt;
use core::time::Duration;
use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;

/// The calls of the pods' endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET /v1/assignment`.
    Assignment,
    /// `POST /v1/proofs`.
    Proofs,
    /// `POST /v1/report`.
    Report,
}

impl Call {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Assignment => "/v1/assignment",
            Self::Proofs => "/v1/proofs",
            Self::Report => "/v1/report",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Assignment => "get the assignment",
            Self::Proofs => "post proofs",
            Self::Report => "post the report",
        })
    }
}

/// Why a call had no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is not one that a token may be sent to.
    #[error("the operator's address `{url}` is neither https nor of this host")]
    Address {
        /// As configured.
        url: String,
    },
    /// The certificate or the token cannot be read.
    #[error("read {}", path.display())]
    ReadFile {
        /// The mounted file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate file holds no certificate.
    #[error("make a client that trusts {}", path.display())]
    Trust {
        /// The mounted file.
        path: PathBuf,
        /// What the client says.
        source: reqwest::Error,
    },
    /// The operator did not answer: away, too slow, or not the one we trust.
    #[error("{call}")]
    Send {
        /// What was asked.
        call: Call,
        /// What the client says; without the address, which is the same each time.
        source: reqwest::Error,
    },
    /// The operator's answer is not one that this version understands. The text is not told: it may hold a key.
    #[error(
        "{call}: the answer of {bytes} bytes cannot be read ({category} error at byte {column} of line {line})"
    )]
    Unreadable {
        /// What was asked.
        call: Call,
        /// How long the answer was.
        bytes: usize,
        /// The parser's word for it.
        category: &'static str,
        /// Where in the answer.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// The operator answered, and did not do it.
    #[error("{call}: the operator answered {status}: {text}")]
    Refused {
        /// What was asked.
        call: Call,
        /// Its answer.
        status: StatusCode,
        /// The beginning of its text.
        text: String,
    },
}

/// How long to leave an operator alone that does not know this pod (yet): its view of the cluster may lag behind.
const UNKNOWN_POD: Duration = Duration::from_millis(500);

/// The least pause before a call is tried again.
const SOON: Duration = Duration::from_millis(100);

impl LinkError {
    /// The least pause before another try can help; `None` if the same call will be refused again.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Self::Address { .. } | Self::Unreadable { .. } => None,
            Self::ReadFile { .. } | Self::Trust { .. } | Self::Send { .. } => Some(SOON),
            Self::Refused { status, .. } => match status.as_u16() {
                401 | 403 => Some(UNKNOWN_POD),
                408 | 429 | 500.. => Some(SOON),
                _ => None,
            },
        }
    }

    /// Whether another replica may answer where this connection's did not: it must not be used again.
    pub(crate) const fn spoils_connection(&self) -> bool {
        match self {
            Self::Send { .. } | Self::Refused { .. } => true,
            Self::Address { .. }
            | Self::ReadFile { .. }
            | Self::Trust { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

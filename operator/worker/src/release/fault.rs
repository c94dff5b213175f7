//! Why a version of the component is not served.

use coreward_artifact::Fault;
use coreward_wire::{ArtifactFailure, ArtifactFault};

/// Characters of a message for the deal's condition.
const MESSAGE: usize = 400;

/// Why a version of the component is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// For the deal's condition.
    pub(crate) failure: ArtifactFailure,
    /// Whether the same CID may do later.
    pub(crate) may_pass: bool,
}

impl Rejection {
    /// One that may pass with time.
    pub(crate) fn for_now(fault: ArtifactFault, message: impl Into<String>) -> Self {
        Self { failure: failure(fault, &message.into()), may_pass: true }
    }

    /// One that follows from the artifact itself.
    pub(crate) fn for_good(fault: ArtifactFault, message: impl Into<String>) -> Self {
        Self { failure: failure(fault, &message.into()), may_pass: false }
    }

    /// The same, of one of several components.
    pub(crate) fn of_component(mut self, name: &str) -> Self {
        if !name.is_empty() {
            let message = format!("component `{name}`: {}", self.failure.message);
            self.failure = failure(self.failure.fault, &message);
        }
        self
    }
}

impl From<coreward_artifact::Error> for Rejection {
    fn from(error: coreward_artifact::Error) -> Self {
        let fault = match error.fault() {
            Fault::GatewayUnreachable => ArtifactFault::GatewayUnreachable,
            Fault::NotFound => ArtifactFault::NotFound,
            Fault::DigestMismatch => ArtifactFault::DigestMismatch,
            Fault::TooLarge => ArtifactFault::TooLarge,
            Fault::Malformed => ArtifactFault::InvalidWasm,
        };
        Self { failure: failure(fault, &error.to_string()), may_pass: error.may_pass() }
    }
}

fn failure(fault: ArtifactFault, message: &str) -> ArtifactFailure {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    ArtifactFailure { fault, message: line.chars().take(MESSAGE).collect() }
}

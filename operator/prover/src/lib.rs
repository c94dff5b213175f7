//! The pod of an idle unit: takes puzzles, gives proofs.
//!
//! [`prove()`] is the long-lived pod; [`probe()`] is the short one that tells what a node's CPUs are like. Neither knows the
//! chain or Kubernetes: the operator's assignment is all they hear, proofs and reports are all they say. [`calibrate()`] is for
//! people: it measures a machine before anyone stakes on it.
//!
//! ```text
//! assignment --> book --> goal --> miner threads --> found --> volume --> book --> posts --> receipt --> book
//! ```

mod args;
mod book;
mod calibrate;
mod chance;
mod clock;
mod metrics;
mod miner;
mod nonce;
mod pace;
mod probe;
mod prove;
mod puzzle;
mod rate;
mod readiness;
mod report;
mod store;
mod threads;
mod turns;
mod volume;

pub use args::{Args, CalibrateArgs, Command, LinkArgs, ProbeArgs, ProveArgs};
pub use calibrate::{CalibrateError, calibrate};
pub use probe::{ProbeError, probe};
pub use prove::{ProveError, prove};
pub use puzzle::Key;

//! The pod of an idle unit: takes puzzles, gives proofs.
//!
//! [`prove()`] is the long-lived pod; [`probe()`] is the short one that tells what a node's CPUs are like. Neither knows the
//! chain or Kubernetes: the operator's assignment is all they hear, proofs and reports are all they say.
//!
//! ```text
//! assignment --> book --> goal --> miner threads --> found --> volume --> book --> posts --> receipt --> book
//! ```

mod args;
mod book;
mod clock;
mod metrics;
mod miner;
mod nonce;
mod probe;
mod prove;
mod puzzle;
mod rate;
mod report;
mod store;
mod threads;
mod turns;
mod volume;

pub use args::{Args, Command, LinkArgs, ProbeArgs, ProveArgs};
pub use probe::{ProbeError, probe};
pub use prove::{ProveError, prove};
pub use puzzle::Key;

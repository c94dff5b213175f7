//! The operator: the only crate that talks to Kubernetes.

pub mod args;
pub mod chain_watch;
pub mod clock;
pub mod config;
pub mod context;
pub mod endpoint;
pub mod gate;
pub mod hub;
pub mod lease;
pub mod metrics;
pub mod outbox;
pub mod pki;
pub mod process;
pub mod proof;
pub mod proof_pool;
pub mod stores;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// A control loop: runs while this replica leads, and ends soon after its token is cancelled.
pub type Loop = fn(Arc<Context>, CancellationToken) -> BoxFuture<'static, ()>;

/// All loops of the leader, in alphabetical order.
#[must_use]
pub fn loops() -> Vec<(&'static str, Loop)> {
    vec![("proof", proof::run)]
}

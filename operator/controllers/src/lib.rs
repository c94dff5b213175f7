//! The operator: the only crate that talks to Kubernetes.

pub mod anchor;
pub mod apply;
pub mod args;
pub mod chain_watch;
pub mod clock;
pub mod condition;
pub mod config;
pub mod context;
pub mod deal;
pub mod endpoint;
pub mod event;
pub mod fading;
pub mod gate;
pub mod gateway;
pub mod gauges;
pub mod hub;
pub mod identity;
pub mod inventory;
pub mod labels;
pub mod lease;
pub mod market;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod offer;
pub mod outbox;
pub mod past;
pub mod pki;
pub mod pods;
pub mod process;
pub mod proof;
pub mod proof_pool;
pub mod send;
pub mod stores;
pub mod turn;
pub mod unit;
pub mod view;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// A control loop: runs while this replica leads, and ends soon after its token is cancelled.
pub type Loop = fn(Arc<Context>, CancellationToken) -> BoxFuture<'static, ()>;

/// All loops of the leader but [`proof`], which may outlast the lease; in alphabetical order.
#[must_use]
pub fn loops() -> Vec<(&'static str, Loop)> {
    vec![("market", market::run), ("past", past::run)]
}

//! Instances that wait for another request, where operator and app allow one instance to answer several.
//!
//! An instance answers one request at a time, of one component of one version of one deal's app, and goes at the first sign that
//! it may not be as before: a failure, something of its request that it left open, or memory that others need.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;

use super::engine::INSTANCES;
use super::guest::Guest;

/// Requests that one instance answers before it goes.
pub(super) const REQUESTS: u32 = 128;
/// How long an instance waits for a request.
const WAIT: Duration = Duration::from_secs(1);

/// An instance with its store.
pub(crate) struct Instance {
    pub(super) store: Store<Guest>,
    pub(super) proxy: Proxy,
    /// The place of its component in the app.
    pub(super) component: usize,
    /// Requests that it was opened or taken for.
    pub(super) requests: u32,
}

/// Those of one version that wait.
#[derive(Default)]
pub(super) struct Idle {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    instances: Vec<(Instant, Instance)>,
    is_swept: bool,
}

impl core::fmt::Debug for Idle {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Idle").finish_non_exhaustive()
    }
}

impl Idle {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this component that waits since the shortest time: its memory is the likeliest to be in the processor's caches.
    pub(super) fn take(&self, component: usize) -> Option<Instance> {
        let instances = &mut self.waiting().instances;
        let latest = instances.iter().rposition(|(_, waiting)| waiting.component == component)?;
        let (_, mut instance) = instances.remove(latest);
        instance.requests += 1;
        Some(instance)
    }

    /// Lets an instance wait for its next request, if it has one left and nothing of the last one.
    pub(super) fn keep(self: &Arc<Self>, mut instance: Instance, tasks: &TaskTracker) {
        if instance.requests >= REQUESTS || !instance.store.data_mut().is_at_rest() {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.instances.len() >= INSTANCES as usize {
            waiting.instances.remove(0);
        }
        waiting.instances.push((Instant::now(), instance));
        if !waiting.is_swept {
            waiting.is_swept = true;
            tasks.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Gives up all that wait; false if none did.
    pub(super) fn give_up(&self) -> bool {
        let instances = core::mem::take(&mut self.waiting().instances);
        !instances.is_empty()
    }

    /// Takes out those that wait too long; `None` when none is left to wait for.
    fn expired(&self, now: Instant) -> Option<Vec<(Instant, Instance)>> {
        let mut waiting = self.waiting();
        if waiting.instances.is_empty() {
            waiting.is_swept = false;
            return None;
        }
        let young = waiting.instances.partition_point(|(since, _)| *since + WAIT <= now);
        Some(waiting.instances.drain(..young).collect())
    }
}

/// Ends instances that wait too long, as long as there are any.
async fn sweep(idle: Weak<Idle>) {
    loop {
        sleep(WAIT).await;
        let Some(expired) = idle.upgrade().and_then(|idle| idle.expired(Instant::now())) else {
            return;
        };
        drop(expired);
    }
}

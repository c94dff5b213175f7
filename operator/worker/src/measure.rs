//! For the benchmark of this crate, which cannot reach what it measures from outside.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use coreward_overlay::{Handler, Key};
use coreward_wire::{
    ArtifactOrder, Egress, Gateways, RequestLimits, SecretSeed, WorkerDuty, WorkerLimits,
};
use futures::future::{BoxFuture, FutureExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::app::keyvalue::{Bounds, store::KeyValues};
use crate::app::{App, GuestLog, Host, Instance, Passage, engine};
use crate::body;
use crate::form::Form;
use crate::metrics::{Metrics, Origin};
use crate::outbound::{Outside, Shared, Surroundings, System, Threads};

/// The engine that the worker runs components on, with the clock that interrupts them.
///
/// # Errors
///
/// If the machine cannot reserve the address space of the pool.
pub fn engine() -> wasmtime::Result<Engine> {
    engine::running()
}

/// The same, whose code is never interrupted.
///
/// # Errors
///
/// As [`engine()`].
pub fn engine_without_interruption() -> wasmtime::Result<Engine> {
    engine::pooled(false)
}

/// Instances of one component as its requests have them.
#[derive(Debug)]
pub struct Instances {
    app: Arc<App>,
    limits: WorkerLimits,
}

/// One of them, open.
pub struct Opened(#[expect(dead_code, reason = "it is only held")] Instance);

impl core::fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Opened").finish_non_exhaustive()
    }
}

struct Nobody;

impl Handler for Nobody {
    fn handle(
        &self,
        _caller: Key,
        _request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<coreward_overlay::Body>> {
        async { Response::new(body::for_overlay(body::full(""))) }.boxed()
    }
}

impl Instances {
    /// Compiles a component for a host without members, which is not running, and keeps its keys in `directory`; within a
    /// runtime.
    ///
    /// # Errors
    ///
    /// Any of the worker's own start: the text says which.
    pub fn of(component: &[u8], directory: &Path) -> Result<Self, Box<dyn core::error::Error>> {
        let duty = duty();
        let limits = duty.limits.clone();
        let metrics = Metrics::register(&Registry::new())?;
        let overlay = coreward_overlay::Config {
            seed: duty.key_seed.0.0,
            listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
        };
        let (members, _not_running) = coreward_overlay::start(&overlay, Arc::new(Nobody))?;
        let tasks = TaskTracker::new();
        let outside = Outside::new(tasks.clone(), Arc::new(System));
        let threads = Threads { guests: Handle::current(), rest: Handle::current() };
        let allowance = Shared::new(metrics.clone());
        let surroundings = Surroundings { members, outside, allowance, tasks, threads };
        let log = GuestLog::new(duty.deal, "1".to_owned(), metrics.clone());
        let (_orders, orders) = watch::channel(Arc::new(duty));
        let (path, bounds) = (directory.join("key-values"), Bounds::of_storage(limits.storage_mib));
        let keyvalues = Arc::new(KeyValues::start(path, bounds, metrics.store().clone())?);
        let host = Host::new(orders, Arc::new(surroundings), metrics, log, keyvalues)?;
        let component = Component::new(host.engine(), component)?;
        let code = host.reserve(0);
        let app = App::link(host, Form::bare(), &[component], directory.to_owned(), code)?;
        Ok(Self { app, limits })
    }

    /// Opens a store and an instance.
    ///
    /// # Errors
    ///
    /// If the pool or the memory is used up.
    pub async fn open(&self) -> Result<Opened, Box<dyn core::error::Error>> {
        let passage = Passage::new(Origin::Public, 0);
        Ok(Opened(self.app.open(0, passage, &self.limits).await?))
    }
}

fn duty() -> WorkerDuty {
    WorkerDuty {
        deal: Address::ZERO,
        onchain_worker_id: B256::ZERO,
        key_seed: SecretSeed(B256::repeat_byte(1)),
        artifact: ArtifactOrder { cid: String::new(), max_bytes: 0, from: String::new() },
        limits: WorkerLimits {
            memory_mib: 1024,
            request_milliseconds: 30_000,
            connections: 500,
            storage_mib: 0,
            request: RequestLimits::default(),
            reuse_instances: false,
        },
        egress: Egress::None,
        members: Vec::new(),
        members_block: 0,
        gateways: Gateways::default(),
    }
}

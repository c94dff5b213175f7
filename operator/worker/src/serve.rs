//! The worker's life: wait for the first order, start all parts, follow the orders, stop.

use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use coreward_link::{AssignmentFile, Link, LinkConfig, LinkError};
use coreward_telemetry::{Drained, Health, Readiness, Shutdown};
use coreward_wire::{Assignment, SubnetReport, WorkerDuty, WorkerStage};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::keyvalue::{Bounds, store::KeyValues};
use crate::app::{GuestLog, Host};
use crate::args::ServeArgs;
use crate::inbound::public::PublicPort;
use crate::inbound::{Current, Inbound};
use crate::metrics::Metrics;
use crate::orders::{self, Orders};
use crate::outbound::{Outside, Shared, Surroundings, System, Threads};
use crate::release::child::Compiler;
use crate::release::{Progress, Releases, fetch};
use crate::report::Reporter;
use crate::subnet;

/// For requests in work when the pod is stopped; its grace is one second.
const DRAIN: Duration = Duration::from_millis(800);

/// Why the worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The log.
    #[error(transparent)]
    Log(#[from] coreward_telemetry::LogError),
    /// Signals.
    #[error(transparent)]
    Signals(#[from] coreward_telemetry::SignalError),
    /// Metrics: a name is taken, a mistake in our wiring.
    #[error("register metrics")]
    Metrics(#[from] prometheus::Error),
    /// The line to the operator.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The overlay.
    #[error("start the overlay")]
    Overlay(#[from] coreward_overlay::StartError),
    /// The Wasm engine: the machine cannot reserve its address space.
    #[error("start the Wasm engine: {0}")]
    Engine(String),
    /// The client of the node agent.
    #[error("set up the client of the node agent")]
    Client(#[from] reqwest::Error),
    /// A port or directory.
    #[error("{what}")]
    Io {
        /// What was tried, with its object.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Serves what the operator orders, until a signal; gives what the process ends with. Components run on `guests`, a
/// runtime of their own with two threads or more; all else runs on the runtime that polls this.
///
/// # Errors
///
/// [`ServeError`]: a flag or the machine is wrong, and a restart alone will not help.
pub async fn serve(args: ServeArgs, guests: Handle) -> Result<ExitCode, ServeError> {
    coreward_telemetry::log_to_stdout(&args.log)?;
    let metrics = coreward_telemetry::Metrics::new("worker", env!("CARGO_PKG_VERSION"))?;
    let counted = Metrics::register(metrics.registry())?;
    let health = Health::new();
    let ready = health.readiness("component");
    let shutdown = Shutdown::on_signals()?;
    let page = coreward_telemetry::serve(
        args.listen,
        coreward_telemetry::router(metrics, health),
        shutdown.token(),
    );
    shutdown.spawn_vital("page", async move {
        if let Err(error) = page.await {
            tracing::error!(error = %coreward_telemetry::causes(&error), "health and metrics cannot be served");
        }
    });
    let link = Link::new(LinkConfig {
        url: args.operator_url.clone(),
        ca_file: args.ca_file.clone(),
        token_file: args.token_file.clone(),
    })?;
    let (assignments, poll) = link.assignments(Some(AssignmentFile::in_directory(&args.state_dir)));
    shutdown.spawn_vital("assignments", poll.run(shutdown.token()));
    if let Some(first) = first_order(assignments.clone(), &shutdown.token()).await {
        let worker = Worker { args, guests, link, shutdown: shutdown.clone(), metrics: counted };
        worker.start(first, assignments, ready).await?;
        shutdown.token().cancelled().await;
    }
    if matches!(shutdown.finished(DRAIN).await, Drained::TimedOut) {
        tracing::info!("some requests were still in work at the end");
    }
    Ok(shutdown.exit_code())
}

async fn first_order(
    mut assignments: watch::Receiver<Option<Arc<Assignment>>>,
    stop: &CancellationToken,
) -> Option<WorkerDuty> {
    let is_ours = |assignment: &Option<Arc<Assignment>>| {
        assignment.as_deref().and_then(orders::of_worker).is_some()
    };
    let assignment =
        stop.run_until_cancelled(assignments.wait_for(is_ours)).await?.ok()?.clone()?;
    orders::of_worker(&assignment)
}

/// A worker with its first order.
struct Worker {
    args: ServeArgs,
    guests: Handle,
    link: Link,
    shutdown: Shutdown,
    metrics: Metrics,
}

impl Worker {
    async fn start(
        self,
        first: WorkerDuty,
        assignments: watch::Receiver<Option<Arc<Assignment>>>,
        ready: Readiness,
    ) -> Result<(), ServeError> {
        let (first, stop) = (Arc::new(first), self.shutdown.token());
        let (order_sender, orders) = watch::channel(Arc::clone(&first));
        self.shutdown
            .spawn_vital("orders", follow_orders(assignments, order_sender, self.shutdown.clone()));
        let (current_sender, current) = watch::channel(None);
        let inbound = Inbound {
            orders: orders.clone(),
            current: current.clone(),
            metrics: self.metrics.clone(),
        };
        self.shutdown.spawn_vital("readiness", tell_ready(current, ready, stop.clone()));

        let config = coreward_overlay::Config {
            seed: first.key_seed.0.0,
            listen: self.args.overlay_listen.clone(),
        };
        let (overlay, event_loop) = coreward_overlay::start(&config, Arc::new(inbound.clone()))?;
        self.shutdown.spawn_vital("overlay", event_loop.run(stop.clone()));
        let public = PublicPort::open(self.args.public_listen, inbound).await;
        let public = public.map_err(io_error(format!("listen on {}", self.args.public_listen)))?;
        self.shutdown.spawn_vital("public port", public.run(stop.clone()));

        let (progress_sender, progress) = watch::channel(waiting(&first));
        let releases = self.releases(&orders, &overlay, progress_sender, current_sender).await?;
        self.shutdown.spawn_vital("releases", releases.run(stop.clone()));
        self.start_subnet(&first, orders, overlay, progress).await;
        Ok(())
    }

    async fn releases(
        &self,
        orders: &Orders,
        overlay: &coreward_overlay::Client,
        progress: watch::Sender<Progress>,
        current: watch::Sender<Option<Arc<crate::app::App>>>,
    ) -> Result<Releases, ServeError> {
        let tasks = TaskTracker::new();
        let outside = Outside::new(tasks.clone(), Arc::new(System));
        let threads = Threads { guests: self.guests.clone(), rest: Handle::current() };
        let surroundings = Surroundings {
            members: overlay.clone(),
            outside,
            allowance: Shared::new(self.metrics.clone()),
            tasks,
            threads,
        };
        let surroundings = Arc::new(surroundings);
        let log = {
            let duty = orders.borrow();
            GuestLog::new(duty.deal, orders::decimal(duty.onchain_worker_id), self.metrics.clone())
        };
        let storage_mib = orders.borrow().limits.storage_mib;
        let keyvalues = self.keyvalues(storage_mib)?;
        let host = Host::new(orders.clone(), surroundings, self.metrics.clone(), log, keyvalues);
        let host = host.map_err(|error| ServeError::Engine(format!("{error:#}")))?;
        let directory = code_directory(&self.args.state_dir).await?;
        let program = std::env::current_exe().map_err(io_error("find this binary".to_owned()))?;
        let compiler =
            Compiler { program, first: Vec::new(), cpu_seconds: self.args.compile_cpu_seconds };
        Ok(Releases { host, client: fetch::client()?, compiler, directory, progress, current })
    }

    fn keyvalues(&self, storage_mib: u64) -> Result<Arc<KeyValues>, ServeError> {
        let path = self.args.state_dir.join("key-values");
        let (bounds, metrics) = (Bounds::of_storage(storage_mib), self.metrics.store().clone());
        let started = KeyValues::start(path, bounds, metrics);
        started
            .map(Arc::new)
            .map_err(io_error("start the thread of the key-value store".to_owned()))
    }

    async fn start_subnet(
        &self,
        first: &Arc<WorkerDuty>,
        orders: Orders,
        overlay: coreward_overlay::Client,
        progress: watch::Receiver<Progress>,
    ) {
        let stop = self.shutdown.token();
        subnet::apply(first, &overlay, &self.metrics).await;
        let (applied_sender, applied) = watch::channel(Arc::clone(first));
        let (report_sender, reports) = watch::channel(SubnetReport::default());
        let members =
            subnet::follow(orders.clone(), overlay.clone(), applied_sender, self.metrics.clone());
        self.shutdown.spawn_vital("members", members);
        self.shutdown.spawn_vital(
            "probe",
            subnet::probe::run(applied, overlay, report_sender, stop.clone()),
        );
        let overlay_port = port_of(&self.args.overlay_listen);
        let reporter =
            Reporter { link: self.link.clone(), orders, progress, subnet: reports, overlay_port };
        self.shutdown.spawn_vital("reports", reporter.run(stop));
    }
}

/// Passes orders on. A process serves one worker with one key: when that changes, it ends, and starts anew as the other.
async fn follow_orders(
    mut assignments: watch::Receiver<Option<Arc<Assignment>>>,
    orders: watch::Sender<Arc<WorkerDuty>>,
    shutdown: Shutdown,
) {
    let stop = shutdown.token();
    let following = async {
        while assignments.changed().await.is_ok() {
            let order = assignments.borrow_and_update().as_deref().and_then(orders::of_worker);
            let Some(order) = order else { continue };
            if !orders::same_worker(&orders.borrow(), &order) {
                tracing::info!("the pod is ordered to be another worker and starts anew");
                shutdown.stop();
                return;
            }
            orders.send_replace(Arc::new(order));
        }
    };
    stop.run_until_cancelled(following).await;
}

async fn tell_ready(mut current: Current, ready: Readiness, stop: CancellationToken) {
    if let Some(Ok(_)) = stop.run_until_cancelled(current.wait_for(Option::is_some)).await {
        ready.set(true);
    }
    stop.cancelled().await;
    ready.set(false);
}

fn waiting(first: &WorkerDuty) -> Progress {
    Progress {
        cid: first.artifact.cid.clone(),
        stage: WorkerStage::Waiting,
        serving: None,
        failure: None,
    }
}

async fn code_directory(state: &Path) -> Result<PathBuf, ServeError> {
    let directory = state.join("code");
    let made = tokio::fs::create_dir_all(&directory).await;
    made.map_err(io_error(format!("make the directory {}", directory.display())))?;
    Ok(directory)
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError::Io { what, source }
}

/// The TCP port in a multiaddr; 0 if there is none.
fn port_of(listen: &str) -> u16 {
    listen
        .rsplit_once("/tcp/")
        .and_then(|(_, rest)| rest.split('/').next()?.parse().ok())
        .unwrap_or(0)
}

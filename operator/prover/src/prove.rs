//! The long-lived pod put together.

use std::io;

use coreward_link::cpu::{CpuError, CpuFiles};
use coreward_link::{AssignmentFile, Link, LinkError};
use coreward_telemetry::{Health, Metrics, ServeError, Shutdown, router, serve};
use coreward_wire::{CpuEvidence, HashMode};
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::args::ProveArgs;
use crate::book::Book;
use crate::metrics::Series;
use crate::miner::Miner;
use crate::report::{Addressed, send_reports};
use crate::store::Store;
use crate::threads::hashing_threads;
use crate::turns::Prover;
use crate::volume::Volume;

/// Found proofs that the loop has not taken yet; it does at once, unless the volume is far behind.
const FOUND_QUEUE: usize = 256;

/// Why the prover ended.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The line to the operator is not configured right.
    #[error("set up the line to the operator")]
    Link(#[from] LinkError),
    /// The kernel does not tell about the pod's CPUs.
    #[error("look at the pod's CPUs")]
    Cpu(#[from] CpuError),
    /// The hashing thread could not be started.
    #[error("start the hashing threads")]
    Threads {
        /// What the system says.
        source: io::Error,
    },
    /// A series could not be registered: a mistake in our wiring.
    #[error("register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// Health and metrics could not be served.
    #[error("serve health and metrics")]
    Serve(#[from] ServeError),
    /// The hashing threads ended by themselves.
    #[error("the hashing threads ended")]
    MinerEnded,
}

/// What a prover is made from.
pub(crate) struct Parts {
    pub(crate) link: Link,
    pub(crate) series: Series,
    pub(crate) volume: Volume,
    pub(crate) miner: Miner,
    pub(crate) book: Book,
    pub(crate) cpu: CpuEvidence,
    pub(crate) mode: HashMode,
    pub(crate) whole_cores: bool,
    pub(crate) reports: watch::Sender<Option<Addressed>>,
}

/// Proves until `shutdown`; proofs that are not acknowledged stay on the volume.
///
/// # Errors
///
/// [`ProveError`]; a restart of the container may help with all but the first.
pub async fn prove(args: ProveArgs, shutdown: &Shutdown) -> Result<(), ProveError> {
    let link = Link::new(args.link.config())?;
    let metrics = Metrics::new("prover", env!("CARGO_PKG_VERSION"))?;
    let (series, health) = (Series::register(&metrics)?, Health::new());
    let cpus = CpuFiles::of_this_machine();
    let (cpu, threads) = (cpus.evidence()?, hashing_threads(&cpus)?);
    let mut volume = Volume::new(Store::in_directory(&args.state_dir), series.clone());
    let book = Book::with_saved(volume.load().await);
    info!(
        cpu.list = cpu.cpus, cpu.whole_cores = cpu.whole_cores, threads = threads.get(), mode = ?args.mode,
        proofs.kept = book.kept(), "the prover starts with {} threads on CPUs {}", threads, cpu.cpus
    );
    let (found_sender, found) = mpsc::channel(FOUND_QUEUE);
    let miner = Miner::start(args.mode.engine(), threads, found_sender)
        .map_err(|source| ProveError::Threads { source })?;
    let (assignments, poll) = link.assignments(Some(AssignmentFile::in_directory(&args.state_dir)));
    let (reports, reported) = watch::channel(None);
    shutdown.spawn_vital("assignments", poll.run(shutdown.token()));
    shutdown.spawn_vital("reports", send_reports(link.clone(), reported, shutdown.token()));
    let (mode, whole_cores) = (args.mode.told(), args.whole_cores);
    let parts = Parts { link, series, volume, miner, book, cpu, mode, whole_cores, reports };
    let prover = Prover::new(parts, &health);
    let pages = serve(args.listen, router(metrics, health), shutdown.token());
    let ended = tokio::select! {
        ended = prover.run(assignments, found, shutdown.token()) => ended,
        Err(failed) = pages => Err(failed.into()),
    };
    shutdown.stop();
    ended
}

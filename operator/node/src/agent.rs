//! The agent put together.

use core::time::Duration;
use std::io;
use std::path::PathBuf;

use coreward_link::{AssignmentFile, Link, LinkError};
use coreward_telemetry::{Health, Metrics, ServeError, Shutdown, serve};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::artifacts::Artifacts;
use crate::cache::Cache;
use crate::facts::NodeFiles;
use crate::metrics::Series;
use crate::report::Reporter;
use crate::server::{Heard, NAMED, duty, router};

/// To reach a gateway and agree on keys.
const CONNECT: Duration = Duration::from_secs(5);

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// How long the report loop may show no progress before a restart is the cure: it turns once a minute.
const STUCK: Duration = Duration::from_mins(5);

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The line to the operator is not configured right.
    #[error("set up the line to the operator")]
    Link(#[from] LinkError),
    /// A series could not be registered: a mistake in our wiring.
    #[error("register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The volume for artifacts cannot be used.
    #[error("use {} for artifacts", path.display())]
    Cache {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The client for gateways cannot be made.
    #[error("make a client for the gateways")]
    Client {
        /// What the client says.
        source: reqwest::Error,
    },
    /// An address cannot be listened on.
    #[error("serve workers and health")]
    Serve(#[from] ServeError),
}

/// Runs the agent until `shutdown`.
///
/// # Errors
///
/// [`AgentError`] of the part that could not start, or ended.
pub async fn run(args: Args, shutdown: &Shutdown) -> Result<(), AgentError> {
    let link = Link::new(args.link())?;
    let metrics = Metrics::new("node", env!("CARGO_PKG_VERSION"))?;
    let (series, health) = (Series::register(&metrics)?, Health::new());
    let artifacts = Artifacts::new(cache(&args).await?, gateway_client()?, series);
    let (heard, poll) = link.assignments(Some(AssignmentFile::in_directory(&args.cache_dir)));
    let reporter = Reporter {
        link,
        files: NodeFiles::of_this_machine(),
        artifact_url: args.artifact_url(),
        heard: heard.clone(),
        told: health.readiness("told the operator of the node"),
        turns: health.liveness("reports", STUCK),
    };
    shutdown.spawn_vital("assignments", poll.run(shutdown.token()));
    shutdown.spawn_vital("reports", reporter.run(shutdown.token()));
    shutdown.spawn_vital(
        "fetch ahead",
        fetch_ahead(artifacts.clone(), heard.clone(), shutdown.token()),
    );
    let pages = serve(args.listen, coreward_telemetry::router(metrics, health), shutdown.token());
    let workers = serve(args.artifact_listen, router(artifacts, heard, NAMED), shutdown.token());
    let ended = tokio::try_join!(stopping(pages, shutdown), stopping(workers, shutdown));
    ended.map(drop).map_err(AgentError::from)
}

/// A listener that ends takes the agent along.
async fn stopping(
    listener: impl Future<Output = Result<(), ServeError>>,
    shutdown: &Shutdown,
) -> Result<(), ServeError> {
    let ended = listener.await;
    shutdown.stop();
    ended
}

async fn cache(args: &Args) -> Result<Cache, AgentError> {
    let (path, most_bytes) = (args.cache_dir.join("artifacts"), args.cache_mib.saturating_mul(MIB));
    let directory = path.clone();
    let opened = spawn_blocking(move || Cache::open(directory, most_bytes)).await;
    opened
        .unwrap_or_else(|panicked| Err(panicked.into()))
        .map_err(|source| AgentError::Cache { path, source })
}

/// A client that trusts the public authorities it was built with: the image has none of its own.
fn gateway_client() -> Result<reqwest::Client, AgentError> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client =
        reqwest::Client::builder().connect_timeout(CONNECT).tls_backend_preconfigured(tls).build();
    client.map_err(|source| AgentError::Client { source })
}

/// Gets what the operator names before a worker asks: the worker's pod takes a second to start. A failure is told when
/// the worker asks.
async fn fetch_ahead(artifacts: Artifacts, mut heard: Heard, stop: CancellationToken) {
    stop.run_until_cancelled(async {
        let mut fetches = JoinSet::new();
        heard.mark_changed();
        while heard.changed().await.is_ok() {
            let named = duty(heard.borrow_and_update().as_ref()).cloned().unwrap_or_default();
            // A new duty replaces the last one's fetches; a worker that waits for one keeps it going.
            fetches.abort_all();
            for order in named.artifacts {
                let (artifacts, gateways) = (artifacts.clone(), named.gateways.clone());
                fetches.spawn(async move { drop(artifacts.get(&order, &gateways).await) });
            }
        }
    })
    .await;
}

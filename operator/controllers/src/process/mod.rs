//! The operator's process: what runs in every replica, and what runs only in the one that leads.

mod keeper;
mod parts;
mod term;
mod uninstall;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use coreward_telemetry::{Health, Metrics as Telemetry, Shutdown, metrics_page};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::chain_watch::Follower;
use crate::config::Authentication;
use crate::context::Context;
use crate::endpoint::{ClusterKeys, Desk};
use crate::lease::{Election, LEASE_NAME, Times};
use crate::{endpoint, metrics};

pub use parts::Error;
pub use uninstall::check as check_uninstall;

/// A turn of the election takes a few seconds at most.
const ELECTION_LIMIT: Duration = Duration::from_mins(1);
/// Tasks may take this long to end.
const DRAIN: Duration = Duration::from_secs(8);

/// Runs a replica until it is told to stop, then gives the lease back.
///
/// # Errors
///
/// [`Error`] if it cannot start: a person must look at the named flag, file or address.
pub async fn run(args: Args, shutdown: Shutdown) -> Result<(), Error> {
    let telemetry =
        Telemetry::new("operator", env!("CARGO_PKG_VERSION")).map_err(Error::metrics)?;
    let metrics =
        Arc::new(metrics::Metrics::register(telemetry.registry()).map_err(Error::metrics)?);
    let health = Health::new();
    let client = parts::client().await?;
    let identity = parts::unique(&args.identity);
    let leases = kube::Api::namespaced(client.clone(), &args.namespace);
    let (election, leadership) =
        Election::new(leases, identity.clone(), Times::from(args.config.lease));
    let (anchors, anchor) = watch::channel(None);
    let (certificates, tls) = watch::channel(None);

    let foundation =
        parts::Foundation { client, args: args.clone(), identity, leadership, metrics, anchor };
    let (context, followers, writers) = parts::assemble(foundation)?;
    let listener =
        endpoint::listen(args.pods_listen).await.map_err(|source| Error::Listen { source })?;

    let (open, guarded) = pages(telemetry, &health, &context);
    serve_page(args.listen, open, &shutdown);
    let keys = ClusterKeys::new(context.client.clone());
    let doorkeeper = parts::doorkeeper(&context, keys.clone());
    let desk = Desk { context: Arc::clone(&context), doorkeeper, stop: shutdown.token() };
    let calls = endpoint::router(desk).merge(guarded);
    let serving = endpoint::serve(listener, calls, tls, shutdown.token());
    shutdown.spawn_vital("endpoint", serving);
    let keeping =
        keeper::keep(Arc::clone(&context), keys, (anchors, certificates), shutdown.token());
    shutdown.spawn_vital("keeper", keeping);
    let (stores, client, namespace) =
        (context.stores.clone(), context.client.clone(), context.namespace.clone());
    shutdown.spawn_vital("watches", stores.watch(writers, client, namespace, shutdown.token()));
    be_ready_when_filled(&context, &health, &shutdown);
    elect(election, context, followers, (shutdown, health)).await;
    Ok(())
}

/// Takes part in the election and leads whenever elected; ends when the process is told to stop, with the lease given back.
async fn elect(
    election: Election,
    context: Arc<Context>,
    followers: Vec<Follower>,
    (shutdown, health): (Shutdown, Health),
) {
    let election_stop = CancellationToken::new();
    let alive = health.liveness("lease", ELECTION_LIMIT);
    tracing::info!(lease.name = LEASE_NAME, lease.candidate = %context.identity, "this replica takes part in the election");
    let electing = {
        let (context, election_stop) = (Arc::clone(&context), election_stop.clone());
        async move {
            // Leading on empty caches would be leading blind; an API server that is away is no reason to die.
            while timeout(ELECTION_LIMIT / 4, context.stores.filled()).await.is_err()
                && !election_stop.is_cancelled()
            {
                alive.tick();
            }
            election.run(election_stop, || alive.tick()).await;
        }
    };
    let leading =
        term::lead_when_elected(context, followers, (shutdown.clone(), health), election_stop);
    let mut electing = std::pin::pin!(electing);
    tokio::select! {
        () = &mut electing => {}
        () = leading => {
            // The terms are over: the lease can go to another.
            let _ = timeout(DRAIN, electing).await;
        }
    }
    shutdown.stop();
    shutdown.finished(DRAIN).await;
}

/// The pages that anybody may read, and those over TLS that ask for a token.
fn pages(metrics: Telemetry, health: &Health, context: &Context) -> (Router, Router) {
    let open = coreward_telemetry::health_pages(health.clone());
    match context.config.metrics.authentication {
        Authentication::None => (open.merge(metrics_page(metrics)), Router::new()),
        Authentication::TokenReview => {
            (open, endpoint::guarded(metrics, endpoint::Readers::new(&context.client)))
        }
    }
}

fn serve_page(listen: SocketAddr, page: Router, shutdown: &Shutdown) {
    let stop = shutdown.token();
    shutdown.spawn_vital("page", async move {
        if let Err(error) = coreward_telemetry::serve(listen, page, stop).await {
            let error = coreward_telemetry::causes(&error);
            tracing::error!(error = %error, "health and metrics are not served");
        }
    });
}

/// A replica is ready once it knows the cluster, whether or not it leads.
fn be_ready_when_filled(context: &Context, health: &Health, shutdown: &Shutdown) {
    let readiness = health.readiness("caches");
    let (stores, stop) = (context.stores.clone(), shutdown.token());
    shutdown.spawn(async move {
        if stop.run_until_cancelled(stores.filled()).await.is_some() {
            readiness.set(true);
            stop.cancelled().await;
        }
    });
}

//! The gateway put together.

use core::net::SocketAddr;

use alloy_primitives::B256;
use coreward_link::{AssignmentFile, Link, LinkError};
use coreward_overlay::StartError;
use coreward_overlay::gateway::{self, Config, Gateway, Guests};
use coreward_telemetry::{Health, Metrics, Readiness, ServeError, Shutdown, serve};
use coreward_wire::{Duty, GatewayDuty, GatewayReport};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::key::{KeyError, load_or_make};
use crate::metrics::Series;
use crate::report::{Heard, tell};

/// Why the gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The line to the operator is not configured right.
    #[error("set up the line to the operator")]
    Link(#[from] LinkError),
    /// A series could not be registered: a mistake in our wiring.
    #[error("register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The key cannot be had.
    #[error("get the gateway's key")]
    Key(#[from] KeyError),
    /// There is no address from outside for this replica.
    #[error(
        "replica `{replica}` has no address from outside: {given} are given, in the order of the replicas, from number 0"
    )]
    NoAddress {
        /// As named.
        replica: String,
        /// How many there are.
        given: usize,
    },
    /// The relay cannot start.
    #[error("start the relay")]
    Relay(#[from] StartError),
    /// The seed makes no key.
    #[error("the seed on the volume makes no key: remove it for a new one")]
    Seed,
    /// An address cannot be listened on.
    #[error("serve health and metrics")]
    Serve(#[from] ServeError),
    /// The task that reads the key ended early.
    #[error("read the gateway's key")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs the gateway until `shutdown`.
///
/// # Errors
///
/// [`GatewayError`] of the part that could not start, or ended.
pub async fn run(args: Args, shutdown: &Shutdown) -> Result<(), GatewayError> {
    let link = Link::new(args.link())?;
    let metrics = Metrics::new("gateway", env!("CARGO_PKG_VERSION"))?;
    let (series, health) = (Series::register(&metrics)?, Health::new());
    let outside = args.outside().ok_or_else(|| GatewayError::NoAddress {
        replica: args.replica.clone(),
        given: args.outside.len(),
    })?;
    let state = args.state_dir.clone();
    let seed = spawn_blocking(move || load_or_make(&state)).await??;
    let report = report(seed, outside, args.relay_port).ok_or(GatewayError::Seed)?;
    let config = Config {
        seed,
        listen: ["/ip4/0.0.0.0", "/ip6/::"]
            .map(|at| format!("{at}/tcp/{}", args.relay_port))
            .into(),
        outside: vec![multiaddr(outside)],
        limits: args.limits(),
    };
    let (gateway, relay) = gateway::start(&config)?;
    let (heard, poll) = link.assignments(Some(AssignmentFile::in_directory(&args.state_dir)));
    shutdown.spawn_vital("relay", relay.run(shutdown.token()));
    shutdown.spawn_vital("assignments", poll.run(shutdown.token()));
    shutdown.spawn_vital("reports", tell(link, report, heard.clone(), shutdown.token()));
    shutdown.spawn_vital("figures", series.clone().follow(gateway.figures(), shutdown.token()));
    let ready = health.readiness("was told its members");
    shutdown.spawn_vital("members", follow(heard, gateway, series, ready, shutdown.token()));
    let page = coreward_telemetry::router(metrics, health);
    let ended = serve(args.listen, page, shutdown.token()).await;
    shutdown.stop();
    ended.map_err(GatewayError::from)
}

/// Gives each list to the relay as it comes; the one from before a restart first.
async fn follow(
    mut heard: Heard,
    gateway: Gateway,
    series: Series,
    ready: Readiness,
    stop: CancellationToken,
) {
    let following = async {
        heard.mark_changed();
        while heard.changed().await.is_ok() {
            let Some(assignment) = heard.borrow_and_update().clone() else { continue };
            let Duty::Gateway(duty) = &assignment.duty else {
                tracing::error!(
                    "the operator sent the duty of another kind of pod; the last list stands"
                );
                continue;
            };
            let guests = guests(duty);
            series.guests_are(guests.own.len() + guests.others.len());
            tracing::info!(
                gateway.own = guests.own.len(),
                gateway.others = guests.others.len(),
                "the gateway has a new list of members"
            );
            gateway.set_guests(guests);
            ready.set(true);
        }
    };
    stop.run_until_cancelled(following).await;
}

fn guests(duty: &GatewayDuty) -> Guests {
    let keys = |keys: &[B256]| keys.iter().map(|key| key.0).collect();
    Guests { own: keys(&duty.own), others: keys(&duty.others) }
}

fn report(seed: [u8; 32], outside: SocketAddr, port: u16) -> Option<GatewayReport> {
    let key = gateway::key_of_seed(seed)?;
    let address = format!("{}{}", multiaddr(outside), gateway::suffix(&key)?);
    Some(GatewayReport { key: key.into(), addresses: vec![address], port })
}

fn multiaddr(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{family}/{}/tcp/{}", address.ip(), address.port())
}

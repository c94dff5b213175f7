//! Keeps the endpoint reachable and trusted: the authority, the anchor, the serving certificate, the slice.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::endpoint::{self, ClusterKeys};
use crate::pki::{self, Authority, Material};

/// Between looks while all is well.
const LOOK: Duration = Duration::from_secs(15);
/// Between looks while something is missing.
const HURRY: Duration = Duration::from_secs(1);
/// Longest look; the API server may be away.
const LIMIT: Duration = Duration::from_secs(20);
/// How many looks pass between two readings of the cluster's keys.
const KEYS_EVERY: u64 = 40;

type Anchors = watch::Sender<Option<Arc<str>>>;
type Certificates = watch::Sender<Option<Arc<ServerConfig>>>;

/// Keeps all of it until stopped; in every replica, so that a new leader serves at once.
pub(super) async fn keep(
    context: Arc<Context>,
    keys: ClusterKeys,
    to: (Anchors, Certificates),
    stop: CancellationToken,
) {
    let mut leadership = context.leadership.clone();
    let mut known: Option<Material> = None;
    let mut looks: u64 = 0;
    loop {
        if looks.is_multiple_of(KEYS_EVERY) {
            let _ = stop.run_until_cancelled(keys.look()).await;
        }
        looks = looks.wrapping_add(1);
        let term = context.leadership.term();
        let look = timeout(LIMIT, look(&context, &mut known, &to));
        let well = match stop.run_until_cancelled(look).await {
            None => return,
            Some(Ok(Ok(()))) => known.is_some(),
            Some(Ok(Err(error))) => {
                let error = coreward_telemetry::causes(error.as_ref());
                tracing::warn!(error = %error, "the pods' endpoint is not in order");
                false
            }
            Some(Err(_)) => false,
        };
        let pause = if well { LOOK } else { HURRY };
        let woken = async {
            tokio::select! {
                () = sleep(pause) => {}
                // A new leader must be found by the pods at once.
                () = leadership.turns(term) => {}
            }
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn look(
    context: &Context,
    known: &mut Option<Material>,
    to: &(Anchors, Certificates),
) -> Result<(), Failure> {
    let leads = context.leadership.may_send();
    let authority = if leads {
        Some(pki::ensure(&context.client, &context.namespace).await?)
    } else {
        pki::read(&context.client, &context.namespace).await?
    };
    let Some(authority) = authority else { return Ok(()) };
    if known.as_ref() != Some(authority.material()) {
        present(context, &authority, to)?;
        *known = Some(authority.material().clone());
    }
    if leads && context.leadership.may_send() {
        pki::keep_anchor(&context.client, &context.namespace, &authority.material().certificate)
            .await?;
        if let Some(serving) = context.serving {
            endpoint::claim(&context.client, &context.namespace, serving).await?;
        }
    }
    Ok(())
}

fn present(
    context: &Context,
    authority: &Authority,
    (anchors, certificates): &(Anchors, Certificates),
) -> Result<(), pki::Error> {
    certificates.send_replace(Some(authority.serving(&endpoint::names(&context.namespace))?));
    anchors.send_replace(Some(pki::certificate_of(authority)));
    Ok(())
}

//! Keeps the endpoint reachable and trusted: the authority, the anchor, the serving certificate, the slice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::endpoint::{self, ClusterKeys};
use crate::labels::DEAL;
use crate::pki::{self, Authority, Generations};

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
    let mut known: Option<Known> = None;
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

/// The authority as it was seen last.
struct Known {
    kept: Generations,
    /// Namespaces of deals whose pods were told of it.
    told: BTreeSet<String>,
}

async fn look(
    context: &Context,
    known: &mut Option<Known>,
    to: &(Anchors, Certificates),
) -> Result<(), Failure> {
    let leads = context.leadership.may_send();
    let kept = if leads {
        Some(pki::ensure(&context.client, &context.namespace).await?)
    } else {
        pki::read(&context.client, &context.namespace).await?
    };
    let Some(kept) = kept else { return Ok(()) };
    if known.as_ref().is_none_or(|known| known.kept != kept) {
        present(context, &kept, to)?;
        *known = Some(Known { kept, told: BTreeSet::new() });
    }
    let Some(known) = known.as_mut().filter(|_| leads && context.leadership.may_send()) else {
        return Ok(());
    };
    pki::keep_anchor(&context.client, &context.namespace, &known.kept.bundle()).await?;
    if let Some(serving) = context.serving {
        endpoint::claim(&context.client, &context.namespace, serving).await?;
    }
    tell(context, known).await
}

/// Brings the anchors of the deals' namespaces up to date, once for each change.
async fn tell(context: &Context, known: &mut Known) -> Result<(), Failure> {
    let namespaces = context.stores.namespaces.all();
    let names = namespaces.iter().filter(|found| found.labels().contains_key(DEAL));
    let names: BTreeSet<String> = names.map(|found| found.name_any()).collect();
    known.told.retain(|told| names.contains(told));
    let bundle = known.kept.bundle();
    for name in names {
        if !known.told.contains(&name) {
            pki::refresh_anchor(&context.client, &name, &bundle).await?;
            known.told.insert(name);
        }
    }
    Ok(())
}

fn present(
    context: &Context,
    kept: &Generations,
    (anchors, certificates): &(Anchors, Certificates),
) -> Result<(), pki::Error> {
    let authority = Authority::load(kept.current.clone())?;
    certificates.send_replace(Some(authority.serving(&endpoint::names(&context.namespace))?));
    anchors.send_replace(Some(kept.bundle().into()));
    Ok(())
}

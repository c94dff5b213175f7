//! The short pod that shows which CPUs a node gives; what it showed stays on it, so that it is asked once.

use coreward_wire::{Duty, Report};
use k8s_openapi::api::core::v1;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::anchor;
use crate::apply;
use crate::clock;
use crate::labels::{NODE, PROBE, component};
use crate::node::cordon::is_cordoned;
use crate::node::evidence::Evidence;
use crate::pods::{Pod, ProbeOrder, Surroundings, probe};
use crate::turn::{Error, Shared};

/// Annotation of a probe pod: what it reported, as JSON.
pub const EVIDENCE: &str = "coreward.dev/evidence";

/// Seconds after which a probe that came to nothing is made again.
const AGAIN_SECONDS: i64 = 30;

/// Makes the probe of a node that has none, tells it its duty, keeps what it reported, clears away one that failed.
///
/// # Errors
///
/// [`Error`]: the API server did not take a write.
pub async fn ensure(shared: &Shared, node: &str, evidence: &Evidence) -> Result<(), Error> {
    let pods = shared.context.stores.pods.all();
    let present = pods.iter().find(|pod| {
        component(pod.as_ref()) == Some(PROBE)
            && pod.annotations().get(NODE).is_some_and(|name| name == node)
    });
    match present {
        Some(pod) => follow(shared, pod).await,
        None => create(shared, node, evidence).await,
    }
}

async fn create(shared: &Shared, node: &str, evidence: &Evidence) -> Result<(), Error> {
    let (None, Some(threads_per_core)) = (&evidence.cpu, evidence.threads_per_core()) else {
        return Ok(());
    };
    let object = shared.context.stores.nodes.get_cluster(node);
    if object.is_some_and(|node| is_cordoned(&node)) {
        return Ok(());
    }
    let context = &shared.context;
    let anchor = anchor::uid(shared, &context.namespace).await?;
    let at = Surroundings {
        config: &context.config,
        namespace: &context.namespace,
        anchor: &anchor,
        node,
        threads_per_core,
    };
    let pod = probe(&at, &ProbeOrder { name: &name(node) })?;
    apply::create(&Api::namespaced(context.client.clone(), &context.namespace), &pod).await
}

async fn follow(shared: &Shared, pod: &Pod) -> Result<(), Error> {
    let hub = &shared.context.hub;
    let Some(uid) = pod.uid() else { return Ok(()) };
    if pod.annotations().contains_key(EVIDENCE) {
        return Ok(());
    }
    if let Some(Report::Probe(report)) = hub.report(&uid).map(|received| received.report) {
        return keep(shared, pod, &report).await;
    }
    hub.assign(&uid, Duty::Probe);
    if has_ended(pod) { clear(shared, pod, uid).await } else { Ok(()) }
}

async fn keep(
    shared: &Shared,
    pod: &Pod,
    report: &coreward_wire::ProbeReport,
) -> Result<(), Error> {
    let evidence = serde_json::to_string(&report.cpu)
        .map_err(|source| Error::Build { what: "evidence", source })?;
    let body = json!({ "metadata": { "annotations": { EVIDENCE: evidence } } });
    let api: Api<v1::Pod> =
        Api::namespaced(shared.context.client.clone(), &shared.context.namespace);
    let name = pod.name_any();
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map(drop)
        .or_else(apply::gone_is_fine)
        .map_err(|source| Error::write("evidence", &name, source))
}

async fn clear(shared: &Shared, pod: &Pod, uid: String) -> Result<(), Error> {
    let api: Api<v1::Pod> =
        Api::namespaced(shared.context.client.clone(), &shared.context.namespace);
    let name = pod.name_any();
    api.delete(&name, &apply::of_uid(Some(uid), Some(0)))
        .await
        .map(drop)
        .or_else(apply::gone_is_fine)
        .map_err(|source| Error::write("deletion", &name, source))
}

/// Whether it ended without a word, and long enough ago.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let created = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    matches!(phase, Some("Failed" | "Succeeded"))
        && clock::wall().as_second() - created > AGAIN_SECONDS
}

fn name(node: &str) -> String {
    format!("probe-{}", hex::encode(&Sha256::digest(node)[..6]))
}

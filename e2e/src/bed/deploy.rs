//! The product, installed into the bed as a user installs it: by Helm.

use std::{path::Path, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Bed,
    command::Run,
    error::{Error, Result},
    image, paths, progress,
    progress::step,
};

/// The namespace of the operator.
pub const NAMESPACE: &str = "coreward-system";
const READY_LIMIT: Duration = Duration::from_mins(2);
const INTERVAL: Duration = Duration::from_millis(100);

/// Brings the product's images onto the nodes, installs or upgrades both charts, and waits until the operator is ready.
///
/// `values` go over the bed's own: images by content, the operator on the node without exclusive cores, the bed's
/// gateway. Secrets that `values` name must be there, or come soon.
///
/// # Errors
/// Helm's words, [`Error::Late`] where the operator does not become ready, and those of [`image::ensure`].
pub async fn deploy(bed: &Bed, values: Value) -> Result<()> {
    let images = image::ensure(bed, &image::PRODUCT).await?;
    let mut all = json!({
        "clusterName": "bed",
        "operator": { "nodeSelector": { "coreward.dev/pool": "shared" } },
        "artifactGateways": [bed.gateway_url()],
        "images": {
            "operator": images.get("operator"),
            "prover": images.get("prover"),
            "worker": images.get("worker"),
            "node": images.get("node"),
            "gateway": images.get("gateway"),
            "pullPolicy": "IfNotPresent",
        },
    });
    merge(&mut all, values);
    let file = bed.paths().state.join("values.json");
    paths::write(&file, all.to_string())?;
    define(bed).await?;
    if is_half_removed(bed).await {
        rollback(bed).await?;
    }
    step("installing the product", install(bed, "coreward", Some(&file))).await?;
    step("waiting for the operator", ready(bed, "coreward-operator")).await
}

/// Installs the definitions alone, as a user does before the product.
///
/// # Errors
/// Helm's words.
pub async fn define(bed: &Bed) -> Result<()> {
    step("installing the definitions", install(bed, "coreward-crds", None)).await
}

/// Removes the product and its definitions.
///
/// # Errors
/// Helm's words.
pub async fn undeploy(bed: &Bed) -> Result<()> {
    for chart in ["coreward", "coreward-crds"] {
        helm(bed, format!("remove {chart}"))
            .args(["uninstall", chart, "--ignore-not-found", "--wait"])
            .output()
            .await?;
    }
    Ok(())
}

/// What Helm says of a release.
#[derive(Debug, Deserialize)]
struct Release {
    info: ReleaseInfo,
    version: u32,
}

#[derive(Debug, Deserialize)]
struct ReleaseInfo {
    status: String,
}

/// The product's release, if there is one.
async fn release(bed: &Bed) -> Option<Release> {
    let status = helm(bed, "look at coreward".to_owned());
    let words = status.args(["status", "coreward", "--output", "json"]).output().await.ok()?;
    serde_json::from_str(&words).ok()
}

/// Whether a removal of the product was refused, and nobody has put the release in order since.
async fn is_half_removed(bed: &Bed) -> bool {
    release(bed).await.is_some_and(|release| release.info.status == "uninstalling")
}

/// Puts the product's release in order after a removal that was refused: Helm takes it for half removed until then.
///
/// # Errors
/// Helm's words, [`Error::Late`] where the operator does not become ready.
pub async fn rollback(bed: &Bed) -> Result<()> {
    let revision = release(bed).await.map_or(1, |release| release.version).to_string();
    let run = helm(bed, "take back the removal of coreward".to_owned());
    run.args(["rollback", "coreward", &revision]).output().await?;
    step("waiting for the operator", ready(bed, "coreward-operator")).await
}

async fn install(bed: &Bed, chart: &str, values: Option<&Path>) -> Result<()> {
    let folder = bed.paths().checkout.join("charts").join(chart);
    let mut run = helm(bed, format!("install the chart {chart}"))
        .args(["upgrade", "--install", "--create-namespace", chart])
        .args([folder]);
    if let Some(file) = values {
        run = run.args(["--values"]).args([file]);
    }
    run.output().await.map(drop)
}

fn helm(bed: &Bed, operation: String) -> Run {
    // Its caches belong to the bed, not to the person's home.
    let home = bed.paths().state.join("helm");
    Run::new(bed.programs().join("helm"), operation)
        .env("KUBECONFIG", bed.kubeconfig())
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .args(["--namespace", NAMESPACE])
}

/// Waits until the newest version of a Deployment is the only one and ready.
async fn ready(bed: &Bed, name: &str) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(bed.client().clone(), NAMESPACE);
    let started = progress::now();
    while started.elapsed() < READY_LIMIT {
        let deployment =
            api.get(name).await.map_err(Error::cluster(format!("read the Deployment {name}")))?;
        if is_rolled_out(&deployment) {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(Error::Late {
        what: format!("the Deployment {name}"),
        seconds: READY_LIMIT.as_secs(),
        look: format!("see `kubectl --namespace {NAMESPACE} describe pods`"),
    })
}

pub(super) fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && status.ready_replicas == Some(wanted)
            && status.updated_replicas == Some(wanted)
            && status.replicas == Some(wanted)
    })
}

/// Puts `over` over `base`: objects field by field, everything else whole.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    #[test]
    fn values_go_over_defaults_field_by_field() {
        let mut base =
            json!({ "operator": { "replicas": 2, "nodeSelector": { "a": "b" } }, "networks": [1] });
        merge(&mut base, json!({ "operator": { "replicas": 1 }, "networks": [2, 3] }));
        assert_eq!(
            base,
            json!({ "operator": { "replicas": 1, "nodeSelector": { "a": "b" } }, "networks": [2, 3] })
        );
    }
}

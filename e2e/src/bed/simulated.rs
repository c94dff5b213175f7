//! Nodes that KWOK plays: real objects on the real API server, with pods that are Ready and run nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

use super::{
    Bed,
    error::{Error, Result},
    life, paths, process, progress,
};

/// The value of the label `coreward.dev/pool` of every simulated node: an offer of this pool uses no other.
pub const SIMULATED: &str = "simulated";
/// What the names of simulated nodes begin with: it tells the pods of those that are gone already.
const PREFIX: &str = "simulated-";
/// The name of the process of the bed.
const KWOK: &str = "kwok";
/// How KWOK plays nodes and pods.
const STAGES: &str = include_str!("kwok.yaml");
/// Addresses of simulated pods: set aside for benchmarks (RFC 2544), so that no packet for them finds anybody.
const POD_ADDRESSES: &str = "198.18.0.0/16";
/// Its parts are few and small; on a busy machine it takes some seconds.
const READY_LIMIT: Duration = Duration::from_mins(2);
const REMOVAL_LIMIT: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_millis(100);

/// What every simulated node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulated {
    /// How many nodes.
    pub nodes: u32,
    /// CPUs that pods may have on each.
    pub cpus: u32,
    /// Memory that pods may have on each.
    pub gibibytes: u32,
}

/// Whether a pod is on a simulated node, or bound to one that is gone.
#[must_use]
pub fn is_simulated(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    // A probe that was never scheduled names its node there.
    let meant = pod.annotations().get("coreward.dev/node").map(String::as_str);
    node.or(meant).is_some_and(|name| name.starts_with(PREFIX))
}

/// Starts KWOK as a process of the bed, makes the nodes, and waits until they are Ready.
///
/// # Errors
/// Those of [`Bed::kwok`]; [`Error::Cluster`]; [`Error::Late`] with the place of KWOK's log.
pub async fn simulate(bed: &Bed, wanted: Simulated) -> Result<()> {
    let program = Box::pin(bed.kwok()).await?;
    let stages = bed.paths().state.join("kwok.yaml");
    paths::write(&stages, STAGES)?;
    let words = [
        program.display().to_string(),
        format!("--config={}", stages.display()),
        format!("--kubeconfig={}", bed.kubeconfig().display()),
        format!("--manage-nodes-with-label-selector=coreward.dev/pool={SIMULATED}"),
        format!("--cidr={POD_ADDRESSES}"),
        "--node-lease-duration-seconds=40".to_owned(),
    ];
    process::start(bed.paths(), KWOK, Some(&bed.control_room()), &words)?;
    let nodes: Api<Node> = Api::all(bed.client().clone());
    for number in 1..=wanted.nodes {
        let node = node(number, wanted)?;
        let what = format!("create the node {}", node.name_any());
        nodes.create(&PostParams::default(), &node).await.map_err(Error::cluster(what))?;
    }
    ready(bed, wanted.nodes).await
}

/// Removes the simulated nodes with all pods on them, and ends KWOK; does nothing where there are none.
///
/// # Errors
/// [`Error::Cluster`], [`Error::Late`].
pub async fn end_simulation(bed: &Bed) -> Result<()> {
    let started = progress::now();
    let nodes: Api<Node> = Api::all(bed.client().clone());
    let pods: Api<Pod> = Api::all(bed.client().clone());
    for node in simulated(bed).await? {
        // One that is gone meanwhile is what we want; one that stays is seen below.
        let _ = nodes.delete(&node.name_any(), &DeleteParams::default()).await;
    }
    loop {
        let list = pods.list(&ListParams::default()).await;
        let mut left = list.map_err(Error::cluster("list pods"))?.items;
        left.retain(is_simulated);
        for pod in &left {
            let own: Api<Pod> =
                Api::namespaced(bed.client().clone(), &pod.namespace().unwrap_or_default());
            // No kubelet will ever confirm its end.
            let _ = own.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
        }
        if left.is_empty() && simulated(bed).await?.is_empty() {
            break;
        }
        if started.elapsed() > REMOVAL_LIMIT {
            return Err(Error::Late {
                what: "the end of all simulated nodes and pods".into(),
                seconds: REMOVAL_LIMIT.as_secs(),
                look: format!("see {}", bed.paths().log(KWOK).display()),
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
    process::end(bed.paths(), &[KWOK.to_owned()]).await;
    Ok(())
}

fn node(number: u32, wanted: Simulated) -> Result<Node> {
    let name = format!("{PREFIX}{number}");
    let amounts = json!({
        "cpu": wanted.cpus.to_string(),
        "memory": format!("{}Gi", wanted.gibibytes),
        "pods": "250",
    });
    let node = json!({
        "metadata": {
            "name": name,
            "labels": {
                "coreward.dev/pool": SIMULATED,
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
            },
        },
        // As on the bed's own compute nodes: nothing but units and agents comes here.
        "spec": { "taints": [{ "key": "coreward.dev/compute", "effect": "NoSchedule" }] },
        "status": { "allocatable": amounts, "capacity": amounts },
    });
    serde_json::from_value(node).map_err(Error::malformed("a simulated node"))
}

async fn simulated(bed: &Bed) -> Result<Vec<Node>> {
    let nodes: Api<Node> = Api::all(bed.client().clone());
    let labels = format!("coreward.dev/pool={SIMULATED}");
    let list = nodes.list(&ListParams::default().labels(&labels)).await;
    Ok(list.map_err(Error::cluster("list the simulated nodes"))?.items)
}

async fn ready(bed: &Bed, count: u32) -> Result<()> {
    let started = progress::now();
    while started.elapsed() < READY_LIMIT {
        let ready = simulated(bed).await?.iter().filter(|node| life::is_ready(node)).count();
        if u32::try_from(ready) == Ok(count) {
            return Ok(());
        }
        if process::alive(bed.paths(), KWOK).is_none() {
            return Err(super::control_plane::ended(bed.paths(), KWOK));
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(Error::Late {
        what: format!("{count} simulated nodes"),
        seconds: READY_LIMIT.as_secs(),
        look: format!("see {}", bed.paths().log(KWOK).display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: Option<&str>, annotation: Option<&str>) -> Pod {
        let mut pod = Pod::default();
        pod.spec.get_or_insert_default().node_name = node.map(str::to_owned);
        if let Some(meant) = annotation {
            pod.annotations_mut().insert("coreward.dev/node".to_owned(), meant.to_owned());
        }
        pod
    }

    #[test]
    fn a_pod_is_told_by_the_node_that_it_is_on_or_for() {
        assert!(is_simulated(&pod(Some("simulated-1"), None)));
        assert!(is_simulated(&pod(None, Some("simulated-1"))));
        assert!(!is_simulated(&pod(Some("n1"), Some("simulated-1"))));
        assert!(!is_simulated(&pod(None, None)));
    }

    #[test]
    fn a_simulated_node_is_fenced_like_a_compute_node() {
        let node = node(3, Simulated { nodes: 3, cpus: 40, gibibytes: 128 }).unwrap();
        assert_eq!(node.labels()["coreward.dev/pool"], SIMULATED);
        let taints = node.spec.and_then(|spec| spec.taints).unwrap();
        assert_eq!(taints[0].key, "coreward.dev/compute");
        let allocatable = node.status.and_then(|status| status.allocatable).unwrap();
        assert_eq!((&*allocatable["cpu"].0, &*allocatable["memory"].0), ("40", "128Gi"));
    }

    #[test]
    fn every_stage_of_kwok_is_whole() {
        for text in STAGES.split("\n---\n") {
            let stage: serde_json::Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(stage["kind"], "Stage");
            assert!(stage["spec"]["resourceRef"]["kind"].is_string(), "{text}");
            assert!(stage["spec"]["next"].is_object(), "{text}");
        }
    }
}

//! Nodes, as the people of a data center keep them.

use alloy::primitives::B256;
use k8s_openapi::api::core::v1::{Event, Node as ClusterNode, Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{EvictParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::{STEP, ensure, listed, offer::Offered, pods, proving};
use crate::{
    bed::{self, NODES, Node},
    world::{Error, PodProcess, Result, World, chain_of, cluster, processes_of, until},
};

/// The node that a pod runs on.
///
/// # Errors
/// [`Error::Finding`] where the bed has none of that name.
pub fn of_pod(pod: &Pod) -> Result<Node> {
    let name = pods::node(pod);
    NODES
        .into_iter()
        .find(|node| node.name == name)
        .ok_or_else(|| Error::Finding(format!("{} is on node {name:?}", pod.name_any())))
}

/// What `kubectl` says.
///
/// # Errors
/// [`Error::Finding`] with its words.
pub async fn kubectl(world: &World, words: &[&str]) -> Result<String> {
    let said = bed::kubectl(world.bed(), words).await;
    said.map_err(|error| Error::Finding(chain_of(&error)))
}

/// Waits until the cluster calls a node ready, or not.
///
/// # Errors
/// [`Error::Late`].
pub async fn ready(world: &World, node: Node, wanted: bool) -> Result<()> {
    let nodes: Api<ClusterNode> = Api::all(world.client());
    until(&format!("node {} is ready: {wanted}", node.name), STEP, async || {
        let object = nodes.get(node.name).await.map_err(cluster("read a node"))?;
        let conditions = object.status.and_then(|status| status.conditions).unwrap_or_default();
        let is_ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        Ok((is_ready == wanted).then_some(()))
    })
    .await
}

/// Asks for the eviction of a pod, and wants it refused for a budget; gives the words.
///
/// # Errors
/// [`Error::Finding`] where it was not refused, or for something else.
pub async fn eviction_refused(world: &World, pod: &Pod) -> Result<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(impatient(world).await?, &namespace);
    match api.evict(&pod.name_any(), &EvictParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 429 => Ok(status.message.clone()),
        other => Err(Error::Finding(format!("the eviction gave {other:?}"))),
    }
}

/// A client that takes the first answer: the usual one asks for minutes where it is told that something is too early.
async fn impatient(world: &World) -> Result<Client> {
    let unusable = |error: &dyn std::error::Error| Error::Finding(chain_of(error));
    let file = Kubeconfig::read_from(world.bed().kubeconfig()).map_err(|error| unusable(&error))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| unusable(&error))?;
    config.default_retry = false;
    Client::try_from(config).map_err(cluster("make a client"))
}

/// Writes into a pod's status that the kubelet refused it, in its words.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn refuse(world: &World, pod: &Pod, (reason, message): (&str, &str)) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(world.client(), bed::NAMESPACE);
    let body = json!({ "status": { "phase": "Failed", "reason": reason, "message": message } });
    let name = pod.name_any();
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map(drop)
        .map_err(cluster(format!("write into the status of {name}")))
}

/// The note of an event about a unit, once there is one of this reason with these words.
///
/// # Errors
/// [`Error::Late`].
pub async fn told(
    world: &World,
    (offered, unit): (&Offered, B256),
    (reason, words): (&str, &str),
) -> Result<String> {
    let name = format!("{}-{}", offered.name, proving::short(unit));
    told_of(world, &name, (reason, words)).await
}

/// The same of any object of the story's namespace by its name.
///
/// # Errors
/// [`Error::Late`].
pub async fn told_of(world: &World, name: &str, (reason, words): (&str, &str)) -> Result<String> {
    let events: Api<Event> = Api::namespaced(world.client(), world.namespace());
    until(&format!("an event {reason} of {name} says {words:?}"), STEP, async || {
        let found = listed(&events).await?.into_iter().find_map(|event| {
            let is_it = event.involved_object.name.as_deref() == Some(name)
                && event.reason.as_deref() == Some(reason);
            event.message.filter(|note| is_it && note.contains(words))
        });
        Ok(found)
    })
    .await
}

/// The process that hashes in a pod.
///
/// # Errors
/// [`Error::Finding`] where there is none.
pub fn prover_process(pod: &Pod) -> Result<PodProcess> {
    let mut processes = processes_of(&pods::uid(pod))?;
    processes.retain(|process| process.name.starts_with("coreward"));
    processes.pop().ok_or_else(|| Error::Finding(format!("no prover runs in {}", pod.name_any())))
}

/// How many proofs of a unit the contract counts in the present epoch, and how many it wants.
///
/// # Errors
/// [`Error::Chain`].
pub async fn proofs(world: &World, offered: &Offered, unit: B256) -> Result<(u64, u64)> {
    let epoch = world.oracle().epoch().await?;
    let mut count = 0;
    for peer in offered.peers.iter().filter(|peer| peer.units.contains(&unit)) {
        let counts = world.oracle().proof_counts(peer.commitment).await?;
        count = counts.get(&unit).copied().unwrap_or_default();
    }
    Ok((count, epoch.min_proofs))
}

/// Checks that the keys of a story's people sent nothing since `block` but proofs and what collects rewards.
///
/// # Errors
/// [`Error::Finding`] naming the other.
pub async fn nothing_but_proofs(world: &World, block: u64) -> Result<()> {
    for account in [&world.party().provider, &world.party().peer_owner] {
        for sent in world.oracle().used_nonces(account.address, block).await? {
            let is_usual =
                ["roof", "ithdraw", "ulticall"].iter().any(|it| sent.function.contains(it));
            ensure(is_usual, || format!("{} was sent in block {}", sent.function, sent.block))?;
        }
    }
    Ok(())
}

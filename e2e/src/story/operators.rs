//! The operator's own replicas.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, EvictParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::{STEP, ensure, node, page, pods};
use crate::{
    bed::NAMESPACE,
    world::{Error, PodProcess, Result, World, chain_of, cluster, processes_of, until},
};

/// How many there are.
const COUNT: usize = 2;

/// The pods of the replicas, those on their way out included.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn replicas(world: &World) -> Result<Vec<Pod>> {
    pods::of_component(&world.client(), "operator").await
}

/// A client that acts as the operator's own account.
///
/// # Errors
/// [`Error::Finding`] where the bed's client configuration cannot be used.
pub async fn in_its_name(world: &World) -> Result<Client> {
    let unusable = |error: &dyn std::error::Error| Error::Finding(chain_of(error));
    let file = Kubeconfig::read_from(world.bed().kubeconfig()).map_err(|error| unusable(&error))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| unusable(&error))?;
    config.auth_info.impersonate =
        Some(format!("system:serviceaccount:{NAMESPACE}:coreward-operator"));
    Client::try_from(config).map_err(cluster("make a client"))
}

/// Replaces every replica by a new one, and waits until all are ready and one of them leads; gives the pods.
///
/// # Errors
/// [`Error::Late`], [`Error::Cluster`].
pub async fn renew(world: &World) -> Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(world.client(), NAMESPACE);
    let old: BTreeSet<String> = replicas(world).await?.iter().map(ResourceExt::name_any).collect();
    for name in &old {
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.map(drop).map_err(cluster(format!("delete the replica {name}")))?;
    }
    until("new replicas are ready, and one of them leads", STEP, async || {
        let now = replicas(world).await?;
        ensure(now.len() == COUNT, || format!("{} are there", now.len()))?;
        let is_new = |pod: &Pod| !old.contains(&pod.name_any()) && pods::is_ready(pod);
        ensure(now.iter().all(is_new), || "not all are new and ready".to_owned())?;
        let leader = pods::leader(&world.client()).await?.name_any();
        ensure(!old.contains(&leader), || format!("{leader} leads still"))?;
        Ok(Some(now))
    })
    .await
}

/// Sets the number of replicas, and waits until so many are ready and, if there are any, one of them leads.
///
/// # Errors
/// [`Error::Late`], [`Error::Cluster`].
pub async fn scale(world: &World, count: usize) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(world.client(), NAMESPACE);
    let body = json!({ "spec": { "replicas": count } });
    let scaled =
        api.patch_scale("coreward-operator", &PatchParams::default(), &Patch::Merge(&body)).await;
    scaled.map_err(cluster("scale the operator"))?;
    until(&format!("{count} replicas are ready"), STEP, async || {
        let now = replicas(world).await?;
        ensure(now.len() == count, || format!("{} are there", now.len()))?;
        ensure(now.iter().all(pods::is_ready), || "not all are ready".to_owned())?;
        if count > 0 {
            pods::leader(&world.client()).await?;
        }
        Ok(Some(()))
    })
    .await
}

/// Evicts the replica that leads and, while it is away, the other; gives how long nobody led, and the words that the second
/// eviction was refused with.
///
/// # Errors
/// [`Error::Finding`] where the second was not refused; [`Error::Late`].
pub async fn evict_both(world: &World) -> Result<(Duration, String)> {
    let leader = pods::leader(&world.client()).await?;
    let all = replicas(world).await?;
    let other = all.iter().find(|pod| pods::uid(pod) != pods::uid(&leader));
    let other = other.ok_or_else(|| Error::Finding("one replica is there".to_owned()))?;
    let api: Api<Pod> = Api::namespaced(world.client(), NAMESPACE);
    let began = super::now();
    let evicted = api.evict(&leader.name_any(), &EvictParams::default()).await;
    evicted.map_err(cluster("evict the leader"))?;
    let refusal = node::eviction_refused(world, other).await?;
    // The one that stands in for the leader may be quicker than the other.
    until("another replica leads", STEP, async || {
        let now = pods::leader(&world.client()).await?;
        Ok((pods::uid(&now) != pods::uid(&leader)).then_some(()))
    })
    .await?;
    let without = began.elapsed();
    scale(world, COUNT).await?;
    Ok((without, refusal))
}

/// Checks that no container of a replica was ever started again.
///
/// # Errors
/// [`Error::Finding`] with how often they were.
pub async fn never_broke_down(world: &World) -> Result<()> {
    let restarts: i32 = replicas(world).await?.iter().map(pods::restarts).sum();
    ensure(restarts == 0, || format!("replicas were started again {restarts} times"))
}

/// How many replicas say of themselves that they lead.
///
/// # Errors
/// [`Error::Finding`] where one does not answer.
pub async fn leading(world: &World) -> Result<usize> {
    let mut leading = 0;
    for pod in replicas(world).await? {
        let page = page::of(world, &pod).await?;
        leading += page.lines().filter(|line| says_leader(line)).count();
    }
    Ok(leading)
}

/// Waits until the leader's metrics have this line.
///
/// # Errors
/// [`Error::Late`].
pub async fn shows(world: &World, line: &str) -> Result<()> {
    until(&format!("the leader's metrics say {line}"), STEP, async || {
        let page = page::of(world, &pods::leader(&world.client()).await?).await?;
        Ok(page.lines().any(|it| it == line).then_some(()))
    })
    .await
}

fn says_leader(line: &str) -> bool {
    line.starts_with("coreward_leader") && line.ends_with(" 1")
}

/// The operator's own process in one of its pods.
///
/// # Errors
/// [`Error::Finding`] where none runs.
pub fn process(pod: &Pod) -> Result<PodProcess> {
    let processes = processes_of(&pods::uid(pod))?;
    let ours = processes.into_iter().find(|process| process.name.starts_with("coreward"));
    ours.ok_or_else(|| Error::Finding(format!("no program of ours runs in {}", pod.name_any())))
}

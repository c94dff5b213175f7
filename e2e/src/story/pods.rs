//! Pods as the cluster and the machine see them.

use std::{fs, path::Path};

use alloy::primitives::B256;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Container, Pod, PodSpec, Service},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};

use super::{STEP, ensure};
use crate::{
    bed::NAMESPACE,
    world::{Error, PodProcess, Result, World, cluster, processes_of, until},
};

/// Says which unit a pod works for, in full hex.
const UNIT: &str = "coreward.dev/unit-id";
/// What the kernel calls a pod's sandbox.
const SANDBOX: &str = "pause";

/// The pods of one component in the whole cluster.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn of_component(client: &kube::Client, component: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::all(client.clone());
    let labels = format!("coreward.dev/component={component}");
    let list = pods.list(&ListParams::default().labels(&labels)).await;
    Ok(list.map_err(cluster(format!("list pods of {component}")))?.items)
}

/// The pods of `component` that work for `unit`, those on their way out included.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn of_unit(client: &kube::Client, component: &str, unit: B256) -> Result<Vec<Pod>> {
    let unit = format!("{unit:x}");
    let mut pods = of_component(client, component).await?;
    pods.retain(|pod| {
        pod.annotations().get(UNIT).is_some_and(|ids| ids.to_lowercase().contains(&unit))
    });
    Ok(pods)
}

/// Whether a pod that was listed is gone by now, or on its way out.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn is_leaving(client: &kube::Client, pod: &Pod) -> Result<bool> {
    let name = pod.name_any();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let now = pods.get_opt(&name).await.map_err(cluster(format!("look for the pod {name}")))?;
    let same = now.filter(|now| now.metadata.uid == pod.metadata.uid);
    Ok(same.is_none_or(|now| now.metadata.deletion_timestamp.is_some()))
}

/// Whether a pod is Ready and not on its way out.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// The one ready pod of `component` for `unit`, once it is there and alone.
///
/// # Errors
/// [`Error::Late`].
pub async fn ready(world: &World, component: &str, unit: B256) -> Result<Pod> {
    until(&format!("one ready {component} pod works for unit {unit}"), STEP, async || {
        let pods = of_unit(&world.client(), component, unit).await?;
        let [pod] = &pods[..] else {
            return Err(Error::Finding(format!("{} pods are there", pods.len())));
        };
        ensure(is_ready(pod), || format!("{} is {}", pod.name_any(), phase(pod)))?;
        Ok(Some(pod.clone()))
    })
    .await
}

fn phase(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let waiting = status.container_statuses.unwrap_or_default().into_iter().find_map(|it| {
        let waiting = it.state?.waiting?;
        Some(format!(
            "{} {}",
            waiting.reason.unwrap_or_default(),
            waiting.message.unwrap_or_default()
        ))
    });
    format!("{}, {}", status.phase.unwrap_or_default(), waiting.unwrap_or_default())
}

/// The one ready pod of `component` for `unit`, once it is another than the one that was.
///
/// # Errors
/// [`Error::Late`].
pub async fn another(world: &World, component: &str, unit: B256, was: &Pod) -> Result<Pod> {
    until(&format!("another {component} pod is ready"), STEP, async || {
        let pod = ready(world, component, unit).await?;
        Ok((uid(&pod) != uid(was)).then_some(pod))
    })
    .await
}

/// Waits until no pod of `component` works for `unit`.
///
/// # Errors
/// [`Error::Late`].
pub async fn gone(world: &World, component: &str, unit: B256) -> Result<()> {
    until(&format!("no {component} pod works for unit {unit}"), STEP, async || {
        let left = of_unit(&world.client(), component, unit).await?;
        Ok(left.is_empty().then_some(()))
    })
    .await
}

/// The UID of a pod; empty for one that was never created.
#[must_use]
pub fn uid(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

/// The node that a pod is on; empty while it has none.
#[must_use]
pub fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// How often the containers of a pod were started again.
#[must_use]
pub fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.clone().unwrap_or_default();
    status.container_statuses.unwrap_or_default().iter().map(|it| it.restart_count).sum()
}

/// Checks, by what the kernel lets its processes use and by what they read inside their container, that a pod has exactly
/// one whole core, and that no other pod of its node may run there; gives the CPUs.
///
/// # Errors
/// [`Error::Finding`] with what is shared.
pub async fn one_exclusive_core(world: &World, pod: &Pod) -> Result<String> {
    let processes = own_processes(pod)?;
    for process in &processes {
        let inside = process.cpus_seen_inside();
        ensure(inside.as_ref() == Some(&process.cpus), || {
            format!("{} may use {}, and reads {inside:?} inside", process.name, process.cpus)
        })?;
    }
    let mut cpus: Vec<String> = processes.into_iter().map(|process| process.cpus).collect();
    cpus.dedup();
    let [cpus] = &cpus[..] else {
        return Err(Error::Finding(format!("{} runs on several sets: {cpus:?}", pod.name_any())));
    };
    let first = cpus.split(['-', ',']).next().unwrap_or_default();
    let folder = Path::new("/sys/devices/system/cpu").join(format!("cpu{first}/topology"));
    let core = fs::read_to_string(folder.join("thread_siblings_list")).unwrap_or_default();
    ensure(core.trim() == cpus, || {
        format!("{} may use {cpus}, which is not the one core {}", pod.name_any(), core.trim())
    })?;
    let all: Api<Pod> = Api::all(world.client());
    let fields = ListParams::default().fields(&format!("spec.nodeName={}", node(pod)));
    let others = all.list(&fields).await.map_err(cluster("list pods of a node"))?;
    for other in others.items.iter().filter(|other| uid(other) != uid(pod)) {
        for process in own_processes(other).unwrap_or_default() {
            ensure(process.cpus != *cpus, || {
                format!("{} of {} may use {cpus} too", process.name, other.name_any())
            })?;
        }
    }
    Ok(cpus.clone())
}

/// A pod's processes but the sandbox.
fn own_processes(pod: &Pod) -> Result<Vec<PodProcess>> {
    let mut processes = processes_of(&uid(pod))?;
    processes.retain(|process| process.name != SANDBOX);
    ensure(!processes.is_empty(), || format!("{} has no process", pod.name_any()))?;
    Ok(processes)
}

/// The port on every node at which the Service of a worker answers.
///
/// # Errors
/// [`Error::Cluster`], [`Error::Finding`] where it has none.
pub async fn entrance(world: &World, worker_pod: &Pod) -> Result<u16> {
    let namespace = worker_pod.namespace().unwrap_or_default();
    let services: Api<Service> = Api::namespaced(world.client(), &namespace);
    let what = format!("list Services of {namespace}");
    let list = services.list(&ListParams::default()).await.map_err(cluster(what))?;
    let labels = worker_pod.labels();
    let port = list.items.into_iter().find_map(|service| {
        let spec = service.spec?;
        let selector = spec.selector?;
        let selects = !selector.is_empty()
            && selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        spec.ports.filter(|_| selects)?.first()?.node_port
    });
    port.and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| Error::Finding(format!("no Service of {namespace} leads in from outside")))
}

/// What `url` answers to a pod of the cluster: status and body.
///
/// # Errors
/// [`Error::Cluster`], [`Error::Late`] with what was seen last.
pub async fn get_from_inside(world: &World, url: &str) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(world.client(), world.namespace());
    let words = ["get", url].map(str::to_owned).to_vec();
    let container = Container {
        name: "visitor".to_owned(),
        image: Some("coreward.local/probe:dev".to_owned()),
        image_pull_policy: Some("Never".to_owned()),
        args: Some(words),
        ..Container::default()
    };
    let mut pod = Pod { spec: Some(PodSpec::default()), ..Pod::default() };
    pod.metadata.generate_name = Some("visitor-".to_owned());
    if let Some(spec) = &mut pod.spec {
        spec.containers = vec![container];
        spec.restart_policy = Some("Never".to_owned());
        spec.node_selector = Some([("coreward.dev/pool".to_owned(), "shared".to_owned())].into());
    }
    let created = until("a visitor's pod can be made", STEP, async || {
        let created = pods.create(&PostParams::default(), &pod).await;
        created.map(Some).map_err(cluster("create a visitor's pod"))
    });
    let name = created.await?.name_any();
    let said = until(&format!("the visitor {name} has been at {url}"), STEP, async || {
        let pod = pods.get(&name).await.map_err(cluster("read the visitor's pod"))?;
        let phase = phase(&pod);
        ensure(phase.starts_with("Succeeded") || phase.starts_with("Failed"), || phase)?;
        let said = pods.logs(&name, &LogParams::default()).await;
        let said = said.map_err(cluster(format!("read what {name} saw")))?;
        // What a container said last may reach its log after the kubelet has told its end; it always says something.
        Ok(Some(said).filter(|said| !said.is_empty()))
    })
    .await?;
    // The namespace ends with the story; the pod need not stay until then, and nothing hangs on it.
    let _ = pods.delete(&name, &DeleteParams::default()).await;
    Ok(said)
}

/// The process of the operator that leads, by the Lease: its pod's name, `_`, and a mark of its own.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn leading_process(client: &kube::Client) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let lease = leases.get("coreward-operator").await.map_err(cluster("read the Lease"))?;
    Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
}

/// The pod of the operator's process that leads.
///
/// # Errors
/// [`Error::Cluster`], [`Error::Finding`] where nobody leads.
pub async fn leader(client: &kube::Client) -> Result<Pod> {
    let holder = leading_process(client).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    // No pod's name has an underscore.
    let pod = holder.split('_').next().unwrap_or_default();
    let found = pods.get_opt(pod).await.map_err(cluster("read the leader's pod"))?;
    found.ok_or_else(|| Error::Finding(format!("the Lease names {holder:?}, which is no pod")))
}

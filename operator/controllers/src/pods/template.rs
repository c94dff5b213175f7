//! The pods of units, as they are created; pure.

use std::collections::{BTreeMap, BTreeSet};

use coreward_crds::CoreIsolation;
use coreward_domain::chain::Seat;
use coreward_domain::id::{PeerId, UnitId};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::config::{Config, ProverMode};
use crate::labels::{
    ANCHOR, ATTEMPT, DEAL, EVICT, HOLD, NODE, OfferKey, PEER_ID, PROBE, PROVER, TEMPLATE, UNIT_ID,
    WORKER, WORKER_ID, WORKER_POD, hash_of,
};
use crate::stores::{COMPONENT_LABEL, MANAGED_LABEL, MANAGED_VALUE};
use crate::turn::Error;

/// MiB of a prover with the whole dataset: 4.39 GiB at its peak.
pub const FULL_MEMORY_MIB: u64 = 4608;
/// MiB of a prover with the cache alone.
pub const LIGHT_MEMORY_MIB: u64 = 640;
/// MiB of a worker's host beside what its deal reserved.
pub const WORKER_OVERHEAD_MIB: u64 = 256;
/// Argument of a prover that is to use whole cores, or none.
pub const WHOLE_CORES: &str = "--whole-cores";
/// The user of our images.
const USER: u32 = 65_532;
/// Taint of compute nodes where the configuration names none.
const DEFAULT_TAINT: &str = "coreward.dev/compute";

/// MiB of a prover.
#[must_use]
pub const fn prover_memory(mode: ProverMode) -> u64 {
    match mode {
        ProverMode::Full => FULL_MEMORY_MIB,
        ProverMode::Light => LIGHT_MEMORY_MIB,
    }
}

/// Where a pod is to stand.
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// The operator's configuration.
    pub config: &'a Config,
    /// Namespace of the pod.
    pub namespace: &'a str,
    /// UID of the anchor `ConfigMap` of that namespace.
    pub anchor: &'a str,
    /// The node.
    pub node: &'a str,
    /// Threads of one core of it.
    pub threads_per_core: u32,
}

/// A prover to make.
#[derive(Clone, Debug)]
pub struct ProverOrder<'a> {
    /// The offer.
    pub offer: &'a OfferKey,
    /// Its peer.
    pub peer: PeerId,
    /// Its unit.
    pub unit: UnitId,
    /// How it hashes.
    pub mode: ProverMode,
    /// Whether it is ready on whole cores only.
    pub isolation: CoreIsolation,
    /// Pods for the unit that came to nothing just before.
    pub attempt: u32,
}

/// A worker to make.
#[derive(Clone, Debug)]
pub struct WorkerOrder<'a> {
    /// The offer.
    pub offer: &'a OfferKey,
    /// Its peer.
    pub peer: PeerId,
    /// Its seat.
    pub seat: Seat,
    /// Its units.
    pub units: &'a BTreeSet<UnitId>,
    /// MiB that its deal reserved.
    pub memory_mib: u64,
    /// Pods for the seat that came to nothing just before.
    pub attempt: u32,
}

/// A probe to make.
#[derive(Clone, Debug)]
pub struct ProbeOrder<'a> {
    /// Name of the pod.
    pub name: &'a str,
}

/// What differs between the kinds of pods.
struct Parts {
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    image: String,
    arguments: Vec<String>,
    cores: u32,
    memory_mib: u64,
    account: &'static str,
    priority_class: Option<String>,
    serves: bool,
    restart: &'static str,
    ports: Vec<(&'static str, u16)>,
}

/// The pod of a prover.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn prover(at: &Surroundings<'_>, order: &ProverOrder<'_>) -> Result<Pod, Error> {
    let mut annotations = annotations(order.peer, order.attempt);
    annotations.insert(UNIT_ID.to_owned(), order.unit.to_string());
    let mode = match order.mode {
        ProverMode::Full => "full",
        ProverMode::Light => "light",
    };
    let mut arguments = vec!["prove".to_owned()];
    arguments.extend(endpoint(at));
    arguments.extend(flags(&[
        ("state-dir", "/var/lib/coreward"),
        ("listen", "0.0.0.0:9090"),
        ("mode", mode),
    ]));
    if order.isolation == CoreIsolation::Required {
        arguments.push(WHOLE_CORES.to_owned());
    }
    build(
        at,
        Parts {
            name: format!("prover-{}-{}", order.unit.short(), order.attempt),
            labels: order.offer.labels_of(PROVER),
            annotations,
            image: at.config.images.prover.clone(),
            arguments,
            cores: 1,
            memory_mib: prover_memory(order.mode),
            account: "coreward-unit",
            priority_class: at.config.priority_classes.prover.clone(),
            serves: true,
            restart: "Always",
            ports: vec![("metrics", 9090)],
        },
    )
}

/// Hash of the template that a prover of this peer gets now; the same for all its units.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn prover_template(at: &Surroundings<'_>, order: &ProverOrder<'_>) -> Result<String, Error> {
    let pod = prover(&Surroundings { anchor: "", ..at.clone() }, order)?;
    Ok(pod.metadata.labels.unwrap_or_default().remove(TEMPLATE).unwrap_or_default())
}

/// The pod of a worker.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn worker(at: &Surroundings<'_>, order: &WorkerOrder<'_>) -> Result<Pod, Error> {
    let mut annotations = annotations(order.peer, order.attempt);
    let units: Vec<_> = order.units.iter().map(ToString::to_string).collect();
    annotations.insert(UNIT_ID.to_owned(), units.join(","));
    annotations.insert(DEAL.to_owned(), format!("{:#x}", order.seat.deal));
    annotations.insert(WORKER_ID.to_owned(), order.seat.worker.to_string());
    let mut labels = order.offer.labels_of(WORKER_POD);
    labels.insert(WORKER.to_owned(), order.seat.worker.decimal());
    let mut arguments = vec!["serve".to_owned()];
    arguments.extend(endpoint(at));
    arguments.extend(flags(&[
        ("state-dir", "/var/lib/coreward"),
        ("listen", "0.0.0.0:9090"),
        ("public-listen", "0.0.0.0:8080"),
        ("overlay-listen", "/ip4/0.0.0.0/tcp/4001"),
    ]));
    build(
        at,
        Parts {
            name: format!("{}-{}", worker_name(order.seat), order.attempt),
            labels,
            annotations,
            image: at.config.images.worker.clone(),
            arguments,
            cores: u32::try_from(order.units.len()).unwrap_or(u32::MAX),
            memory_mib: order.memory_mib.saturating_add(WORKER_OVERHEAD_MIB),
            account: "coreward-worker",
            priority_class: at.config.priority_classes.worker.clone(),
            serves: true,
            restart: "Always",
            ports: vec![("metrics", 9090), ("public", 8080), ("overlay", 4001)],
        },
    )
}

/// Name of a seat's Service, and the beginning of its pods' names.
#[must_use]
pub fn worker_name(seat: Seat) -> String {
    format!("w-{}", seat.worker.decimal())
}

/// The short pod that shows which CPUs a node gives.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn probe(at: &Surroundings<'_>, order: &ProbeOrder<'_>) -> Result<Pod, Error> {
    let mut arguments = vec!["probe".to_owned()];
    arguments.extend(endpoint(at));
    let labels = [(MANAGED_LABEL, MANAGED_VALUE), (COMPONENT_LABEL, PROBE)];
    build(
        at,
        Parts {
            name: order.name.to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            annotations: BTreeMap::from([(NODE.to_owned(), at.node.to_owned())]),
            image: at.config.images.prover.clone(),
            arguments,
            cores: 1,
            memory_mib: LIGHT_MEMORY_MIB,
            account: "coreward-unit",
            priority_class: at.config.priority_classes.prover.clone(),
            serves: false,
            restart: "OnFailure",
            ports: Vec::new(),
        },
    )
}

fn annotations(peer: PeerId, attempt: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (PEER_ID.to_owned(), peer.to_string()),
        (ATTEMPT.to_owned(), attempt.to_string()),
    ])
}

fn endpoint(at: &Surroundings<'_>) -> Vec<String> {
    flags(&[
        ("operator-url", &at.config.pods_endpoint.url),
        ("ca-file", "/var/run/coreward/anchor/ca.crt"),
        ("token-file", "/var/run/coreward/token/token"),
    ])
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Puts the parts together. Bare and Guaranteed, with whole cores, on exactly one node.
fn build(at: &Surroundings<'_>, parts: Parts) -> Result<Pod, Error> {
    let spec = spec(at, &parts);
    let mut labels = parts.labels;
    labels.insert(TEMPLATE.to_owned(), hash_of(&spec));
    labels.insert(EVICT.to_owned(), HOLD.to_owned());
    let mut annotations = parts.annotations;
    annotations.insert("sidecar.istio.io/inject".to_owned(), "false".to_owned());
    annotations.insert("linkerd.io/inject".to_owned(), "disabled".to_owned());
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": parts.name, "namespace": at.namespace, "labels": labels, "annotations": annotations,
            // A bare pod makes a drain refuse; nothing of ours hangs on this reference.
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": ANCHOR, "uid": at.anchor,
                "controller": true, "blockOwnerDeletion": false,
            }],
        },
        "spec": spec,
    });
    serde_json::from_value(pod).map_err(|source| Error::Build { what: "a unit pod", source })
}

fn spec(at: &Surroundings<'_>, parts: &Parts) -> Value {
    let mut spec = json!({
        "restartPolicy": parts.restart,
        "serviceAccountName": parts.account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        // By field, not by the hostname label, which may differ; never `nodeName`: the scheduler must check resources.
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [at.node] }] },
        ] } } },
        "tolerations": tolerations(at.config),
        "volumes": [
            { "name": "anchor", "configMap": { "name": ANCHOR } },
            { "name": "token", "projected": { "sources": [{ "serviceAccountToken": {
                "audience": coreward_wire::TOKEN_AUDIENCE, "expirationSeconds": 3600, "path": "token",
            } }] } },
            { "name": "state", "emptyDir": { "sizeLimit": "2Gi" } },
            { "name": "tmp", "emptyDir": { "sizeLimit": "256Mi" } },
        ],
        "containers": [container(at, parts)],
    });
    if let Some(class) = &parts.priority_class {
        spec["priorityClassName"] = json!(class);
    }
    spec
}

fn container(at: &Surroundings<'_>, parts: &Parts) -> Value {
    let cpus = parts.cores.saturating_mul(at.threads_per_core.max(1)).to_string();
    let resources = json!({ "cpu": cpus, "memory": format!("{}Mi", parts.memory_mib) });
    let open: Vec<_> = parts
        .ports
        .iter()
        .map(|(name, port)| json!({ "name": name, "containerPort": port }))
        .collect();
    let mut container = json!({
        "name": "unit",
        "image": parts.image,
        "imagePullPolicy": at.config.images.pull_policy.name(),
        "args": parts.arguments,
        "ports": open,
        "resources": { "requests": resources, "limits": resources },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "anchor", "mountPath": "/var/run/coreward/anchor", "readOnly": true },
            { "name": "token", "mountPath": "/var/run/coreward/token", "readOnly": true },
            { "name": "state", "mountPath": "/var/lib/coreward" },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    if parts.serves {
        container["readinessProbe"] = json!({
            "httpGet": { "path": "/readyz", "port": 9090 },
            "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3,
        });
        container["livenessProbe"] = json!({
            "httpGet": { "path": "/livez", "port": 9090 },
            "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
        });
    }
    container
}

fn tolerations(config: &Config) -> Value {
    let taint = config.node_taint.as_deref().unwrap_or(DEFAULT_TAINT);
    json!([
        { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute" },
        { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute" },
        { "key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule" },
        { "key": taint, "operator": "Exists" },
    ])
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;

//! A pod as loops see it. What none of them reads is not kept: of thousands of pods each field costs.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{
    Affinity, ContainerState, Pod as Whole, PodCondition, PodIP as PodAddress,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};

use super::template::WHOLE_CORES;
use crate::stores::MANAGED_LABEL;

/// What the names of our labels and annotations begin with.
const OURS: &str = "coreward.dev/";
/// The conditions that loops read.
const READ: [&str; 3] = ["Ready", "PodScheduled", "DisruptionTarget"];

/// A pod, read from what the API server says of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Told")]
pub struct Pod {
    /// Of labels and annotations only ours.
    pub metadata: ObjectMeta,
    /// Where it is and may be. How it was made, its label says by a hash.
    pub spec: Option<PodSpec>,
    /// How it is.
    pub status: Option<PodStatus>,
}

/// Of what was wished.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Its node, once there is one.
    pub node_name: Option<String>,
    /// The nodes that it may come to, while it is on none.
    pub affinity: Option<Box<Affinity>>,
    /// Whether it is to be ready on whole cores only.
    #[serde(default, rename = "containers", deserialize_with = "asks_for_whole_cores")]
    pub whole_cores: bool,
}

/// Of how it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// One of five words.
    pub phase: Option<String>,
    /// Why it is over.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub message: Option<String>,
    /// When a kubelet took it.
    pub start_time: Option<Time>,
    /// What holds, of what loops ask for.
    pub conditions: Option<Vec<PodCondition>>,
    /// Its addresses.
    #[serde(rename = "podIPs")]
    pub pod_ips: Option<Vec<PodAddress>>,
    /// How its containers are.
    pub container_statuses: Option<Vec<ContainerStatus>>,
}

/// Of how a container is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Whether its probe says so.
    #[serde(default)]
    pub ready: bool,
    /// How often it was started again.
    #[serde(default)]
    pub restart_count: i32,
    /// What it does.
    pub state: Option<Box<ContainerState>>,
    /// How it ended before it was started again.
    pub last_state: Option<Box<ContainerState>>,
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Whole::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Whole::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Whole::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Whole::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What the API server says, without what is not even read.
#[derive(Deserialize)]
struct Told {
    metadata: ObjectMeta,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

impl From<Told> for Pod {
    fn from(told: Told) -> Self {
        let Told { mut metadata, mut spec, mut status } = told;
        metadata.managed_fields = None;
        metadata.owner_references = None;
        let is_ours = |key: &String| key.starts_with(OURS) || key == MANAGED_LABEL;
        for words in [&mut metadata.labels, &mut metadata.annotations].into_iter().flatten() {
            words.retain(|key, _| is_ours(key));
        }
        if let Some(spec) = &mut spec {
            spec.affinity = spec.affinity.take().filter(|_| spec.node_name.is_none());
        }
        if let Some(status) = &mut status {
            if let Some(conditions) = &mut status.conditions {
                conditions.retain(|condition| READ.contains(&condition.type_.as_str()));
                conditions.shrink_to_fit();
            }
            // A list grows with room for more.
            status.pod_ips.iter_mut().for_each(Vec::shrink_to_fit);
            status.container_statuses.iter_mut().for_each(Vec::shrink_to_fit);
        }
        Self { metadata, spec, status }
    }
}

#[derive(Deserialize)]
struct Arguments {
    args: Option<Vec<String>>,
}

fn asks_for_whole_cores<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let containers = Option::<Vec<Arguments>>::deserialize(from)?;
    let mut arguments = containers.into_iter().flatten().filter_map(|it| it.args).flatten();
    Ok(arguments.any(|argument| argument == WHOLE_CORES))
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_loops_read_is_kept_and_nothing_else() {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7",
                "labels": { "app": "a", "coreward.dev/component": "prover", MANAGED_LABEL: "coreward" },
                "annotations": { "linkerd.io/inject": "disabled", "coreward.dev/attempt": "1" },
                "managedFields": [{ "manager": "m" }],
                "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u" }],
            },
            "spec": {
                "nodeName": "n1", "affinity": { "nodeAffinity": {} },
                "containers": [{ "name": "unit", "args": ["prove", WHOLE_CORES] }],
            },
            "status": {
                "phase": "Running", "podIPs": [{ "ip": "198.18.0.1" }], "hostIP": "10.0.0.1",
                "conditions": [
                    { "type": "Initialized", "status": "True" }, { "type": "Ready", "status": "True" },
                ],
                "containerStatuses": [{
                    "name": "unit", "image": "", "imageID": "", "ready": true, "restartCount": 2,
                    "state": { "running": {} }, "lastState": {},
                }],
                "initContainerStatuses": null,
            },
        }))
        .unwrap();
        assert_eq!(
            (pod.uid().as_deref(), pod.resource_version().as_deref()),
            (Some("u"), Some("7"))
        );
        assert_eq!(pod.labels().len() + pod.annotations().len(), 3);
        assert_eq!((pod.metadata.managed_fields, pod.metadata.owner_references), (None, None));
        let spec = pod.spec.unwrap();
        assert_eq!(
            (spec.node_name.as_deref(), spec.affinity, spec.whole_cores),
            (Some("n1"), None, true)
        );
        let status = pod.status.unwrap();
        let conditions = status.conditions.unwrap();
        assert_eq!((conditions.len(), conditions[0].type_.as_str()), (1, "Ready"));
        assert_eq!(
            (conditions.capacity(), status.pod_ips.unwrap()[0].ip.as_str()),
            (1, "198.18.0.1")
        );
        let containers = status.container_statuses.unwrap();
        assert_eq!((containers[0].ready, containers[0].restart_count), (true, 2));
        assert!(containers[0].state.as_ref().unwrap().running.is_some());
    }

    #[rstest::rstest]
    #[case::nothing(json!({ "metadata": {} }))]
    #[case::nulls(json!({
        "metadata": { "labels": null },
        "spec": { "containers": null, "affinity": null },
        "status": { "conditions": null, "podIPs": null, "containerStatuses": null },
    }))]
    fn what_is_not_said_is_not_missed(#[case] told: serde_json::Value) {
        let pod: Pod = serde_json::from_value(told).unwrap();
        assert!(!pod.spec.unwrap_or_default().whole_cores);
        assert_eq!(pod.status.unwrap_or_default(), PodStatus::default());
    }
}

//! What a failed story leaves for whoever reads its output.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, LogParams},
};

use super::{Error, Result, cluster, objects::all_of_ours};
use crate::{bed::Bed, chain::Oracle};

const LOG_LINES: i64 = 30;
const EVENTS: usize = 60;
const BLOCKS: u64 = 12;
/// Namespaces of the cluster itself, which no story is about.
const NOT_OURS: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];

/// Conditions of the product's objects, events, the last lines of every container, and the chain's last blocks.
///
/// What cannot be had is told in its place: evidence must not fail for the reason that the story failed.
pub async fn evidence(bed: &Bed, oracle: &Oracle) -> String {
    let mut text = String::new();
    section(&mut text, "objects", objects(bed).await);
    section(&mut text, "events", events(bed).await);
    section(&mut text, "pods", pods(bed).await);
    let blocks = oracle.dump_last_blocks(BLOCKS).await.map_err(Error::from);
    section(&mut text, "blocks", blocks);
    text
}

fn section(text: &mut String, name: &str, content: Result<String>) {
    let content = content.unwrap_or_else(|error| format!("  {error}\n"));
    // Writing to a String cannot fail, here and below.
    let _ = write!(text, "{name}:\n{content}");
}

async fn objects(bed: &Bed) -> Result<String> {
    let mut text = String::new();
    for object in all_of_ours(bed.client()).await? {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        let place = object.namespace().unwrap_or_default();
        let _ = writeln!(text, "  {kind} {place}/{}", object.name_any());
        conditions(&mut text, &object);
    }
    Ok(text)
}

fn conditions(text: &mut String, object: &DynamicObject) {
    let Some(conditions) = object.data["status"]["conditions"].as_array() else { return };
    for condition in conditions {
        let field = |name: &str| condition[name].as_str().unwrap_or_default();
        let (status, reason) = (field("status"), field("reason"));
        let _ = writeln!(text, "    {}={status} {reason}: {}", field("type"), field("message"));
    }
}

async fn events(bed: &Bed) -> Result<String> {
    let api: Api<Event> = Api::all(bed.client().clone());
    let list = api.list(&ListParams::default()).await.map_err(cluster("list events"))?;
    let mut events: Vec<Event> = list
        .items
        .into_iter()
        .filter(|event| {
            !NOT_OURS.contains(&event.involved_object.namespace.as_deref().unwrap_or(""))
        })
        .collect();
    events.sort_by_key(|event| event.metadata.creation_timestamp.clone());
    let mut text = String::new();
    for event in events.iter().rev().take(EVENTS).rev() {
        let object = &event.involved_object;
        let _ = writeln!(
            text,
            "  {} {}/{} {}: {}",
            object.kind.as_deref().unwrap_or_default(),
            object.namespace.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default(),
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default(),
        );
    }
    Ok(text)
}

async fn pods(bed: &Bed) -> Result<String> {
    let api: Api<Pod> = Api::all(bed.client().clone());
    let list = api.list(&ListParams::default()).await.map_err(cluster("list pods"))?;
    let mut text = String::new();
    for pod in list.items {
        let namespace = pod.namespace().unwrap_or_default();
        if !NOT_OURS.contains(&namespace.as_str()) {
            describe(&mut text, bed, &pod, &namespace).await;
        }
    }
    Ok(text)
}

async fn describe(text: &mut String, bed: &Bed, pod: &Pod, namespace: &str) {
    let status = pod.status.clone().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
    let phase = status.phase.unwrap_or_default();
    let why = status.message.or(status.reason).unwrap_or_default();
    let _ = writeln!(text, "  {namespace}/{} on {node}: {phase} {why}", pod.name_any());
    for container in status.container_statuses.unwrap_or_default() {
        let _ = writeln!(text, "    {}: {}", container.name, state(&container));
        log(text, bed, pod, (namespace, &container, false)).await;
        if container.restart_count > 0 {
            let _ = writeln!(text, "    {} before its restart:", container.name);
            log(text, bed, pod, (namespace, &container, true)).await;
        }
    }
}

fn state(container: &ContainerStatus) -> String {
    let restarts = container.restart_count;
    let state = container.state.clone().unwrap_or_default();
    let now = if let Some(ended) = state.terminated {
        let reason = ended.reason.unwrap_or_default();
        format!("ended with {} {reason}", ended.exit_code)
    } else if let Some(waiting) = state.waiting {
        let reason = waiting.reason.unwrap_or_default();
        format!("waiting: {reason} {}", waiting.message.unwrap_or_default())
    } else {
        (if container.ready { "ready" } else { "not ready" }).to_owned()
    };
    format!("{now}, {restarts} restarts")
}

async fn log(
    text: &mut String,
    bed: &Bed,
    pod: &Pod,
    (namespace, container, previous): (&str, &ContainerStatus, bool),
) {
    let api: Api<Pod> = Api::namespaced(bed.client().clone(), namespace);
    let parameters = LogParams {
        container: Some(container.name.clone()),
        tail_lines: Some(LOG_LINES),
        previous,
        ..LogParams::default()
    };
    match api.logs(&pod.name_any(), &parameters).await {
        Ok(lines) => {
            for line in lines.lines() {
                let _ = writeln!(text, "      | {line}");
            }
        }
        Err(error) => {
            let _ = writeln!(text, "      | no log: {error}");
        }
    }
}

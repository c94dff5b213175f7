//! What a pod of ours is for, and how it is: read from its labels, annotations and status; pure.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use coreward_domain::chain::Seat;
use coreward_domain::id::{OnchainWorkerId, UnitId};
use coreward_domain::unit::{Phase, Pod as DomainPod, PodRole};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use kube::ResourceExt;

use super::seen::{ContainerStatus, Pod};
use crate::labels::{
    ATTEMPT, DEAL, EVICT, HOLD, PROVER, TEMPLATE, UNIT_ID, WORKER_ID, WORKER_POD, component,
};

/// A prover or worker pod in domain terms; `None` for any other pod.
#[must_use]
pub fn domain_pod(pod: &Pod, now: Timestamp) -> Option<DomainPod> {
    Some(DomainPod {
        uid: pod.uid()?,
        namespace: pod.namespace()?,
        name: pod.name_any(),
        role: role(pod)?,
        phase: phase(pod, now),
        template: pod.labels().get(TEMPLATE).cloned().unwrap_or_default(),
        attempt: pod
            .annotations()
            .get(ATTEMPT)
            .and_then(|attempt| attempt.parse().ok())
            .unwrap_or(0),
        held: pod.labels().get(EVICT).is_some_and(|word| word == HOLD),
        evicted: is_evicted(pod),
        elsewhere: None,
    })
}

/// Whether a pod is on this node, or may only come to it.
#[must_use]
pub fn is_for(pod: &Pod, node: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    if let Some(name) = &spec.node_name {
        return name == node;
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.iter().flat_map(|required| &required.node_selector_terms);
    let fields = terms.flat_map(|term| term.match_fields.iter().flatten());
    fields.flat_map(|field| field.values.iter().flatten()).any(|name| name == node)
}

/// The seat that a worker pod serves.
#[must_use]
pub fn seat(pod: &Pod) -> Option<Seat> {
    let deal: Address = pod.annotations().get(DEAL)?.parse().ok()?;
    let worker: B256 = pod.annotations().get(WORKER_ID)?.parse().ok()?;
    Some(Seat { deal, worker: OnchainWorkerId(worker) })
}

/// What a pod is for; `None` for one that is neither prover nor worker.
#[must_use]
pub fn role(pod: &Pod) -> Option<PodRole> {
    let units: BTreeSet<UnitId> = pod
        .annotations()
        .get(UNIT_ID)?
        .split(',')
        .filter_map(|id| id.parse().ok().map(UnitId))
        .collect();
    match component(pod)? {
        PROVER => units.first().copied().map(PodRole::Prover),
        WORKER_POD => Some(PodRole::Worker { seat: seat(pod)?, units }),
        _ => None,
    }
}

/// Whether a pod has not ended, and nobody deletes it.
#[must_use]
pub fn is_to_stay(pod: &Pod) -> bool {
    let word = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(word, Some("Failed" | "Succeeded"))
}

fn phase(pod: &Pod, now: Timestamp) -> Phase {
    let word = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if pod.metadata.deletion_timestamp.is_some() {
        // The kubelet says so once nothing of the pod runs; the scheduler and the kubelet count its cores as free from then on.
        let has_ended = matches!(word, Some("Failed" | "Succeeded"));
        return if has_ended { Phase::Released } else { Phase::Deleting };
    }
    match word {
        Some("Failed" | "Succeeded") => ended(pod, now),
        Some("Running") if is_ready(pod) => Phase::Ready,
        None | Some("Pending" | "Running") if let Some(stuck) = stuck(pod, now) => stuck,
        None | Some("Pending") => Phase::Pending,
        // Whatever else it says: it may run.
        Some(_) => Phase::Running,
    }
}

/// The kubelet's account of a container that it cannot start, if there is one.
fn stuck(pod: &Pod, now: Timestamp) -> Option<Phase> {
    let (container, reason) = containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let word = waiting.reason.as_deref().filter(|word| !is_on_its_way(word))?;
        Some((container, word))
    })?;
    let since = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let since = since.or(pod.metadata.creation_timestamp.as_ref()).map_or(now, |time| time.0);
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    Some(Phase::Stuck {
        reason: reason.to_owned(),
        seconds: seconds(since, now),
        has_run: container.restart_count > 0 || last.is_some(),
    })
}

/// Whether a waiting container is only being prepared.
fn is_on_its_way(word: &str) -> bool {
    matches!(word, "ContainerCreating" | "PodInitializing")
}

/// Whether somebody evicts it: the API server says so on the pod before that goes.
fn is_evicted(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_some()
        && conditions.into_iter().any(|condition| {
            condition.type_ == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason.as_deref() == Some("EvictionByEvictionAPI")
        })
}

fn ended(pod: &Pod, now: Timestamp) -> Phase {
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let started =
        pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let terminated = containers(pod)
        .filter_map(|container| {
            container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|time| time.0)
        })
        .max();
    let end = terminated.or(started).or(created).unwrap_or(now);
    let begin = started.or(created).unwrap_or(end);
    Phase::Ended {
        reason: decisive_reason(pod).unwrap_or_else(|| "Ended".to_owned()),
        seconds_ago: seconds(end, now),
        ran_seconds: seconds(begin, end),
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second().saturating_sub(from.as_second())).unwrap_or(0)
}

/// Whether the cluster calls it ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions =
        pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten())
}

/// Why a pod does not run, in one sentence that begins with the decisive word; `None` if nothing stands in its way.
#[must_use]
pub fn decisive_reason(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let Some(reason) = status.reason.as_deref().filter(|reason| !reason.is_empty()) {
        return Some(sentence(reason, status.message.as_deref()));
    }
    // Whom the cluster puts out may end well by itself, and have no other word about it.
    for (kind, value, word) in
        [("DisruptionTarget", "True", "Disrupted"), ("PodScheduled", "False", "Unschedulable")]
    {
        let mut conditions = status.conditions.iter().flatten();
        let told = conditions.find(|it| it.type_ == kind && it.status == value);
        if let Some(told) = told {
            return Some(sentence(told.reason.as_deref().unwrap_or(word), told.message.as_deref()));
        }
    }
    containers(pod).find_map(container_reason)
}

/// For how long a container's end is told after it was started again: seconds. It may be ready before anybody looks.
const RECENT_RESTART: u64 = 300;

/// Why a container of the pod ended, not long ago, that was started again in its place; `None` if there is none.
#[must_use]
pub fn restart_reason(pod: &Pod, now: Timestamp) -> Option<String> {
    containers(pod).find_map(|container| {
        container.state.as_ref()?.running.as_ref()?;
        let last = container.last_state.as_ref()?.terminated.as_ref()?;
        let ended = last.finished_at.as_ref()?.0;
        let counts = last.exit_code != 0 && seconds(ended, now) < RECENT_RESTART;
        counts.then(|| end(last))
    })
}

fn container_reason(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    if let Some(terminated) =
        state.terminated.as_ref().filter(|terminated| terminated.exit_code != 0)
    {
        return Some(end(terminated));
    }
    let before = last.filter(|last| last.exit_code != 0).map(end);
    let Some(waiting) = &state.waiting else {
        // It runs again: what ended it before is still the best that is known, until it is ready.
        return before.filter(|_| !container.ready);
    };
    match waiting.reason.as_deref().filter(|word| !is_on_its_way(word)) {
        None => before,
        Some("CrashLoopBackOff") if before.is_some() => before,
        Some(word) => Some(sentence(word, waiting.message.as_deref())),
    }
}

/// How a container ended. Whom the kernel kills has no last word: what the kubelet gives for one is the log's torn end.
fn end(terminated: &ContainerStateTerminated) -> String {
    let word = terminated.reason.as_deref().unwrap_or("Error");
    sentence(word, terminated.message.as_deref().filter(|_| word != "OOMKilled"))
}

fn sentence(word: &str, message: Option<&str>) -> String {
    let message = message.map(str::trim).filter(|message| !message.is_empty());
    message.map_or_else(|| word.to_owned(), |message| format!("{word}: {message}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status })).unwrap()
    }

    #[rstest]
    #[case::for_want_of_memory(json!({ "running": {} }), ("OOMKilled", 137, "2026-01-01T00:09:00Z"), Some("OOMKilled"))]
    #[case::long_ago(json!({ "running": {} }), ("OOMKilled", 137, "2026-01-01T00:01:00Z"), None)]
    #[case::it_ended_well(json!({ "running": {} }), ("Completed", 0, "2026-01-01T00:09:00Z"), None)]
    #[case::it_waits(json!({ "waiting": { "reason": "CrashLoopBackOff" } }), ("Error", 1, "2026-01-01T00:09:00Z"), None)]
    fn a_recent_restart_has_a_reason(
        #[case] state: Value,
        #[case] (word, exit_code, finished): (&str, i32, &str),
        #[case] reason: Option<&str>,
    ) {
        let last = json!({ "terminated": { "reason": word, "exitCode": exit_code, "finishedAt": finished, "message": "torn log" } });
        let container = json!({
            "name": "unit", "image": "", "imageID": "", "ready": true, "restartCount": 1, "state": state, "lastState": last
        });
        let pod = pod(&json!({ "phase": "Running", "containerStatuses": [container] }));
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        assert_eq!(restart_reason(&pod, now).as_deref(), reason);
    }

    #[rstest]
    #[case::unschedulable(
        json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" }] }),
        Some("Unschedulable: 0/3 nodes")
    )]
    #[case::refused_by_the_kubelet(
        json!({ "phase": "Failed", "reason": "SMTAlignmentError", "message": "not aligned" }),
        Some("SMTAlignmentError: not aligned")
    )]
    #[case::no_image(
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "unit", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": { "reason": "ErrImagePull", "message": "no such image" } } }] }),
        Some("ErrImagePull: no such image")
    )]
    #[case::killed_for_memory_before(
        json!({ "phase": "Running", "containerStatuses": [{ "name": "unit", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }] }),
        Some("OOMKilled")
    )]
    #[case::killed_for_memory_and_started_again(
        json!({ "phase": "Running", "containerStatuses": [{ "name": "unit", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": { "running": {} }, "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }] }),
        Some("OOMKilled")
    )]
    #[case::well_since(
        json!({ "phase": "Running", "containerStatuses": [{ "name": "unit", "image": "", "imageID": "", "ready": true, "restartCount": 3, "state": { "running": {} }, "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }] }),
        None
    )]
    #[case::evicted_from_a_full_disk(
        json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage." }),
        Some("Evicted: The node was low on resource: ephemeral-storage.")
    )]
    #[case::put_out_and_ended_well(
        json!({ "phase": "Failed", "conditions": [{ "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "Usage of EmptyDir volume exceeds the limit." }], "containerStatuses": [{ "name": "unit", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": { "terminated": { "reason": "Completed", "exitCode": 0 } } }] }),
        Some("TerminationByKubelet: Usage of EmptyDir volume exceeds the limit.")
    )]
    #[case::on_its_way(
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "unit", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": { "reason": "ContainerCreating" } } }] }),
        None
    )]
    fn the_decisive_reason_is(#[case] status: Value, #[case] reason: Option<&str>) {
        assert_eq!(decisive_reason(&pod(&status)).as_deref(), reason);
    }

    fn waiting(reason: &str, restarts: i32) -> Value {
        json!({
            "phase": "Pending", "startTime": "1970-01-01T00:00:10Z",
            "containerStatuses": [{
                "name": "unit", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
                "state": { "waiting": { "reason": reason } },
            }],
        })
    }

    #[rstest]
    #[case::evicted("EvictionByEvictionAPI", true, true)]
    #[case::asked_for_only("EvictionByEvictionAPI", false, false)]
    #[case::preempted("PreemptionByScheduler", true, false)]
    fn an_eviction_is_told_from_other_ends(
        #[case] reason: &str,
        #[case] goes: bool,
        #[case] evicted: bool,
    ) {
        let mut pod = pod(&json!({ "phase": "Running", "conditions": [
            { "type": "DisruptionTarget", "status": "True", "reason": reason },
        ] }));
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
        pod.metadata.deletion_timestamp = goes.then_some(time);
        assert_eq!(is_evicted(&pod), evicted);
    }

    #[rstest]
    #[case::still_runs("Running", Phase::Deleting)]
    #[case::never_ran("Pending", Phase::Deleting)]
    #[case::ended_well("Succeeded", Phase::Released)]
    #[case::ended_badly("Failed", Phase::Released)]
    fn a_pod_that_is_deleted_frees_its_cores_with_its_last_container(
        #[case] word: &str,
        #[case] expected: Phase,
    ) {
        let mut pod = pod(&json!({ "phase": word }));
        pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(phase(&pod, Timestamp::UNIX_EPOCH), expected);
    }

    #[rstest]
    #[case::running(json!({ "phase": "Running" }), Phase::Running)]
    #[case::lost_sight_of(json!({ "phase": "Unknown" }), Phase::Running)]
    #[case::not_scheduled(json!({ "phase": "Pending" }), Phase::Pending)]
    #[case::being_made(waiting("ContainerCreating", 0), Phase::Pending)]
    #[case::without_its_image(waiting("ErrImagePull", 0), Phase::Stuck { reason: "ErrImagePull".into(), seconds: 90, has_run: false })]
    #[case::crashing(waiting("CrashLoopBackOff", 2), Phase::Stuck { reason: "CrashLoopBackOff".into(), seconds: 90, has_run: true })]
    #[case::ready(json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] }), Phase::Ready)]
    #[case::unknown(json!({}), Phase::Pending)]
    #[case::ended(
        json!({ "phase": "Failed", "reason": "Evicted", "startTime": "1970-01-01T00:00:10Z" }),
        Phase::Ended { reason: "Evicted".into(), seconds_ago: 90, ran_seconds: 0 }
    )]
    fn the_phase_is(#[case] status: Value, #[case] expected: Phase) {
        assert_eq!(phase(&pod(&status), Timestamp::from_second(100).unwrap()), expected);
    }
}

//! When each step of a change of role was seen.

use std::time::{Duration, Instant};

use alloy::primitives::B256;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    bed::NODES,
    story::{client, pods},
    world::{Error, Result, World},
};

/// Pause between two looks: a step is told this exactly.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long one request may hang, so that the next one finds what has changed meanwhile.
const ANSWER: Duration = Duration::from_millis(250);
/// A match that takes longer is a failure.
const LIMIT: Duration = Duration::from_mins(1);

/// Times since the match was mined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// The prover was told to stop: the block was seen and acted upon.
    pub prover_stopping: Duration,
    /// The worker's pod is there: the prover is gone, the deal's namespace stands.
    pub pod_created: Duration,
    /// Its container runs.
    pub container_running: Duration,
    /// It is Ready: the artifact is there, compiled, and has answered itself.
    pub ready: Duration,
    /// It gave its first answer, at its pod's address.
    pub answered: Duration,
    /// It answered from outside the cluster: its Service has reached the nodes.
    pub answered_outside: Duration,
}

/// Times since the deal's end was mined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Return {
    /// The worker was told to stop: the block was seen and acted upon.
    pub worker_stopping: Duration,
    /// The prover's pod is there: the worker has ended.
    pub pod_created: Duration,
    /// Its container runs.
    pub container_running: Duration,
    /// It is Ready: it hashes.
    pub hashing: Duration,
}

/// Follows a match that was mined at `mined` until the worker of `unit` answers from outside.
///
/// # Errors
/// [`Error::Late`], [`Error::Cluster`].
pub(super) async fn until_answered(world: &World, unit: B256, mined: Instant) -> Result<Steps> {
    let http = client::http()?;
    let mut steps = Steps::default();
    while mined.elapsed() < LIMIT {
        if steps.prover_stopping.is_zero() {
            let provers = pods::of_unit(&world.client(), "prover", unit).await?;
            let is_going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
            seen(&mut steps.prover_stopping, provers.iter().all(is_going), mined);
        }
        let workers = pods::of_unit(&world.client(), "worker", unit).await?;
        if let Some(pod) = workers.first() {
            seen(&mut steps.pod_created, true, mined);
            seen(&mut steps.container_running, is_running(pod), mined);
            seen(&mut steps.ready, pods::is_ready(pod), mined);
            if is_running(pod) && steps.answered.is_zero() {
                seen(&mut steps.answered, answers(&http, &inside(pod)).await, mined);
            }
            if !steps.answered.is_zero() && steps.answered_outside.is_zero() {
                let is_so = answers_outside(world, &http, pod).await;
                seen(&mut steps.answered_outside, is_so, mined);
            }
            if !steps.ready.is_zero() && !steps.answered_outside.is_zero() {
                return Ok(steps);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(late(format!("the worker of unit {unit} answers"), steps))
}

/// Follows the end of a deal that was mined at `mined` until the prover of `unit` hashes.
///
/// # Errors
/// [`Error::Late`], [`Error::Cluster`].
pub(super) async fn until_hashing(world: &World, unit: B256, mined: Instant) -> Result<Return> {
    let mut steps = Return::default();
    while mined.elapsed() < LIMIT {
        if steps.worker_stopping.is_zero() {
            let workers = pods::of_unit(&world.client(), "worker", unit).await?;
            let is_going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
            seen(&mut steps.worker_stopping, workers.iter().all(is_going), mined);
        }
        let provers = pods::of_unit(&world.client(), "prover", unit).await?;
        if let Some(pod) = provers.first() {
            seen(&mut steps.pod_created, true, mined);
            seen(&mut steps.container_running, is_running(pod), mined);
            seen(&mut steps.hashing, pods::is_ready(pod), mined);
        }
        if !steps.hashing.is_zero() {
            return Ok(steps);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(late(format!("the prover of unit {unit} hashes"), steps))
}

fn late(what: String, steps: impl std::fmt::Debug) -> Error {
    Error::Late { what, limit: LIMIT, last: format!("{steps:?}") }
}

fn seen(step: &mut Duration, is_so: bool, mined: Instant) {
    if is_so && step.is_zero() {
        *step = mined.elapsed();
    }
}

fn is_running(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .any(|it| it.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// Where a worker's pod answers itself.
fn inside(pod: &Pod) -> String {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
    format!("http://{address}:8080/")
}

async fn answers_outside(world: &World, http: &reqwest::Client, pod: &Pod) -> bool {
    let Ok(port) = pods::entrance(world, pod).await else { return false };
    answers(http, &format!("http://{}:{port}/", world.bed().node_address(NODES[2]))).await
}

/// Whether `url` answers at once; a connection that hangs is tried anew, as a customer's next request would.
async fn answers(http: &reqwest::Client, url: &str) -> bool {
    let answer = tokio::time::timeout(ANSWER, client::get(http, url)).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|(status, _)| status == 200))
}

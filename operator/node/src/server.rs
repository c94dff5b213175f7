//! What workers ask: `GET /v1/artifact/<cid>`.

use core::time::Duration;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use coreward_artifact::{car, parse};
use coreward_wire::{ArtifactFailure, ArtifactFault, ArtifactOrder, Assignment, Duty, NodeDuty};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::artifacts::Artifacts;

/// Requests answered at once, waiting ones included; a node has fewer workers than this.
const REQUESTS: usize = 256;

/// How long a request waits for the operator to name its artifact: worker and agent hear of it at about the same time.
pub(crate) const NAMED: Duration = Duration::from_secs(5);

/// The last assignment heard.
pub(crate) type Heard = watch::Receiver<Option<Arc<Assignment>>>;

#[derive(Clone)]
struct Desk {
    artifacts: Artifacts,
    heard: Heard,
    places: Arc<Semaphore>,
    patience: Duration,
}

/// The artifact server, without its socket; an artifact that is not named yet is waited for with `patience`.
pub(crate) fn router(artifacts: Artifacts, heard: Heard, patience: Duration) -> Router {
    let desk = Desk { artifacts, heard, places: Arc::new(Semaphore::new(REQUESTS)), patience };
    Router::new().route("/v1/artifact/{cid}", get(give)).with_state(desk)
}

async fn give(State(mut desk): State<Desk>, Path(cid): Path<String>) -> Response {
    let Ok(_place) = desk.places.clone().try_acquire_owned() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many requests at once\n").into_response();
    };
    let Some((order, gateways)) = named(&mut desk.heard, &cid, desk.patience).await else {
        return (StatusCode::FORBIDDEN, "no worker of this node has this artifact\n")
            .into_response();
    };
    match desk.artifacts.get(&order, &gateways).await {
        Ok(archive) => ([(CONTENT_TYPE, car::MEDIA_TYPE)], archive).into_response(),
        Err(failure) => (status(failure.fault), Json::<ArtifactFailure>(failure)).into_response(),
    }
}

/// The order of this artifact with the gateways to ask; `None` if the operator does not name it in time.
async fn named(
    heard: &mut Heard,
    cid: &str,
    patience: Duration,
) -> Option<(ArtifactOrder, Vec<String>)> {
    let wanted = parse(cid).ok()?;
    let find = |duty: &NodeDuty| {
        let same = duty
            .artifacts
            .iter()
            .filter(|order| parse(&order.cid).is_ok_and(|root| root == wanted));
        same.max_by_key(|order| order.max_bytes).cloned()
    };
    let is_named = heard.wait_for(|assignment| duty(assignment.as_ref()).and_then(find).is_some());
    let assignment = timeout(patience, is_named).await.ok()?.ok()?.clone();
    let duty = duty(assignment.as_ref())?;
    Some((find(duty)?, duty.gateways.clone()))
}

/// The node's duty in an assignment.
pub(crate) fn duty(assignment: Option<&Arc<Assignment>>) -> Option<&NodeDuty> {
    match &assignment?.duty {
        Duty::Node(duty) => Some(duty),
        Duty::Prover(_) | Duty::Worker(_) | Duty::Gateway(_) | Duty::Probe => None,
    }
}

const fn status(fault: ArtifactFault) -> StatusCode {
    match fault {
        ArtifactFault::NotFound => StatusCode::NOT_FOUND,
        ArtifactFault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ArtifactFault::DigestMismatch
        | ArtifactFault::InvalidWasm
        | ArtifactFault::CompileLimit => StatusCode::UNPROCESSABLE_ENTITY,
        ArtifactFault::GatewayUnreachable => StatusCode::GATEWAY_TIMEOUT,
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

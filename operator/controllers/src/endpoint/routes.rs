//! The three calls of the pods.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use coreward_wire::{Assignment, FoundProofs, LONG_POLL, ProofReceipt, Report};
use kube::ResourceExt;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Component, Doorkeeper, Refusal};
use crate::clock;
use crate::context::Context;
use crate::labels::UNIT_ID;
use crate::proof::network_of;

/// Proofs in one post.
const MOST_PROOFS: usize = 64;
/// Bytes of a body: a report of a subnet with a thousand members is 140 KiB.
const LARGEST_BODY: usize = 256 * 1024;

/// What the calls need.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Everything shared.
    pub context: Arc<Context>,
    /// Who may call.
    pub doorkeeper: Doorkeeper,
    /// Ends long polls.
    pub stop: CancellationToken,
}

/// The calls, as a service.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/v1/assignment", get(assignment))
        .route("/v1/proofs", post(proofs))
        .route("/v1/report", post(report))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(desk)
}

#[derive(Debug, Deserialize)]
struct Seen {
    #[serde(default)]
    seen: String,
}

impl Desk {
    async fn admit(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let leadership = &self.context.leadership;
        if !(leadership.may_send() || leadership.is_blind()) {
            return Err(Refusal::Later("this replica does not lead"));
        }
        let authorization =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let caller = self
            .doorkeeper
            .admit(authorization.and_then(|text| text.strip_prefix("Bearer ")))
            .await?;
        if !leadership.may_send() && caller.component != Component::Prover {
            return Err(Refusal::Later("this replica goes on for provers only"));
        }
        Ok(caller)
    }
}

/// Whoever is let in, ahead of the call: nothing of the request is kept while a poll waits, and thousands wait.
impl FromRequestParts<Desk> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Refusal> {
        // What a question to the API server takes would be a part of each waiting poll, were it not on the heap.
        Box::pin(desk.admit(&parts.headers)).await
    }
}

async fn assignment(
    State(desk): State<Desk>,
    Query(Seen { seen }): Query<Seen>,
    caller: Caller,
) -> Result<Response, Refusal> {
    let mut assignments = desk.context.hub.assignments(&caller.uid);
    drop(caller);
    let newer = async {
        let news = |known: &Option<Arc<Assignment>>| {
            known.as_ref().is_some_and(|known| known.revision != seen)
        };
        // An error means that the hub forgot the pod.
        assignments.wait_for(news).await.ok().and_then(|known| known.clone())
    };
    let mut leadership = desk.context.leadership.clone();
    let newer = tokio::select! {
        newer = timeout(LONG_POLL, newer) => newer.ok().flatten(),
        () = desk.stop.cancelled() => return Err(Refusal::Later("this replica stops")),
        () = leadership.lost() => return Err(Refusal::Later("this replica no longer leads")),
    };
    Ok(newer.map_or_else(
        || StatusCode::NO_CONTENT.into_response(),
        |newer| Json(&*newer).into_response(),
    ))
}

async fn proofs(
    State(desk): State<Desk>,
    caller: Caller,
    Json(found): Json<FoundProofs>,
) -> Result<Json<ProofReceipt>, Refusal> {
    if found.proofs.len() > MOST_PROOFS {
        return Err(Refusal::Nonsense("at most 64 proofs in one post"));
    }
    if !may_prove(&caller, &found) {
        return Err(Refusal::Forbidden("this pod does not prove for this unit"));
    }
    let epoch = network_of(&desk.context, &caller.pod)
        .and_then(|network| network.fresh_snapshot(clock::now()))
        .map(|snapshot| snapshot.epoch.0);
    Ok(Json(ProofReceipt { acknowledged: desk.context.proofs.put(&found, epoch) }))
}

fn may_prove(caller: &Caller, found: &FoundProofs) -> bool {
    let unit = caller.pod.annotations().get(UNIT_ID);
    caller.component == Component::Prover
        && unit.is_some_and(|unit| unit.parse() == Ok(found.unit_id))
}

async fn report(
    State(desk): State<Desk>,
    caller: Caller,
    Json(report): Json<Report>,
) -> Result<StatusCode, Refusal> {
    let fits = matches!(
        (&report, caller.component),
        (Report::Prover(_), Component::Prover)
            | (Report::Worker(_), Component::Worker)
            | (Report::Node(_), Component::Node)
            | (Report::Probe(_), Component::Probe)
            | (Report::Gateway(_), Component::Gateway)
    );
    if !fits {
        return Err(Refusal::Nonsense("a pod of this kind does not send this report"));
    }
    desk.context.hub.receive(&caller.uid, report, clock::now());
    Ok(StatusCode::NO_CONTENT)
}

//! The line against an operator of the test's own, on this host.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use coreward_link::{AssignmentFile, Link, LinkConfig};
use coreward_wire::{Assignment, Duty, FoundProof, FoundProofs, ProofReceipt};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far beyond what anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// What the operator of the test answers next, and what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<(StatusCode, String)>,
    seen: Vec<Option<String>>,
    tokens: Vec<String>,
}

type Shared = Arc<Mutex<Script>>;

#[derive(Deserialize)]
struct Seen {
    seen: Option<String>,
}

async fn assignment(
    State(script): State<Shared>,
    Query(query): Query<Seen>,
    headers: HeaderMap,
) -> Response {
    let mut script = script.lock().unwrap();
    script.seen.push(query.seen);
    script.tokens.push(headers["authorization"].to_str().unwrap().to_owned());
    script.answers.pop_front().unwrap_or((StatusCode::NO_CONTENT, String::new())).into_response()
}

async fn proofs(Json(found): Json<FoundProofs>) -> Json<ProofReceipt> {
    Json(ProofReceipt {
        acknowledged: found.proofs.iter().map(|proof| proof.local_nonce).collect(),
    })
}

fn operator(script: &Shared) -> Router {
    Router::new()
        .route("/v1/assignment", get(assignment))
        .route("/v1/proofs", post(proofs))
        .with_state(script.clone())
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn link_to(url: &str, directory: &Path) -> Link {
    drop(rustls::crypto::ring::default_provider().install_default());
    let token_file = directory.join("token");
    fs::write(&token_file, "first\n").unwrap();
    Link::new(LinkConfig { url: url.to_owned(), ca_file: directory.join("ca.crt"), token_file })
        .unwrap()
}

fn order(revision: &str) -> Assignment {
    Assignment { revision: revision.to_owned(), leader: "operator-0".to_owned(), duty: Duty::Probe }
}

fn told(revision: &str) -> (StatusCode, String) {
    (StatusCode::OK, serde_json::to_string(&order(revision)).unwrap())
}

async fn hears(receiver: &mut watch::Receiver<Option<Arc<Assignment>>>, revision: &str) {
    let is_it = |heard: &Option<Arc<Assignment>>| {
        heard.as_ref().is_some_and(|each| each.revision == revision)
    };
    timeout(LIMIT, receiver.wait_for(is_it)).await.expect("it is told in time").unwrap();
}

#[tokio::test]
async fn the_poll_goes_on_through_refusals_and_keeps_what_it_heard() {
    let directory = tempfile::tempdir().unwrap();
    let script = Shared::default();
    script.lock().unwrap().answers = VecDeque::from([
        (StatusCode::SERVICE_UNAVAILABLE, "not leading".to_owned()),
        told("1"),
        (StatusCode::NO_CONTENT, String::new()),
        told("2"),
    ]);
    let address = serve(operator(&script)).await;
    let link = link_to(&format!("http://{address}"), directory.path());
    let file = AssignmentFile::in_directory(directory.path());
    let (mut receiver, poll) = link.assignments(Some(file.clone()));
    assert!(receiver.borrow().is_none());

    let stop = CancellationToken::new();
    let ((), ()) = tokio::join!(poll.run(stop.clone()), async {
        hears(&mut receiver, "2").await;
        stop.cancel();
    });

    {
        let script = script.lock().unwrap();
        let seen: Vec<_> = script.seen.iter().take(4).map(Option::as_deref).collect();
        assert_eq!(seen, [None, None, Some("1"), Some("1")]);
        assert_eq!(script.tokens[0], "Bearer first");
    }
    // It is told before it is kept.
    let goes_on = async {
        while link.assignments(Some(file.clone())).0.borrow().as_deref() != Some(&order("2")) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, goes_on).await.expect("a restarted container goes on with it");
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("assignment.json"), "{\"revision\":").unwrap();
    let link = link_to("http://127.0.0.1:1", directory.path());
    let (kept, _poll) = link.assignments(Some(AssignmentFile::in_directory(directory.path())));
    assert!(kept.borrow().is_none());
}

#[tokio::test]
async fn a_renewed_token_is_used_for_the_next_call() {
    let directory = tempfile::tempdir().unwrap();
    let script = Shared::default();
    let address = serve(operator(&script)).await;
    let link = link_to(&format!("http://{address}"), directory.path());
    link.poll(None).await.unwrap();
    fs::write(directory.path().join("token"), "second").unwrap();
    link.poll(None).await.unwrap();
    assert_eq!(script.lock().unwrap().tokens, ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn proofs_are_posted_and_their_receipt_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let address = serve(operator(&Shared::default())).await;
    let link = link_to(&format!("http://{address}"), directory.path());
    let local_nonce = B256::repeat_byte(3);
    let proof =
        FoundProof { epoch: 2, global_nonce: B256::ZERO, local_nonce, result_hash: B256::ZERO };
    let posted = FoundProofs { unit_id: B256::repeat_byte(1), proofs: vec![proof] };
    let receipt = link.post_proofs(&posted).await.unwrap();
    assert_eq!(receipt, ProofReceipt { acknowledged: vec![local_nonce] });
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_does_not_tell_its_text() {
    let directory = tempfile::tempdir().unwrap();
    let script = Shared::default();
    script.lock().unwrap().answers.push_back((StatusCode::OK, "\"the-seed-of-a-key\"".to_owned()));
    let address = serve(operator(&script)).await;
    let error =
        link_to(&format!("http://{address}"), directory.path()).poll(None).await.unwrap_err();
    let text = coreward_telemetry::causes(&error).to_string();
    assert!(
        text.starts_with("get the assignment: the answer of 19 bytes cannot be read"),
        "{text}"
    );
    assert!(!text.contains("seed") && error.retry().is_none(), "{text}");
}

#[tokio::test]
async fn a_refusal_tells_status_and_text() {
    let directory = tempfile::tempdir().unwrap();
    let script = Shared::default();
    script.lock().unwrap().answers.push_back((StatusCode::FORBIDDEN, "no such pod".to_owned()));
    let address = serve(operator(&script)).await;
    let error =
        link_to(&format!("http://{address}"), directory.path()).poll(None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "get the assignment: the operator answered 403 Forbidden: no such pod"
    );
    assert!(error.retry().is_some(), "the operator's view of the cluster may lag behind");
}

#[test]
fn a_token_is_not_sent_in_the_clear_to_another_host() {
    let config = |url: &str| LinkConfig {
        url: url.to_owned(),
        ca_file: "ca".into(),
        token_file: "token".into(),
    };
    assert!(Link::new(config("http://coreward-pods.coreward-system.svc:8443")).is_err());
    assert!(Link::new(config("not an address")).is_err());
    assert!(Link::new(config("https://coreward-pods.coreward-system.svc:8443")).is_ok());
}

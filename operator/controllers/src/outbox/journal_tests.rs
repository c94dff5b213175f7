use http::{Method, Request, Response};
use kube::client::Body;
use tower_test::mock::{self, Handle};

use alloy_primitives::B256;
use coreward_chain::encode::Unsaid;
use coreward_chain::outbox::Purpose;

use super::*;
use crate::stores::Stores;

type Server = Handle<Request<Body>, Response<Body>>;

fn journal() -> (TransactionJournal, Server) {
    journal_of(false)
}

fn journal_of(is_missing: bool) -> (TransactionJournal, Server) {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = kube::Client::new(service, "coreward-system");
    let contracts = Contracts { diamond: Address::ZERO, multicall3: Address::ZERO };
    let (stores, writers) = Stores::new();
    stores.transactions.miss(is_missing);
    // The stores stay as they are.
    drop(writers);
    (TransactionJournal::new(client, "coreward-system", stores.transactions, contracts), handle)
}

fn entry() -> Entry {
    let first = Attempt {
        purpose: Purpose::Intent,
        raw: vec![1; 40].into(),
        hash: B256::repeat_byte(1),
        max_fee_per_gas: 7,
    };
    let record = Record {
        network: "local".into(),
        address: Address::repeat_byte(0xa1),
        nonce: 12,
        function: "submitProofs".into(),
        why: "proofs found".into(),
        unsaid: Unsaid::default(),
        first,
    };
    Entry { record, further: Vec::new(), state: State::Signed, version: "5".into() }
}

fn refusal(code: u16, reason: &str) -> Response<Body> {
    let body = serde_json::json!({ "kind": "Status", "status": "Failure", "reason": reason, "code": code });
    Response::builder().status(code).body(Body::from(serde_json::to_vec(&body).unwrap())).unwrap()
}

/// Answers one request, and says what it was.
async fn serve(
    server: &mut Server,
    response: Response<Body>,
) -> (Method, String, serde_json::Value) {
    let (request, send) = server.next_request().await.unwrap();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect_bytes().await.unwrap();
    send.send_response(response);
    (method, path, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_taken_nonce_is_told() {
    let (journal, mut server) = journal();
    let record = entry().record;
    let (created, (method, _, body)) =
        tokio::join!(journal.create(&record), serve(&mut server, refusal(409, "AlreadyExists")));
    assert_eq!(created.unwrap(), Creation::AlreadyExists);
    let name = "local-a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1-12";
    assert_eq!((method, body["metadata"]["name"].as_str()), (Method::POST, Some(name)));
}

#[tokio::test]
async fn a_write_names_the_version_that_was_read() {
    let (journal, mut server) = journal();
    let entry = entry();
    let (written, (method, path, body)) = tokio::join!(
        journal.set_state(&entry, &State::Sent),
        serve(&mut server, refusal(409, "Conflict"))
    );
    assert!(matches!(written, Err(JournalError::Conflict { .. })));
    assert_eq!(method, Method::PATCH);
    assert!(path.ends_with("/status"), "{path}");
    assert_eq!(body["metadata"]["resourceVersion"].as_str(), Some("5"));
    assert_eq!(body["status"]["state"].as_str(), Some("Sent"));
}

#[rstest::rstest]
#[case::away(503, true)]
#[case::too_busy(429, true)]
#[case::definition_gone(404, true)]
#[case::definition_going(405, true)]
#[case::invalid(422, false)]
#[case::forbidden(403, false)]
#[tokio::test]
async fn no_answer_is_not_a_refusal(#[case] code: u16, #[case] unavailable: bool) {
    let (journal, mut server) = journal();
    let record = entry().record;
    let (created, _) =
        tokio::join!(journal.create(&record), serve(&mut server, refusal(code, "Some")));
    let is_unavailable = matches!(created, Err(JournalError::Unavailable(_)));
    assert_eq!(is_unavailable, unavailable);
}

#[rstest::rstest]
#[case::none_are_there(false)]
#[case::nothing_is_known(true)]
#[tokio::test]
async fn a_kind_that_is_missing_is_no_empty_list(#[case] is_missing: bool) {
    let (journal, _server) = journal_of(is_missing);
    let listed = journal.entries("local", Address::repeat_byte(0xa1)).await;
    let is_unavailable = matches!(listed, Err(JournalError::Unavailable(_)));
    assert_eq!(is_unavailable, is_missing, "{listed:?}");
}

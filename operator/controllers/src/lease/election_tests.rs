use std::time::Duration;

use http::{Method, Request, Response};
use kube::client::Body;
use tower_test::mock::{self, Handle};

use super::*;

const TIMES: Times = Times {
    duration: Duration::from_secs(15),
    renew: Duration::from_secs(2),
    deadline: Duration::from_secs(10),
};

type Server = Handle<Request<Body>, Response<Body>>;

fn api() -> (Api<Lease>, Server) {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    (Api::namespaced(kube::Client::new(service, "coreward-system"), "coreward-system"), handle)
}

fn answer(status: u16, body: &serde_json::Value) -> Response<Body> {
    Response::builder().status(status).body(Body::from(serde_json::to_vec(body).unwrap())).unwrap()
}

fn missing() -> Response<Body> {
    answer(
        404,
        &serde_json::json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 }),
    )
}

fn conflict() -> Response<Body> {
    answer(
        409,
        &serde_json::json!({ "kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409 }),
    )
}

fn held(holder: Option<&str>, version: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": LEASE_NAME, "namespace": "coreward-system", "resourceVersion": version },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1 },
    })
}

/// Answers one request, and says what it was.
async fn serve(server: &mut Server, response: Response<Body>) -> (Method, serde_json::Value) {
    let (request, send) = server.next_request().await.unwrap();
    let method = request.method().clone();
    let body = request.into_body().collect_bytes().await.unwrap();
    send.send_response(response);
    (method, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn the_first_one_makes_the_lease_and_leads() {
    let (api, mut server) = api();
    let (mut election, leadership) = Election::new(api, "me".into(), TIMES);
    let play = async {
        serve(&mut server, missing()).await;
        serve(&mut server, answer(201, &held(Some("me"), "1"))).await
    };
    let (turn, (method, body)) = tokio::join!(election.turn(), play);
    turn.unwrap();
    assert_eq!((method, body["spec"]["holderIdentity"].as_str()), (Method::POST, Some("me")));
    assert!(leadership.may_send());
}

#[tokio::test(start_paused = true)]
async fn leading_ends_at_the_deadline_although_nobody_says_so() {
    let (api, mut server) = api();
    let (mut election, leadership) = Election::new(api, "me".into(), TIMES);
    let play = async {
        serve(&mut server, answer(200, &held(None, "1"))).await;
        serve(&mut server, answer(200, &held(Some("me"), "2"))).await
    };
    let (turn, (_, body)) = tokio::join!(election.turn(), play);
    turn.unwrap();
    assert_eq!(
        body["metadata"]["resourceVersion"].as_str(),
        Some("1"),
        "a write names the version that was read"
    );
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert!(leadership.may_send());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!leadership.may_send());
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_ends_the_term_before_the_lease_can_be_taken() {
    let (api, mut server) = api();
    let (election, mut leadership) = Election::new(api, "me".into(), TIMES);
    let begun = clock::now();
    let stop = CancellationToken::new();
    let play = async {
        serve(&mut server, answer(200, &held(None, "1"))).await;
        serve(&mut server, answer(200, &held(Some("me"), "2"))).await;
        let term = leadership.begins().await;
        // Requests arrive from now on and are never answered.
        let mut unanswered = Vec::new();
        loop {
            tokio::select! {
                request = server.next_request() => unanswered.push(request),
                () = leadership.ends(term) => break,
            }
        }
        let led = clock::now() - begun;
        let blind = leadership.is_blind();
        stop.cancel();
        (led, blind)
    };
    let ((), (led, blind)) = tokio::join!(election.run(stop.clone(), || ()), play);
    assert!(led <= TIMES.deadline, "led for {led:?}");
    assert!(blind, "proofs may go on");
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_no_leadership() {
    let (api, mut server) = api();
    let (mut election, leadership) = Election::new(api, "me".into(), TIMES);
    let play = async {
        serve(&mut server, answer(200, &held(None, "1"))).await;
        serve(&mut server, conflict()).await
    };
    let (turn, _) = tokio::join!(election.turn(), play);
    assert!(matches!(turn, Err(Error::Write { .. })));
    assert!(!leadership.may_send());
}

#[tokio::test(start_paused = true)]
async fn another_holder_is_waited_for_as_long_as_it_promised() {
    let (api, mut server) = api();
    let (mut election, leadership) = Election::new(api, "me".into(), TIMES);
    for _ in 0..2 {
        let (turn, _) = tokio::join!(
            election.turn(),
            serve(&mut server, answer(200, &held(Some("other"), "1")))
        );
        turn.unwrap();
        assert!(!leadership.may_send() && !leadership.is_blind());
        tokio::time::advance(Duration::from_secs(8)).await;
    }
    let play = async {
        serve(&mut server, answer(200, &held(Some("other"), "1"))).await;
        serve(&mut server, answer(200, &held(Some("me"), "2"))).await
    };
    let (turn, (method, _)) = tokio::join!(election.turn(), play);
    turn.unwrap();
    assert_eq!(method, Method::PUT);
    assert!(leadership.may_send());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_gives_the_lease_back() {
    let (api, mut server) = api();
    let (election, mut leadership) = Election::new(api, "me".into(), TIMES);
    let stop = CancellationToken::new();
    let play = async {
        serve(&mut server, answer(200, &held(None, "1"))).await;
        serve(&mut server, answer(200, &held(Some("me"), "2"))).await;
        leadership.begins().await;
        stop.cancel();
        serve(&mut server, answer(200, &held(None, "3"))).await
    };
    let ((), (method, body)) = tokio::join!(election.run(stop.clone(), || ()), play);
    assert_eq!((method, body["spec"].get("holderIdentity")), (Method::PUT, None));
    assert_eq!(body["metadata"]["resourceVersion"].as_str(), Some("2"));
}

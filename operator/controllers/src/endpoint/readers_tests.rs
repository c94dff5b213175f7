use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Body;
use http::{Response, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_test::mock;

use super::*;

/// What the API server of a test does.
const SILENT: u8 = 0;
const KNOWS_AND_LETS: u8 = 1;
const KNOWS: u8 = 2;
const KNOWS_NOT: u8 = 3;

fn answer(path: &str, mood: u8) -> Value {
    if path.contains("tokenreviews") {
        let status = json!({ "authenticated": mood != KNOWS_NOT, "user": { "username": "p" } });
        return json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}, "status": status,
        });
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {},
        "status": { "allowed": mood == KNOWS_AND_LETS },
    })
}

fn page(mood: &Arc<AtomicU8>) -> Router {
    let (service, mut server) =
        mock::pair::<http::Request<kube::client::Body>, Response<kube::client::Body>>();
    let mood = Arc::clone(mood);
    let serving = async move {
        while let Some((request, send)) = server.next_request().await {
            match mood.load(Ordering::SeqCst) {
                SILENT => drop(send),
                mood => {
                    let answer = answer(request.uri().path(), mood);
                    send.send_response(Response::new(serde_json::to_vec(&answer).unwrap().into()));
                }
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(serving);
    let readers = Readers::new(&kube::Client::new(service, "coreward-system"));
    guarded(Metrics::new("test", "0").unwrap(), readers)
}

async fn read(page: &Router, authorization: Option<&str>) -> StatusCode {
    let mut request = http::Request::get("/metrics");
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    page.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
}

#[rstest]
#[case::who_may(Some("Bearer t"), KNOWS_AND_LETS, StatusCode::OK)]
#[case::who_may_not(Some("Bearer t"), KNOWS, StatusCode::FORBIDDEN)]
#[case::a_stranger(Some("Bearer t"), KNOWS_NOT, StatusCode::UNAUTHORIZED)]
#[case::nobody(None, KNOWS_AND_LETS, StatusCode::UNAUTHORIZED)]
#[case::another_scheme(Some("Basic t"), KNOWS_AND_LETS, StatusCode::UNAUTHORIZED)]
#[case::nobody_can_say(Some("Bearer t"), SILENT, StatusCode::SERVICE_UNAVAILABLE)]
#[tokio::test]
async fn the_metrics_are_shown_to(
    #[case] authorization: Option<&str>,
    #[case] mood: u8,
    #[case] expected: StatusCode,
) {
    let page = page(&Arc::new(AtomicU8::new(mood)));
    assert_eq!(read(&page, authorization).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_reader_stays_one_through_an_outage_of_an_hour() {
    let mood = Arc::new(AtomicU8::new(KNOWS_AND_LETS));
    let page = page(&mood);
    assert_eq!(read(&page, Some("Bearer t")).await, StatusCode::OK);
    mood.store(SILENT, Ordering::SeqCst);
    tokio::time::advance(OUTAGE / 2).await;
    assert_eq!(read(&page, Some("Bearer t")).await, StatusCode::OK);
    tokio::time::advance(OUTAGE).await;
    assert_eq!(read(&page, Some("Bearer t")).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_right_reads_for_a_minute_at_most() {
    let mood = Arc::new(AtomicU8::new(KNOWS_AND_LETS));
    let page = page(&mood);
    assert_eq!(read(&page, Some("Bearer t")).await, StatusCode::OK);
    mood.store(KNOWS, Ordering::SeqCst);
    tokio::time::advance(KEPT).await;
    assert_eq!(read(&page, Some("Bearer t")).await, StatusCode::FORBIDDEN);
}

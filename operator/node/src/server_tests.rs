use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use bytes::Bytes;
use coreward_artifact::{Limits, raw, unixfs};
use coreward_telemetry::Metrics;
use rstest::rstest;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::*;
use crate::cache::Cache;
use crate::metrics::Series;

/// What the gateway of the tests answers for any block.
#[derive(Clone, Copy)]
enum Gateway {
    Gives(&'static [u8]),
    HasNone,
    Fails,
}

struct Bed {
    router: Router,
    sender: watch::Sender<Option<Arc<Assignment>>>,
    asked: Arc<AtomicUsize>,
    _cache: tempfile::TempDir,
}

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_mins(1);

const TEXT: &[u8] = b"a component, as far as this crate can tell";

async fn bed(gateway: Gateway, orders: Vec<ArtifactOrder>, patience: Duration) -> Bed {
    drop(rustls::crypto::ring::default_provider().install_default());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let answers = Router::new().fallback(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        match gateway {
            Gateway::Gives(bytes) => bytes.into_response(),
            Gateway::HasNone => StatusCode::NOT_FOUND.into_response(),
            Gateway::Fails => StatusCode::BAD_GATEWAY.into_response(),
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateways = vec![format!("http://{}", listener.local_addr().unwrap())];
    #[expect(clippy::disallowed_methods, reason = "the gateway ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, answers).await });

    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
    let series = Series::register(&Metrics::new("node", "0").unwrap()).unwrap();
    let (sender, heard) = watch::channel(None);
    sender.send_replace(Some(assignment(orders, gateways)));
    let router = router(Artifacts::new(cache, reqwest::Client::new(), series), heard, patience);
    Bed { router, sender, asked, _cache: directory }
}

fn assignment(artifacts: Vec<ArtifactOrder>, gateways: Vec<String>) -> Arc<Assignment> {
    let duty = Duty::Node(NodeDuty { artifacts, gateways });
    Arc::new(Assignment { revision: "1".to_owned(), leader: "a".to_owned(), duty })
}

fn order(bytes: &[u8], max_bytes: u64) -> ArtifactOrder {
    ArtifactOrder { cid: raw(bytes).to_string(), max_bytes, from: String::new() }
}

async fn ask(router: Router, cid: &str) -> (StatusCode, Bytes) {
    let request = Request::get(format!("/v1/artifact/{cid}")).body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    (answer.status(), to_bytes(answer.into_body(), 1 << 20).await.unwrap())
}

#[tokio::test]
async fn an_ordered_artifact_is_fetched_once_for_all_who_ask() {
    let bed = bed(Gateway::Gives(TEXT), vec![order(TEXT, 1_000)], LONG).await;
    let cid = raw(TEXT).to_string();
    let asks = (0..8).map(|_| ask(bed.router.clone(), &cid));
    for (status, archive) in futures::future::join_all(asks).await {
        assert_eq!(status, StatusCode::OK);
        let limits = Limits::of_bytes(1_000);
        let blocks = car::read(archive, &raw(TEXT), &limits).unwrap();
        assert_eq!(unixfs::file(&raw(TEXT), &blocks, &limits).unwrap(), TEXT);
    }
    assert_eq!(ask(bed.router.clone(), &cid).await.0, StatusCode::OK);
    assert_eq!(bed.asked.load(Ordering::SeqCst), 1, "the second time it is on the volume");
}

#[rstest]
#[case::absent(Gateway::HasNone, 1_000, 404, ArtifactFault::NotFound)]
#[case::wrong(Gateway::Gives(b"other bytes"), 1_000, 422, ArtifactFault::DigestMismatch)]
#[case::large(Gateway::Gives(TEXT), 10, 413, ArtifactFault::TooLarge)]
#[case::away(Gateway::Fails, 1_000, 504, ArtifactFault::GatewayUnreachable)]
#[tokio::test]
async fn a_failure_has_its_own_status_and_says_its_fault(
    #[case] gateway: Gateway,
    #[case] max_bytes: u64,
    #[case] status: u16,
    #[case] fault: ArtifactFault,
) {
    let bed = bed(gateway, vec![order(TEXT, max_bytes)], LONG).await;
    let (answered, body) = ask(bed.router, &raw(TEXT).to_string()).await;
    let failure: ArtifactFailure = serde_json::from_slice(&body).unwrap();
    assert_eq!((answered.as_u16(), failure.fault), (status, fault), "{}", failure.message);
    assert!(failure.message.contains(&raw(TEXT).to_string()), "{}", failure.message);
}

#[tokio::test]
async fn a_request_waits_until_the_operator_names_its_artifact() {
    let bed = bed(Gateway::Gives(TEXT), Vec::new(), LONG).await;
    let gateways = duty(bed.sender.borrow().as_ref()).unwrap().gateways.clone();
    let cid = raw(TEXT).to_string();
    let (answer, ()) = tokio::join!(ask(bed.router.clone(), &cid), async {
        tokio::task::yield_now().await;
        bed.sender.send_replace(Some(assignment(vec![order(TEXT, 1_000)], gateways)));
    });
    assert_eq!(answer.0, StatusCode::OK);
}

#[tokio::test]
async fn an_artifact_that_is_not_ordered_is_refused_and_not_asked_for() {
    let bed = bed(Gateway::Gives(TEXT), vec![order(b"another", 1_000)], Duration::ZERO).await;
    assert_eq!(ask(bed.router.clone(), &raw(TEXT).to_string()).await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(bed.router, "no-cid").await.0, StatusCode::FORBIDDEN);
    assert_eq!(bed.asked.load(Ordering::SeqCst), 0);
}

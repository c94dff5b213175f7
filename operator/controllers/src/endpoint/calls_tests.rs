use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::B256;
use axum::body::{Body, to_bytes};
use coreward_wire::{Assignment, Duty, Report};
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_test::mock;

use super::token::tests::Cluster;
use super::{ClusterKeys, Desk, Doorkeeper, Reviewer, router};
use crate::clock;
use crate::config::Config;
use crate::context::Context;
use crate::hub::Hub;
use crate::lease::{Leadership, Term};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pods::Pod;
use crate::proof_pool::ProofPool;
use crate::stores::{Stores, Writers};

const FILE: &str = r#"
images: { prover: p, worker: w }
podsEndpoint: { url: "https://coreward-pods" }
networks:
  - name: local
    chainId: 31337
    endpoints: [ { name: anvil, url: "http://127.0.0.1:8545" } ]
    contracts: { diamond: "0x1111111111111111111111111111111111111111", multicall3: "0x2222222222222222222222222222222222222222" }
    finalityBlocks: 2
    pollMilliseconds: 300
"#;

struct Bench {
    context: Arc<Context>,
    cluster: Cluster,
    router: axum::Router,
    terms: watch::Sender<Option<Term>>,
    /// Kept, or the stores would be over.
    _writers: Writers,
}

/// An API server that publishes keys and finds every token good.
fn client(published: Value) -> kube::Client {
    let (service, mut server) =
        mock::pair::<Request<kube::client::Body>, Response<kube::client::Body>>();
    let serving = async move {
        while let Some((request, send)) = server.next_request().await {
            let answer = if request.uri().path() == "/openid/v1/jwks" {
                published.clone()
            } else {
                json!({
                    "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {},
                    "status": { "authenticated": true },
                })
            };
            send.send_response(Response::new(serde_json::to_vec(&answer).unwrap().into()));
        }
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(serving);
    kube::Client::new(service, "coreward-system")
}

fn prover() -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "prover-1", "namespace": "coreward-system", "uid": "u-1",
            "labels": { "coreward.dev/component": "prover" },
            "annotations": { "coreward.dev/unit-id": B256::repeat_byte(1).to_string() },
        },
        "status": { "phase": "Running" },
    }))
    .unwrap()
}

impl Bench {
    fn new() -> Self {
        let cluster = Cluster::new();
        let client = client(cluster.published());
        let term = Term { number: 1, until: clock::now() + std::time::Duration::from_mins(1) };
        let (terms, leadership) = watch::channel(Some(term));
        let leadership = Leadership::new(leadership, watch::channel(false).1);
        let config = Arc::new(Config::parse(FILE).unwrap());
        let metrics = Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap());
        let (stores, mut writers) = Stores::new();
        writers.fill_pods(vec![prover()]);
        let outbox = Outbox::new(
            (client.clone(), "coreward-system".to_owned(), Arc::clone(&config)),
            BTreeMap::new(),
            &stores,
            (leadership.clone(), Arc::clone(&metrics)),
        );
        let doorkeeper = Doorkeeper::new(
            ClusterKeys::new(client.clone()),
            Reviewer::new(client.clone()),
            stores.clone(),
            "coreward-system".to_owned(),
        );
        let context = Arc::new(Context {
            client,
            config,
            namespace: "coreward-system".to_owned(),
            identity: "me_1".to_owned(),
            leadership,
            networks: BTreeMap::new(),
            links: BTreeMap::new(),
            hub: Hub::new("me_1"),
            outbox,
            proofs: ProofPool::default(),
            metrics,
            stores,
            anchor: watch::channel(None).1,
            serving: None,
        });
        let desk =
            Desk { context: Arc::clone(&context), doorkeeper, stop: CancellationToken::new() };
        Self { context, cluster, router: router(desk), terms, _writers: writers }
    }

    fn token(&self) -> String {
        self.cluster.token_of("coreward-system", "prover-1", "u-1")
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

fn report() -> Value {
    json!({
        "kind": "prover", "unitId": B256::repeat_byte(1), "mode": "Light", "ready": true, "building": false,
        "hashRate": 12.5, "epoch": 7, "found": 1, "stale": 0,
        "cpu": { "cpus": "1", "online": "0-1", "wholeCores": true, "threadsPerCore": 1 },
    })
}

fn proof_of(unit: u8) -> Value {
    let word = B256::repeat_byte(3);
    json!({
        "unitId": B256::repeat_byte(unit),
        "proofs": [ { "epoch": 7, "globalNonce": B256::ZERO, "localNonce": word, "resultHash": word } ],
    })
}

#[tokio::test]
async fn a_pod_is_told_its_duty_and_then_what_is_new() {
    let bench = Bench::new();
    bench.context.hub.assign("u-1", Duty::Probe);
    let (status, body) =
        bench.call("GET", "/v1/assignment?seen=", Some(&bench.token()), None).await;
    let first: Assignment = serde_json::from_value(body).unwrap();
    assert_eq!(
        (status, &first.duty, first.leader.as_str()),
        (StatusCode::OK, &Duty::Probe, "me_1")
    );

    let (path, token) = (format!("/v1/assignment?seen={}", first.revision), bench.token());
    let (answer, ()) = tokio::join!(bench.call("GET", &path, Some(&token), None), async {
        tokio::task::yield_now().await;
        bench.context.hub.assign("u-1", Duty::Node(coreward_wire::NodeDuty::default()));
    });
    let second: Assignment = serde_json::from_value(answer.1).unwrap();
    assert_ne!(second.revision, first.revision);
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_said_after_the_long_poll() {
    let bench = Bench::new();
    let begun = clock::now();
    let (status, _) = bench.call("GET", "/v1/assignment", Some(&bench.token()), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(clock::now() - begun, coreward_wire::LONG_POLL);
}

#[tokio::test]
async fn a_replica_that_does_not_lead_sends_pods_away() {
    let bench = Bench::new();
    bench.terms.send_replace(None);
    let (status, _) = bench.call("GET", "/v1/assignment", Some(&bench.token()), None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_poll_ends_with_the_term() {
    let bench = Bench::new();
    let token = bench.token();
    let (answer, ()) =
        tokio::join!(bench.call("GET", "/v1/assignment", Some(&token), None), async {
            tokio::task::yield_now().await;
            bench.terms.send_replace(None);
        });
    assert_eq!(answer.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let bench = Bench::new();
    let unknown = bench.cluster.token_of("coreward-system", "prover-2", "u-2");
    let forged = Cluster::new().token_of("coreward-system", "prover-1", "u-1");
    for (token, expected) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some(forged.as_str()), StatusCode::UNAUTHORIZED),
        (Some(unknown.as_str()), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        assert_eq!(bench.call("GET", "/v1/assignment", token, None).await.0, expected);
    }
}

#[tokio::test]
async fn a_prover_posts_proofs_of_its_own_unit_only() {
    let bench = Bench::new();
    let token = bench.token();
    let (status, body) = bench.call("POST", "/v1/proofs", Some(&token), Some(proof_of(1))).await;
    assert_eq!((status, &body["acknowledged"]), (StatusCode::OK, &json!([])));
    assert_eq!(
        bench.call("POST", "/v1/proofs", Some(&token), Some(proof_of(2))).await.0,
        StatusCode::FORBIDDEN
    );
    let kept = bench.context.proofs.kept(coreward_domain::id::UnitId(B256::repeat_byte(1)));
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn a_report_reaches_the_hub() {
    let bench = Bench::new();
    let token = bench.token();
    assert_eq!(
        bench.call("POST", "/v1/report", Some(&token), Some(report())).await.0,
        StatusCode::NO_CONTENT
    );
    assert!(
        matches!(bench.context.hub.report("u-1").unwrap().report, Report::Prover(report) if report.ready)
    );
    let of_a_node = json!({ "kind": "node", "artifactUrl": "", "facts": {
        "cores": 1, "threadsPerCore": 1, "memoryMib": 1, "cpuModel": "", "transparentHugePages": "", "numaNodes": 1,
    } });
    assert_eq!(
        bench.call("POST", "/v1/report", Some(&token), Some(of_a_node)).await.0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let bench = Bench::new();
    let body = json!({ "kind": "x".repeat(300 * 1024) });
    let (status, _) = bench.call("POST", "/v1/report", Some(&bench.token()), Some(body)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

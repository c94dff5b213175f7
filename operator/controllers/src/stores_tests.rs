use http::{Request, Response};
use kube::client::Body;
use serde_json::json;
use tokio::time::timeout;
use tower_test::mock::{self, SendResponse};

use super::*;

/// Longest wait for what must come; the clock runs by itself.
const LIMIT: Duration = Duration::from_mins(5);

/// An API server that knows all kinds but this one, until it is told to.
fn cluster(unknown: &'static str) -> (Client, watch::Sender<bool>) {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let (defined, is_defined) = watch::channel(false);
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        // Watches are never answered: nothing changes.
        let mut watches = Vec::new();
        while let Some((request, send)) = handle.next_request().await {
            let path = request.uri().path().to_owned();
            if request.uri().query().unwrap_or_default().contains("watch=true") {
                watches.push(send);
            } else {
                answer(send, path.ends_with(unknown) && !*is_defined.borrow());
            }
        }
    });
    (Client::new(service, "default"), defined)
}

fn answer(send: SendResponse<Response<Body>>, is_unknown: bool) {
    let (code, body) = if is_unknown {
        (404, "404 page not found".to_owned())
    } else {
        let list = json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] });
        (200, list.to_string())
    };
    send.send_response(
        Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap(),
    );
}

fn watched(client: Client) -> (Stores, CancellationToken) {
    let (stores, writers) = Stores::new();
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(stores.clone().watch(writers, client, "coreward-system".to_owned(), stop.clone()));
    (stores, stop)
}

#[rstest::rstest]
#[case::units("capacityunits")]
#[case::deals("deals")]
#[case::transactions("chaintransactions")]
#[case::offers("provideroffers")]
#[tokio::test(start_paused = true)]
async fn a_definition_that_is_gone_keeps_nobody_from_leading(#[case] kind: &'static str) {
    let (client, _defined) = cluster(kind);
    let (stores, _stop) = watched(client);
    timeout(LIMIT, stores.filled()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pods_are_waited_for() {
    let (client, defined) = cluster("pods");
    let (stores, _stop) = watched(client);
    timeout(LIMIT, stores.filled()).await.unwrap_err();
    defined.send_replace(true);
    timeout(LIMIT, stores.filled()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_comes_back_is_seen() {
    let (client, defined) = cluster("deals");
    let (stores, _stop) = watched(client);
    timeout(LIMIT, stores.filled()).await.unwrap();
    assert_eq!((stores.deals.is_missing(), stores.units.is_missing()), (true, false));
    defined.send_replace(true);
    let mut missing = stores.deals.missing.subscribe();
    timeout(LIMIT, missing.wait_for(|missing| !missing)).await.unwrap().unwrap();
}

#[rstest::rstest]
#[case::on_it(json!({ "nodeName": "n1" }))]
#[case::for_it(json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
    { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] },
] } } } }))]
fn a_pod_that_is_kept_still_says_its_node(#[case] mut spec: serde_json::Value) {
    spec["containers"] = json!([{ "name": "unit", "image": "prover" }]);
    let pod = json!({ "metadata": { "name": "p", "uid": "u" }, "spec": spec, "status": { "phase": "Running" } });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    assert!(crate::pods::fact::is_for(&pod, "n1"));
    let status = pod.status.unwrap();
    assert_eq!(
        (pod.metadata.uid.as_deref(), status.phase.as_deref()),
        (Some("u"), Some("Running"))
    );
}

//! The gateway whole, against an operator of the test's own on this host.

use std::fs;
use std::net::TcpListener as Port;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser as _;
use coreward_gateway::{Args, run};
use coreward_overlay::{Gateways, Member};
use coreward_telemetry::Shutdown;
use coreward_wire::{Assignment, Duty, GatewayDuty, GatewayReport, Report};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::members::{LIMIT, Node, Tasks, count};

#[derive(Clone, Debug, Default)]
struct Desk {
    duty: GatewayDuty,
    reports: Vec<Report>,
}

type Shared = Arc<watch::Sender<Desk>>;

#[derive(Deserialize)]
struct Seen {
    seen: Option<String>,
}

async fn assignment(State(desk): State<Shared>, Query(query): Query<Seen>) -> Response {
    let mut told = desk.subscribe();
    let revision = |desk: &Desk| format!("{:?}", desk.duty);
    let is_new = |desk: &Desk| query.seen.as_ref() != Some(&revision(desk));
    let Ok(Ok(desk)) = timeout(Duration::from_secs(10), told.wait_for(is_new)).await else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let (revision, leader) = (revision(&desk), "operator-0".to_owned());
    Json(Assignment { revision, leader, duty: Duty::Gateway(desk.duty.clone()) }).into_response()
}

async fn report(State(desk): State<Shared>, Json(report): Json<Report>) -> StatusCode {
    desk.send_modify(|desk| desk.reports.push(report));
    StatusCode::NO_CONTENT
}

async fn operator(desk: &Shared) -> String {
    let router =
        Router::new().route("/v1/assignment", get(assignment)).route("/v1/report", post(report));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router.with_state(Arc::clone(desk));
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn arguments(operator: &str, directory: &Path) -> Args {
    fs::write(directory.join("token"), "token").unwrap();
    let port = Port::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = directory.display();
    let line = format!(
        "coreward-gateway --operator-url {operator} --ca-file {at}/ca --token-file {at}/token --state-dir {at} \
         --listen 127.0.0.1:0 --relay-port {port} --outside 203.0.113.7:1,127.0.0.1:{port} --replica gateway-1"
    );
    Args::try_parse_from(line.split(' ').filter(|word| !word.is_empty())).unwrap()
}

async fn reported(desk: &Shared) -> GatewayReport {
    let mut told = desk.subscribe();
    let told = timeout(LIMIT, told.wait_for(|desk| !desk.reports.is_empty())).await.unwrap();
    let Report::Gateway(report) = told.unwrap().reports[0].clone() else {
        unreachable!("a gateway reports where it is reached")
    };
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_list_decides_who_meets() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (mut tasks, desk) = (Tasks::new(), Shared::new(watch::Sender::default()));
    let directory = tempfile::tempdir().unwrap();
    let args = arguments(&operator(&desk).await, directory.path());
    let (one, two) = (Node::new(&mut tasks).await, Node::new(&mut tasks).await);
    let shutdown = Shutdown::new();
    let (ended, ()) = tokio::join!(run(args, &shutdown), async {
        let report = reported(&desk).await;
        let gateway = report.addresses[0].clone();
        assert!(gateway.starts_with("/ip4/127.0.0.1/tcp/"), "{gateway}");
        let behind = |node: &Node| Member {
            key: node.key,
            addresses: vec![format!("{gateway}/p2p-circuit/p2p/{}", peer(node))],
        };
        desk.send_modify(|desk| desk.duty.own = vec![one.key.into(), two.key.into()]);
        for node in [&one, &two] {
            let gateways = Gateways { own: vec![gateway.clone()], private: true };
            node.client.set_gateways(gateways).await.unwrap();
            node.knows(&[behind(&one), behind(&two)]).await;
            let mut held = node.client.reservations();
            let is_held = held.wait_for(|held| held.contains(&report.key.0));
            timeout(LIMIT, is_held).await.unwrap().unwrap();
        }
        assert_eq!(one.ask(two.key).await.unwrap(), one.answer());

        let endless = one.send(two.key, "/endless", 0).await.unwrap().into_body();
        desk.send_modify(|desk| desk.duty.own = vec![two.key.into()]);
        timeout(LIMIT, count(endless)).await.unwrap().unwrap_err();
        shutdown.stop();
    });
    ended.unwrap();
}

fn peer(node: &Node) -> String {
    let suffix = coreward_overlay::gateway::suffix(&node.key).unwrap();
    suffix.trim_start_matches("/p2p/").to_owned()
}

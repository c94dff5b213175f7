//! The agent whole, against an operator of the test's own on this host.

use core::time::Duration;
use std::fs;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser as _;
use coreward_node::{Args, NodeFiles, run};
use coreward_telemetry::Shutdown;
use coreward_wire::{Assignment, Duty, NodeDuty, Report};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

/// Far beyond what anything here takes.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, Default)]
struct Desk {
    leader: String,
    reports: Vec<Report>,
}

type Shared = Arc<watch::Sender<Desk>>;

#[derive(Deserialize)]
struct Seen {
    seen: Option<String>,
}

async fn assignment(State(desk): State<Shared>, Query(query): Query<Seen>) -> Response {
    let mut told = desk.subscribe();
    let is_new = |desk: &Desk| query.seen.as_ref() != Some(&desk.leader);
    let Ok(Ok(desk)) = timeout(Duration::from_secs(10), told.wait_for(is_new)).await else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let (leader, duty) = (desk.leader.clone(), Duty::Node(NodeDuty::default()));
    Json(Assignment { revision: leader.clone(), leader, duty }).into_response()
}

async fn report(State(desk): State<Shared>, Json(report): Json<Report>) -> StatusCode {
    desk.send_modify(|desk| desk.reports.push(report));
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn each_leader_is_told_what_the_node_is() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let desk: Shared =
        Arc::new(watch::Sender::new(Desk { leader: "a".to_owned(), ..Desk::default() }));
    let router =
        Router::new().route("/v1/assignment", get(assignment)).route("/v1/report", post(report));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let operator = listener.local_addr().unwrap();
    let router = router.with_state(desk.clone());
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });

    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("token"), "token").unwrap();
    let at = directory.path().display();
    let line = format!(
        "coreward-node --operator-url http://{operator} --ca-file {at}/ca --token-file {at}/token --cache-dir {at}/cache \
         --listen 127.0.0.1:0 --artifact-listen 127.0.0.1:0 --advertise-address 10.244.1.7"
    );
    let args = Args::try_parse_from(line.split(' ').filter(|word| !word.is_empty())).unwrap();
    let shutdown = Shutdown::new();
    let (ended, ()) = tokio::join!(run(args, &shutdown), async {
        for leader in ["b", "c"] {
            let told = |desk: &Desk| !desk.reports.is_empty();
            let heard =
                timeout(LIMIT, desk.subscribe().wait_for(told)).await.unwrap().unwrap().clone();
            let Report::Node(report) = &heard.reports[0] else {
                unreachable!("a node agent reports its node")
            };
            assert_eq!(report.facts, NodeFiles::of_this_machine().read().unwrap());
            assert_eq!(report.artifact_url, "http://10.244.1.7:0");
            desk.send_modify(|desk| {
                *desk = Desk { leader: leader.to_owned(), reports: Vec::new() }
            });
        }
        shutdown.stop();
    });
    ended.unwrap();
}

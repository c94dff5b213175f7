//! The prover as a pod, against an operator of the test's own on this host.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod volumes;

use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{B256, hex};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser as _;
use coreward_prover::{Args, Command, Key, probe, prove};
use coreward_randomx::{Engine, Fluence, Mode, Progress, Work};
use coreward_telemetry::Shutdown;
use coreward_wire::{
    Assignment, Duty, FoundProof, FoundProofs, HashMode, ProofReceipt, ProofTarget, ProverDuty,
    Puzzle, Report,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

/// Far beyond what anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

const UNIT: B256 = B256::repeat_byte(0x22);

/// What the operator of the test says and heard.
#[derive(Clone, Debug, Default)]
struct Desk {
    assignment: Option<Assignment>,
    /// Whether posts are answered at all.
    away: bool,
    /// Whether posted proofs are acknowledged at once.
    acknowledges: bool,
    /// Where a proof has to lie before it is posted.
    volume: Option<PathBuf>,
    /// Posted proofs that did not lie there.
    not_kept: Vec<B256>,
    posted: Vec<FoundProof>,
    reports: Vec<Report>,
}

type Shared = Arc<watch::Sender<Desk>>;

#[derive(Deserialize)]
struct Seen {
    seen: Option<String>,
}

async fn assignment(State(desk): State<Shared>, Query(query): Query<Seen>) -> Response {
    let mut told = desk.subscribe();
    let is_new = |desk: &Desk| {
        desk.assignment.as_ref().is_some_and(|each| Some(&each.revision) != query.seen.as_ref())
    };
    match timeout(Duration::from_secs(10), told.wait_for(is_new)).await {
        Ok(Ok(desk)) => Json(desk.assignment.clone()).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn proofs(State(desk): State<Shared>, Json(found): Json<FoundProofs>) -> Response {
    assert_eq!(found.unit_id, UNIT);
    if desk.borrow().away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let acknowledged = if desk.borrow().acknowledges {
        found.proofs.iter().map(|proof| proof.local_nonce).collect()
    } else {
        Vec::new()
    };
    desk.send_modify(|desk| {
        let volume = desk.volume.clone();
        let is_missing = |nonce: &B256| {
            let file = |volume: &PathBuf| volume.join(format!("{}.json", hex::encode(nonce)));
            volume.as_ref().map(file).is_some_and(|file| !file.exists())
        };
        let posted = found.proofs.iter().map(|proof| proof.local_nonce);
        desk.not_kept.extend(posted.filter(is_missing));
        desk.posted.extend(found.proofs);
    });
    Json(ProofReceipt { acknowledged }).into_response()
}

async fn report(State(desk): State<Shared>, Json(report): Json<Report>) -> StatusCode {
    desk.send_modify(|desk| desk.reports.push(report));
    StatusCode::NO_CONTENT
}

/// An operator that has this to say, on a loopback port.
async fn operator(desk: Desk) -> (Shared, SocketAddr) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let desk: Shared = Arc::new(watch::Sender::new(desk));
    let router = Router::new()
        .route("/v1/assignment", get(assignment))
        .route("/v1/proofs", post(proofs))
        .route("/v1/report", post(report))
        .with_state(desk.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    (desk, address)
}

/// Every hash is a proof of it.
fn told(leader: &str, epoch: u64, useful: u32, on_chain: u32) -> Assignment {
    let puzzle = Puzzle {
        epoch,
        global_nonce: B256::with_last_byte(u8::try_from(epoch).unwrap()),
        difficulty: B256::repeat_byte(0xff),
        target: ProofTarget { minimum: 1, useful, on_chain },
        remaining_seconds: 60,
    };
    let duty = ProverDuty { unit_id: UNIT, puzzle: Some(puzzle), acknowledged: Vec::new() };
    Assignment {
        revision: format!("{leader}-{epoch}-{useful}-{on_chain}"),
        leader: leader.to_owned(),
        duty: Duty::Prover(duty),
    }
}

fn arguments(command: &str, operator: SocketAddr, state: &Path) -> Command {
    fs::write(state.join("token"), "token").unwrap();
    let state = state.display();
    let line = format!(
        "coreward-prover {command} --operator-url http://{operator} --ca-file {state}/ca.crt --token-file {state}/token"
    );
    Args::try_parse_from(line.split(' ')).unwrap().command
}

/// Runs a prover on `state` until `story` ends.
async fn while_proving(operator: SocketAddr, state: &Path, story: impl Future<Output = ()>) {
    let Command::Prove(mut args) = arguments("prove", operator, state) else {
        unreachable!("the line says prove")
    };
    args.state_dir = state.join("state");
    args.listen = "127.0.0.1:0".parse().unwrap();
    let shutdown = Shutdown::new();
    let (ended, ()) = tokio::join!(prove(args, &shutdown), async {
        timeout(LIMIT, story).await.expect("the story ends in time");
        shutdown.stop();
    });
    ended.unwrap();
}

async fn until(desk: &Shared, holds: impl FnMut(&Desk) -> bool) -> Desk {
    let mut told = desk.subscribe();
    timeout(LIMIT, told.wait_for(holds)).await.expect("it comes to that in time").unwrap().clone()
}

/// Looks until it is so; the volume tells nobody when it changes.
async fn holds(mut is_so: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while !is_so() {
        looks.tick().await;
    }
}

fn nonces(proofs: &[FoundProof]) -> BTreeSet<B256> {
    proofs.iter().map(|proof| proof.local_nonce).collect()
}

fn kept(state: &Path) -> usize {
    fs::read_dir(state.join("state/proofs")).unwrap().count()
}

fn kept_nonces(proofs: &Path) -> BTreeSet<B256> {
    let files = fs::read_dir(proofs).into_iter().flatten();
    files
        .filter_map(|file| {
            file.unwrap().path().file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
        })
        .collect()
}

fn ready(desk: &Desk) -> bool {
    matches!(desk.reports.last(), Some(Report::Prover(report)) if report.ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_proves_until_nothing_more_is_of_use_and_keeps_nothing_that_was_acknowledged() {
    let state = tempfile::tempdir().unwrap();
    let first = Desk {
        assignment: Some(told("a", 2, 5, 0)),
        volume: Some(state.path().join("state/proofs")),
        ..Desk::default()
    };
    let (desk, address) = operator(first).await;
    let on_volume = state.path().to_owned();
    while_proving(address, state.path(), async {
        let heard = until(&desk, |desk| nonces(&desk.posted).len() >= 5 && ready(desk)).await;
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let key = Key::of(B256::with_last_byte(2), UNIT);
        let work =
            Work { threads: NonZeroUsize::MIN, stopped: &|| false, progress: &Progress::default() };
        let engine = Engine::<Fluence>::new(Mode::Light).load(key.0.as_slice(), &work).unwrap();
        for proof in &heard.posted {
            let mut hasher = engine.hasher().unwrap();
            let hash = B256::from(hasher.hash(proof.local_nonce.as_slice()).bytes());
            assert_eq!(hash, proof.result_hash, "anyone can hash it again");
        }
        assert!(
            nonces(&heard.posted).len() <= 5 + threads,
            "one more of a thread at most, found while the fifth was kept"
        );
        assert!(heard.not_kept.is_empty(), "each was durable before it was told");
        // All on chain, and the one who leads then acknowledges what it is told: the volume is empty.
        desk.send_modify(|desk| {
            desk.acknowledges = true;
            desk.assignment = Some(told("b", 2, 5, 5));
        });
        holds(|| kept(&on_volume) == 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_prover_posts_what_it_had_found_to_whoever_leads_then() {
    let state = tempfile::tempdir().unwrap();
    let away = Desk { assignment: Some(told("a", 2, 3, 0)), away: true, ..Desk::default() };
    let (_desk, address) = operator(away).await;
    let on_volume = state.path().to_owned();
    while_proving(address, state.path(), async {
        holds(|| on_volume.join("state/proofs").exists() && kept(&on_volume) >= 3).await;
    })
    .await;
    let found = kept_nonces(&state.path().join("state/proofs"));

    // The next operator has nothing to say: the kept assignment is enough to go on with.
    let (desk, address) = operator(Desk { acknowledges: true, ..Desk::default() }).await;
    while_proving(address, state.path(), async {
        until(&desk, |desk| nonces(&desk.posted).is_superset(&found)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_is_told_again_and_a_new_epoch_ends_the_old_proofs() {
    let state = tempfile::tempdir().unwrap();
    let (desk, address) =
        operator(Desk { assignment: Some(told("a", 2, 2, 0)), ..Desk::default() }).await;
    while_proving(address, state.path(), async {
        let first = until(&desk, |desk| nonces(&desk.posted).len() >= 2).await;
        desk.send_modify(|desk| {
            desk.posted.clear();
            desk.reports.clear();
            desk.assignment = Some(told("b", 2, 2, 0));
        });
        until(&desk, ready).await;
        until(&desk, |desk| nonces(&desk.posted).is_superset(&nonces(&first.posted))).await;
        desk.send_modify(|desk| {
            desk.posted.clear();
            desk.assignment = Some(told("b", 3, 2, 0));
        });
        let second =
            until(&desk, |desk| desk.posted.iter().filter(|proof| proof.epoch == 3).count() >= 2)
                .await;
        assert!(
            nonces(&second.posted).is_disjoint(&nonces(&first.posted)),
            "the old epoch's are dropped"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_takes_nothing_does_not_stop_it() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("state"), "a file where the directory belongs").unwrap();
    let (desk, address) =
        operator(Desk { assignment: Some(told("a", 2, 2, 0)), ..Desk::default() }).await;
    while_proving(address, state.path(), async {
        until(&desk, |desk| nonces(&desk.posted).len() >= 2 && ready(desk)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_what_it_sees_and_ends() {
    let state = tempfile::tempdir().unwrap();
    let (desk, address) = operator(Desk::default()).await;
    let Command::Probe(args) = arguments("probe --seconds 1", address, state.path()) else {
        unreachable!("the line says probe");
    };
    timeout(LIMIT, probe(args, &Shutdown::new())).await.unwrap().unwrap();
    let heard = desk.borrow().clone();
    let [Report::Probe(report)] = heard.reports.as_slice() else { panic!("one report: {heard:?}") };
    assert!(report.hash_rate > 0.0 && !report.cpu.cpus.is_empty(), "{report:?}");
}

//! An operator and a node agent that do as the test says, and real worker processes.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener as Port};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use coreward_artifact::{Blocks, car, raw};
use coreward_wire::{
    ArtifactFailure, ArtifactFault, ArtifactOrder, Assignment, Duty, Egress, Member, Report, SecretSeed, WorkerDuty,
    WorkerLimits, WorkerReport, WorkerStage,
};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the fakes know.
#[derive(Debug, Default)]
struct Known {
    artifacts: BTreeMap<String, Bytes>,
}

/// The outside of the workers.
#[derive(Clone, Debug)]
pub(crate) struct World {
    known: Arc<Mutex<Known>>,
    node: String,
}

/// One worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    orders: watch::Sender<Assignment>,
    reports: watch::Receiver<Option<WorkerReport>>,
    public: String,
    health: String,
    pub(crate) process: Child,
    _directory: TempDir,
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn free_port() -> u16 {
    Port::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn artifact(State(known): State<Arc<Mutex<Known>>>, Path(cid): Path<String>) -> Response {
    match known.lock().unwrap().artifacts.get(&cid) {
        Some(archive) => archive.clone().into_response(),
        None => {
            let message = "not found on any of 1 gateways".to_owned();
            (StatusCode::NOT_FOUND, Json(ArtifactFailure { fault: ArtifactFault::NotFound, message })).into_response()
        }
    }
}

type Operator = (watch::Receiver<Assignment>, watch::Sender<Option<WorkerReport>>);

async fn assignment(
    State(operator): State<Arc<Operator>>,
    Query(seen): Query<BTreeMap<String, String>>,
) -> Response {
    let mut orders = operator.0.clone();
    let newer = orders.wait_for(|assignment| Some(&assignment.revision) != seen.get("seen"));
    match timeout(Duration::from_secs(5), newer).await {
        Ok(Ok(assignment)) => Json(assignment.clone()).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn report(State(operator): State<Arc<Operator>>, Json(report): Json<Report>) -> StatusCode {
    if let Report::Worker(report) = report {
        operator.1.send_replace(Some(report));
    }
    StatusCode::NO_CONTENT
}

impl World {
    pub(crate) async fn new() -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let known = Arc::new(Mutex::new(Known::default()));
        let node = serve(Router::new().route("/v1/artifact/{cid}", get(artifact)).with_state(Arc::clone(&known))).await;
        Self { known, node }
    }

    /// Makes bytes known to the node agent and returns their CID.
    pub(crate) fn publish(&self, bytes: Bytes) -> String {
        let root = raw(&bytes);
        let mut blocks = Blocks::default();
        blocks.insert(root, bytes, "the test").unwrap();
        self.known.lock().unwrap().artifacts.insert(root.to_string(), car::write(&root, &blocks).into());
        root.to_string()
    }

    /// Makes the node agent answer for `cid` with this archive.
    pub(crate) fn forge(&self, cid: &str, archive: Bytes) {
        self.known.lock().unwrap().artifacts.insert(cid.to_owned(), archive);
    }

    /// An order for the worker `id`.
    pub(crate) fn duty(&self, id: u8, cid: &str) -> WorkerDuty {
        WorkerDuty {
            deal: Address::repeat_byte(0xdd),
            onchain_worker_id: B256::with_last_byte(id),
            key_seed: SecretSeed(B256::repeat_byte(id)),
            artifact: ArtifactOrder { cid: cid.to_owned(), max_bytes: 16 << 20, from: self.node.clone() },
            limits: WorkerLimits { memory_mib: 64, request_milliseconds: 2000, connections: 64 },
            egress: Egress::None,
            members: Vec::new(),
            members_block: 1,
        }
    }

    /// Starts a worker with this order.
    pub(crate) async fn start(&self, duty: WorkerDuty) -> Worker {
        self.start_with(duty, free_port(), &[]).await
    }

    /// The same, with an overlay on this port and further flags.
    pub(crate) async fn start_with(&self, duty: WorkerDuty, overlay: u16, flags: &[&str]) -> Worker {
        let (orders, ordered) = watch::channel(assign("1", duty));
        let (reported, reports) = watch::channel(None);
        let router = Router::new()
            .route("/v1/assignment", get(assignment))
            .route("/v1/report", post(report))
            .with_state(Arc::new((ordered, reported)));
        let operator = serve(router).await;
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("token"), "token").unwrap();
        let (public, health) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_coreward-worker"))
            .args(["serve", "--operator-url", &operator, "--ca-file", "none", "--token-file"])
            .arg(directory.path().join("token"))
            .arg("--state-dir")
            .arg(directory.path())
            .args(["--listen", &format!("127.0.0.1:{health}"), "--public-listen", &format!("127.0.0.1:{public}")])
            .args(["--overlay-listen", &format!("/ip4/127.0.0.1/tcp/{overlay}")])
            .args(flags)
            .stdout(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = |port: u16| format!("http://127.0.0.1:{port}");
        Worker { orders, reports, public: address(public), health: address(health), process, _directory: directory }
    }
}

/// A member as the chain lists the worker `id` that [`World::duty`] makes.
pub(crate) fn member(id: u8, overlay: u16) -> Member {
    Member {
        onchain_worker_id: B256::with_last_byte(id),
        offchain_worker_id: key_of(id),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{overlay}")],
    }
}

/// The public key of the worker `id`.
pub(crate) fn key_of(id: u8) -> B256 {
    SigningKey::from_bytes(&[id; 32]).verifying_key().to_bytes().into()
}

/// Two ports for two overlays.
pub(crate) fn two_ports() -> (u16, u16) {
    let (one, other) = (Port::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), Port::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    (one.local_addr().unwrap().port(), other.local_addr().unwrap().port())
}

fn assign(revision: &str, duty: WorkerDuty) -> Assignment {
    Assignment { revision: revision.to_owned(), leader: "test".to_owned(), duty: Duty::Worker(Box::new(duty)) }
}

impl Worker {
    /// Replaces the order.
    pub(crate) fn order(&self, revision: &str, duty: WorkerDuty) {
        self.orders.send_replace(assign(revision, duty));
    }

    /// Waits for a report that is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&WorkerReport) -> bool) -> WorkerReport {
        let mut reports = self.reports.clone();
        let waited = timeout(PATIENCE, reports.wait_for(|report| report.as_ref().is_some_and(&wanted))).await;
        let report = waited.map(|report| report.unwrap().clone().unwrap());
        report.unwrap_or_else(|_| panic!("last report: {:?}", self.reports.borrow()))
    }

    /// Waits until it serves this CID.
    pub(crate) async fn serves(&self, cid: &str) -> WorkerReport {
        self.until(|report| report.stage == WorkerStage::Serving && report.cid == cid).await
    }

    /// Waits until it has told why it cannot serve.
    pub(crate) async fn fails(&self) -> ArtifactFailure {
        self.until(|report| report.stage == WorkerStage::Failed).await.failure.unwrap()
    }

    /// The status of its answer on the public port.
    pub(crate) async fn get(&self, path: &str) -> u16 {
        self.get_as(path, &[]).await
    }

    /// The same, with headers.
    pub(crate) async fn get_as(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = reqwest::Client::new().get(format!("{}{path}", self.public));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        timeout(PATIENCE, request.send()).await.unwrap().unwrap().status().as_u16()
    }

    /// A page of its own port: `/readyz` or `/metrics`.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.health)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

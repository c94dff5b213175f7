//! An operator and a node agent that do as the test says, and real worker processes.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener as Port};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use coreward_artifact::{Blocks, car, raw};
use coreward_wire::{
    ArtifactFailure, ArtifactFault, ArtifactOrder, Assignment, Duty, Egress, Member, Report,
    RequestLimits, SecretSeed, WorkerDuty, WorkerLimits, WorkerReport,
};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::folder::folder;
use crate::process::{Worker, free_port, spawn};

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

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn artifact(State(known): State<Arc<Mutex<Known>>>, Path(cid): Path<String>) -> Response {
    let archive = known.lock().unwrap().artifacts.get(&cid).cloned();
    let message = "not found on any of 1 gateways".to_owned();
    let missing = || Json(ArtifactFailure { fault: ArtifactFault::NotFound, message });
    archive.map_or_else(
        || (StatusCode::NOT_FOUND, missing()).into_response(),
        IntoResponse::into_response,
    )
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
        let node = serve(
            Router::new().route("/v1/artifact/{cid}", get(artifact)).with_state(Arc::clone(&known)),
        )
        .await;
        Self { known, node }
    }

    /// Makes bytes known to the node agent and returns their CID.
    pub(crate) fn publish(&self, bytes: Bytes) -> String {
        let root = raw(&bytes);
        let mut blocks = Blocks::default();
        blocks.insert(root, bytes, "the test").unwrap();
        self.forge(&root.to_string(), car::write(&root, &blocks).into());
        root.to_string()
    }

    /// Makes a directory of these files known to the node agent and returns its CID.
    pub(crate) fn publish_folder(&self, files: &[(&str, Bytes)]) -> String {
        let (root, blocks) = folder(files);
        self.forge(&root.to_string(), car::write(&root, &blocks).into());
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
            artifact: ArtifactOrder {
                cid: cid.to_owned(),
                max_bytes: 16 << 20,
                from: self.node.clone(),
            },
            limits: WorkerLimits {
                memory_mib: 64,
                request_milliseconds: 2000,
                connections: 64,
                request: RequestLimits::default(),
                storage_mib: 0,
                reuse_instances: false,
            },
            egress: Egress::None,
            members: Vec::new(),
            members_block: 1,
            gateways: coreward_wire::Gateways::default(),
        }
    }

    /// Starts a worker with this order.
    pub(crate) async fn start(&self, duty: WorkerDuty) -> Worker {
        self.start_with(duty, free_port(), &[]).await
    }

    /// The same, with an overlay on this port and further flags.
    pub(crate) async fn start_with(
        &self,
        duty: WorkerDuty,
        overlay: u16,
        flags: &[&str],
    ) -> Worker {
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
        let overlay = format!("/ip4/127.0.0.1/tcp/{overlay}");
        let flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        let process = spawn(&operator, [public, health], &overlay, &flags, &directory);
        let address = |port: u16| format!("http://127.0.0.1:{port}");
        Worker {
            orders,
            reports,
            public: address(public),
            health: address(health),
            process,
            overlay,
            flags,
            directory,
        }
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
    let (one, other) = (
        Port::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        Port::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
    );
    (one.local_addr().unwrap().port(), other.local_addr().unwrap().port())
}

pub(crate) fn assign(revision: &str, duty: WorkerDuty) -> Assignment {
    Assignment {
        revision: revision.to_owned(),
        leader: "test".to_owned(),
        duty: Duty::Worker(Box::new(duty)),
    }
}

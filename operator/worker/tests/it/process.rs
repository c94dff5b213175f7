//! One worker process, and what can be asked of it.

use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, TcpListener as Port};

use coreward_wire::{ArtifactFailure, Assignment, WorkerDuty, WorkerReport, WorkerStage};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::world::assign;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a worker's lines go, beside its state.
const LOG: &str = "log";

/// One worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) orders: watch::Sender<Assignment>,
    pub(crate) reports: watch::Receiver<Option<WorkerReport>>,
    pub(crate) public: String,
    pub(crate) health: String,
    pub(crate) process: Child,
    pub(crate) overlay: String,
    pub(crate) flags: Vec<String>,
    pub(crate) directory: TempDir,
}

/// An answer, in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// A header, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    // Below what the kernel gives to outgoing connections: one of those may take a port between here and the worker's start.
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if Port::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Starts a worker on these ports and this volume.
pub(crate) fn spawn(
    operator: &str,
    [public, health]: [u16; 2],
    overlay: &str,
    flags: &[String],
    directory: &TempDir,
) -> Child {
    let mut log = OpenOptions::new();
    let log = log.create(true).append(true).open(directory.path().join(LOG)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_coreward-worker"))
        .args(["serve", "--operator-url", operator, "--ca-file", "none", "--token-file"])
        .arg(directory.path().join("token"))
        .arg("--state-dir")
        .arg(directory.path())
        .args([
            "--listen",
            &format!("127.0.0.1:{health}"),
            "--public-listen",
            &format!("127.0.0.1:{public}"),
        ])
        .args(["--overlay-listen", overlay])
        .args(flags)
        .stdout(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl Worker {
    /// Replaces the order.
    pub(crate) fn order(&self, revision: &str, duty: WorkerDuty) {
        self.orders.send_replace(assign(revision, duty));
    }

    /// Kills the process and starts another on the same volume, in a world where nobody answers it.
    pub(crate) async fn restart_alone(&mut self) {
        self.process.kill().await.unwrap();
        let (public, health) = (free_port(), free_port());
        let nobody = format!("http://127.0.0.1:{}", free_port());
        self.process =
            spawn(&nobody, [public, health], &self.overlay, &self.flags, &self.directory);
        (self.public, self.health) =
            (format!("http://127.0.0.1:{public}"), format!("http://127.0.0.1:{health}"));
    }

    /// Waits until its pod would be Ready.
    pub(crate) async fn is_ready(&self) {
        let ready = async {
            let page = format!("{}/readyz", self.health);
            while !reqwest::get(&page).await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ready).await.expect("the worker becomes ready");
    }

    /// Waits for a report that is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&WorkerReport) -> bool) -> WorkerReport {
        let mut reports = self.reports.clone();
        let found =
            timeout(PATIENCE, reports.wait_for(|report| report.as_ref().is_some_and(&wanted)))
                .await;
        let report = found.map(|report| report.unwrap().clone().unwrap());
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

    /// The status of its answer, once the answer has ended, well or not.
    pub(crate) async fn whole(&self, path: &str) -> u16 {
        let request = reqwest::get(format!("{}{path}", self.public));
        let answer = timeout(PATIENCE, request).await.unwrap().unwrap();
        let status = answer.status().as_u16();
        let _well_or_not = timeout(PATIENCE, answer.bytes()).await.unwrap();
        status
    }

    /// Asserts that it answers, would be Ready, and has counted what it went through.
    pub(crate) async fn is_well_and_counted(&self, counter: &str) {
        assert_eq!((self.get("/").await, self.page("/readyz").await.0), (200, 200));
        let moved = async { while self.metric(counter).await < 1.0 {} };
        let moved = timeout(PATIENCE, moved).await.is_ok();
        assert!(moved, "{counter} did not move: {}", self.page("/metrics").await.1);
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap()
    }

    /// The value of one of its metrics; the name may have labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics").await.1;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Its answer on the public port, in full.
    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let address = format!("{}{path}", self.public);
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let mut request = client.build().unwrap().request(method, address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    /// The status of its answer to a PUT.
    pub(crate) async fn put(&self, path: &str, body: &'static str) -> u16 {
        let request = reqwest::Client::new().put(format!("{}{path}", self.public)).body(body);
        timeout(PATIENCE, request.send()).await.unwrap().unwrap().status().as_u16()
    }

    /// Status and body of its answer to a GET.
    pub(crate) async fn read(&self, path: &str) -> (u16, String) {
        let answer = self.ask(reqwest::Method::GET, path, &[]).await;
        (answer.status, answer.text)
    }

    /// A page of its own port: `/readyz` or `/metrics`.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.health)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

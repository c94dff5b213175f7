//! Who plays what would run on simulated nodes: their agents, probes and provers, each as the operator sees a real one.
//!
//! They speak `wire`'s JSON by hand. A prover hashes nothing: the contracts of the test chain take any nonce for work.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    time::Duration,
};

use alloy::primitives::B256;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::line::{Endpoint, Line, PAUSE};
use crate::{
    bed::{self, NAMESPACE},
    story::pods,
    world::{Error, Result},
};

const COMPONENT: &str = "coreward.dev/component";
/// Reports are sent at least this often.
const REPORT: Duration = Duration::from_mins(1);
/// Proofs that are not acknowledged are posted again after this long.
const AGAIN: Duration = Duration::from_secs(20);

/// Threads of a core of a simulated node: as most sites have it.
pub(super) const THREADS_PER_CORE: u32 = 2;

/// Plays all pods of the product on simulated nodes as they come and go; ends only with an error.
///
/// # Errors
/// [`Error::Cluster`], [`Error::Finding`] where the operator's endpoint is not published.
pub(super) async fn play(client: &Client, cores: u32) -> Result<()> {
    let endpoint = Endpoint::find(client).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let config =
        watcher::Config::default().labels(&format!("{COMPONENT} in (node, probe, prover)"));
    let mut events = pin!(watcher(pods, config).default_backoff());
    let mut players = JoinSet::new();
    let mut playing: HashMap<String, AbortHandle> = HashMap::new();
    loop {
        let event = tokio::select! {
            event = events.try_next() => event,
            Some(_) = players.join_next() => continue,
        };
        let pod = match event {
            // The watch goes on by itself after an interruption.
            Err(_) | Ok(Some(watcher::Event::Init | watcher::Event::InitDone)) => continue,
            Ok(None) => return Err(Error::Finding("the watch of pods is over".to_owned())),
            Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => pod,
            Ok(Some(watcher::Event::Delete(pod))) => {
                playing.remove(&pods::uid(&pod)).inspect(AbortHandle::abort);
                continue;
            }
        };
        if bed::is_simulated(&pod) && is_running(&pod) && !playing.contains_key(&pods::uid(&pod)) {
            let (endpoint, client, uid) = (endpoint.clone(), client.clone(), pods::uid(&pod));
            let player = async move { one(&endpoint, &client, &pod, cores).await };
            playing.insert(uid, players.spawn(player));
        }
    }
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
}

/// Plays one pod; only a probe's part ever ends.
async fn one(endpoint: &Endpoint, client: &Client, pod: &Pod, cores: u32) {
    let cpu = evidence(cores);
    let line = loop {
        match Line::open(endpoint, client, pod).await {
            Ok(line) => break line,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    let (told, assignment) = watch::channel(Value::Null);
    match pod.labels().get(COMPONENT).map(String::as_str) {
        Some("node") => {
            let report = |_: &Value| Some(node_report(cores));
            tokio::join!(line.follow(told), tell(&line, assignment, report));
        }
        Some("probe") => {
            while line.post("report", &probe_report(&cpu)).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        _ => {
            let report = |duty: &Value| prover_report(duty, &cpu);
            let tell = tell(&line, assignment.clone(), report);
            tokio::join!(line.follow(told), tell, hand_over(&line, assignment));
        }
    }
}

/// Reports whenever the duty changes, and each minute.
async fn tell(
    line: &Line,
    mut assignment: watch::Receiver<Value>,
    report: impl Fn(&Value) -> Option<Value>,
) {
    loop {
        let report = report(&assignment.borrow_and_update()["duty"]);
        if let Some(report) = report
            && line.post("report", &report).await.is_err()
        {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        // Either way it is time for the next one.
        let _ = timeout(REPORT, assignment.changed()).await;
    }
}

/// Hands over what the puzzle asks, until it is acknowledged.
async fn hand_over(line: &Line, mut assignment: watch::Receiver<Value>) {
    let mut book = Book::default();
    loop {
        book.take(&assignment.borrow_and_update()["duty"]);
        if let Some(proofs) = book.to_post() {
            let Ok(receipt) = line.post("proofs", &proofs).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            book.forget(&receipt);
        }
        let _ = timeout(AGAIN, assignment.changed()).await;
    }
}

/// What a prover owes for the present puzzle.
#[derive(Debug, Default)]
struct Book {
    unit: Value,
    puzzle: Option<(u64, Value)>,
    nonces: BTreeSet<B256>,
}

impl Book {
    fn take(&mut self, duty: &Value) {
        let puzzle = &duty["puzzle"];
        let place = puzzle["epoch"].as_u64().map(|epoch| (epoch, puzzle["globalNonce"].clone()));
        if place != self.puzzle {
            let target = |name: &str| puzzle["target"][name].as_u64().unwrap_or(0);
            let owed = target("useful").saturating_sub(target("onChain"));
            self.nonces = (0..owed).map(|_| B256::from(rand::random::<[u8; 32]>())).collect();
            self.unit = duty["unitId"].clone();
            self.puzzle = place;
        }
        self.forget(duty);
    }

    fn to_post(&self) -> Option<Value> {
        let (epoch, global_nonce) = self.puzzle.as_ref().filter(|_| !self.nonces.is_empty())?;
        let proof = |nonce: &B256| {
            json!({
                "epoch": epoch, "globalNonce": global_nonce, "localNonce": nonce,
                "resultHash": B256::ZERO,
            })
        };
        let proofs: Vec<Value> = self.nonces.iter().map(proof).collect();
        Some(json!({ "unitId": self.unit, "proofs": proofs }))
    }

    /// Drops what `answer` acknowledges, a duty or a receipt.
    fn forget(&mut self, answer: &Value) {
        for nonce in answer["acknowledged"].as_array().into_iter().flatten() {
            let nonce = nonce.as_str().and_then(|text| text.parse().ok());
            nonce.map(|nonce: B256| self.nonces.remove(&nonce));
        }
    }
}

/// What a pod with one whole core sees of the CPUs of a node with so many cores.
fn evidence(cores: u32) -> Value {
    let last = cores * THREADS_PER_CORE - 1;
    json!({
        "cpus": format!("1,{}", cores + 1), "online": format!("0-{last}"),
        "wholeCores": true, "threadsPerCore": THREADS_PER_CORE,
    })
}

fn node_report(cores: u32) -> Value {
    json!({
        "kind": "node",
        "facts": {
            "cores": cores, "threadsPerCore": THREADS_PER_CORE, "memoryMib": 131_072,
            "cpuModel": "simulated", "transparentHugePages": "madvise", "numaNodes": 1,
        },
        "artifactUrl": "http://198.18.255.255:8081",
    })
}

fn probe_report(cpu: &Value) -> Value {
    json!({ "kind": "probe", "cpu": cpu, "hashRate": 20.0 })
}

/// `None` before the prover knows its unit.
fn prover_report(duty: &Value, cpu: &Value) -> Option<Value> {
    let unit = duty["unitId"].as_str()?;
    let puzzle = &duty["puzzle"];
    Some(json!({
        "kind": "prover", "unitId": unit, "cpu": cpu, "mode": "Light",
        "ready": true, "building": false, "hashRate": 20.0,
        "epoch": puzzle["epoch"].as_u64().unwrap_or(0),
        "found": puzzle["target"]["useful"].as_u64().unwrap_or(0),
        "stale": 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duty(epoch: u64, acknowledged: &[Value]) -> Value {
        json!({
            "kind": "prover", "unitId": B256::repeat_byte(7),
            "puzzle": {
                "epoch": epoch, "globalNonce": B256::repeat_byte(1), "difficulty": B256::ZERO,
                "target": { "minimum": 2, "useful": 5, "onChain": 1 }, "remainingSeconds": 60,
            },
            "acknowledged": acknowledged,
        })
    }

    fn posted(book: &Book) -> Vec<Value> {
        let post = book.to_post().unwrap_or_default();
        let proofs = post["proofs"].as_array().cloned().unwrap_or_default();
        proofs.into_iter().map(|proof| proof["localNonce"].clone()).collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_posted_again() {
        let mut book = Book::default();
        book.take(&duty(3, &[]));
        let first = posted(&book);
        assert_eq!(first.len(), 4, "one of five is on chain already");
        book.take(&duty(3, &first[..3]));
        assert_eq!(posted(&book), first[3..]);
        book.forget(&json!({ "acknowledged": first }));
        assert!(book.to_post().is_none());
    }

    #[test]
    fn a_new_epoch_asks_for_new_proofs() {
        let mut book = Book::default();
        book.take(&duty(3, &[]));
        let first = posted(&book);
        book.take(&duty(4, &[]));
        let second = posted(&book);
        assert!(second.len() == 4 && second.iter().all(|nonce| !first.contains(nonce)));
    }

    #[test]
    fn a_prover_without_a_puzzle_rests_and_one_without_a_unit_is_silent() {
        let cpu = evidence(20);
        assert_eq!(cpu["cpus"], "1,21");
        assert!(prover_report(&Value::Null, &cpu).is_none());
        let mut waiting = duty(3, &[]);
        waiting["puzzle"] = Value::Null;
        assert_eq!(prover_report(&waiting, &cpu).unwrap()["epoch"], 0);
        let mut book = Book::default();
        book.take(&waiting);
        assert!(book.to_post().is_none());
    }
}

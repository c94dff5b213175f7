//! A component with some of its bytes changed: the compiler says what is wrong with it, and what it lets pass harms nobody.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bytes::Bytes;
use coreward_wire::WorkerStage;
use tempfile::TempDir;

use crate::guest::GOOD;
use crate::hostile::random;
use crate::world::World;

/// Components that are tried.
const TRIES: u64 = 200;
/// Of those that compile, how many are put in service.
const SERVED: usize = 12;
/// How the compiler may end: done, no component, no memory, too much.
const ENDINGS: [i32; 4] = [0, 3, 4, 6];

/// `whole` with one to eight bytes changed.
fn mutated(whole: &[u8], seed: u64) -> Vec<u8> {
    let mut next = random(seed);
    let mut bytes = whole.to_vec();
    for _ in 0..=next() % 8 {
        let at = usize::try_from(next()).unwrap() % bytes.len();
        bytes[at] = next().to_le_bytes()[0];
    }
    bytes
}

fn compile(bytes: &[u8], directory: &TempDir) -> Option<i32> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coreward-worker"))
        .args(["compile", "--memory-mib", "256", "--cpu-seconds", "10", "--output"])
        .arg(directory.path().join("code"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let _fed = child.stdin.take().unwrap().write_all(bytes);
    child.wait().unwrap().code()
}

#[tokio::test]
async fn a_component_with_bytes_changed_harms_nobody() {
    let (whole, directory) = (GOOD.build(), TempDir::new().unwrap());
    let mut compiled = Vec::new();
    for seed in 0..TRIES {
        let bytes = mutated(&whole, seed);
        let ended = compile(&bytes, &directory);
        assert!(ended.is_some_and(|code| ENDINGS.contains(&code)), "seed {seed}: {ended:?}");
        if ended == Some(0) {
            compiled.push(bytes);
        }
    }
    assert!((1..TRIES).contains(&(compiled.len() as u64)), "{} of {TRIES}", compiled.len());
    let world = World::new().await;
    let good = world.publish(whole);
    let worker = world.start(world.duty(1, &good)).await;
    worker.serves(&good).await;
    for (revision, bytes) in compiled.into_iter().take(SERVED).enumerate() {
        let cid = world.publish(Bytes::from(bytes));
        worker.order(&format!("changed {revision}"), world.duty(1, &cid));
        let tried = [WorkerStage::Serving, WorkerStage::Failed];
        worker.until(|report| report.cid == cid && tried.contains(&report.stage)).await;
        assert_eq!(worker.page("/readyz").await.0, 200);
    }
    worker.order("good again", world.duty(1, &good));
    worker.serves(&good).await;
    assert_eq!(worker.get("/").await, 200);
}

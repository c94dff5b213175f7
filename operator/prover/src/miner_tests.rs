use std::time::Instant;

use alloy_primitives::B256;
use coreward_randomx::{Engine, Work};

use super::*;

fn job(nonce: u8, difficulty: u8) -> Job {
    let (global_nonce, unit_id) = (B256::repeat_byte(nonce), B256::repeat_byte(0x22));
    Job {
        unit_id,
        epoch: 7,
        global_nonce,
        key: Key::of(global_nonce, unit_id),
        difficulty: Difficulty::new([difficulty; 32]),
    }
}

fn hash_of(entry: &Entry) -> B256 {
    let key = Key::of(entry.proof.global_nonce, entry.unit_id);
    let work =
        Work { threads: NonZeroUsize::MIN, stopped: &|| false, progress: &Progress::default() };
    let loaded = Engine::<Fluence>::new(Mode::Light).load(key.0.as_slice(), &work).unwrap();
    let hash = loaded.hasher().unwrap().hash(entry.proof.local_nonce.as_slice());
    B256::from(hash.bytes())
}

async fn until(miner: &Miner, phase: Phase) {
    let mut watched = miner.phase();
    let wait = watched.wait_for(|now| *now == phase);
    tokio::time::timeout(Duration::from_mins(2), wait)
        .await
        .expect("the miner gets there")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_finds_is_a_proof_of_the_job() {
    let (sender, mut found) = mpsc::channel(64);
    let miner = Miner::start(Mode::Light, NonZeroUsize::MIN, sender).unwrap();
    miner.set(Goal::Hash(job(0x11, 0x80)));
    let first = found.recv().await.unwrap();
    miner.set(Goal::Rest);
    assert_eq!(hash_of(&first), first.proof.result_hash);
    assert!(first.proof.result_hash <= B256::repeat_byte(0x80));
    until(&miner, Phase::Resting).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the test measures")]
async fn a_new_puzzle_stops_the_old_one_at_once() {
    let (sender, mut found) = mpsc::channel(4096);
    let miner = Miner::start(Mode::Light, NonZeroUsize::MIN, sender).unwrap();
    miner.set(Goal::Hash(job(0x11, 0xff)));
    found.recv().await.unwrap();
    let told = Instant::now();
    miner.set(Goal::Hash(job(0x12, 0xff)));
    until(&miner, Phase::Building).await;
    // 100 ms on an idle machine; other tests share this one.
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    loop {
        let entry = found.recv().await.unwrap();
        if entry.proof.global_nonce == B256::repeat_byte(0x12) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_epoch_is_hashed_light_where_a_dataset_takes_longer() {
    let (sender, mut found) = mpsc::channel(64);
    let miner = Miner::start(Mode::Full, NonZeroUsize::MIN, sender).unwrap();
    miner.ends(now() + Duration::from_secs(3));
    miner.set(Goal::Hash(job(0x11, 0x80)));
    until(&miner, Phase::Hashing(Mode::Light)).await;
    let first = found.recv().await.unwrap();
    assert_eq!(hash_of(&first), first.proof.result_hash);
    assert_eq!(miner.progress(), (0, 0), "no dataset is being made");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_job_it_checks_itself_and_rests() {
    let (sender, _found) = mpsc::channel(1);
    let miner = Miner::start(Mode::Light, NonZeroUsize::MIN, sender).unwrap();
    until(&miner, Phase::Resting).await;
    assert_eq!(miner.hashes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_it_ends() {
    let (sender, mut found) = mpsc::channel(1);
    let miner = Miner::start(Mode::Light, NonZeroUsize::MIN, sender).unwrap();
    miner.set(Goal::Hash(job(0x11, 0)));
    until(&miner, Phase::Hashing(Mode::Light)).await;
    drop(miner);
    assert_eq!(found.recv().await, None, "all its threads have let go of the channel");
}

use core::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use coreward_link::{Link, LinkConfig};
use coreward_telemetry::Metrics;
use coreward_wire::{CpuEvidence, FoundProof, ProofTarget, ProverDuty, Puzzle};
use tokio::runtime::Builder;
use tokio::task::{spawn_blocking, yield_now};

use super::*;
use crate::book::Book;
use crate::metrics::Series;
use crate::miner::Miner;
use crate::store::Store;
use crate::volume::Volume;

/// Far beyond what anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

const UNIT: B256 = B256::repeat_byte(0x22);

/// A prover of an operator that is away, with its state in this directory.
fn prover(state: &Path) -> Prover {
    let link = LinkConfig {
        url: "http://127.0.0.1:9".to_owned(),
        ca_file: state.join("ca.crt"),
        token_file: state.join("token"),
    };
    let metrics = Metrics::new("prover", "0").unwrap();
    let series = Series::register(&metrics).unwrap();
    let parts = Parts {
        link: Link::new(link).unwrap(),
        volume: Volume::new(Store::in_directory(state), series.clone()),
        series,
        miner: Miner::start(Mode::Light, NonZeroUsize::MIN, mpsc::channel(1).0).unwrap(),
        book: Book::default(),
        cpu: CpuEvidence::default(),
        mode: HashMode::Light,
        whole_cores: false,
        reports: watch::Sender::new(None),
    };
    Prover::new(parts, &Health::new())
}

fn proof(byte: u8) -> Entry {
    let proof = FoundProof {
        epoch: 7,
        global_nonce: B256::with_last_byte(7),
        local_nonce: B256::repeat_byte(byte),
        result_hash: B256::ZERO,
    };
    Entry { unit_id: UNIT, proof }
}

fn kept(state: &Path) -> Vec<Entry> {
    Store::in_directory(state).load().unwrap().0
}

/// Runs a story whose volume answers nothing until its sender is dropped: the one thread for what blocks is taken.
fn on_a_slow_volume<Story: Future<Output = ()>>(story: impl FnOnce(Sender<()>) -> Story) {
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let (slow, until) = channel::<()>();
        let taken = spawn_blocking(move || until.recv());
        story(slow).await;
        assert!(taken.await.unwrap().is_err(), "nothing is sent");
    });
}

/// Nothing more is of use in this epoch: the miner rests.
fn told(epoch: u64) -> Arc<Assignment> {
    let puzzle = Puzzle {
        epoch,
        global_nonce: B256::with_last_byte(7),
        difficulty: B256::ZERO,
        target: ProofTarget { minimum: 0, useful: 0, on_chain: 0 },
        remaining_seconds: 60,
    };
    let duty = ProverDuty { unit_id: UNIT, puzzle: Some(puzzle), acknowledged: Vec::new() };
    let (revision, leader) = (epoch.to_string(), "a".to_owned());
    Arc::new(Assignment { revision, leader, duty: Duty::Prover(duty) })
}

#[test]
fn a_stop_keeps_the_proof_of_the_hash_under_way_on_a_slow_volume_too() {
    let state = tempfile::tempdir().unwrap();
    on_a_slow_volume(async |slow| {
        let mut prover = prover(state.path());
        let (hashing, found) = mpsc::channel(1);
        tokio::join!(prover.save_the_last(found), async {
            yield_now().await;
            hashing.send(proof(1)).await.unwrap();
            drop(hashing);
            yield_now().await;
            drop(slow);
        });
        assert_eq!(kept(state.path()), [proof(1)]);
    });
}

#[test]
fn a_new_epoch_is_taken_while_the_volume_is_slow() {
    let state = tempfile::tempdir().unwrap();
    on_a_slow_volume(async |slow| {
        let prover = prover(state.path());
        let mut reports = prover.parts.reports.subscribe();
        let (operator, assignments) = watch::channel(Some(told(7)));
        let (hashing, found) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let ((), ended) = tokio::join!(
            async {
                let mut reports = async |epoch, found| {
                    let says = |told: &Option<Addressed>| {
                        let report = told.as_ref().map(|told| &told.report);
                        report.is_some_and(|report| (report.epoch, report.found) == (epoch, found))
                    };
                    let said = timeout(LIMIT, reports.wait_for(says)).await;
                    drop(said.expect("it goes on though the volume does not").unwrap());
                };
                hashing.send(proof(1)).await.unwrap();
                reports(7, 1).await;
                operator.send_replace(Some(told(8)));
                reports(8, 0).await;
                drop((slow, hashing));
                stop.cancel();
            },
            prover.run(assignments, found, stop.clone())
        );
        ended.unwrap();
    });
}

#[test]
fn a_proof_whose_epoch_ends_while_it_is_kept_is_deleted() {
    let state = tempfile::tempdir().unwrap();
    on_a_slow_volume(async |slow| {
        let mut prover = prover(state.path());
        prover.take(&told(7));
        prover.find(&proof(1));
        prover.save();
        prover.take(&told(8));
        let (hashing, found) = mpsc::channel(1);
        drop((slow, hashing));
        prover.save_the_last(found).await;
        assert_eq!(kept(state.path()), []);
    });
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever_for_a_hash() {
    let state = tempfile::tempdir().unwrap();
    let (_hashing, found) = mpsc::channel(1);
    prover(state.path()).end(found).await;
}

use bytes::Bytes;
use coreward_artifact::{Blocks, car, raw};
use coreward_wire::{ArtifactFault, WorkerDuty, WorkerStage};
use rstest::rstest;

use crate::guest::{GOOD, Guest, long_to_compile};
use crate::world::{World, key_of};

#[tokio::test]
async fn a_good_component_is_served_and_reported() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let worker = world.start(world.duty(7, &cid)).await;
    let report = worker.serves(&cid).await;
    assert_eq!((report.offchain_worker_id, report.failure), (key_of(7), None));
    assert_eq!(worker.get("/").await, 200);
    assert_eq!(worker.page("/readyz").await.0, 200);
    assert!(worker.page("/metrics").await.1.contains("coreward_worker_requests_total"));
}

/// Orders that end in a failure.
#[derive(Clone, Copy)]
enum Wrong {
    NotWasm,
    Missing,
    Trapping,
    WithoutAnAnswer,
    WithAnImport,
    OtherBytes,
    TooLarge,
    NoCid,
}

fn wrong_order(world: &World, wrong: Wrong) -> WorkerDuty {
    let duty = |bytes: Bytes| world.duty(1, &world.publish(bytes));
    match wrong {
        Wrong::NotWasm => duty(Bytes::from_static(b"#!/bin/sh")),
        Wrong::Missing => world.duty(1, &raw(b"nobody has this").to_string()),
        Wrong::Trapping => duty(Guest { first: "unreachable", ..GOOD }.build()),
        Wrong::WithoutAnAnswer => duty(Guest { first: "return", ..GOOD }.build()),
        Wrong::WithAnImport => duty(
            Guest {
                wants_gpu: true,
                first: "(drop (call $multiply (i32.const 2) (i32.const 3)))",
                ..GOOD
            }
            .build(),
        ),
        Wrong::OtherBytes => {
            let root = raw(b"good");
            let mut blocks = Blocks::default();
            blocks.insert(root, Bytes::from_static(b"good"), "the test").unwrap();
            let mut archive = car::write(&root, &blocks);
            *archive.last_mut().unwrap() ^= 1;
            world.forge(&root.to_string(), archive.into());
            world.duty(1, &root.to_string())
        }
        Wrong::TooLarge => {
            let mut duty = duty(GOOD.build());
            duty.artifact.max_bytes = 100;
            duty
        }
        Wrong::NoCid => world.duty(1, "hello"),
    }
}

#[rstest]
#[case::that_is_not_wasm(Wrong::NotWasm, ArtifactFault::InvalidWasm, "not a usable component")]
#[case::that_is_missing(Wrong::Missing, ArtifactFault::NotFound, "not found")]
#[case::that_traps_at_start(Wrong::Trapping, ArtifactFault::InvalidWasm, "traps at start")]
#[case::that_gives_no_answer(
    Wrong::WithoutAnAnswer,
    ArtifactFault::InvalidWasm,
    "without an answer"
)]
#[case::that_imports_what_is_not_there(
    Wrong::WithAnImport,
    ArtifactFault::InvalidWasm,
    "acme:gpu/compute"
)]
#[case::of_other_bytes(Wrong::OtherBytes, ArtifactFault::DigestMismatch, "another digest")]
#[case::that_is_too_large(Wrong::TooLarge, ArtifactFault::TooLarge, "100 bytes")]
#[case::without_a_cid(Wrong::NoCid, ArtifactFault::InvalidWasm, "not a CID")]
#[tokio::test]
async fn tells_what_is_wrong_with_an_artifact(
    #[case] wrong: Wrong,
    #[case] fault: ArtifactFault,
    #[case] words: &str,
) {
    let world = World::new().await;
    let worker = world.start(wrong_order(&world, wrong)).await;
    let failure = worker.fails().await;
    assert_eq!(failure.fault, fault, "{}", failure.message);
    assert!(failure.message.contains(words), "{}", failure.message);
    assert_eq!(worker.page("/readyz").await.0, 503);
    assert_eq!(worker.get("/").await, 503);
}

#[tokio::test]
async fn a_component_that_takes_too_long_to_compile_is_cut() {
    let world = World::new().await;
    let cid = world.publish(long_to_compile());
    let worker = world.start_with(world.duty(1, &cid), 0, &["--compile-cpu-seconds", "1"]).await;
    let failure = worker.fails().await;
    assert_eq!(failure.fault, ArtifactFault::CompileLimit, "{}", failure.message);
}

#[tokio::test]
async fn a_new_version_takes_over_and_a_broken_one_does_not() {
    let world = World::new().await;
    let (old, new) =
        (world.publish(GOOD.build()), world.publish(Guest { status: 201, ..GOOD }.build()));
    let broken = world.publish(Guest { first: "unreachable", ..GOOD }.build());
    let worker = world.start(world.duty(1, &old)).await;
    worker.serves(&old).await;
    worker.order("2", world.duty(1, &new));
    worker.serves(&new).await;
    assert_eq!(worker.get("/").await, 201);
    worker.order("3", world.duty(1, &broken));
    let report = worker.until(|report| report.stage == WorkerStage::Failed).await;
    assert_eq!(report.cid, broken);
    assert_eq!(worker.get("/").await, 201, "the version before it still serves");
    assert_eq!(worker.page("/readyz").await.0, 200);
}

#[tokio::test]
async fn ends_when_it_is_ordered_to_be_another_worker() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut worker = world.start(world.duty(1, &cid)).await;
    worker.serves(&cid).await;
    worker.order("2", world.duty(2, &cid));
    assert!(worker.process.wait().await.unwrap().success());
}

#[tokio::test]
async fn goes_on_after_a_crash_while_everybody_else_is_away() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let mut worker = world.start(world.duty(7, &cid)).await;
    worker.serves(&cid).await;
    world.forge(&cid, Bytes::from_static(b"the node agent is not asked again"));
    worker.restart_alone().await;
    worker.is_ready().await;
    assert_eq!(worker.get("/out/self.subnet.internal/who").await, 200);
}

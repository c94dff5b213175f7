use std::collections::BTreeMap;

use bytes::Bytes;
use coreward_wire::{ArtifactFault, WorkerStage};

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

#[tokio::test]
async fn a_component_that_takes_too_long_to_compile_is_cut() {
    let world = World::new().await;
    let cid = world.publish(long_to_compile());
    let worker = world.start_with(world.duty(1, &cid), 0, &["--compile-cpu-seconds", "1"]).await;
    let failure = worker.fails().await;
    assert_eq!(failure.fault, ArtifactFault::CompileLimit, "{}", failure.message);
}

#[tokio::test]
async fn a_new_version_takes_over_and_a_broken_one_does_not_even_after_a_crash() {
    let world = World::new().await;
    let (old, new) =
        (world.publish(GOOD.build()), world.publish(Guest { status: 201, ..GOOD }.build()));
    let broken = world.publish(Guest { first: "unreachable", ..GOOD }.build());
    let mut worker = world.start(world.duty(1, &old)).await;
    worker.serves(&old).await;
    worker.order("2", world.duty(1, &new));
    worker.serves(&new).await;
    assert_eq!(worker.get("/").await, 201);
    worker.order("3", world.duty(1, &broken));
    let report = worker.until(|report| report.stage == WorkerStage::Failed).await;
    assert_eq!((report.cid, report.serving), (broken, Some(new)));
    assert_eq!(worker.get("/").await, 201, "the version before it still serves");
    assert_eq!(worker.page("/readyz").await.0, 200);
    worker.restart_alone().await;
    worker.is_ready().await;
    assert_eq!(worker.get("/").await, 201, "it serves after a restart too");
}

#[tokio::test]
async fn no_request_fails_while_a_version_takes_over() {
    let world = World::new().await;
    let versions = [200, 201, 202].map(|status| Guest { status, ..GOOD }.build());
    let cids = versions.map(|version| world.publish(version));
    let worker = world.start(world.duty(1, &cids[0])).await;
    worker.serves(&cids[0]).await;
    let asking = async {
        let mut seen = BTreeMap::<u16, usize>::new();
        while !seen.contains_key(&202) {
            *seen.entry(worker.get("/").await).or_default() += 1;
        }
        seen
    };
    let rolling = async {
        for (revision, cid) in ["2", "3"].into_iter().zip(&cids[1..]) {
            worker.order(revision, world.duty(1, cid));
            worker.serves(cid).await;
        }
    };
    let (seen, ()) = tokio::join!(asking, rolling);
    assert!(seen.keys().all(|status| (200..=202).contains(status)), "{seen:?}");
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

use core::time::Duration;

use bytes::Bytes;
use rstest::rstest;
use tokio::time::timeout;

use crate::guest::{GOOD, Guest};
use crate::process::Worker;
use crate::world::World;

/// A worker whose operator lets instances answer several requests; the sample's pages tell how many this one answered.
async fn worker(world: &World, guest: Guest) -> Worker {
    let cid = world.publish(guest.build());
    let mut duty = world.duty(7, &cid);
    duty.limits.reuse_instances = true;
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    worker
}

/// Waits until no instance is left.
async fn nothing_waits(worker: &Worker) {
    let gone = async {
        while !worker.page("/metrics").await.1.contains("coreward_worker_component_memory_bytes 0")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("instances do not wait for ever");
}

#[tokio::test]
async fn each_request_has_an_instance_of_its_own_where_reuse_is_not_allowed() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let worker = world.start(world.duty(7, &cid)).await;
    worker.serves(&cid).await;
    assert_eq!([worker.get("/nth").await, worker.get("/nth").await], [200, 200]);
}

#[tokio::test]
async fn an_instance_answers_so_many_requests_and_waits_so_long() {
    let worker = worker(&World::new().await, GOOD).await;
    nothing_waits(&worker).await;
    let mut seen = Vec::new();
    for _ in 0..129 {
        seen.push(worker.get("/nth").await);
    }
    let fresh = seen.iter().filter(|status| **status == 200).count();
    // A pause of the machine may have ended one early.
    assert!(fresh < 20 && seen.iter().all(|status| *status < 200 + 128), "{seen:?}");
    nothing_waits(&worker).await;
    assert_eq!(worker.get("/nth").await, 200);
}

#[tokio::test]
async fn an_instance_that_failed_answers_no_more() {
    let worker = worker(&World::new().await, GOOD).await;
    worker.get("/nth").await;
    assert_eq!(worker.get("/trap").await, 500);
    assert_eq!(worker.get("/nth").await, 200);
}

#[tokio::test]
async fn an_instance_answers_one_version_only() {
    let world = World::new().await;
    let worker = worker(&world, GOOD).await;
    worker.get("/nth").await;
    let new = world.publish(Guest { status: 201, ..GOOD }.build());
    let mut duty = world.duty(7, &new);
    duty.limits.reuse_instances = true;
    worker.order("2", duty);
    worker.serves(&new).await;
    // The host asked it once.
    assert!(worker.get("/nth").await <= 201);
    assert_eq!(worker.get("/").await, 201);
}

#[tokio::test]
async fn an_answer_left_open_ends_with_its_instance() {
    let worker = worker(&World::new().await, GOOD).await;
    let open = reqwest::get(format!("{}/keep-open", worker.public)).await.unwrap();
    assert_eq!(worker.get("/nth").await, 200, "its instance does not wait for another request");
    let ended = timeout(Duration::from_secs(30), open.bytes());
    ended.await.expect("it does not stay open").unwrap_or_default();
}

#[tokio::test]
async fn instances_that_wait_give_way_to_one_that_needs_memory() {
    // Three of them hold 56 of 64 MiB.
    let worker = worker(&World::new().await, Guest { pages: 300, ..GOOD }).await;
    let three = format!("{}/nth", "/out/self.subnet.internal".repeat(2));
    assert_eq!(worker.get(&three).await, 200);
    assert_eq!(worker.get("/grow").await, 200);
}

#[tokio::test]
async fn an_answer_not_given_is_not_waited_for() {
    let worker = worker(&World::new().await, GOOD).await;
    assert_eq!(worker.get("/silent").await, 500);
    assert_eq!(worker.get("/nth").await, 200, "its instance does not wait for another request");
}

#[rstest]
#[case::it_agrees("true", [201, 401])]
#[case::it_does_not("false", [200, 300])]
#[tokio::test]
async fn a_directory_says_whether_its_components_instances_are_reused(
    #[case] reuse: &str,
    #[case] last: [u16; 2],
) {
    const STEPS: &str = "(global.set $answered (i32.add (global.get $answered) (i32.const 100)))";
    let world = World::new().await;
    let manifest = format!(
        "{{ components: {{ ones: a.wasm, hundreds: b.wasm }}, reuse: {reuse}, routes: [
            {{ path: /, component: ones }}, {{ path: /nn, component: hundreds }} ] }}"
    );
    let cid = world.publish_folder(&[
        ("coreward.yaml", Bytes::from(manifest)),
        ("a.wasm", GOOD.build()),
        ("b.wasm", Guest { first: STEPS, ..GOOD }.build()),
    ]);
    let mut duty = world.duty(7, &cid);
    duty.limits.reuse_instances = true;
    let worker = world.start(duty).await;
    worker.serves(&cid).await;
    // Several tries: a pause of the machine may end an instance between the two requests.
    let mut seen = Vec::new();
    for _ in 0..20 {
        nothing_waits(&worker).await;
        for path in ["/nth", "/nn", "/nth", "/nn"] {
            seen.push(worker.get(path).await);
        }
        if seen.ends_with(&last) {
            break;
        }
    }
    let first = seen.len() - 4;
    assert_eq!(seen[first..], [200, 300, last[0], last[1]], "{seen:?}");
}

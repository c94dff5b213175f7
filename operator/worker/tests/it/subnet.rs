use alloy_primitives::B256;
use coreward_wire::Member;
use futures::StreamExt as _;
use futures::stream;

use crate::guest::GOOD;
use crate::process::Worker;
use crate::world::{World, key_of, member, two_ports};

/// Two workers of one deal that know each other.
async fn two_workers() -> (World, Worker, Worker, String) {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let (one, other) = two_ports();
    let members = vec![member(1, one), member(2, other)];
    let duty = |id| {
        let mut duty = world.duty(id, &cid);
        duty.members.clone_from(&members);
        duty.limits.request_milliseconds = 20_000;
        duty
    };
    let (first, second) =
        (world.start_with(duty(1), one, &[]).await, world.start_with(duty(2), other, &[]).await);
    first.serves(&cid).await;
    second.serves(&cid).await;
    (world, first, second, cid)
}

#[tokio::test]
async fn members_reach_each_other_and_are_known_by_name() {
    let (_world, first, second, _) = two_workers().await;
    first
        .until(|report| report.subnet.reachable.len() == 1 && report.subnet.unreachable.is_empty())
        .await;
    assert_eq!(first.get("/out/2.subnet.internal/who").await, 200);
    assert_eq!(second.get("/out/1.subnet.internal/who").await, 200);
}

#[tokio::test]
async fn a_request_that_goes_round_and_round_is_stopped() {
    let (_world, first, _second, _) = two_workers().await;
    let path = "/out/2.subnet.internal/out/1.subnet.internal".repeat(6);
    assert_eq!(first.get(&path).await, 636);
}

#[tokio::test]
async fn many_requests_between_members_lose_none() {
    let (_world, first, _second, _) = two_workers().await;
    let requests = stream::iter((0..500).map(|_| first.get("/out/2.subnet.internal/")));
    let lost = requests
        .buffer_unordered(32)
        .filter(|status| core::future::ready(*status != 200))
        .count()
        .await;
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn members_that_are_listed_twice_or_with_no_key_are_skipped_alone() {
    let world = World::new().await;
    let cid = world.publish(GOOD.build());
    let (one, other) = two_ports();
    let of_key = |id: u8, key: B256| Member { offchain_worker_id: key, ..member(id, other) };
    let members = vec![
        of_key(3, B256::ZERO),
        of_key(4, B256::repeat_byte(0xff)),
        member(1, one),
        member(1, one),
        member(2, other),
        of_key(5, key_of(2)),
        Member { addresses: vec!["/dns4/-/udp/x".to_owned(), String::new()], ..member(6, other) },
    ];
    let duty = |id| {
        let mut duty = world.duty(id, &cid);
        duty.members.clone_from(&members);
        duty
    };
    let first = world.start_with(duty(1), one, &[]).await;
    let second = world.start_with(duty(2), other, &[]).await;
    first.serves(&cid).await;
    second.serves(&cid).await;
    assert_eq!(first.get("/out/2.subnet.internal/who").await, 200);
    assert_eq!(second.get("/out/1.subnet.internal/who").await, 200);
    for no_member in ["3", "4", "6"] {
        assert!(first.get(&format!("/out/{no_member}.subnet.internal/")).await >= 500);
    }
    first.is_well_and_counted("coreward_worker_subnet_members_unusable").await;
}

#[tokio::test]
async fn a_removed_member_is_a_stranger() {
    let (world, first, second, cid) = two_workers().await;
    assert_eq!(second.get("/out/1.subnet.internal/").await, 200);
    let mut duty = world.duty(1, &cid);
    duty.members_block = 2;
    first.order("2", duty);
    first.until(|report| report.subnet.members_block == 2).await;
    assert_eq!(first.get("/out/2.subnet.internal/").await, 602, "the removed member is not asked");
    assert!(
        second.get("/out/1.subnet.internal/").await >= 600,
        "the removed member gets no answer"
    );
}

//! Who meets whom at a gateway, on loopback.

use std::collections::BTreeSet;
use std::net::TcpStream;

use coreward_overlay::gateway::{Ending, Limits, Refusal};
use coreward_overlay::{Error, Gateways, Member};
use tokio::time::timeout;

use crate::members::{Hub, LIMIT, Node, Tasks, count, pair};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn members_that_know_no_other_way_meet_at_the_gateway() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    assert_eq!(one.ask(two.key).await.unwrap(), one.answer());
    assert_eq!(two.ask(one.key).await.unwrap(), two.answer());
    one.client.probe(two.key).await.unwrap();
    hub.shows(|figures| figures.reservations() == 2 && figures.circuits() > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_cluster_comes_through_the_gateway_and_gets_no_place_there() {
    let mut tasks = Tasks::new();
    let hub = Hub::new(&mut tasks, Limits::default()).await;
    let (own, other) = (Node::new(&mut tasks).await, Node::new(&mut tasks).await);
    hub.admits(&[&own], &[&other]);
    own.uses(&[&hub]).await;
    own.knows(&[hub.behind(&own), hub.behind(&other)]).await;
    own.reserved(&hub).await;

    other.uses(&[&hub]).await;
    other.knows(&[hub.behind(&own), hub.behind(&other)]).await;
    assert_eq!(other.ask(own.key).await.unwrap(), other.answer());
    hub.shows(|figures| figures.refusals(Refusal::NotOwn) > 0).await;
    assert!(other.client.reservations().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_behind_one_gateway_are_reached_at_once() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let caller = Node::new(&mut tasks).await;
    hub.admits(&[&one, &two], &[&caller]);
    let direct = Member { key: caller.key, addresses: Vec::new() };
    let members = [hub.behind(&one), hub.behind(&two), direct];
    for node in [&one, &two, &caller] {
        node.knows(&members).await;
    }
    caller.uses(&[]).await;
    // A probe does not try again: both must come through the one connection to their gateway.
    let (first, second) = tokio::join!(caller.client.probe(one.key), caller.client.probe(two.key));
    first.unwrap();
    second.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_reservation_and_no_circuit() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let stranger = Node::new(&mut tasks).await;
    stranger.uses(&[&hub]).await;
    // It believes that it is one of them.
    stranger.knows(&[hub.behind(&one), hub.behind(&two)]).await;
    let refused = stranger.ask(one.key).await;
    assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
    hub.shows(|figures| figures.refusals(Refusal::Stranger) > 1).await;
    assert!(stranger.client.reservations().borrow().is_empty());
    assert_eq!(one.ask(two.key).await.unwrap(), one.answer(), "members are not harmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_subnet_is_refused_at_the_circuits_end() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let foreign = Node::new(&mut tasks).await;
    hub.admits(&[&one, &two], &[&foreign]);
    foreign.uses(&[]).await;
    foreign.knows(&[hub.behind(&one)]).await;
    let refused = foreign.ask(one.key).await;
    assert!(matches!(refused, Err(Error::Unreachable(_) | Error::Broken(_))), "{refused:?}");
    let mut strangers = one.client.strangers();
    timeout(LIMIT, strangers.wait_for(|count| *count > 0)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_members_circuit_ends_at_once() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let endless = one.send(two.key, "/endless", 0).await.unwrap().into_body();
    hub.admits(&[&two], &[]);
    timeout(LIMIT, count(endless)).await.unwrap().unwrap_err();
    hub.shows(|figures| figures.circuits() == 0 && figures.endings(Ending::Cut) > 0).await;
    assert!(matches!(one.ask(two.key).await, Err(Error::Unreachable(_))));
    hub.shows(|figures| figures.reservations() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_flows_than_hole_punching_needs() {
    let mut tasks = Tasks::new();
    let (_hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let answer = one.send(two.key, &format!("/bytes/{}", 64 * MIB), 0).await.unwrap();
    assert_eq!(count(answer.into_body()).await.unwrap(), 64 * MIB);
    let answer = one.send(two.key, "/", 64 * MIB).await.unwrap();
    assert!(count(answer.into_body()).await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_ends_when_it_has_carried_its_bytes_and_another_takes_over() {
    let mut tasks = Tasks::new();
    let limits = Limits { circuit_bytes: 1 << 20, ..Limits::default() };
    let (hub, one, two) = pair(&mut tasks, limits).await;
    let answer = one.send(two.key, "/endless", 0).await.unwrap();
    timeout(LIMIT, count(answer.into_body())).await.unwrap().unwrap_err();
    hub.shows(|figures| figures.endings(Ending::Bytes) == 1).await;
    assert_eq!(one.ask(two.key).await.unwrap(), one.answer());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_ends_when_its_time_is_over() {
    let mut tasks = Tasks::new();
    let limits =
        Limits { circuit_duration: std::time::Duration::from_secs(2), ..Limits::default() };
    let (hub, one, two) = pair(&mut tasks, limits).await;
    let answer = one.send(two.key, "/endless", 0).await.unwrap();
    timeout(LIMIT, count(answer.into_body())).await.unwrap().unwrap_err();
    hub.shows(|figures| figures.endings(Ending::Duration) == 1).await;
    assert_eq!(one.ask(two.key).await.unwrap(), one.answer());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_reservations_than_allowed() {
    let mut tasks = Tasks::new();
    let hub = Hub::new(&mut tasks, Limits { reservations: 1, ..Limits::default() }).await;
    let (one, two) = (Node::new(&mut tasks).await, Node::new(&mut tasks).await);
    hub.admits(&[&one, &two], &[]);
    one.uses(&[&hub]).await;
    one.reserved(&hub).await;
    two.uses(&[&hub]).await;
    hub.shows(|figures| figures.refusals(Refusal::Reservations) > 0).await;
    assert!(two.client.reservations().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_circuits_of_a_member_than_allowed() {
    let mut tasks = Tasks::new();
    let limits = Limits { circuits_per_member: 1, ..Limits::default() };
    let (hub, one, two) = pair(&mut tasks, limits).await;
    let caller = Node::new(&mut tasks).await;
    hub.admits(&[&one, &two], &[&caller]);
    let direct = Member { key: caller.key, addresses: Vec::new() };
    let members = [hub.behind(&one), hub.behind(&two), direct];
    for node in [&one, &two, &caller] {
        node.knows(&members).await;
    }
    caller.uses(&[]).await;
    assert_eq!(caller.ask(one.key).await.unwrap(), caller.answer());
    let refused = caller.ask(two.key).await;
    let Err(Error::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("limit exceeded"), "{why}");
    hub.shows(|figures| figures.refusals(Refusal::Circuits) > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_connections_than_allowed() {
    let mut tasks = Tasks::new();
    let hub = Hub::new(&mut tasks, Limits { connections: 1, ..Limits::default() }).await;
    let (one, two) = (Node::new(&mut tasks).await, Node::new(&mut tasks).await);
    hub.admits(&[&one, &two], &[]);
    one.uses(&[&hub]).await;
    one.reserved(&hub).await;
    two.uses(&[&hub]).await;
    hub.shows(|figures| figures.refusals(Refusal::Connections) > 0).await;
    assert!(two.client.reservations().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_back_is_asked_again() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    hub.admits(&[], &[]);
    let mut reservations = one.client.reservations();
    timeout(LIMIT, reservations.wait_for(BTreeSet::is_empty)).await.unwrap().unwrap();
    hub.admits(&[&one, &two], &[]);
    one.reserved(&hub).await;
    two.reserved(&hub).await;
    assert_eq!(one.ask(two.key).await.unwrap(), one.answer());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_is_enough_when_another_is_away() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let gone = Hub::new(&mut tasks, Limits::default()).await;
    gone.stop.cancel();
    let mut member = gone.behind(&two);
    member.addresses.extend(hub.behind(&two).addresses);
    let caller = Node::new(&mut tasks).await;
    hub.admits(&[&one, &two], &[&caller]);
    caller.uses(&[]).await;
    two.knows(&[Member { key: caller.key, addresses: Vec::new() }]).await;
    caller.knows(&[member]).await;
    assert_eq!(caller.ask(two.key).await.unwrap(), caller.answer());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_gateway_in_a_private_range_is_not_dialled() {
    let mut tasks = Tasks::new();
    let (hub, one, two) = pair(&mut tasks, Limits::default()).await;
    let own = vec![hub.address.clone()];
    one.client.set_gateways(Gateways { own, private: false }).await.unwrap();
    let refused = one.ask(two.key).await;
    let Err(Error::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(why, "no address of this member is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_key_carries_no_request() {
    let mut tasks = Tasks::new();
    let (one, gateway) = (Node::new(&mut tasks).await, Node::new(&mut tasks).await);
    let key = coreward_overlay::gateway::suffix(&gateway.key).unwrap();
    let own = vec![format!("{}{key}", gateway.address)];
    gateway.knows(&[Member { key: one.key, addresses: vec![one.address.clone()] }]).await;
    one.client.set_gateways(Gateways { own, private: true }).await.unwrap();
    let refused = gateway.ask(one.key).await;
    assert!(matches!(refused, Err(Error::Unreachable(_) | Error::Broken(_))), "{refused:?}");
    let refused = one.ask(gateway.key).await;
    let Err(Error::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(why, "not a member of this subnet");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_come_too_fast_are_refused_and_keep_no_member_out() {
    let mut tasks = Tasks::new();
    let hub = Hub::new(&mut tasks, Limits::default()).await;
    let member = Node::new(&mut tasks).await;
    hub.admits(&[&member], &[]);
    let port = hub.address.split('/').nth(4).unwrap().parse().unwrap();
    // Twice as many as one address may begin at once.
    let silent: Vec<_> =
        (0..64).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    hub.shows(|figures| figures.refusals(Refusal::Rate) > 0).await;
    member.uses(&[&hub]).await;
    member.reserved(&hub).await;
    drop(silent);
}

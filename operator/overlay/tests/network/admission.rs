use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use coreward_overlay::Refusal;
use libp2p::identity::ed25519;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::node::{Node, body, meet, node, node_of, until};

/// A connection from this address that says nothing.
async fn silent(to: &Node, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let address = lookup_host(to.socket()).await.unwrap().next().unwrap();
    socket.connect(address).await.unwrap()
}

/// Two members that have not met yet, and 200 silent connections to the second.
async fn besieged(tasks: &mut JoinSet<()>, from: Ipv4Addr) -> (Node, Node, Vec<TcpStream>) {
    let (one, two) = (node(tasks).await, node(tasks).await);
    meet(&[&one, &two]).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(silent(&two, from).await);
    }
    until(&two.counts.refused, |list| list.len() >= 100).await;
    (one, two, crowd)
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_keep_no_member_out() {
    let mut tasks = JoinSet::new();
    let (one, two, crowd) = besieged(&mut tasks, Ipv4Addr::new(127, 0, 0, 2)).await;
    one.client.probe(two.key).await.expect("at once, without a second try");
    assert!(two.counts.refused.borrow().iter().all(|why| *why == Refusal::Rate));
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_at_a_members_own_address_keep_it_out_for_moments_only() {
    let mut tasks = JoinSet::new();
    let (one, two, crowd) = besieged(&mut tasks, Ipv4Addr::LOCALHOST).await;
    assert_eq!(one.get(&two, "/").await.unwrap(), format!("{} /", one.key[0]));
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_cut_with_its_time() {
    let mut tasks = JoinSet::new();
    let two = node(&mut tasks).await;
    let mut stream = silent(&two, Ipv4Addr::LOCALHOST).await;
    let mut said = Vec::new();
    let cut = timeout(Duration::from_mins(1), stream.read_to_end(&mut said)).await;
    cut.expect("the connection ends").ok();
    until(&two.counts.refused, |list| list.contains(&Refusal::Handshake)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_listed_is_counted() {
    let mut tasks = JoinSet::new();
    let (member, stranger) = (node(&mut tasks).await, node(&mut tasks).await);
    meet(&[&member]).await;
    stranger.client.set_members(vec![member.member()]).await.unwrap();
    stranger.get(&member, "/").await.expect_err("it is refused");
    until(&member.counts.refused, |list| list.contains(&Refusal::Unlisted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_cannot_take_the_room_of_all() {
    let mut tasks = JoinSet::new();
    let pair = ed25519::Keypair::generate();
    let (greedy, again) = (node_of(&mut tasks, &pair).await, node_of(&mut tasks, &pair).await);
    let (modest, two) = (node(&mut tasks).await, node(&mut tasks).await);
    two.client.set_members(vec![greedy.member(), modest.member()]).await.unwrap();
    for node in [&greedy, &again, &modest] {
        node.client.set_members(vec![two.member()]).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(greedy.ask(&two, "/endless", body("")).await.unwrap());
    }
    let one_more = again.ask(&two, "/", body("")).await.unwrap();
    assert_eq!(one_more.status(), 503);
    assert_eq!(modest.get(&two, "/").await.unwrap(), format!("{} /", modest.key[0]));
    assert_eq!(*two.counts.refused.borrow(), [Refusal::Busy]);
}

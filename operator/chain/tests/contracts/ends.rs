//! Every end of a kept transaction, on a real node.

use std::sync::Mutex;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use coreward_chain::encode::encode;
use coreward_chain::outbox::{Entry, Order, Purpose, State, Submitted, Tick};
use coreward_domain::call::Call;

use crate::market::{committed, new_peer, proof, registered};
use crate::world::{COORDINATOR, DIAMOND, FINALITY, World};

/// More blocks than an attempt may wait.
const PATIENCE: u64 = 11;

fn name(text: &str) -> Call {
    Call::SetProviderInfo { name: text.to_owned() }
}

pub(crate) async fn mine(world: &World, blocks: u64) {
    let _: Option<()> = world.node.raw_request("anvil_mine".into(), (blocks,)).await.unwrap();
}

/// Whether the node makes a block of each transaction at once.
pub(crate) async fn automine(world: &World, is_on: bool) {
    let _: Option<()> = world.node.raw_request("evm_setAutomine".into(), (is_on,)).await.unwrap();
}

async fn drop_from_pool(world: &World, hash: B256) {
    let _: Option<B256> =
        world.node.raw_request("anvil_dropTransaction".into(), (hash,)).await.unwrap();
    assert!(world.node.get_transaction_by_hash(hash).await.unwrap().is_none());
}

pub(crate) async fn submit(world: &World, call: &Call) -> (String, B256) {
    let planned_at = world.look().await.head.number;
    let order = Order { call: call.clone(), why: "an end".to_owned(), planned_at };
    let submitted = world.sender(call).submit(&order, &|_| true).await.unwrap();
    let Submitted::Kept { name, hash, sent: true } = submitted else { panic!("{submitted:?}") };
    (name, hash)
}

/// Keeps a call and loses the lease before it is sent.
pub(crate) async fn keep(world: &World, call: &Call) -> String {
    let planned_at = world.look().await.head.number;
    let order = Order { call: call.clone(), why: "an end".to_owned(), planned_at };
    let asked = Mutex::new(0);
    let lost = |_: &Call| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        *asked < 3
    };
    let submitted = world.sender(call).submit(&order, &lost).await.unwrap();
    let Submitted::Kept { name, sent: false, .. } = submitted else { panic!("{submitted:?}") };
    name
}

/// A transaction with this key that nobody of us has signed; its hash.
async fn foreign(world: &World, from: Address, (to, input): (Address, Bytes)) -> B256 {
    world.impersonate(from).await;
    let request = TransactionRequest::default().from(from).to(to).input(input.into());
    let receipt = world.sent(request).await;
    assert!(receipt.status());
    receipt.transaction_hash
}

pub(crate) async fn tick(world: &World, call: &Call) -> Vec<State> {
    let snapshot = world.look().await;
    let tick = Tick { head: snapshot.head, epoch: snapshot.epoch };
    let followed = world.sender(call).tick(&tick, &|_| true).await.unwrap();
    assert!(followed.failures.is_empty(), "{:?}", followed.failures);
    followed.changes.into_iter().map(|change| change.state).collect()
}

pub(crate) fn kept(world: &World, name: &str) -> Entry {
    world.shelf.0.lock().unwrap()[name].clone()
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_strangers_transaction_displaces_ours_once_it_is_final() {
    let world = World::new("displaced").await;
    let call = name("Ours");
    let record = keep(&world, &call).await;
    foreign(&world, world.provider, (COORDINATOR, Bytes::new())).await;
    assert_eq!(tick(&world, &call).await, [], "its block may still go");
    mine(&world, FINALITY).await;
    assert_eq!(tick(&world, &call).await, [State::Displaced]);
    assert_eq!(kept(&world, &record).state, State::Displaced);
    world.act(call).await;
    let snapshot = world.look().await;
    assert_eq!(snapshot.providers[&world.provider].name, "Ours", "with the next nonce");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn proofs_that_nobody_kept_replace_a_kept_transaction() {
    let world = World::new("replaced").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "replaced", 1);
    registered(&world, vec![peer.clone()]).await;
    committed(&world, peer.peer, 20).await;
    let epoch = world.look().await.epoch;
    let submitting = |number| Call::SubmitProofs {
        peer: peer.peer,
        epoch,
        proofs: vec![proof(peer.units[0], number)],
    };
    let (waiting, unkept) = (submitting(1), submitting(2));
    let record = keep(&world, &waiting).await;
    let hash = foreign(&world, world.peer_owner, (DIAMOND, encode(&unkept, DIAMOND).input)).await;
    mine(&world, FINALITY).await;
    let states = tick(&world, &waiting).await;
    let [State::Replaced(receipt)] = &states[..] else { panic!("{states:?}") };
    assert_eq!(receipt.hash, hash, "the receipt is theirs");
    assert!(kept(&world, &record).state.is_end());
    let at = world.look().await.head.number;
    assert_eq!(world.sender(&waiting).in_flight(at).await.unwrap(), [], "free to be asked again");
    assert!(world.takes(&waiting).await);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn proofs_of_a_past_epoch_end_as_an_empty_transfer() {
    let world = World::new("cancelled").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "cancelled", 1);
    registered(&world, vec![peer.clone()]).await;
    let commitment = committed(&world, peer.peer, 20).await;
    let epoch = world.look().await.epoch;
    let call = Call::SubmitProofs { peer: peer.peer, epoch, proofs: vec![proof(peer.units[0], 1)] };
    let record = keep(&world, &call).await;
    world.next_epoch().await;
    tick(&world, &call).await;
    let [cancel] = &kept(&world, &record).further[..] else {
        panic!("{:?}", kept(&world, &record))
    };
    assert_eq!(cancel.purpose, Purpose::Cancel);
    mine(&world, FINALITY).await;
    let ended = world.tick(world.sender(&call), &record).await.state;
    let State::Cancelled(receipt) = &ended else { panic!("{ended:?}") };
    assert_eq!((receipt.hash, receipt.succeeded), (cancel.hash, true));
    let known = world.look().await.commitments[&commitment].clone().unwrap();
    assert_eq!(known.proofs.values().sum::<u32>(), 0, "no proof went out");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn what_the_node_dropped_is_sent_again_as_the_same_bytes() {
    let world = World::new("dropped").await;
    let call = name("Dropped");
    automine(&world, false).await;
    let (record, hash) = submit(&world, &call).await;
    drop_from_pool(&world, hash).await;
    tick(&world, &call).await;
    let again = world.node.get_transaction_by_hash(hash).await.unwrap();
    automine(&world, true).await;
    assert!(again.is_some(), "the node has the very same again");
    assert!(kept(&world, &record).further.is_empty(), "nothing else was signed");
    mine(&world, 1).await;
    let ended = world.tick(world.sender(&call), &record).await.state;
    let State::Mined(receipt) = &ended else { panic!("{ended:?}") };
    assert_eq!(receipt.hash, hash);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn what_is_stuck_for_its_low_fee_is_replaced_by_a_dearer_one() {
    let world = World::new("stuck").await;
    let call = name("Stuck");
    automine(&world, false).await;
    let (record, first) = submit(&world, &call).await;
    tick(&world, &call).await;
    let dear = U256::from(1_000_000_000_000_u64);
    let _: Option<()> =
        world.node.raw_request("anvil_setNextBlockBaseFeePerGas".into(), (dear,)).await.unwrap();
    mine(&world, 1).await;
    mine(&world, PATIENCE - 1).await;
    tick(&world, &call).await;
    let entry = kept(&world, &record);
    automine(&world, true).await;
    let [second] = &entry.further[..] else { panic!("{entry:?}") };
    assert_eq!(second.purpose, Purpose::HigherFee);
    assert!(second.max_fee_per_gas > entry.record.first.max_fee_per_gas);
    mine(&world, 1).await;
    let State::Mined(receipt) = world.tick(world.sender(&call), &record).await.state else {
        panic!("{:?}", kept(&world, &record))
    };
    assert_eq!(receipt.hash, second.hash);
    assert_ne!(receipt.hash, first);
    let snapshot = world.look().await;
    assert_eq!(snapshot.providers[&world.provider].name, "Stuck");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_strangers_transaction_on_a_nonce_that_none_of_ours_wanted_is_found_by_the_next_order() {
    let world = World::new("gap").await;
    world.act(name("First")).await;
    foreign(&world, world.provider, (COORDINATOR, Bytes::new())).await;
    let call = name("Second");
    let planned_at = world.look().await.head.number;
    let order = Order { call: call.clone(), why: "an end".to_owned(), planned_at };
    let submitted = world.sender(&call).submit(&order, &|_| true).await.unwrap();
    let Submitted::Kept { name: record, sent: false, .. } = submitted else {
        panic!("{submitted:?}")
    };
    assert_eq!(kept(&world, &record).record.nonce, 1, "the stranger's");
    mine(&world, FINALITY).await;
    tick(&world, &call).await;
    assert_eq!(kept(&world, &record).state, State::Displaced);
    world.act(call).await;
    let snapshot = world.look().await;
    assert_eq!(snapshot.providers[&world.provider].name, "Second");
}

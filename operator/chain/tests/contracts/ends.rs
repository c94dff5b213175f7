//! How a kept transaction can end, on a node that mines when it is told to.

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::rpc::json_rpc::RpcSend;
use alloy::rpc::types::TransactionRequest;
use coreward_chain::outbox::{Order, State, Submitted, Tick};
use coreward_domain::call::Call;
use coreward_domain::chain::Head;

use crate::market::{committed, new_peer, proof, registered};
use crate::world::{FINALITY, World};

/// Blocks that an attempt may wait.
const PATIENCE: u64 = 10;

async fn tell(world: &World, method: &'static str, parameter: impl RpcSend + 'static) {
    let _: serde_json::Value = world.node.raw_request(method.into(), (parameter,)).await.unwrap();
}

async fn mine(world: &World, blocks: u64) {
    tell(world, "anvil_mine", blocks).await;
}

/// Kept and sent, and in no block; its name and hash.
async fn waiting(world: &World, call: &Call) -> (String, B256) {
    tell(world, "evm_setAutomine", false).await;
    let planned_at = world.look().await.head.number;
    let order = Order { call: call.clone(), why: "an end".to_owned(), planned_at };
    let submitted = world.sender(call).submit(&order, &|_| true).await.unwrap();
    let Submitted::Kept { name, hash, sent: true } = submitted else { panic!("{submitted:?}") };
    (name, hash)
}

/// One tick, whatever it finds.
async fn tick(world: &World, call: &Call) {
    tick_later(world, call, 0).await;
}

/// One that takes the head for so many blocks higher.
async fn tick_later(world: &World, call: &Call, blocks: u64) {
    let snapshot = world.look().await;
    let head = Head { number: snapshot.head.number + blocks, ..snapshot.head };
    let at = Tick { head, epoch: snapshot.epoch };
    let followed = world.sender(call).tick(&at, &|_| true).await.unwrap();
    assert!(followed.failures.is_empty(), "{:?}", followed.failures);
}

/// Newest first.
fn attempts(world: &World, name: &str) -> Vec<B256> {
    let shelf = world.shelf.0.lock().unwrap();
    shelf[name].attempts().map(|attempt| attempt.hash).collect()
}

fn rename(name: &str) -> Call {
    Call::SetProviderInfo { name: name.to_owned() }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn what_the_node_dropped_is_sent_again_byte_for_byte() {
    let world = World::new("dropped").await;
    let call = rename("Dropped");
    let (name, hash) = waiting(&world, &call).await;
    tell(&world, "anvil_dropTransaction", hash).await;
    assert!(world.node.get_transaction_by_hash(hash).await.unwrap().is_none(), "it is gone");
    tick(&world, &call).await;
    assert!(world.node.get_transaction_by_hash(hash).await.unwrap().is_some(), "it is back");
    mine(&world, 1).await;
    tell(&world, "evm_setAutomine", true).await;
    let State::Mined(receipt) = world.tick(world.sender(&call), &name).await.state else {
        panic!("not mined")
    };
    assert_eq!((receipt.hash, attempts(&world, &name).len()), (hash, 1));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn what_waits_too_long_is_replaced_by_a_dearer_attempt_on_its_nonce() {
    let world = World::new("dearer").await;
    let call = rename("Dearer");
    let (name, first) = waiting(&world, &call).await;
    tick(&world, &call).await;
    assert_eq!(attempts(&world, &name), [first], "it is given time");
    // The node takes no block meanwhile, or it would take the transaction along.
    tick_later(&world, &call, PATIENCE).await;
    let made = attempts(&world, &name);
    assert!(made.len() == 2 && made[1] == first, "{made:?}");
    mine(&world, 1 + FINALITY).await;
    tell(&world, "evm_setAutomine", true).await;
    let ended = world.tick(world.sender(&call), &name).await.state;
    let State::Final(receipt) = &ended else { panic!("{ended:?}") };
    assert_eq!(receipt.hash, made[0], "the dearer one");
    assert_eq!(world.look().await.providers[&world.provider].name, "Dearer");
}

/// An empty transfer of our key's to itself that another hand signs.
async fn foreign(world: &World, address: Address) {
    tell(world, "anvil_impersonateAccount", address).await;
    let request = TransactionRequest::default().from(address).to(address).value(U256::ZERO);
    tell(world, "eth_sendTransaction", request).await;
    tell(world, "anvil_stopImpersonatingAccount", address).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_foreign_transaction_on_our_nonce_displaces_ours_once_it_is_final() {
    let world = World::new("displaced").await;
    let call = rename("Displaced");
    let (name, hash) = waiting(&world, &call).await;
    tell(&world, "anvil_dropTransaction", hash).await;
    foreign(&world, world.provider).await;
    mine(&world, 1).await;
    tick(&world, &call).await;
    let state = world.shelf.0.lock().unwrap()[&name].state.clone();
    assert!(!state.is_end(), "its block may still be taken back: {state:?}");
    mine(&world, FINALITY).await;
    tell(&world, "evm_setAutomine", true).await;
    let state = world.tick(world.sender(&call), &name).await.state;
    assert_eq!(state, State::Displaced);
    assert_eq!(world.look().await.providers[&world.provider].name, "", "ours did nothing");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn proofs_that_missed_their_epoch_make_way_for_an_empty_transfer() {
    let world = World::new("cancelled").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "cancelled", 1);
    registered(&world, vec![peer.clone()]).await;
    committed(&world, peer.peer, 20).await;
    let epoch = world.look().await.epoch;
    let call = Call::SubmitProofs { peer: peer.peer, epoch, proofs: vec![proof(peer.units[0], 1)] };
    let (name, hash) = waiting(&world, &call).await;
    tell(&world, "anvil_dropTransaction", hash).await;
    world.next_epoch().await;
    tick(&world, &call).await;
    mine(&world, 1 + FINALITY).await;
    tell(&world, "evm_setAutomine", true).await;
    let State::Cancelled(receipt) = world.tick(world.sender(&call), &name).await.state else {
        panic!("not cancelled")
    };
    assert_eq!(attempts(&world, &name), [receipt.hash, hash], "on the same nonce");
    assert_eq!(receipt.gas_used, 21_000);
}

//! Blocks that are taken back, as deep as a chain may ever do it.

use alloy::providers::Provider;
use coreward_chain::outbox::{Order, State, Submitted, Tick};
use coreward_domain::call::Call;

use crate::world::World;

/// Blocks that are taken back.
const DEPTH: u64 = 30;
/// Blocks on top of one that is final here.
const FINALITY: u64 = 40;

async fn mine(world: &World, blocks: u64) {
    let _: Option<()> = world.node.raw_request("anvil_mine".into(), (blocks,)).await.unwrap();
}

async fn name_on_chain(world: &World) -> String {
    world.look().await.providers[&world.provider].name.clone()
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_transaction_whose_block_was_taken_back_is_sent_again_and_ends() {
    let world = World::of("reorg", FINALITY).await;
    // The wallets' means are in a block that stays.
    mine(&world, 1).await;
    let call = Call::SetProviderInfo { name: "Deep Waters".to_owned() };
    let sender = world.sender(&call);
    let planned_at = world.look().await.head.number;
    let order = Order { call: call.clone(), why: "a name".to_owned(), planned_at };
    let submitted = sender.submit(&order, &|_| true).await.unwrap();
    let Submitted::Kept { name, .. } = submitted else { panic!("{submitted:?}") };
    let State::Mined(first) = world.tick(sender, &name).await.state else { panic!("not mined") };
    mine(&world, DEPTH - 1).await;
    assert_eq!(name_on_chain(&world).await, "Deep Waters");
    assert!(sender.in_flight(planned_at).await.unwrap().iter().any(|flight| flight.call == call));

    let nothing: [(); 0] = [];
    let _: Option<()> =
        world.node.raw_request("anvil_reorg".into(), (DEPTH, nothing)).await.unwrap();
    assert_eq!(name_on_chain(&world).await, "", "its block is gone");

    let resent = world.tick(sender, &name).await.state;
    assert_eq!(resent, State::Sent, "it is under way again");
    let State::Mined(second) = world.tick(sender, &name).await.state else { panic!("not mined") };
    assert_eq!(second.hash, first.hash, "the bytes that were kept, not a second transaction");
    assert_ne!(second.block_hash, first.block_hash);
    assert_eq!(name_on_chain(&world).await, "Deep Waters");
    mine(&world, FINALITY).await;
    let ended = world.tick(sender, &name).await.state;
    let State::Final(receipt) = &ended else { panic!("{ended:?}") };
    assert_eq!(receipt.hash, first.hash);
    let head = world.look().await;
    let tick = Tick { head: head.head, epoch: head.epoch };
    assert_eq!(sender.tick(&tick, &|_| true).await.unwrap().changes.len(), 0, "it has ended");
}

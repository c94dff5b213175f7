use std::sync::{Arc, Mutex, MutexGuard};

use alloy::primitives::{Address, B256, address, b256};
use coreward_domain::call::{Call, KeyRole, Proof};
use coreward_domain::chain::Head;
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{CommitmentId, PeerId, UnitId};

use super::*;
use crate::Contracts;
use crate::abi::Refusals;
use crate::endpoint::Pool;
use crate::fake::{ACCOUNT, FakeNode, Ledger, block_hash};
use crate::node::envelope;
use crate::signer::{Permitted, Secret};
use alloy::consensus::Transaction;
use alloy::sol_types::SolError;

mod killed;
mod shelf;
mod taken;

use self::shelf::Shelf;

const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const DIAMOND: Address = address!("00000000000000000000000000000000000000d1");
const WORD: B256 = b256!("1111111111111111111111111111111111111111111111111111111111111111");

struct World {
    ledger: Arc<Mutex<Ledger>>,
    node: FakeNode,
    shelf: Shelf,
    sender: Sender<Shelf>,
}

impl World {
    fn new() -> Self {
        let shelf = Shelf::default();
        let ledger =
            Arc::new(Mutex::new(Ledger { head: 100, base_fee: 1_000, ..Ledger::default() }));
        let (answering, telling) = (Arc::clone(&ledger), shelf.clone());
        let node = FakeNode::new(move |method, params| {
            telling.tell(method);
            answering.lock().unwrap().answer(method, params)
        });
        let sender = sender(&node, shelf.clone());
        Self { ledger, node, shelf, sender }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn story(&self) -> Vec<String> {
        std::mem::take(&mut self.shelf.inside().story)
    }

    async fn tick(&self) -> Vec<(String, &'static str)> {
        self.shelf.settle();
        let number = self.ledger().head;
        let head =
            Head { number, hash: block_hash(number), timestamp: 1_000 + number, base_fee: 1_000 };
        let followed = self.sender.tick(&Tick { head, epoch: Epoch(5) }, &|_| true).await.unwrap();
        assert!(followed.failures.is_empty(), "{:?}", followed.failures);
        followed.changes.into_iter().map(|change| (change.name, change.state.name())).collect()
    }

    async fn submit(&self, call: Call) -> Result<Submitted, Error> {
        self.sender.submit(&order(call), &|_| true).await
    }

    fn only(&self) -> Entry {
        let inside = self.shelf.inside();
        assert_eq!(inside.stored.len(), 1);
        inside.stored.values().next().cloned().unwrap()
    }
}

fn sender(node: &FakeNode, shelf: Shelf) -> Sender<Shelf> {
    sender_of(node.pool(), shelf)
}

fn sender_of<J: Journal>(pool: Pool, journal: J) -> Sender<J> {
    let account = Account {
        network: "local".to_owned(),
        chain_id: 31337,
        contracts: Contracts { diamond: DIAMOND, multicall3: Address::ZERO },
        finality_blocks: 2,
    };
    let signer = Box::new(Secret::new(KEY, ACCOUNT).unwrap());
    let signer = Permitted::new(signer, vec![KeyRole::Provider, KeyRole::Peer], DIAMOND);
    Sender::new(
        account,
        signer,
        pool,
        journal,
        FeePolicy { priority: 10, cap: None, patience_blocks: 3 },
    )
}

fn order(call: Call) -> Order {
    Order { call, why: "test".to_owned(), planned_at: 100 }
}

fn finish(id: u8) -> Call {
    Call::FinishCommitment { commitment: CommitmentId(B256::repeat_byte(id)) }
}

fn proofs(epoch: u64) -> Call {
    let proof = Proof { unit: UnitId(WORD), local_nonce: WORD, result_hash: WORD };
    Call::SubmitProofs { peer: PeerId(WORD), epoch: Epoch(epoch), proofs: vec![proof] }
}

#[tokio::test]
async fn a_transaction_is_simulated_then_kept_then_sent() {
    let world = World::new();
    let submitted = world.submit(finish(1)).await.unwrap();
    assert!(matches!(submitted, Submitted::Kept { sent: true, .. }));
    let story = world.story();
    let wanted = [
        "eth_call",
        "eth_estimateGas",
        "eth_getBlockByNumber",
        "eth_getTransactionCount",
        "eth_getTransactionCount",
        "eth_getTransactionCount",
        "create",
        "eth_sendRawTransaction",
        "Sent",
    ];
    assert_eq!(story, wanted);
    assert_eq!(world.only().record.name(), format!("local-{}-0", alloy::hex::encode(ACCOUNT)));
}

#[tokio::test]
async fn what_the_contract_would_refuse_is_not_signed() {
    let world = World::new();
    world.ledger().refusal =
        Some(Refusals::Error { reason: "Compute unit is in deal".to_owned() }.abi_encode());
    let error = world.submit(finish(1)).await.unwrap_err();
    let Error::WouldRevert { revert, .. } = error else { panic!("{error:?}") };
    assert!(revert.is_fact());
    assert_eq!(world.story(), ["eth_call"]);
}

#[tokio::test]
async fn an_empty_refusal_is_unknown_and_tried_again() {
    let world = World::new();
    world.ledger().refusal = Some(Vec::new());
    let error = world.submit(finish(1)).await.unwrap_err();
    assert_eq!(error.reason(), "Unknown");
    assert!(error.retry().is_some());
}

#[tokio::test]
async fn a_second_call_gets_the_next_nonce_although_the_list_lags() {
    let world = World::new();
    world.submit(finish(1)).await.unwrap();
    world.submit(finish(2)).await.unwrap();
    let nonces: Vec<u64> =
        world.shelf.inside().stored.values().map(|entry| entry.record.nonce).collect();
    assert_eq!(nonces, [0, 1]);
}

#[tokio::test]
async fn the_same_call_is_not_sent_twice() {
    let world = World::new();
    world.submit(finish(1)).await.unwrap();
    assert!(matches!(world.submit(finish(1)).await.unwrap(), Submitted::InFlight { .. }));
    assert_eq!(world.ledger().sent.len(), 1);
}

#[tokio::test]
async fn a_taken_nonce_is_left_to_its_owner() {
    let world = World::new();
    let other = sender(&world.node, world.shelf.clone());
    other.submit(&order(finish(2)), &|_| true).await.unwrap();
    let same = world.submit(finish(2)).await.unwrap();
    assert!(matches!(same, Submitted::InFlight { .. }), "found by looking: {same:?}");
    let Submitted::Kept { name, .. } = world.submit(finish(1)).await.unwrap() else { panic!() };
    assert!(name.ends_with("-1"), "{name}");
    assert_eq!(world.ledger().sent.len(), 2);
}

#[tokio::test]
async fn without_the_lease_nothing_is_signed_and_what_is_kept_waits() {
    let world = World::new();
    let refused = world.sender.submit(&order(finish(1)), &|_| false).await;
    assert!(matches!(refused, Err(Error::MayNotSend { .. })));
    assert!(world.story().is_empty());
    let asked = Mutex::new(0);
    let lost_while_keeping = |_: &Call| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        *asked < 3
    };
    let submitted = world.sender.submit(&order(finish(1)), &lost_while_keeping).await.unwrap();
    assert!(matches!(submitted, Submitted::Kept { sent: false, .. }));
    assert!(world.ledger().sent.is_empty());
    assert_eq!(world.tick().await[0].1, "Sent", "the next leader sends it");
    assert_eq!(world.ledger().sent.len(), 1);
}

#[tokio::test]
async fn a_receipt_makes_it_mined_and_burial_final() {
    let world = World::new();
    let Submitted::Kept { hash, .. } = world.submit(finish(1)).await.unwrap() else { panic!() };
    world.ledger().mine(hash);
    assert_eq!(world.tick().await[0].1, "Mined");
    assert!(world.tick().await.is_empty(), "nothing new, nothing written");
    world.ledger().head += 2;
    assert_eq!(world.tick().await[0].1, "Final");
    world.story();
    assert!(world.tick().await.is_empty());
    assert!(world.story().is_empty(), "nothing open, nothing asked");
}

#[tokio::test]
async fn a_transaction_that_the_node_lost_is_sent_again_after_a_look_for_its_receipt() {
    let world = World::new();
    world.submit(finish(1)).await.unwrap();
    world.ledger().waiting.clear();
    world.story();
    world.tick().await;
    let story = world.story();
    let place = |what: &str| story.iter().position(|step| step == what).unwrap();
    assert!(place("eth_getTransactionReceipt") < place("eth_sendRawTransaction"));
    let sent = world.ledger().sent.clone();
    assert_eq!(sent, [sent[0].clone(), sent[0].clone()]);
}

#[tokio::test]
async fn a_block_that_goes_brings_its_transaction_back() {
    let world = World::new();
    let Submitted::Kept { hash, .. } = world.submit(finish(1)).await.unwrap() else { panic!() };
    world.ledger().mine(hash);
    world.tick().await;
    {
        let mut ledger = world.ledger();
        ledger.mined.clear();
        ledger.nonces.clear();
    }
    assert_eq!(world.tick().await[0].1, "Sent");
    assert_eq!(world.ledger().sent.len(), 2);
}

#[tokio::test]
async fn a_slow_transaction_is_replaced_by_a_dearer_one_that_is_kept_first() {
    let world = World::new();
    world.submit(finish(1)).await.unwrap();
    world.tick().await;
    world.ledger().head += 3;
    world.story();
    world.tick().await;
    let story = world.story();
    let place = |what: &str| story.iter().position(|step| step == what).unwrap();
    assert!(place("append") < place("eth_sendRawTransaction"));
    let entry = world.only();
    let fee = |attempt: &Attempt| envelope(&attempt.raw).unwrap().max_fee_per_gas();
    assert_eq!(entry.further.len(), 1);
    assert!(fee(&entry.further[0]) * 1000 >= fee(&entry.record.first) * 1125);
    assert_eq!(entry.record.call(DIAMOND), Ok(finish(1)));
    let first = entry.record.first.hash;
    world.ledger().mine(first);
    assert_eq!(world.tick().await[0].1, "Mined", "the receipt of any attempt ends it");
}

#[tokio::test]
async fn proofs_of_a_past_epoch_make_way_for_an_empty_transfer() {
    let world = World::new();
    world.submit(proofs(4)).await.unwrap();
    world.tick().await;
    let entry = world.only();
    let cancel = envelope(&entry.further[0].raw).unwrap();
    assert_eq!(
        (cancel.to(), cancel.input().len(), cancel.value().to::<u64>()),
        (Some(ACCOUNT), 0, 0)
    );
    world.ledger().mine(entry.further[0].hash);
    world.ledger().head += 2;
    assert_eq!(world.tick().await[0].1, "Cancelled");
}

#[tokio::test]
async fn while_nothing_can_be_kept_proofs_go_out_and_nothing_else() {
    let world = World::new();
    world.shelf.inside().is_away = true;
    assert!(matches!(world.submit(finish(1)).await, Err(Error::Journal { .. })));
    assert!(matches!(world.submit(proofs(5)).await.unwrap(), Submitted::Unkept { .. }));
    assert!(matches!(world.submit(proofs(6)).await.unwrap(), Submitted::Unkept { .. }));
    assert!(world.submit(proofs(6)).await.is_err(), "the same proofs are on their way");
    assert!(world.sender.in_flight(100).await.is_err(), "what else is on its way is unknown");
    let known = world.sender.proofs_in_flight(100).await.unwrap();
    let known: Vec<_> = known.into_iter().map(|flying| flying.call).collect();
    assert_eq!(known, [proofs(5), proofs(6)], "proofs are remembered");
    let nonces: Vec<u64> = world
        .ledger()
        .sent
        .iter()
        .map(|raw| envelope(&alloy::hex::decode(raw).unwrap().into()).unwrap().nonce())
        .collect();
    assert_eq!(nonces, [0, 1]);
    let first =
        alloy::primitives::keccak256(alloy::hex::decode(world.ledger().sent[0].clone()).unwrap());
    world.ledger().mine(first);
    world.tick().await;
    world.shelf.inside().is_away = false;
    let known: Vec<_> = world.sender.in_flight(101).await.unwrap();
    let mined: Vec<_> = known.iter().map(|flying| (flying.call.clone(), flying.mined)).collect();
    assert_eq!(mined, [(proofs(5), Some(101)), (proofs(6), None)], "none is to be sent again");
}

#[tokio::test]
async fn proofs_that_the_node_took_before_a_term_ended_are_remembered() {
    let world = World::new();
    world.shelf.inside().is_away = true;
    *world.node.is_mute.lock().unwrap() = true;
    let taken = async {
        while world.ledger().sent.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = world.submit(proofs(5)) => panic!("{ended:?}"),
        () = taken => {}
    }
    *world.node.is_mute.lock().unwrap() = false;
    world.shelf.inside().is_away = false;
    let known = world.sender.proofs_in_flight(100).await.unwrap();
    assert_eq!(known.len(), 1, "the next term plans them again");
    world.tick().await;
    let sent = world.ledger().sent.clone();
    assert_eq!((sent.len(), &sent[1]), (2, &sent[0]), "the same bytes, until they are in a block");
}

#[tokio::test]
async fn a_call_is_in_flight_until_it_is_final_and_its_block_is_seen() {
    let world = World::new();
    let Submitted::Kept { hash, .. } = world.submit(proofs(5)).await.unwrap() else { panic!() };
    world.ledger().mine(hash);
    world.tick().await;
    world.shelf.settle();
    let calls =
        |flight: Vec<InFlight>| flight.into_iter().map(|flying| flying.call).collect::<Vec<_>>();
    assert_eq!(calls(world.sender.in_flight(100).await.unwrap()), [proofs(5)]);
    let mined = world.sender.in_flight(101).await.unwrap();
    assert_eq!((mined[0].mined, calls(mined)), (Some(101), vec![proofs(5)]), "may still go");
    world.ledger().head += 2;
    world.tick().await;
    world.shelf.settle();
    assert_eq!(calls(world.sender.in_flight(100).await.unwrap()), [proofs(5)]);
    assert_eq!(calls(world.sender.in_flight(101).await.unwrap()), []);
}

#[tokio::test]
async fn an_outage_of_the_node_leaves_all_as_it_is() {
    let world = World::new();
    world.submit(finish(1)).await.unwrap();
    let before = world.only();
    *world.node.is_away.lock().unwrap() = true;
    world.shelf.settle();
    let head = Head { number: 101, hash: block_hash(101), timestamp: 1_101, base_fee: 1_000 };
    assert!(world.sender.tick(&Tick { head, epoch: Epoch(5) }, &|_| true).await.is_err());
    assert!(matches!(world.submit(finish(2)).await, Err(Error::Chain { .. })));
    assert_eq!(world.only(), before);
}

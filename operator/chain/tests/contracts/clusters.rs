//! Two clusters that were given the same key, against all advice: nothing is lost or done twice, and people learn of it.

use alloy::consensus::Transaction as _;
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionResponse as _;
use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use coreward_chain::encode::encode;
use coreward_chain::outbox::{Entry, Order, Sender, State, Tick};
use coreward_domain::call::Call;

use crate::ends::{automine, mine};
use crate::shelf::Shelf;
use crate::world::{DIAMOND, World};

/// Rounds in which all must have come to its end.
const ROUNDS: usize = 100;

/// One of them, and what it wants in this order.
struct Cluster {
    sender: Sender<Shelf>,
    shelf: Shelf,
    wants: Vec<Call>,
}

impl Cluster {
    fn new(world: &World, name: &str) -> Self {
        let (sender, shelf) = world.elsewhere(world.provider);
        let want = |number| Call::SetProviderInfo { name: format!("{name} {number}") };
        Self { sender, shelf, wants: (0..3).map(want).collect() }
    }

    fn entries(&self) -> Vec<Entry> {
        self.shelf.0.lock().unwrap().values().cloned().collect()
    }

    /// Orders the next call that neither the chain shows nor is under way.
    async fn order(&self, world: &World, done: &[Done]) {
        let at = world.look().await.head.number;
        let flights = self.sender.in_flight(at).await.unwrap();
        let is_wanted = |call: &&Call| done.iter().all(|done| !done.is(call));
        let Some(call) = self.wants.iter().find(is_wanted) else { return };
        if flights.iter().any(|flight| flight.call == *call) {
            return;
        }
        let order = Order { call: call.clone(), why: "two clusters".to_owned(), planned_at: at };
        self.sender.submit(&order, &|_| true).await.unwrap();
    }

    async fn follow(&self, world: &World) {
        let snapshot = world.look().await;
        let tick = Tick { head: snapshot.head, epoch: snapshot.epoch };
        let followed = self.sender.tick(&tick, &|_| true).await.unwrap();
        assert!(followed.failures.is_empty(), "{:?}", followed.failures);
    }
}

/// What the chain carried out.
struct Done {
    hash: B256,
    nonce: u64,
    input: Vec<u8>,
}

impl Done {
    fn is(&self, call: &Call) -> bool {
        self.input == encode(call, DIAMOND).input
    }
}

/// All transactions of an account from a block on.
async fn carried_out(world: &World, from: Address, first: u64) -> Vec<Done> {
    let mut done = Vec::new();
    for number in first..=world.node.get_block_number().await.unwrap() {
        let block = world.node.get_block_by_number(BlockNumberOrTag::Number(number)).full().await;
        for found in block.unwrap().unwrap().transactions.into_transactions() {
            if found.from() == from {
                let receipt = world.node.get_transaction_receipt(found.tx_hash()).await.unwrap();
                assert!(receipt.unwrap().status());
                let (hash, nonce) = (found.tx_hash(), found.nonce());
                done.push(Done { hash, nonce, input: found.input().to_vec() });
            }
        }
    }
    done
}

/// Lets both order and follow in turn, until each has what it wants.
async fn compete(world: &World, is_racing: bool) {
    let first = world.node.get_block_number().await.unwrap();
    let clusters = [Cluster::new(world, "east"), Cluster::new(world, "west")];
    automine(world, !is_racing).await;
    let mut rounds = 0;
    let done = loop {
        for cluster in &clusters {
            let done = carried_out(world, world.provider, first).await;
            cluster.order(world, &done).await;
        }
        mine(world, 1).await;
        for cluster in &clusters {
            cluster.follow(world).await;
        }
        let done = carried_out(world, world.provider, first).await;
        let has = |call: &Call| done.iter().any(|done| done.is(call));
        let mut entries = clusters.iter().flat_map(Cluster::entries);
        if clusters.iter().flat_map(|cluster| &cluster.wants).all(has)
            && entries.all(|entry| entry.state.is_end())
        {
            break done;
        }
        rounds += 1;
        assert!(rounds < ROUNDS, "{:?}", clusters.map(|cluster| cluster.entries()));
    };
    automine(world, true).await;
    for call in clusters.iter().flat_map(|cluster| &cluster.wants) {
        let times = done.iter().filter(|done| done.is(call)).count();
        assert_eq!(times, 1, "{call:?}");
    }
    kept_once(&clusters, &done);
}

/// Each transaction on chain is one that exactly one of them kept under this nonce, and who lost a nonce says so.
fn kept_once(clusters: &[Cluster; 2], done: &[Done]) {
    for (expected, sent) in (0..).zip(done) {
        assert_eq!(sent.nonce, expected);
        let keeps = |entry: &Entry| entry.attempts().any(|attempt| attempt.hash == sent.hash);
        let entries = clusters.iter().flat_map(Cluster::entries);
        let nonces: Vec<u64> = entries.filter(keeps).map(|entry| entry.record.nonce).collect();
        assert_eq!(nonces, [sent.nonce]);
    }
    let (mut finals, mut displaced) = (0, 0);
    for entry in clusters.iter().flat_map(Cluster::entries) {
        match entry.state {
            State::Final(_) => finals += 1,
            State::Displaced => displaced += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(finals, done.len());
    assert!(displaced > 0, "nobody would learn of it");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn two_clusters_that_order_in_turn_lose_nothing() {
    let world = World::new("in turn").await;
    compete(&world, false).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn two_clusters_that_race_for_each_nonce_lose_nothing() {
    let world = World::new("racing").await;
    compete(&world, true).await;
}

//! A leader that is killed before any of its calls to the outside, which is after the one before; the next one goes on.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use alloy::primitives::{Bytes, keccak256};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::transports::{TransportError, TransportFut};
use rstest::rstest;
use tokio::sync::Notify;

use super::*;
use crate::endpoint::{Endpoint, Timeouts, Unobserved};

/// How many calls to the outside a leader makes before it dies.
#[derive(Clone)]
struct Life {
    calls: Arc<Mutex<usize>>,
    died: Arc<Notify>,
}

impl Life {
    fn of(calls: usize) -> Self {
        Self { calls: Arc::new(Mutex::new(calls)), died: Arc::default() }
    }

    async fn within<T>(&self, call: impl Future<Output = T>) -> T {
        let left = self.calls.lock().unwrap().checked_sub(1);
        let Some(left) = left else {
            self.died.notify_one();
            return std::future::pending().await;
        };
        *self.calls.lock().unwrap() = left;
        call.await
    }
}

/// What a leader that dies asks and writes.
#[derive(Clone)]
struct Mortal<T>(T, Life);

impl tower::Service<RequestPacket> for Mortal<FakeNode> {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let Self(mut node, life) = self.clone();
        Box::pin(async move { life.within(async { node.call(packet).await }).await })
    }
}

impl Journal for Mortal<Shelf> {
    async fn create(&self, record: &Record) -> Result<Creation, JournalError> {
        self.1.within(self.0.create(record)).await
    }

    async fn get(&self, name: &str) -> Result<Option<Entry>, JournalError> {
        self.1.within(self.0.get(name)).await
    }

    async fn entries(&self, network: &str, address: Address) -> Result<Vec<Entry>, JournalError> {
        self.1.within(self.0.entries(network, address)).await
    }

    async fn append(&self, entry: &Entry, attempt: &Attempt) -> Result<String, JournalError> {
        self.1.within(self.0.append(entry, attempt)).await
    }

    async fn set_state(&self, entry: &Entry, state: &State) -> Result<String, JournalError> {
        self.1.within(self.0.set_state(entry, state)).await
    }
}

/// What happens to the chain after a turn.
#[derive(Clone, Copy)]
enum Event {
    Nothing,
    /// So many blocks, with nothing of ours in them.
    Blocks(u64),
    NextEpoch,
    /// Whatever the node has.
    Mined,
    /// What was mined is gone, and the node has forgotten it.
    TakenBack,
    /// From now on a second call is wanted.
    Wanted,
}

/// Dearer attempts, an empty transfer for stale proofs, a block that goes, and a call that comes late. After each event that a
/// leader answers there is a turn in which the next one can do so.
const EVENTS: [Event; 15] = [
    Event::Nothing,
    Event::Blocks(4),
    Event::Nothing,
    Event::NextEpoch,
    Event::Nothing,
    Event::Nothing,
    Event::Mined,
    Event::Nothing,
    Event::TakenBack,
    Event::Nothing,
    Event::Wanted,
    Event::Nothing,
    Event::Mined,
    Event::Blocks(2),
    Event::Nothing,
];

/// What came of it all: each record with its nonce, call and state, and what the chain carried out in its order.
type End = (Vec<(u64, Call, &'static str)>, Vec<(u64, Option<Call>)>);

struct Story {
    world: World,
    epoch: Epoch,
    wanted: Vec<Call>,
}

impl Story {
    fn new() -> Self {
        Self { world: World::new(), epoch: Epoch(5), wanted: vec![finish(1)] }
    }

    fn leader(&self, life: &Life) -> Sender<Mortal<Shelf>> {
        let node = Mortal(self.world.node.clone(), life.clone());
        let endpoint = Endpoint::over("mortal", RpcClient::new(node, true));
        let pool = Pool::new(vec![endpoint], Timeouts::default(), Arc::new(Unobserved)).unwrap();
        sender_of(pool, Mortal(self.world.shelf.clone(), life.clone()))
    }

    /// Plans by what the chain shows and what is in flight, orders, and follows.
    async fn turn(&self, leader: &Sender<Mortal<Shelf>>) {
        let number = self.world.ledger().head;
        let flights = leader.in_flight(number).await.unwrap();
        let done = self.carried_out();
        let stands = |call: &Call| {
            flights.iter().any(|flight| flight.call == *call)
                || done.iter().any(|(_, done)| done.as_ref() == Some(call))
        };
        let proofs = (self.epoch == Epoch(5)).then(|| proofs(5));
        for call in self.wanted.iter().cloned().chain(proofs).filter(|call| !stands(call)) {
            let order = Order { call, why: "test".to_owned(), planned_at: number };
            leader.submit(&order, &|_| true).await.unwrap();
        }
        let head =
            Head { number, hash: block_hash(number), timestamp: 1_000 + number, base_fee: 1_000 };
        let followed = leader.tick(&Tick { head, epoch: self.epoch }, &|_| true).await.unwrap();
        assert!(followed.failures.is_empty(), "{:?}", followed.failures);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Blocks(blocks) => self.world.ledger().head += blocks,
            Event::NextEpoch => self.epoch = Epoch(6),
            Event::Mined => self.mine(),
            Event::Wanted => self.wanted.push(finish(2)),
            Event::TakenBack => {
                let mut ledger = self.world.ledger();
                ledger.mined.clear();
                ledger.nonces.clear();
            }
        }
    }

    /// Everything that was ever sent, with its nonce and hash.
    fn sent(&self) -> Vec<(u64, B256, Bytes)> {
        let sent = self.world.ledger().sent.clone();
        let read = |raw: String| {
            let raw = Bytes::from(alloy::hex::decode(raw).unwrap());
            (envelope(&raw).unwrap().nonce(), keccak256(&raw), raw)
        };
        sent.into_iter().map(read).collect()
    }

    /// Of each nonce in turn, what the node took last.
    fn mine(&self) {
        let sent = self.sent();
        for nonce in 0.. {
            let waits = |hash: &B256| self.world.ledger().waiting.contains(hash);
            let of_nonce = || sent.iter().filter(move |sent| sent.0 == nonce);
            let Some((_, hash, _)) = of_nonce().rfind(|(_, hash, _)| waits(hash)) else { return };
            self.world.ledger().mine(*hash);
            let beaten: Vec<B256> = of_nonce().map(|(_, hash, _)| *hash).collect();
            self.world.ledger().waiting.retain(|hash| !beaten.contains(hash));
        }
    }

    /// What the chain has carried out; `None` for an empty transfer.
    fn carried_out(&self) -> Vec<(u64, Option<Call>)> {
        let mined = self.world.ledger().mined.clone();
        let entries = self.world.shelf.inside().stored.clone();
        let mut done = BTreeMap::new();
        for (nonce, hash, raw) in self.sent() {
            let Some(height) = mined.get(&hash) else { continue };
            let record = entries.values().find(|entry| entry.record.nonce == nonce);
            let call = record.unwrap().record.call(DIAMOND).unwrap();
            let is_empty = envelope(&raw).unwrap().input().is_empty();
            done.insert((*height, nonce), (!is_empty).then_some(call));
        }
        done.into_iter().map(|((_, nonce), call)| (nonce, call)).collect()
    }

    /// Nothing was sent but what was kept under its nonce, and all of it has ended.
    fn end(&self) -> End {
        let entries = self.world.shelf.inside().stored.clone();
        for (nonce, hash, _) in self.sent() {
            let mut kept = entries.values().filter(|entry| entry.record.nonce == nonce);
            let entry = kept.next().unwrap();
            assert!(entry.attempts().any(|attempt| attempt.hash == hash), "{nonce} twice");
        }
        let records = entries.values().map(|entry| {
            assert!(entry.state.is_end(), "{entry:?}");
            (entry.record.nonce, entry.record.call(DIAMOND).unwrap(), entry.state.name())
        });
        (records.collect(), self.carried_out())
    }
}

/// The whole story with a first leader that dies after so many calls, and whether it did.
async fn lived(calls: usize, is_list_fresh: bool) -> (End, bool) {
    let mut story = Story::new();
    let (mut life, mut has_died) = (Life::of(calls), false);
    let mut leader = story.leader(&life);
    for event in EVENTS {
        story.world.shelf.settle();
        let is_killed = tokio::select! {
            biased;
            () = life.died.notified() => true,
            () = story.turn(&leader) => false,
        };
        if is_killed {
            has_died = true;
            // The same order signed again has other bytes.
            story.world.ledger().base_fee += 1;
            life = Life::of(usize::MAX);
            leader = story.leader(&life);
            if is_list_fresh {
                story.world.shelf.settle();
            }
            story.turn(&leader).await;
        }
        story.happens(event);
    }
    (story.end(), has_died)
}

#[rstest]
#[case::and_the_next_one_reads_all_that_was_written(true)]
#[case::and_the_next_one_has_a_list_that_lags(false)]
#[tokio::test]
async fn a_leader_is_killed_anywhere(#[case] is_list_fresh: bool) {
    let (undisturbed, has_died) = lived(usize::MAX, is_list_fresh).await;
    let records =
        vec![(0, finish(1), "Final"), (1, proofs(5), "Cancelled"), (2, finish(2), "Final")];
    let carried_out = vec![(0, Some(finish(1))), (1, None), (2, Some(finish(2)))];
    assert_eq!((&undisturbed, has_died), (&(records, carried_out), false));
    let mut calls = 0;
    loop {
        let (end, has_died) = lived(calls, is_list_fresh).await;
        assert_eq!(end, undisturbed, "killed after {calls} calls");
        if !has_died {
            break;
        }
        calls += 1;
    }
    assert!(calls > 80, "{calls} calls only");
}

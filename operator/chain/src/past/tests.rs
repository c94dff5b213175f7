use std::sync::{Arc, Mutex};

use alloy::rpc::json_rpc::ErrorPayload;
use alloy::sol_types::SolValue;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::endpoint::{Timeouts, Unobserved};
use crate::fake::{FakeNode, refused};

const DIAMOND: Address = Address::repeat_byte(0xd1);

fn peer(number: u8) -> PeerId {
    PeerId(B256::repeat_byte(number))
}

fn id(number: u8) -> CommitmentId {
    CommitmentId(B256::repeat_byte(0xc0 + number))
}

fn offer() -> OfferId {
    OfferId(B256::repeat_byte(9))
}

fn wanted(number: u8, after: Option<u64>) -> Wanted {
    Wanted { peer: peer(number), offer: offer(), after }
}

fn log(block: u64, topics: [B256; 2], data: Vec<u8>) -> (u64, Value) {
    let log = json!({
        "address": DIAMOND, "topics": topics, "data": alloy::hex::encode_prefixed(data),
        "blockNumber": format!("0x{block:x}"), "blockHash": B256::ZERO, "transactionHash": B256::ZERO,
        "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
    });
    (block, log)
}

fn registered(number: u8, block: u64) -> (u64, Value) {
    let topics = [Diamond::PeerCreated::SIGNATURE_HASH, offer().0];
    log(block, topics, (peer(number).0, Address::ZERO).abi_encode())
}

fn committed(number: u8, commitment: CommitmentId, block: u64) -> (u64, Value) {
    let zero = alloy::primitives::U256::ZERO;
    let topics = [Diamond::CommitmentCreated::SIGNATURE_HASH, peer(number).0];
    log(block, topics, (commitment.0, zero, Address::ZERO, zero, zero).abi_encode())
}

/// Peer 1 was registered in block 100, and had commitments since.
fn history() -> Vec<(u64, Value)> {
    let long_ago = committed(1, id(1), 101);
    vec![registered(1, 100), long_ago, committed(1, id(2), 25_000), committed(2, id(3), 25_000)]
}

/// The ranges of blocks that a node was asked for.
type Ranges = Arc<Mutex<Vec<(u64, u64)>>>;

/// A node that shows these logs, of at most so many blocks at once; with the ranges that it was asked for.
fn node(logs: Vec<(u64, Value)>, most: u64) -> (FakeNode, Ranges) {
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&ranges);
    let node = FakeNode::new(move |method, params| {
        assert_eq!(method, "eth_getLogs");
        let number = |field: &str| {
            let text = params[0][field].as_str().unwrap().trim_start_matches("0x");
            u64::from_str_radix(text, 16).unwrap()
        };
        let (from, to) = (number("fromBlock"), number("toBlock"));
        asked.lock().unwrap().push((from, to));
        if to - from >= most {
            return Err(ErrorPayload { code: -32005, ..refused("query exceeds max block range") });
        }
        let shown = logs.iter().filter(|(block, _)| (from..=to).contains(block));
        Ok(shown.map(|(_, log)| log.clone()).collect())
    });
    (node, ranges)
}

fn searcher(nodes: &[&FakeNode]) -> Searcher {
    let endpoints = nodes.iter().map(|node| node.endpoint("fake")).collect();
    let pool = Pool::new(endpoints, Timeouts::default(), Arc::new(Unobserved)).unwrap();
    Searcher::new(pool, DIAMOND)
}

/// Takes turns until a peer's search is over; some end at a node's refusal.
async fn searched(searcher: &mut Searcher, wanted: &[Wanted], finalized: u64) -> Vec<Past> {
    for _ in 0..1_000 {
        match searcher.turn(wanted, finalized).await {
            Ok(past) if past.is_empty() => {}
            Ok(past) => return past,
            Err(error) => assert!(matches!(error, Error::Refused { .. }), "{error:?}"),
        }
    }
    panic!("the search does not end")
}

#[rstest]
#[case::without_a_limit(u64::MAX)]
#[case::of_many_blocks(10_000)]
#[case::of_few_blocks(500)]
#[tokio::test]
async fn every_block_is_read_in_pieces_that_the_node_takes(#[case] most: u64) {
    let (node, ranges) = node(history(), most);
    let past = searched(&mut searcher(&[&node]), &[wanted(1, None)], 60_000).await;
    let found = Past {
        peer: peer(1),
        after: None,
        read_to: 60_000,
        commitments: Some([id(1), id(2)].into()),
    };
    assert_eq!(past, [found]);
    let ranges = ranges.lock().unwrap();
    let answered = ranges.iter().filter(|(from, to)| to - from < most);
    let mut next = 0;
    for (from, to) in answered {
        assert_eq!(*from, next, "neither twice nor left out");
        next = to + 1;
    }
    assert_eq!(next, 60_001);
}

#[tokio::test]
async fn a_limit_once_found_fails_no_turn() {
    let (node, _) = node(history(), 500);
    let mut searcher = searcher(&[&node]);
    let wanted = [wanted(1, None)];
    let mut failures = 0;
    for _ in 0..40 {
        failures += u32::from(searcher.turn(&wanted, u64::MAX).await.is_err());
    }
    assert_eq!(failures, 5, "10,000 blocks are halved to 312");
}

#[tokio::test]
async fn a_turn_asks_a_bounded_number_of_times() {
    let (node, ranges) = node(history(), u64::MAX);
    let mut searcher = searcher(&[&node]);
    assert_eq!(searcher.turn(&[wanted(1, None)], u64::MAX).await.unwrap(), []);
    assert_eq!(ranges.lock().unwrap().len(), QUESTIONS);
}

#[tokio::test]
async fn what_is_known_is_not_read_again() {
    let (node, ranges) = node(history(), u64::MAX);
    let past = searched(&mut searcher(&[&node]), &[wanted(1, Some(101))], 30_000).await;
    assert_eq!(past[0].commitments, Some([id(2)].into()));
    assert_eq!(ranges.lock().unwrap()[0].0, 102);
    let both = [wanted(1, Some(25_000)), wanted(2, Some(101))];
    let past = searched(&mut searcher(&[&node]), &both, 30_000).await;
    let found: Vec<_> = past.into_iter().map(|past| past.commitments).collect();
    assert_eq!(found, [Some([].into()), Some([id(3)].into())]);
}

#[rstest]
#[case::no_logs(vec![])]
#[case::none_of_long_ago(history().split_off(1))]
#[tokio::test]
async fn logs_without_the_peers_registration_are_no_knowledge(#[case] logs: Vec<(u64, Value)>) {
    let (node, _) = node(logs, u64::MAX);
    let past = searched(&mut searcher(&[&node]), &[wanted(1, None)], 30_000).await;
    assert_eq!(past[0].commitments, None);
}

#[tokio::test]
async fn a_failure_ends_no_search() {
    let (node, _) = node(history(), u64::MAX);
    *node.is_away.lock().unwrap() = true;
    let mut searcher = searcher(&[&node]);
    assert!(searcher.turn(&[wanted(1, None)], 30_000).await.is_err());
    *node.is_away.lock().unwrap() = false;
    let past = searched(&mut searcher, &[wanted(1, None)], 30_000).await;
    assert_eq!(past[0].commitments, Some([id(1), id(2)].into()));
}

#[tokio::test]
async fn what_one_node_leaves_out_another_shows() {
    let (forgetful, whole) =
        (node(history()[..2].to_vec(), u64::MAX).0, node(history(), u64::MAX).0);
    let past = searched(&mut searcher(&[&forgetful, &whole]), &[wanted(1, None)], 30_000).await;
    assert_eq!(past[0].commitments, Some([id(1), id(2)].into()));
    *whole.is_away.lock().unwrap() = true;
    let turn = searcher(&[&forgetful, &whole]).turn(&[wanted(1, None)], 30_000).await;
    assert!(turn.is_err(), "one of two is not more than half");
}

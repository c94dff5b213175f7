use std::sync::{Arc, Mutex};

use alloy::hex;
use alloy::primitives::{Address, Bytes, address};
use alloy::sol_types::{SolCall, SolError};
use coreward_domain::id::{OnchainWorkerId, UnitId};
use serde_json::{Value, json};

use super::*;
use crate::abi::{DealV2, Multicall3, Refusals};
use crate::fake::{FakeNode, block};

const DIAMOND: Address = address!("00000000000000000000000000000000000000d1");
const DEAL: Address = address!("00000000000000000000000000000000000000d2");
const MULTICALL3: Address = address!("00000000000000000000000000000000000000d3");
const OWNER: Address = address!("00000000000000000000000000000000000000d4");

/// What a view gives: bytes, or a refusal's bytes.
type View = Result<Vec<u8>, Vec<u8>>;

/// A market of one peer whose one unit serves in one deal, but for views that a test answers itself.
fn market(
    overridden: impl Fn(&[u8], usize) -> Option<View> + Send + Sync + 'static,
) -> (FakeNode, Arc<Mutex<Vec<usize>>>) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let batches = Arc::clone(&sizes);
    let node = FakeNode::new(move |method, params| match method {
        "eth_getBlockByNumber" => Ok(block(50, 7)),
        "eth_call" => {
            let calls = calls_of(params);
            batches.lock().unwrap().push(calls.len());
            let number = batches.lock().unwrap().len();
            let outcomes = calls.iter().map(|call| {
                let view =
                    overridden(&call.callData, number).unwrap_or_else(|| Ok(view(&call.callData)));
                let (success, data) = view.map_or_else(|data| (false, data), |data| (true, data));
                Multicall3::Outcome { success, returnData: data.into() }
            });
            let outcomes: Vec<Multicall3::Outcome> = outcomes.collect();
            Ok(json!(Bytes::from(Multicall3::aggregate3Call::abi_encode_returns(&outcomes))))
        }
        other => panic!("{other} is not asked"),
    });
    (node, sizes)
}

fn calls_of(params: &Value) -> Vec<Multicall3::Call3> {
    assert_eq!(params[1], json!(crate::fake::block_hash(50)), "all views are at one block");
    let input = hex::decode(params[0]["input"].as_str().unwrap()).unwrap();
    Multicall3::aggregate3Call::abi_decode(&input).unwrap().calls
}

fn is<C: SolCall>(data: &[u8]) -> bool {
    data.starts_with(&C::SELECTOR)
}

fn word(byte: u8) -> alloy::primitives::B256 {
    alloy::primitives::B256::repeat_byte(byte)
}

fn view(data: &[u8]) -> Vec<u8> {
    if is::<Diamond::getPeerV2Call>(data) {
        return Diamond::getPeerV2Call::abi_encode_returns(&Diamond::PeerView {
            offerId: word(9),
            peerId: word(1),
            commitmentId: word(8),
            units: vec![Diamond::UnitView {
                id: word(2),
                deal: DEAL,
                startEpoch: U256::from(3),
                onchainWorkerId: word(7),
            }],
            resources: Vec::new(),
        });
    }
    if is::<Diamond::getComputePeerCall>(data) {
        return Diamond::getComputePeerCall::abi_encode_returns(&Diamond::ComputePeer {
            offerId: word(9),
            commitmentId: word(8),
            unitCount: U256::ONE,
            owner: OWNER,
        });
    }
    if is::<DealV2::getWorkerIdsCall>(data) {
        return DealV2::getWorkerIdsCall::abi_encode_returns(&vec![word(7), word(6)]);
    }
    if is::<DealV2::getWorkerCall>(data) {
        let id = alloy::primitives::B256::from_slice(&data[4..36]);
        let (offchain, peer) = (word(5), word(1));
        return DealV2::getWorkerCall::abi_encode_returns(&DealV2::DealWorker {
            offchainId: offchain,
            onchainId: id,
            peerId: peer,
            provider: OWNER,
            joinedEpoch: U256::ONE,
        });
    }
    if is::<DealV2::getRewardAmountCall>(data) {
        let rewards =
            DealV2::DealRewards { providerReward: U256::from(11), stakerReward: U256::ZERO };
        return DealV2::getRewardAmountCall::abi_encode_returns(&rewards);
    }
    if is::<Diamond::getDatacentersCall>(data)
        || is::<Diamond::getResourcesCall>(data)
        || is::<DealV2::requiredResourcesCall>(data)
    {
        return DealV2::getWorkerIdsCall::abi_encode_returns(&Vec::new());
    }
    if is::<Diamond::getProofCountsCall>(data) || is::<Diamond::getUnitExitStatusesCall>(data) {
        let none = Diamond::getProofCountsReturn { unitIds: Vec::new(), counts: Vec::new() };
        return Diamond::getProofCountsCall::abi_encode_returns(&none);
    }
    // All else is made of single words: ones fit everything.
    let ones = [[0; 31].as_slice(), &[1]].concat();
    ones.repeat(32)
}

fn reader(node: &FakeNode) -> Reader {
    Reader::new(node.pool(), Contracts { diamond: DIAMOND, multicall3: MULTICALL3 }, 2)
}

fn watch() -> Watchlist {
    Watchlist { peers: BTreeSet::from([word(1).into()]), ..Watchlist::default() }
}

#[tokio::test]
async fn a_market_is_read_in_three_batches() {
    let (node, batches) = market(|_, _| None);
    let snapshot = reader(&node).snapshot(&watch()).await.unwrap();
    assert_eq!(batches.lock().unwrap().len(), 3);
    let peer = snapshot.peers[&word(1).into()].clone().unwrap();
    assert_eq!((peer.owner, peer.commitment), (OWNER, Some(word(8).into())));
    let seat = peer.units[&UnitId(word(2))].seat.unwrap();
    assert_eq!((seat.deal, seat.worker), (DEAL, OnchainWorkerId(word(7))));
    let rewards: Vec<U256> =
        snapshot.deals[&DEAL].workers.values().map(|worker| worker.reward).collect();
    assert_eq!(rewards, [U256::ZERO, U256::from(11)], "of our own seat only");
    assert!(snapshot.commitments[&word(8).into()].is_some());
    assert_eq!(snapshot.finalized, 48);
}

/// The market, but that the other worker of its deal is on a stranger's peer, whose vCPU has these details in each batch; `None`
/// where the peer cannot be read.
fn with_a_stranger(
    details: impl Fn(usize) -> Option<&'static str> + Send + Sync + 'static,
) -> (FakeNode, Arc<Mutex<Vec<usize>>>) {
    market(move |data, batch| {
        if is::<DealV2::getWorkerCall>(data) && data[4..36] == word(6).0 {
            let worker = DealV2::DealWorker {
                offchainId: word(4),
                onchainId: word(6),
                peerId: word(3),
                provider: DIAMOND,
                joinedEpoch: U256::ONE,
            };
            return Some(Ok(DealV2::getWorkerCall::abi_encode_returns(&worker)));
        }
        if !is::<Diamond::getPeerV2Call>(data) || data[4..36] != word(3).0 {
            return None;
        }
        let Some(details) = details(batch) else { return Some(Err(Vec::new())) };
        let vcpu = Diamond::PeerResourceView {
            resourceId: word(1),
            ty: 0,
            metadata: String::new(),
            details: details.to_owned(),
            availableSupply: U256::ZERO,
            maxSupply: U256::from(2),
        };
        let peer = Diamond::PeerView {
            offerId: word(9),
            peerId: word(3),
            commitmentId: alloy::primitives::B256::ZERO,
            units: Vec::new(),
            resources: vec![vcpu],
        };
        Some(Ok(Diamond::getPeerV2Call::abi_encode_returns(&peer)))
    })
}

#[tokio::test]
async fn the_gateways_of_a_strangers_peer_are_read_in_a_fourth_batch() {
    let (node, batches) = with_a_stranger(|_| Some(r#"{"gateways":["a","b"]}"#));
    let snapshot = reader(&node).snapshot(&watch()).await.unwrap();
    assert_eq!(batches.lock().unwrap().len(), 4);
    assert_eq!(snapshot.gateways, BTreeMap::from([(word(3).into(), vec!["a".into(), "b".into()])]));
    assert_eq!(snapshot.peers.len(), 1, "the stranger is none of ours");
}

#[tokio::test]
async fn gateways_that_cannot_be_read_are_those_of_before_and_stop_nothing() {
    let (node, batches) = with_a_stranger(|batch| (batch <= 4).then_some(r#"{"gateways":["a"]}"#));
    let reader = reader(&node);
    let first = reader.snapshot(&watch()).await.unwrap();
    let second = reader.snapshot(&watch()).await.unwrap();
    assert_eq!(first.gateways.len(), 1);
    assert_eq!(second.gateways, first.gateways);
    assert_eq!(second.deals, first.deals);
    // Whoever cannot be read is asked for alone from then on: its owner is in another call.
    let before = batches.lock().unwrap().len();
    reader.snapshot(&watch()).await.unwrap();
    assert_eq!(batches.lock().unwrap()[before + 3..], [1, 1, 1]);
}

#[tokio::test]
async fn gateways_that_are_no_longer_published_are_gone() {
    let (node, _) =
        with_a_stranger(|batch| Some(if batch <= 4 { r#"{"gateways":["a"]}"# } else { "{}" }));
    let reader = reader(&node);
    assert_eq!(reader.snapshot(&watch()).await.unwrap().gateways.len(), 1);
    assert!(reader.snapshot(&watch()).await.unwrap().gateways.is_empty());
}

#[tokio::test]
async fn what_the_contract_says_is_not_there_is_none() {
    let (node, _) = market(|data, _| {
        let absent = Refusals::Error { reason: "Peer doesn't exist".to_owned() }.abi_encode();
        (is::<Diamond::getComputePeerCall>(data)).then_some(Err(absent))
    });
    let snapshot = reader(&node).snapshot(&watch()).await.unwrap();
    assert_eq!(snapshot.peers, BTreeMap::from([(word(1).into(), None)]));
}

#[tokio::test]
async fn what_came_back_empty_is_missing_and_was_asked_for_twice() {
    let (node, batches) =
        market(|data, _| is::<Diamond::getPeerV2Call>(data).then_some(Err(Vec::new())));
    let snapshot = reader(&node).snapshot(&watch()).await.unwrap();
    assert!(snapshot.peers.is_empty(), "unknown is not none");
    assert_eq!(batches.lock().unwrap()[1], 1, "the second look is at that view alone");
}

#[tokio::test]
async fn what_came_back_empty_once_is_there_after_the_second_look() {
    let (node, _) = market(|data, batch| {
        (is::<Diamond::getPeerV2Call>(data) && batch == 1).then_some(Err(Vec::new()))
    });
    let snapshot = reader(&node).snapshot(&watch()).await.unwrap();
    assert_eq!(snapshot.peers.len(), 1);
}

#[tokio::test]
async fn a_deal_with_an_unknown_worker_is_unknown() {
    let (node, _) = market(|data, _| {
        let other = is::<DealV2::getWorkerCall>(data) && data[4..36] == word(6).0;
        other.then_some(Err(Vec::new()))
    });
    let snapshot = reader(&node).snapshot(&watch()).await.unwrap();
    assert!(snapshot.deals.is_empty(), "a list with a gap would throw a member out");
    assert_eq!(snapshot.peers.len(), 1);
}

#[tokio::test]
async fn a_market_without_constants_is_no_market() {
    let (node, _) =
        market(|data, _| is::<Diamond::getAllConstantsCall>(data).then_some(Ok(Vec::new())));
    let error = reader(&node).snapshot(&watch()).await.unwrap_err();
    assert_eq!(error.to_string(), "constants of the market at block 50 could not be read");
}

#[tokio::test]
async fn many_peers_are_cut_into_batches_that_a_node_grants() {
    let (node, batches) = market(|_, _| None);
    let peers = (0..200_u64).map(|index| PeerId(alloy::primitives::B256::from(U256::from(index))));
    let peers = peers.chain([word(1).into()]);
    let watch = Watchlist { peers: peers.collect(), ..Watchlist::default() };
    let reader = reader(&node);
    reader.snapshot(&watch).await.unwrap();
    batches.lock().unwrap().clear();
    reader.snapshot(&watch).await.unwrap();
    // 140 k of gas for a peer of one unit: 201 of them are 28 M.
    assert_eq!(batches.lock().unwrap().len(), 4);
}

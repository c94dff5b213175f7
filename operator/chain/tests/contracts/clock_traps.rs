//! Traps of time and of gas: each test shows first that the chain does it, then what we make of it.

use alloy::primitives::{Address, B256, Bytes, U256, bytes, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::{BlockId, TransactionRequest};
use alloy::sol;
use alloy::sol_types::SolCall;
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::{Call, Proof};
use coreward_domain::id::UnitId;

use crate::market::{committed, new_peer, randomXProxyCall, registered};
use crate::world::{DIAMOND, MULTICALL3, World};

sol! {
    struct Ask { address target; bool allowFailure; bytes callData; }
    struct Outcome { bool success; bytes returnData; }
    function aggregate3(Ask[] calls) returns (Outcome[] returnData);
    function getPeerV2(bytes32 peerId);
    function submitProofs(bytes32[] unitIds, bytes32[] localUnitNonces, bytes32[] resultHashes);
}

/// Hashes by keccak where RandomX would: `result[i] = keccak256(ks[i] ‖ hs[i])`.
const KECCAK: Bytes = bytes!(
    "60243560240160043560240160043560040135606052602060405260005b606051811015604e578060051b8201356000528060051b83013560205260406000208160051b60800152600101601d565b60605160051b6040016040f3"
);

async fn set_code(world: &World, address: Address, code: &Bytes) {
    let set: Result<Option<()>, _> =
        world.node.raw_request("anvil_setCode".into(), (address, code.clone())).await;
    set.unwrap();
}

fn hash(global_nonce: B256, unit: UnitId, local: B256) -> B256 {
    let key = keccak256([global_nonce.0, unit.0.0].concat());
    keccak256([key.0, local.0].concat())
}

/// Some proofs that hold under this nonce.
fn proofs(global_nonce: B256, difficulty: B256, unit: UnitId) -> impl Iterator<Item = Proof> {
    (1_u64..).map(|number| B256::from(U256::from(number))).filter_map(move |local_nonce| {
        let result_hash = hash(global_nonce, unit, local_nonce);
        (result_hash <= difficulty).then_some(Proof { unit, local_nonce, result_hash })
    })
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn an_epoch_that_ends_without_a_block_is_seen_by_our_simulation() {
    let world = World::new("boundary").await;
    let peer = new_peer(&world, "boundary", 1);
    registered(&world, vec![peer.clone()]).await;
    committed(&world, peer.peer, 20).await;
    let unit = peer.units[0];
    let request = TransactionRequest::default()
        .to(DIAMOND)
        .input(Bytes::from(randomXProxyCall {}.abi_encode()).into());
    let returned = world.node.call(request).await.unwrap();
    let proxy = randomXProxyCall::abi_decode_returns(&returned).unwrap();
    let mock = world.node.get_code_at(proxy).await.unwrap();
    set_code(&world, proxy, &KECCAK).await;

    let snapshot = world.look().await;
    let mut found = proofs(snapshot.global_nonce, snapshot.difficulty, unit);
    let submit =
        |proof| Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs: vec![proof] };
    // An accepted proof gives the next epoch another nonce.
    world.act(submit(found.next().unwrap())).await;
    let left = snapshot.calendar.remaining(snapshot.head.timestamp) + 60;
    let _: serde_json::Value =
        world.node.raw_request("evm_increaseTime".into(), (left,)).await.unwrap();
    assert_eq!(world.look().await.epoch, snapshot.epoch, "no block, no new epoch");
    let mut refused = None;
    for proof in found.take(20) {
        let call = submitProofsCall {
            unitIds: vec![unit.0],
            localUnitNonces: vec![proof.local_nonce],
            resultHashes: vec![proof.result_hash],
        };
        let latest = world.refusal_of((world.peer_owner, DIAMOND), &call, BlockId::latest()).await;
        assert_eq!(latest, None, "the newest block still takes it");
        if !world.takes(&submit(proof)).await {
            refused = Some(world.refusal(&submit(proof)).await);
            break;
        }
    }
    set_code(&world, proxy, &mock).await;
    assert_eq!(refused, Some(Revert::Known(Refusal::ProofTooBig)), "the next block does not");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn out_of_gas_looks_like_an_answer_and_is_none() {
    let world = World::new("gas").await;
    let peer = new_peer(&world, "gas", 64);
    let id = peer.peer;
    registered(&world, vec![peer]).await;
    let ask = Ask {
        target: DIAMOND,
        allowFailure: true,
        callData: getPeerV2Call { peerId: id.0 }.abi_encode().into(),
    };
    let request = TransactionRequest::default()
        .to(MULTICALL3)
        .gas_limit(300_000)
        .input(Bytes::from(aggregate3Call { calls: vec![ask] }.abi_encode()).into());
    let returned = world.node.call(request).await.unwrap();
    let outcomes = aggregate3Call::abi_decode_returns(&returned).unwrap();
    assert!(!outcomes[0].success && outcomes[0].returnData.is_empty(), "refused, with no word");
    let revert = Revert::decode(&outcomes[0].returnData);
    assert_eq!((revert.is_fact(), revert.is_absence()), (false, false), "{revert:?}");
    let snapshot = world.look().await;
    assert_eq!(snapshot.peers[&id].as_ref().unwrap().units.len(), 64, "our reader gives it enough");
}

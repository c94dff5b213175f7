//! What the contracts take at most, and what they say of a thing that is not there or not in that state.

use alloy::primitives::U256;
use alloy::sol;
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::{Call, NewPeer};
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::commitment::Why;
use coreward_domain::id::{CommitmentId, PeerId, ResourceId, UnitId};
use coreward_domain::offer;

use crate::market::{committed, new_peer, proof, registered, word};
use crate::plans::{commitment_plan, offer_plan, offer_seen, pledged};
use crate::world::{DIAMOND, OWNER, World};

sol! {
    function setCapacityConstant(uint8 constantType, uint256 v);
    function setConstant(uint8 constantType, uint256 v);
}

/// Units of one commitment, and of one provider, as the market has them.
const PER_COMMITMENT: u64 = 9_000;
const PER_PROVIDER: u64 = 60_000;

/// Sets both limits.
async fn limit(world: &World, per_commitment: u64, per_provider: u64) {
    let call = setCapacityConstantCall { constantType: 3, v: U256::from(per_commitment) };
    world.play(OWNER, DIAMOND, &call).await;
    let call = setConstantCall { constantType: 4, v: U256::from(per_provider) };
    world.play(OWNER, DIAMOND, &call).await;
}

fn creation(world: &World, peer: PeerId) -> Call {
    Call::CreateCommitment { peer, duration: 20, delegator: world.provider, delegation_rate: 1 }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn more_units_than_one_commitment_or_provider_may_have_are_refused_and_not_planned() {
    let world = World::new("limits").await;
    let (peer, other) = (new_peer(&world, "limits", 3), new_peer(&world, "one more", 1));
    let offer = registered(&world, vec![peer.clone()]).await;
    let rules = world.look().await.rules;
    let read = (rules.max_units_per_commitment, rules.max_units_per_provider);
    assert_eq!(read, (PER_COMMITMENT, PER_PROVIDER));
    let more = Call::AddPeers { offer, peers: vec![other.clone()] };
    world.watch(|watch| watch.peers.extend([other.peer]));
    let nodes = [(peer.peer, 3), (other.peer, 1)];
    assert!(world.takes(&creation(&world, peer.peer)).await && world.takes(&more).await);
    let planned = offer_plan(&offer_seen(&world, world.look().await, &nodes)).0;
    assert_eq!(planned, std::slice::from_ref(&more));

    limit(&world, 2, 3).await;
    let refusals = [world.refusal(&creation(&world, peer.peer)).await, world.refusal(&more).await];
    let snapshot = world.look().await;
    let pledge = commitment_plan(&world, snapshot.clone(), (peer.peer, 20));
    let (calls, plan) = offer_plan(&offer_seen(&world, snapshot, &nodes));
    limit(&world, 3, 4).await;
    let at_the_limit = (world.takes(&creation(&world, peer.peer)).await, world.takes(&more).await);
    limit(&world, PER_COMMITMENT, PER_PROVIDER).await;
    assert!(refusals.iter().all(|refusal| matches!(refusal, Revert::Text(_))), "{refusals:?}");
    let why = Why::UnitsOutOfRange { minimum: 1, maximum: 2 };
    assert_eq!((pledged(&pledge), pledge.why), (Vec::new(), why));
    assert_eq!(calls, []);
    let is_told = matches!(plan.why, offer::Why::InvalidSpec { field: "spec.capacity", .. });
    assert!(is_told, "{:?}", plan.why);
    assert_eq!(at_the_limit, (true, true));
}

/// What the contract says to each of these.
async fn refusals<const COUNT: usize>(world: &World, calls: [Call; COUNT]) -> Vec<Revert> {
    let mut said = Vec::new();
    for call in &calls {
        said.push(world.refusal(call).await);
    }
    said
}

fn submission(peer: &NewPeer, snapshot: &Snapshot) -> Call {
    let proofs = vec![proof(peer.units[0], 1)];
    Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_thing_that_is_not_there_is_told_from_one_that_refuses() {
    let world = World::new("absent").await;
    let (nobody, none) = (PeerId(word(98)), CommitmentId(word(98)));
    let vcpu = ResourceId(word(1));
    let said = refusals(
        &world,
        [
            creation(&world, nobody),
            Call::RemovePeer { peer: nobody },
            Call::RemoveCommitment { commitment: none },
            Call::FinishCommitment { commitment: none },
            Call::DepositCollateral { commitment: none, value: U256::ZERO },
            Call::RemoveUnit { unit: UnitId(word(98)), vcpu },
        ],
    )
    .await;
    let missing = Revert::Known(Refusal::PeerMissing);
    let mut wanted = vec![missing; 4];
    // A deposit is looked up by its commitment; what ends one, by the peer that it names.
    wanted.push(Revert::Known(Refusal::CommitmentMissing));
    wanted.push(Revert::Text("getComputeUnit: Compute unit doesn't exist".to_owned()));
    assert_eq!(said, wanted);
    let absences: Vec<bool> = said.iter().map(Revert::is_absence).collect();
    assert_eq!(absences, [true, true, true, true, true, false]);
    assert!(said.iter().all(Revert::is_fact));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_commitment_in_another_state_is_told_with_its_state() {
    let world = World::new("states").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "states", 1);
    registered(&world, vec![peer.clone()]).await;
    let commitment = committed(&world, peer.peer, 2).await;
    let calls = [
        Call::FinishCommitment { commitment },
        Call::WithdrawCollateral { commitment },
        Call::RemoveUnitsFromCommitment { commitment, units: peer.units.clone() },
        Call::RemoveCommitment { commitment },
        Call::DepositCollateral { commitment, value: U256::ZERO },
    ];
    let said = refusals(&world, calls).await;
    let too_late = "Capacity commitment is not in WaitDelegation status";
    let mut wanted = vec![Revert::CommitmentStatus(1); 3];
    wanted.extend(vec![Revert::Text(too_late.to_owned()); 2]);
    assert_eq!(said, wanted);
    let status = loop {
        let snapshot = world.look().await;
        let status = snapshot.commitments[&commitment].clone().unwrap().status;
        if status != CommitmentStatus::Active {
            break status;
        }
        world.next_epoch().await;
    };
    let said = world.refusal(&submission(&peer, &world.look().await)).await;
    assert_eq!((status, said), (CommitmentStatus::Inactive, Revert::CommitmentNotActive(0)));
}

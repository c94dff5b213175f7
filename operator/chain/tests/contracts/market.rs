//! What is put on the market, and what comes onto it.

use alloy::primitives::{Address, B256, FixedBytes, U256, keccak256};
use alloy::sol;
use coreward_chain::effect::Effect;
use coreward_domain::call::{Call, NewPeer, NewResource, Proof, ResourcePrice};
use coreward_domain::chain::{CommitmentStatus, ResourceClass};
use coreward_domain::id::{
    CommitmentId, DatacenterId, OfferId, OnchainWorkerId, PeerId, ResourceId, UnitId,
};

use crate::world::{COORDINATOR, DIAMOND, KEEPER, USDC, VODOPAD, World};

sol! {
    struct Cid { bytes4 prefixes; bytes32 hash; }
    struct Requirement { bytes32 resourceId; uint8 ty; uint256 quantity; }
    function poolTopUp(address token, uint256 amount);
    function userTopUp(address token, address user, uint256 amount, string topUpId);
    function deployDealV2(
        Cid appCID, address paymentToken, uint256 depositAmount, uint256 targetWorkers, Requirement[] resources,
        uint256 pricePerEpoch, uint256 maxWorkersPerProvider, uint8 accessType, address[] accessList,
        uint256 protocolVersion, address owner
    ) returns (address);
    function matchDealV2(address deal, bytes32[] peerIds, bytes32[][] computeUnitIds);
    function stop();
    function setFLTPrice(uint256 fltPrice);
    function freezeAccount(address user);
    function unfreezeAccount(address user);
    function randomXProxy() returns (address);
    function setAppCID(Cid appCID);
    function depositCollateral(bytes32[] commitmentIds);
    function finishCommitment(bytes32 commitmentId);
    function multicall(bytes[] data);
    event DealAppCIDChangedV2(address indexed deal, Cid newCID);
    event DealCreatedV2(
        address indexed owner, address deal, uint256 createdAtEpoch, address paymentToken, uint256 targetWorkers,
        Requirement[] resources, uint256 pricePerEpoch, uint256 maxWorkersPerProvider, Cid appCID, uint8 accessType,
        address[] accessList, uint256 protocolVersion
    );
}

pub(crate) fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub(crate) fn resources(units: u64) -> Vec<NewResource> {
    let resource = |id, supply| NewResource {
        resource: ResourceId(word(id)),
        supply,
        details: "{}".to_owned(),
    };
    vec![resource(1, 2 * units), resource(3, 4096 * units)]
}

pub(crate) fn prices() -> Vec<ResourcePrice> {
    let price =
        |class, id| ResourcePrice { class, resource: ResourceId(word(id)), price: U256::from(10) };
    vec![price(ResourceClass::Vcpu, 1), price(ResourceClass::Ram, 3)]
}

pub(crate) fn new_peer(world: &World, name: &str, units: u32) -> NewPeer {
    let peer = PeerId(keccak256(format!("{name} {}", world.provider)));
    let units: Vec<UnitId> = (0..units).map(|index| UnitId::derive(peer, index)).collect();
    NewPeer { peer, owner: world.peer_owner, resources: resources(units.len() as u64), units }
}

pub(crate) fn proof(unit: UnitId, number: u64) -> Proof {
    Proof { unit, local_nonce: word(number), result_hash: word(number) }
}

pub(crate) async fn registered(world: &World, peers: Vec<NewPeer>) -> OfferId {
    world.act(Call::SetProviderInfo { name: "Example".to_owned() }).await;
    let ids: Vec<PeerId> = peers.iter().map(|peer| peer.peer).collect();
    let call = Call::RegisterOffer {
        payment_token: USDC,
        prices: prices(),
        peers,
        datacenter: DatacenterId(word(1)),
    };
    let effects = world.act(call).await;
    let [Effect::OfferRegistered { offer }] = effects[..] else { panic!("{effects:?}") };
    world.watch(|watch| {
        watch.offers.insert(offer);
        watch.peers.extend(ids);
    });
    offer
}

pub(crate) async fn committed(world: &World, peer: PeerId, duration: u64) -> CommitmentId {
    let call =
        Call::CreateCommitment { peer, duration, delegator: world.provider, delegation_rate: 1 };
    let effects = world.act(call).await;
    let [Effect::CommitmentCreated { commitment, .. }] = effects[..] else { panic!("{effects:?}") };
    let snapshot = world.look().await;
    let view = snapshot.commitments[&commitment].clone().unwrap();
    assert_eq!(view.status, CommitmentStatus::WaitDelegation);
    let value = view.collateral_per_unit * U256::from(view.unit_count);
    let effects = world.act(Call::DepositCollateral { commitment, value }).await;
    assert_eq!(effects, [Effect::CollateralDeposited { commitment, amount: value }]);
    world.next_epoch().await;
    commitment
}

/// What a developer asks for.
#[derive(Clone, Debug)]
pub(crate) struct DealOrder {
    pub(crate) workers: u64,
    pub(crate) paid_epochs: u64,
    /// Only this provider, who then needs no commitment.
    pub(crate) only: Option<Address>,
    /// RAM that each worker takes, MiB.
    pub(crate) ram: u64,
    /// Storage that each worker takes, MiB.
    pub(crate) storage: Option<(ResourceId, u64)>,
}

impl Default for DealOrder {
    fn default() -> Self {
        Self { workers: 1, paid_epochs: 10, only: None, ram: 4096, storage: None }
    }
}

/// Tokens per worker and epoch.
const PAY: u64 = 1_000_000;

pub(crate) async fn deal(world: &World, order: &DealOrder) -> Address {
    let amount = U256::from(order.workers * order.paid_epochs * PAY);
    world.play(COORDINATOR, KEEPER, &poolTopUpCall { token: USDC, amount }).await;
    let block = world.look().await.head.number;
    let call = userTopUpCall {
        token: USDC,
        user: COORDINATOR,
        amount,
        topUpId: format!("{} {block}", world.provider),
    };
    world.play(VODOPAD, KEEPER, &call).await;
    let require = |id, ty, quantity: u64| Requirement {
        resourceId: word(id),
        ty,
        quantity: U256::from(quantity),
    };
    let mut resources = vec![require(1, 0, 2), require(3, 1, order.ram)];
    resources.extend(order.storage.map(|(id, quantity)| Requirement {
        resourceId: id.0,
        ty: 2,
        quantity: U256::from(quantity),
    }));
    let call = deployDealV2Call {
        appCID: Cid { prefixes: FixedBytes([1, 0x55, 0x12, 0x20]), hash: word(7) },
        paymentToken: USDC,
        depositAmount: amount,
        targetWorkers: U256::from(order.workers),
        resources,
        pricePerEpoch: U256::from(PAY),
        maxWorkersPerProvider: U256::from(order.workers),
        accessType: u8::from(order.only.is_some()),
        accessList: order.only.into_iter().collect(),
        protocolVersion: U256::from(2),
        owner: COORDINATOR,
    };
    let receipt = world.play(VODOPAD, DIAMOND, &call).await;
    let created = receipt.logs().iter().find_map(|log| log.log_decode::<DealCreatedV2>().ok());
    let deal = created.unwrap().inner.deal;
    world.watch(|watch| watch.deals.extend([deal]));
    deal
}

/// The match of one worker on each of these units.
pub(crate) fn matching(deal: Address, seats: &[(PeerId, UnitId)]) -> matchDealV2Call {
    matchDealV2Call {
        deal,
        peerIds: seats.iter().map(|(peer, _)| peer.0).collect(),
        computeUnitIds: seats.iter().map(|(_, unit)| vec![unit.0]).collect(),
    }
}

/// Matches one worker on each of these units; their seats in this order.
pub(crate) async fn seat(
    world: &World,
    deal: Address,
    seats: &[(PeerId, UnitId)],
) -> Vec<OnchainWorkerId> {
    world.play(VODOPAD, DIAMOND, &matching(deal, seats)).await;
    let snapshot = world.look().await;
    let seat = |(peer, unit): &(PeerId, UnitId)| {
        snapshot.peers[peer].as_ref().unwrap().units[unit].seat.unwrap().worker
    };
    seats.iter().map(seat).collect()
}

/// Proves with the peer's first unit, epoch after epoch, until its commitment is active no more; says what it is then.
pub(crate) async fn proven_to_its_end(
    world: &World,
    peer: &NewPeer,
    commitment: CommitmentId,
) -> CommitmentStatus {
    for seed in 1..50 {
        let snapshot = world.look().await;
        let known = snapshot.commitments[&commitment].clone().unwrap();
        if known.status != CommitmentStatus::Active {
            return known.status;
        }
        let proofs = [2 * seed, 2 * seed + 1].map(|number| proof(peer.units[0], number)).to_vec();
        world.act(Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs }).await;
        world.next_epoch().await;
    }
    panic!("it does not end");
}

//! The whole life of an offer against the real contracts, through this crate alone.
//!
//! Wants a fresh chain of the test bed at 127.0.0.1:18546, a block per transaction:
//! `cargo run -p coreward-e2e --example chain -- up --listen 127.0.0.1:18546 --block-time 0`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "a test from end to end"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use alloy::primitives::{Address, B256, Bytes, FixedBytes, U256, address, keccak256};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use alloy::sol;
use alloy::sol_types::SolCall;
use coreward_chain::Contracts;
use coreward_chain::effect::Effect;
use coreward_chain::endpoint::{Ask, Code, Endpoint, Observer, Pool, Timeouts};
use coreward_chain::outbox::{
    Account, Attempt, Change, Creation, Entry, FeePolicy, Journal, JournalError, Order, Record,
    Sender, State, Submitted, Tick,
};
use coreward_chain::revert::{Refusal, Revert};
use coreward_chain::signer::{Permitted, Secret};
use coreward_chain::snapshot::Reader;
use coreward_domain::call::{Call, KeyRole, NewPeer, NewResource, Proof, ResourcePrice};
use coreward_domain::chain::{
    CommitmentStatus, DealStatus, Head, ResourceClass, Snapshot, Watchlist,
};
use coreward_domain::id::{
    CommitmentId, DatacenterId, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId, ResourceId,
    UnitId,
};

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
    event DealCreatedV2(
        address indexed owner, address deal, uint256 createdAtEpoch, address paymentToken, uint256 targetWorkers,
        Requirement[] resources, uint256 pricePerEpoch, uint256 maxWorkersPerProvider, Cid appCID, uint8 accessType,
        address[] accessList, uint256 protocolVersion
    );
}

const URL: &str = "http://127.0.0.1:18546";
const DIAMOND: Address = address!("09635F643e140090A9A8Dcd712eD6285858ceBef");
const USDC: Address = address!("9A676e781A523b5d0C0e43731313A708CB607508");
const KEEPER: Address = address!("84eA74d481Ee0A5332c457a4d796187F6Ba67fEB");
const MULTICALL3: Address = address!("67d269191c92Caf3cD7723F116c85e6E9bf55933");
const VODOPAD: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
const COORDINATOR: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
const FINALITY: u64 = 2;

/// A journal in memory.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<BTreeMap<String, Entry>>>);

impl Journal for Shelf {
    async fn create(&self, record: &Record) -> Result<Creation, JournalError> {
        let mut stored = self.0.lock().unwrap();
        if stored.contains_key(&record.name()) {
            return Ok(Creation::AlreadyExists);
        }
        let version = "1".to_owned();
        let entry = Entry {
            record: record.clone(),
            further: Vec::new(),
            state: State::Signed,
            version: version.clone(),
        };
        stored.insert(record.name(), entry);
        Ok(Creation::Created(version))
    }

    async fn get(&self, name: &str) -> Result<Option<Entry>, JournalError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    async fn entries(&self, _network: &str, address: Address) -> Result<Vec<Entry>, JournalError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .values()
            .filter(|entry| entry.record.address == address)
            .cloned()
            .collect())
    }

    async fn append(&self, entry: &Entry, attempt: &Attempt) -> Result<String, JournalError> {
        self.0.lock().unwrap().get_mut(&entry.record.name()).unwrap().further.push(attempt.clone());
        Ok("1".to_owned())
    }

    async fn set_state(&self, entry: &Entry, state: &State) -> Result<String, JournalError> {
        self.0.lock().unwrap().get_mut(&entry.record.name()).unwrap().state = state.clone();
        Ok("1".to_owned())
    }
}

#[derive(Debug, Default)]
struct Counter(Mutex<Vec<Ask>>);

impl Observer for Counter {
    fn asked(&self, _endpoint: &str, ask: Ask, _code: Code) {
        self.0.lock().unwrap().push(ask);
    }

    fn head(&self, _endpoint: &str, _head: &Head) {}
}

struct World {
    node: alloy::providers::DynProvider,
    counter: Arc<Counter>,
    reader: Reader,
    shelf: Shelf,
    pool: Pool,
    provider: Address,
    peer_owner: Address,
    keys: BTreeMap<Address, Sender<Shelf>>,
    seen: Mutex<Watchlist>,
}

fn contracts() -> Contracts {
    Contracts { diamond: DIAMOND, multicall3: MULTICALL3 }
}

impl World {
    async fn new(name: &str) -> Self {
        let node = ProviderBuilder::new()
            .disable_recommended_fillers()
            .connect_http(URL.parse().unwrap())
            .erased();
        let counter = Arc::new(Counter::default());
        let pool = Pool::new(
            vec![Endpoint::http("anvil", URL).unwrap()],
            Timeouts::default(),
            counter.clone(),
        )
        .unwrap();
        pool.check_chain(31337).await.unwrap();
        let shelf = Shelf::default();
        let mut keys = BTreeMap::new();
        let mut addresses = Vec::new();
        for role in [KeyRole::Provider, KeyRole::Peer] {
            let stamp = node.get_block_number().await.unwrap();
            let secret = keccak256(format!("{name} {role:?} {stamp}")).to_string();
            let key: alloy::signers::local::PrivateKeySigner = secret.parse().unwrap();
            let address = key.address();
            let million = format!("0x{:x}", 1_000_000_000_000_000_000_000_u128);
            let _: Option<()> =
                node.raw_request("anvil_setBalance".into(), (address, million)).await.unwrap();
            let signer = Permitted::new(
                Box::new(Secret::new(&secret, address).unwrap()),
                vec![role],
                DIAMOND,
            );
            let account = Account {
                network: "local".to_owned(),
                chain_id: 31337,
                contracts: contracts(),
                finality_blocks: FINALITY,
            };
            keys.insert(
                address,
                Sender::new(account, signer, pool.clone(), shelf.clone(), FeePolicy::default()),
            );
            addresses.push(address);
        }
        let (provider, peer_owner) = (addresses[0], addresses[1]);
        let seen = Watchlist {
            providers: BTreeSet::from([provider]),
            wallets: BTreeSet::from([provider, peer_owner]),
            tokens: BTreeSet::from([USDC, DIAMOND]),
            ..Watchlist::default()
        };
        let reader = Reader::new(pool.clone(), contracts(), FINALITY);
        Self {
            node,
            counter,
            reader,
            shelf,
            pool,
            provider,
            peer_owner,
            keys,
            seen: Mutex::new(seen),
        }
    }

    async fn look(&self) -> Snapshot {
        let watch = self.seen.lock().unwrap().clone();
        self.reader.snapshot(&watch).await.unwrap()
    }

    fn watch(&self, change: impl FnOnce(&mut Watchlist)) {
        change(&mut self.seen.lock().unwrap());
    }

    fn sender(&self, call: &Call) -> &Sender<Shelf> {
        let address =
            if call.key_role() == KeyRole::Peer { self.peer_owner } else { self.provider };
        &self.keys[&address]
    }

    /// Carries a call out and follows it to its block.
    async fn act(&self, call: Call) -> Vec<Effect> {
        let head = self.pool.head().await.unwrap();
        let order = Order { call: call.clone(), why: "story".to_owned(), planned_at: head.number };
        let sender = self.sender(&call);
        let submitted = sender.submit(&order, &|_| true).await.unwrap();
        let Submitted::Kept { name, sent, .. } = submitted else { panic!("{submitted:?}") };
        assert!(sent, "{name}");
        let unseen = sender.in_flight(head.number).await.unwrap();
        assert_eq!(unseen.last().unwrap().call, call, "in flight reads back as it was ordered");
        let change = self.tick(sender, &name).await;
        let State::Mined(receipt) = &change.state else { panic!("{:?}", change.state) };
        assert!(receipt.succeeded, "{receipt:?}");
        change.effects
    }

    async fn tick(&self, sender: &Sender<Shelf>, name: &str) -> Change {
        for _ in 0..5_000 {
            let snapshot = self.look().await;
            let tick = Tick { head: snapshot.head, epoch: snapshot.epoch };
            let followed = sender.tick(&tick, &|_| true).await.unwrap();
            assert!(followed.failures.is_empty(), "{:?}", followed.failures);
            if let Some(change) = followed.changes.into_iter().find(|change| change.name == name) {
                return change;
            }
        }
        panic!("{name} does not move")
    }

    async fn play(
        &self,
        from: Address,
        to: Address,
        call: &impl SolCall,
    ) -> alloy::rpc::types::TransactionReceipt {
        let request = TransactionRequest::default()
            .from(from)
            .to(to)
            .input(Bytes::from(call.abi_encode()).into());
        let hash: B256 =
            self.node.raw_request("eth_sendTransaction".into(), (request,)).await.unwrap();
        let receipt = loop {
            if let Some(receipt) = self.node.get_transaction_receipt(hash).await.unwrap() {
                break receipt;
            }
        };
        assert!(receipt.status());
        receipt
    }

    async fn next_epoch(&self) {
        let snapshot = self.look().await;
        let start =
            snapshot.head.timestamp + snapshot.calendar.remaining(snapshot.head.timestamp) + 1;
        let _: serde_json::Value =
            self.node.raw_request("evm_setNextBlockTimestamp".into(), (start,)).await.unwrap();
        let _: serde_json::Value = self.node.raw_request("evm_mine".into(), ()).await.unwrap();
        assert_eq!(self.look().await.epoch.0, snapshot.epoch.0 + 1);
    }

    fn calls(&self) -> Vec<Ask> {
        std::mem::take(&mut *self.counter.0.lock().unwrap())
    }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn resources(units: u64) -> Vec<NewResource> {
    let resource = |id, supply| NewResource {
        resource: ResourceId(word(id)),
        supply,
        details: "{}".to_owned(),
    };
    vec![resource(1, 2 * units), resource(3, 4096 * units)]
}

fn prices() -> Vec<ResourcePrice> {
    let price =
        |class, id| ResourcePrice { class, resource: ResourceId(word(id)), price: U256::from(10) };
    vec![price(ResourceClass::Vcpu, 1), price(ResourceClass::Ram, 3)]
}

fn new_peer(world: &World, name: &str, units: u32) -> NewPeer {
    let peer = PeerId(keccak256(format!("{name} {}", world.provider)));
    let units: Vec<UnitId> = (0..units).map(|index| UnitId::derive(peer, index)).collect();
    NewPeer { peer, owner: world.peer_owner, resources: resources(units.len() as u64), units }
}

fn proof(unit: UnitId, number: u64) -> Proof {
    Proof { unit, local_nonce: word(number), result_hash: word(number) }
}

async fn registered(world: &World, peers: Vec<NewPeer>) -> OfferId {
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

async fn committed(world: &World, peer: PeerId, duration: u64) -> CommitmentId {
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

async fn deal(world: &World) -> Address {
    let amount = U256::from(20_000_000);
    world.play(COORDINATOR, KEEPER, &poolTopUpCall { token: USDC, amount }).await;
    let id = format!("{}", world.provider);
    world
        .play(
            VODOPAD,
            KEEPER,
            &userTopUpCall { token: USDC, user: COORDINATOR, amount, topUpId: id },
        )
        .await;
    let require = |id, ty, quantity: u64| Requirement {
        resourceId: word(id),
        ty,
        quantity: U256::from(quantity),
    };
    let call = deployDealV2Call {
        appCID: Cid { prefixes: FixedBytes([1, 0x55, 0x12, 0x20]), hash: word(7) },
        paymentToken: USDC,
        depositAmount: U256::from(10_000_000),
        targetWorkers: U256::from(1),
        resources: vec![require(1, 0, 2), require(3, 1, 4096)],
        pricePerEpoch: U256::from(1_000_000),
        maxWorkersPerProvider: U256::from(1),
        accessType: 0,
        accessList: Vec::new(),
        protocolVersion: U256::from(2),
        owner: COORDINATOR,
    };
    let receipt = world.play(VODOPAD, DIAMOND, &call).await;
    let created = receipt.logs().iter().find_map(|log| log.log_decode::<DealCreatedV2>().ok());
    created.unwrap().inner.deal
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn an_offer_lives_from_its_name_to_its_last_reward() {
    let world = World::new("life").await;
    let before = world.look().await;
    assert_eq!(before.providers[&world.provider].name, "");
    assert_eq!((before.tokens[&USDC], before.tokens[&DIAMOND]), (true, false));
    assert_eq!(before.wallets[&world.peer_owner], U256::from(1_000_000_000_000_000_000_000_u128));
    assert!(!before.datacenters.is_empty() && before.resources.len() > 3);
    world.next_epoch().await;
    let peer = new_peer(&world, "a", 2);
    let units = peer.units.clone();
    world.watch(|watch| {
        watch.peers.insert(peer.peer);
        watch.offers.insert(OfferId(word(99)));
        watch.commitments.insert(CommitmentId(word(99)));
    });
    let empty = world.look().await;
    assert_eq!(empty.peers[&peer.peer], None, "the contract says that there is none");
    assert_eq!(empty.offers[&OfferId(word(99))], None);
    assert_eq!(empty.commitments[&CommitmentId(word(99))], None);
    let offer = registered(&world, vec![peer.clone()]).await;
    let commitment = committed(&world, peer.peer, 20).await;
    let snapshot = world.look().await;
    let read = snapshot.peers[&peer.peer].clone().unwrap();
    assert_eq!(
        (read.offer, read.owner, read.commitment),
        (offer, world.peer_owner, Some(commitment))
    );
    assert_eq!(read.resources[&ResourceId(word(3))].supply, 8192);
    let shown = snapshot.offers[&offer].clone().unwrap();
    assert_eq!((shown.provider, shown.payment_token, shown.peer_count), (world.provider, USDC, 1));
    assert_eq!(shown.prices[&ResourceId(word(1))], U256::from(10));
    assert_eq!(shown.datacenter, DatacenterId(word(1)));
    assert_eq!(snapshot.commitments[&commitment].clone().unwrap().status, CommitmentStatus::Active);

    let batch = vec![proof(units[0], 1), proof(units[0], 2), proof(units[1], 3)];
    let call = Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs: batch.clone() };
    let effects = world.act(call).await;
    assert!(
        effects.iter().all(|effect| matches!(effect, Effect::Proof { accepted: true, .. })),
        "{effects:?}"
    );
    let again = vec![batch[0], proof(units[1], 4)];
    let effects = world
        .act(Call::SubmitProofs { peer: peer.peer, epoch: snapshot.epoch, proofs: again.clone() })
        .await;
    let wanted = [
        Effect::Proof { proof: again[0], accepted: false },
        Effect::Proof { proof: again[1], accepted: true },
    ];
    assert_eq!(effects, wanted, "a repeated proof is flagged, not reverted");
    let counts = world.look().await.commitments[&commitment].clone().unwrap().proofs;
    assert_eq!(counts, BTreeMap::from([(units[0], 2), (units[1], 2)]));

    let deal = deal(&world).await;
    let seat = vec![vec![units[0].0]];
    world
        .play(
            VODOPAD,
            DIAMOND,
            &matchDealV2Call { deal, peerIds: vec![peer.peer.0], computeUnitIds: seat },
        )
        .await;
    let snapshot = world.look().await;
    let seat = snapshot.peers[&peer.peer].clone().unwrap().units[&units[0]].seat.unwrap();
    assert_eq!(seat.deal, deal);
    let shown = &snapshot.deals[&deal];
    assert_eq!(
        (shown.status, shown.owner, shown.target_workers),
        (DealStatus::Active, COORDINATOR, 1)
    );
    assert_eq!((shown.app_cid[..4].to_vec(), shown.app_cid[35]), (vec![1, 0x55, 0x12, 0x20], 7));
    assert_eq!(shown.required_resources[&ResourceId(word(3))], (ResourceClass::Ram, 4096));
    assert!(!shown.workers[&seat.worker].is_activated());

    let refused = Call::SubmitProofs {
        peer: peer.peer,
        epoch: snapshot.epoch,
        proofs: vec![proof(units[0], 9)],
    };
    let error = world.sender(&refused).simulate(&refused).await.unwrap_err();
    let coreward_chain::outbox::Error::WouldRevert { revert, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(revert, Revert::Known(Refusal::UnitInDeal));

    work_for_a_deal(&world, deal, seat.worker, peer.peer).await;
    leave(&world, commitment, &units).await;
    take_off(&world, (offer, &peer), commitment).await;
}

/// All rewards out, then everything off the chain; and the peer can be registered again.
async fn take_off(world: &World, (offer, peer): (OfferId, &NewPeer), commitment: CommitmentId) {
    for epoch in 0.. {
        let view = world.look().await.commitments[&commitment].clone().unwrap();
        if view.total_rewards.is_zero() {
            break;
        }
        assert!(epoch < 40, "{} wei do not vest", view.total_rewards);
        let unlocked = view.unlocked_rewards;
        if !unlocked.is_zero() {
            world.act(Call::WithdrawCommitmentRewards { commitment, unlocked }).await;
        }
        world.next_epoch().await;
    }
    let (id, vcpu) = (peer.peer, ResourceId(word(1)));
    for unit in &peer.units {
        world.act(Call::RemoveUnit { unit: *unit, vcpu }).await;
    }
    let read = world.look().await.peers[&id].clone().unwrap();
    assert!(read.units.is_empty());
    assert_eq!(read.resources.len(), 2, "they outlive the units");
    for resource in read.resources.keys() {
        world.act(Call::RemovePeerResource { peer: id, resource: *resource }).await;
    }
    assert!(world.look().await.peers[&id].clone().unwrap().resources.is_empty());
    world.act(Call::RemovePeer { peer: id }).await;
    let read = world.look().await;
    assert_eq!(read.peers[&id], None);
    assert_eq!(read.offers[&offer].clone().unwrap().peer_count, 0, "it is found by its id only");
    assert_eq!(read.commitments[&commitment], None, "its views are gone with its peer");
    world.act(Call::RemoveOffer { offer }).await;
    let read = world.look().await;
    assert_eq!((&read.offers[&offer], read.providers[&world.provider].unit_count), (&None, 0));
    registered(world, vec![peer.clone()]).await;
    let read = world.look().await;
    assert_eq!(read.peers[&id].clone().unwrap().units.len(), 2);
    let past = read.commitments[&commitment].clone().unwrap();
    assert_eq!(past.total_rewards, U256::ZERO, "whoever has the id now finds nothing");
}

async fn work_for_a_deal(world: &World, deal: Address, worker: OnchainWorkerId, peer: PeerId) {
    let offchain = OffchainWorkerId(keccak256("key"));
    let effects = world.act(Call::ActivateWorker { deal, worker, offchain }).await;
    assert_eq!(effects, [Effect::WorkerActivated { deal, worker, offchain }]);
    world.next_epoch().await;
    let snapshot = world.look().await;
    let claimable = snapshot.deals[&deal].workers[&worker].reward;
    assert!(claimable > U256::ZERO && snapshot.deals[&deal].max_paid_epoch > snapshot.epoch);
    let effects = world.act(Call::WithdrawDealRewards { deal, worker, claimable }).await;
    assert!(
        matches!(effects[..], [Effect::DealRewardsWithdrawn { provider, .. }] if provider == claimable),
        "{effects:?}"
    );
    world.play(COORDINATOR, deal, &stopCall {}).await;
    world.watch(|watch| {
        watch.deals.insert(deal);
    });
    let ended = world.look().await.deals[&deal].clone();
    assert_eq!(ended.status, DealStatus::Ended);
    if !ended.workers.is_empty() {
        let effects = world.act(Call::RemoveWorker { deal, worker }).await;
        assert!(effects.contains(&Effect::WorkerRemoved { deal, worker }), "{effects:?}");
    }
    let snapshot = world.look().await;
    assert!(snapshot.deals[&deal].workers.is_empty());
    assert!(snapshot.peers[&peer].clone().unwrap().units.values().all(|unit| unit.seat.is_none()));
}

async fn leave(world: &World, commitment: CommitmentId, units: &[UnitId]) {
    loop {
        let view = world.look().await.commitments[&commitment].clone().unwrap();
        match view.status {
            CommitmentStatus::Failed | CommitmentStatus::Inactive => break,
            _ => world.next_epoch().await,
        }
    }
    for _ in 0..4 {
        world.next_epoch().await;
    }
    world.watch(|watch| {
        watch.commitments.insert(commitment);
    });
    let unlocked = world.look().await.commitments[&commitment].clone().unwrap().unlocked_rewards;
    if !unlocked.is_zero() {
        let effects = world.act(Call::WithdrawCommitmentRewards { commitment, unlocked }).await;
        assert!(
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::CommitmentRewardsWithdrawn { .. })),
            "{effects:?}"
        );
    }
    let effects = world.act(Call::WithdrawCollateral { commitment }).await;
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::CollateralWithdrawn { .. })),
        "{effects:?}"
    );
    world.act(Call::RemoveUnitsFromCommitment { commitment, units: units.to_vec() }).await;
    let effects = world.act(Call::FinishCommitment { commitment }).await;
    assert!(effects.contains(&Effect::CommitmentFinished { commitment }), "{effects:?}");
    let view = world.look().await.commitments[&commitment].clone().unwrap();
    assert_eq!(view.status, CommitmentStatus::Removed);
    assert_eq!(view.exited.len(), units.len());
    let sender = &world.keys[&world.peer_owner];
    let snapshot = world.look().await;
    sender.tick(&Tick { head: snapshot.head, epoch: snapshot.epoch }, &|_| true).await.unwrap();
    let ends = world
        .shelf
        .0
        .lock()
        .unwrap()
        .values()
        .filter(|entry| entry.record.address == world.peer_owner)
        .all(|entry| matches!(entry.state, State::Final(_)));
    assert!(ends, "all of the peer key's transactions are final");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_snapshot_costs_the_same_calls_for_one_unit_and_for_many() {
    let world = World::new("many").await;
    let small = new_peer(&world, "small", 1);
    registered(&world, vec![small]).await;
    world.look().await;
    world.calls();
    world.look().await;
    let few = world.calls();
    let large: Vec<NewPeer> =
        (0..4).map(|index| new_peer(&world, &format!("large {index}"), 64)).collect();
    for peer in large {
        let id = peer.peer;
        let offer = *world.seen.lock().unwrap().offers.first().unwrap();
        world.act(Call::AddPeers { offer, peers: vec![peer] }).await;
        world.watch(|watch| {
            watch.peers.insert(id);
        });
    }
    world.look().await;
    world.calls();
    let snapshot = world.look().await;
    assert_eq!(snapshot.peers.values().flatten().map(|peer| peer.units.len()).sum::<usize>(), 257);
    assert_eq!(world.calls(), few);
}

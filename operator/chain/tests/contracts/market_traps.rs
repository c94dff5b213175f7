//! Traps of registration and prices: each test shows first that the contracts do it, then what we make of it.

use alloy::primitives::U256;
use alloy::rpc::types::BlockId;
use coreward_chain::revert::{Refusal, Revert};
use coreward_domain::call::Call;
use coreward_domain::gate::Flight;
use coreward_domain::id::{DatacenterId, ResourceId};
use coreward_domain::offer::{CLOSED_PRICE, Deletion, Step, Why};

use crate::market::{DealOrder, deal, matching, new_peer, prices, registered, word};
use crate::plans::{offer_plan, offer_seen, offer_watch};
use crate::world::{DIAMOND, USDC, VODOPAD, World};

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn leftover_resources_keep_a_peer_from_coming_back_so_they_go_before_it() {
    let world = World::new("leftovers").await;
    let peer = new_peer(&world, "leftovers", 1);
    let offer = registered(&world, vec![peer.clone()]).await;
    let vcpu = ResourceId(word(1));
    world.act(Call::RemoveUnit { unit: peer.units[0], vcpu }).await;
    let mut seen = offer_seen(&world, world.look().await, &[(peer.peer, 1)]);
    seen.wanted.deletion = Some(Deletion::Withdraw);
    let (calls, _) = offer_plan(&seen);
    let is_resource = |call: &Call| matches!(call, Call::RemovePeerResource { .. });
    assert!(calls.len() == 2 && calls.iter().all(is_resource), "{calls:?}");

    // By hand, in the wrong order.
    world.act(Call::RemovePeer { peer: peer.peer }).await;
    let again = Call::AddPeers { offer, peers: vec![peer.clone()] };
    assert_eq!(world.refusal(&again).await, Revert::Known(Refusal::ResourceRegistered));
    let left = Call::RemovePeerResource { peer: peer.peer, resource: ResourceId(word(3)) };
    assert_eq!(world.refusal(&left).await, Revert::Known(Refusal::PeerMissing), "no way back");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_peers_id_can_be_taken_by_anyone_first_and_we_take_another() {
    let (thief, world) = (World::new("thief").await, World::new("robbed").await);
    let mut stolen = new_peer(&world, "stolen", 1);
    stolen.owner = thief.peer_owner;
    registered(&thief, vec![stolen.clone()]).await;
    let own = new_peer(&world, "own", 1);
    let offer = registered(&world, vec![own]).await;
    let call = Call::AddPeers { offer, peers: vec![stolen.clone()] };
    assert_eq!(world.refusal(&call).await, Revert::Known(Refusal::PeerElsewhere));

    let seen = offer_seen(&world, world.look().await, &[(stolen.peer, 1)]);
    let list = offer_watch(&seen);
    world.watch(|watch| watch.peers.extend(list.peers));
    let seen = offer_seen(&world, world.look().await, &[(stolen.peer, 1)]);
    let list = offer_watch(&seen);
    world.watch(|watch| watch.offers.extend(list.offers));
    let (calls, plan) = offer_plan(&offer_seen(&world, world.look().await, &[(stolen.peer, 1)]));
    assert_eq!(calls, []);
    let node = stolen.peer.to_string();
    let wanted =
        [Step::MakeIdentity { node, ordinal: 1 }, Step::RetireIdentity { peer: stolen.peer }];
    assert_eq!(plan.steps, wanted, "{:?}", plan.why);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_second_registration_would_be_taken_and_is_not_planned() {
    let world = World::new("twice").await;
    let peer = new_peer(&world, "twice", 1);
    let register = |peers| Call::RegisterOffer {
        payment_token: USDC,
        prices: prices(),
        peers,
        datacenter: DatacenterId(word(1)),
    };
    let offer = registered(&world, vec![peer.clone()]).await;
    assert!(world.takes(&register(Vec::new())).await, "an empty second offer, with another id");
    let seen = offer_seen(&world, world.look().await, &[(peer.peer, 1)]);
    let (calls, plan) = offer_plan(&seen);
    assert_eq!((calls, plan.offer), (Vec::new(), Some(offer)), "it is found by its peer");

    let other = new_peer(&world, "not yet", 1);
    world.watch(|watch| watch.peers.extend([other.peer]));
    let mut seen = offer_seen(&world, world.look().await, &[(other.peer, 1)]);
    assert_eq!(offer_plan(&seen).0.len(), 1);
    seen.flights = vec![Flight { call: register(vec![other.clone()]), included: None }];
    assert_eq!(offer_plan(&seen).0, [], "the id is not known before the block, and is waited for");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_closing_price_lets_every_match_fail_cleanly_and_a_higher_one_panics() {
    let world = World::new("closed").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "closed", 1);
    let offer = registered(&world, vec![peer.clone()]).await;
    let order = DealOrder { only: Some(world.provider), ..DealOrder::default() };
    let deal = deal(&world, &order).await;
    let call = matching(deal, &[(peer.peer, peer.units[0])]);
    let refusal = async || world.refusal_of((VODOPAD, DIAMOND), &call, BlockId::latest()).await;
    assert_eq!(refusal().await, None, "the price is right");
    let resource = ResourceId(word(1));
    world.act(Call::ChangePrice { offer, resource, price: CLOSED_PRICE }).await;
    assert!(matches!(refusal().await, Some(Revert::Text(_))), "{:?}", refusal().await);
    world.act(Call::ChangePrice { offer, resource, price: U256::MAX }).await;
    assert_eq!(refusal().await, Some(Revert::Panic(0x11)), "an overflow, not a word about prices");

    let mut seen = offer_seen(&world, world.look().await, &[(peer.peer, 1)]);
    seen.wanted.prices.insert(resource, U256::MAX);
    let (calls, plan) = offer_plan(&seen);
    assert!(matches!(plan.why, Why::InvalidSpec { field: "spec.prices", .. }), "{:?}", plan.why);
    assert_eq!(calls, []);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn an_offer_without_a_named_provider_is_refused_and_the_name_comes_first() {
    let world = World::new("nameless").await;
    let peer = new_peer(&world, "nameless", 1);
    world.watch(|watch| watch.peers.extend([peer.peer]));
    let call = Call::RegisterOffer {
        payment_token: USDC,
        prices: prices(),
        peers: vec![peer.clone()],
        datacenter: DatacenterId(word(1)),
    };
    assert_eq!(world.refusal(&call).await, Revert::Known(Refusal::ProviderMissing));
    let (calls, _) = offer_plan(&offer_seen(&world, world.look().await, &[(peer.peer, 1)]));
    assert_eq!(calls, [Call::SetProviderInfo { name: "Example".to_owned() }]);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_price_can_be_neither_zero_nor_taken_back_and_is_refused_before() {
    let world = World::new("free").await;
    let peer = new_peer(&world, "free", 1);
    let offer = registered(&world, vec![peer.clone()]).await;
    let resource = ResourceId(word(3));
    let refusal = world.refusal(&Call::ChangePrice { offer, resource, price: U256::ZERO }).await;
    assert!(refusal.is_fact(), "{refusal:?}");
    let mut seen = offer_seen(&world, world.look().await, &[(peer.peer, 1)]);
    seen.wanted.prices.insert(resource, U256::ZERO);
    let (calls, plan) = offer_plan(&seen);
    assert!(matches!(plan.why, Why::InvalidSpec { field: "spec.prices", .. }), "{:?}", plan.why);
    assert_eq!(calls, []);
    seen.wanted.prices.insert(resource, U256::from(10));
    seen.wanted.prices.insert(ResourceId(word(2)), U256::from(1));
    assert_eq!(offer_plan(&seen).0.len(), 1, "another resource's price is set");
    seen.wanted.prices.remove(&ResourceId(word(2)));
    assert_eq!(offer_plan(&seen).0, [], "one that the spec does not name is left alone");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn more_ram_than_that_of_the_units_sells_the_provers_memory_and_we_declare_exactly_that() {
    let world = World::new("memory").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "memory", 2);
    world.watch(|watch| watch.peers.extend([peer.peer]));
    world.act(Call::SetProviderInfo { name: "Example".to_owned() }).await;
    let plan = async || offer_plan(&offer_seen(&world, world.look().await, &[(peer.peer, 2)])).0;
    let calls = plan().await;
    let [Call::RegisterOffer { peers, .. }] = &calls[..] else { panic!("{calls:?}") };
    let ram = ResourceId(word(3));
    let declared = peers[0].resources.iter().find(|declared| declared.resource == ram);
    assert_eq!(declared.map(|declared| declared.supply), Some(2 * 4096));
    registered(&world, vec![peer.clone()]).await;

    let order = DealOrder { only: Some(world.provider), ram: 8192, ..DealOrder::default() };
    let deal = deal(&world, &order).await;
    let call = matching(deal, &[(peer.peer, peer.units[0])]);
    let refusal = world.refusal_of((VODOPAD, DIAMOND), &call, BlockId::latest()).await;
    assert!(refusal.is_some_and(|refusal| refusal.is_fact()), "the other unit's memory stays");

    // By hand: a surplus.
    world.act(Call::ChangeResourceSupply { peer: peer.peer, resource: ram, supply: 12_288 }).await;
    let refusal = world.refusal_of((VODOPAD, DIAMOND), &call, BlockId::latest()).await;
    assert_eq!(refusal, None, "one unit's worker may take all that is left over");
    let back = Call::ChangeResourceSupply { peer: peer.peer, resource: ram, supply: 8192 };
    assert_eq!(plan().await, std::slice::from_ref(&back));
    world.act(back).await;
    let refusal = world.refusal_of((VODOPAD, DIAMOND), &call, BlockId::latest()).await;
    assert!(refusal.is_some_and(|refusal| refusal.is_fact()), "nothing is left over");
    assert_eq!(plan().await, []);
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_peers_owner_is_for_ever_and_a_strange_one_is_told() {
    let (before, world) = (World::new("owner before").await, World::new("owner").await);
    let mut peer = new_peer(&world, "owner", 1);
    peer.owner = before.peer_owner;
    let offer = registered(&world, vec![peer.clone()]).await;
    peer.owner = world.peer_owner;
    let again = Call::AddPeers { offer, peers: vec![peer.clone()] };
    let refusal = world.refusal(&again).await;
    assert!(refusal.is_fact(), "registering again changes nothing: {refusal:?}");
    let snapshot = world.look().await;
    assert_eq!(snapshot.peers[&peer.peer].as_ref().unwrap().owner, before.peer_owner);
    let (calls, plan) = offer_plan(&offer_seen(&world, snapshot, &[(peer.peer, 1)]));
    let owner = before.peer_owner;
    assert_eq!((calls, plan.why), (Vec::new(), Why::WrongPeerOwner { peer: peer.peer, owner }));
}

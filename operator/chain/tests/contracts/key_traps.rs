//! Traps of who may call what, and when: each test shows first that the contracts do it, then what we make of it.

use alloy::primitives::{B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::{BlockId, BlockOverrides, Filter, TransactionRequest};
use alloy::sol_types::{SolCall, SolEvent};
use coreward_chain::effect::Effect;
use coreward_chain::encode::encode;
use coreward_chain::revert::Revert;
use coreward_chain::signer::{self, Permitted, Secret, Unsigned};
use coreward_domain::call::{Call, KeyRole};
use coreward_domain::epoch::Epoch;
use coreward_domain::id::{CommitmentId, OffchainWorkerId, ResourceId};

use crate::market::{
    Cid, DealAppCIDChangedV2, DealOrder, deal, multicallCall, new_peer, registered, seat,
    setAppCIDCall, word,
};
use crate::plans::deal_plan;
use crate::world::{COORDINATOR, DIAMOND, VODOPAD, World};

fn key() -> OffchainWorkerId {
    OffchainWorkerId(keccak256("key"))
}

fn only(world: &World) -> DealOrder {
    DealOrder { only: Some(world.provider), ..DealOrder::default() }
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_first_epoch_takes_no_activation_and_we_wait_for_the_second() {
    let world = World::new("first epoch").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "first epoch", 1);
    registered(&world, vec![peer.clone()]).await;
    let deal = deal(&world, &only(&world)).await;
    let worker = seat(&world, deal, &[(peer.peer, peer.units[0])]).await[0];
    let activation = Call::ActivateWorker { deal, worker, offchain: key() };
    let mut snapshot = world.look().await;
    let encoded = encode(&activation, DIAMOND);
    let request = TransactionRequest::default()
        .from(world.peer_owner)
        .to(encoded.to)
        .input(encoded.input.into());
    // The same block as it would be in epoch 1.
    let first = BlockOverrides {
        time: Some(snapshot.calendar.init_timestamp + 1),
        ..BlockOverrides::default()
    };
    let error = world.node.call(request).with_block_overrides(first).await.unwrap_err();
    let data = error.as_error_resp().unwrap().as_revert_data().unwrap_or_default();
    let revert = Revert::decode(&data);
    let Revert::Text(text) = &revert else { panic!("{revert:?}") };
    assert!(text.contains("underflow when setting worker snapshot epoch"), "{text}");

    let (calls, _) = deal_plan(snapshot.clone(), deal, (&[peer.peer], key()));
    assert_eq!(calls, std::slice::from_ref(&activation), "any later epoch takes it");
    snapshot.epoch = Epoch(1);
    let (calls, _) = deal_plan(snapshot, deal, (&[peer.peer], key()));
    assert_eq!(calls, []);
    world.act(activation).await;
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_first_word_of_a_deals_app_names_another_deal_and_we_read_the_deal_itself() {
    let world = World::new("app").await;
    let from = world.look().await.head.number;
    let deal = deal(&world, &only(&world)).await;
    let filter = Filter::new()
        .address(DIAMOND)
        .event_signature(DealAppCIDChangedV2::SIGNATURE_HASH)
        .from_block(from + 1);
    let told = async || -> Vec<_> {
        let logs = world.node.get_logs(&filter).await.unwrap();
        let read = |log: &alloy::rpc::types::Log| {
            log.log_decode::<DealAppCIDChangedV2>().unwrap().inner.data.deal
        };
        logs.iter().map(read).collect()
    };
    assert_eq!(told().await, [VODOPAD], "no deal has this address");
    let app = |hash: B256| [&[1, 0x55, 0x12, 0x20], hash.as_slice()].concat();
    let snapshot = world.look().await;
    assert_eq!(snapshot.deals[&deal].app_cid.to_vec(), app(word(7)));
    let cid = Cid { prefixes: [1, 0x55, 0x12, 0x20].into(), hash: word(8) };
    world.play(COORDINATOR, deal, &setAppCIDCall { appCID: cid }).await;
    assert_eq!(told().await, [VODOPAD, deal], "later ones are right");
    assert_eq!(world.look().await.deals[&deal].app_cid.to_vec(), app(word(8)));
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn the_peers_key_alone_serves_a_deal_and_the_provider_is_paid() {
    let world = World::new("peer key").await;
    world.next_epoch().await;
    let peer = new_peer(&world, "peer key", 1);
    registered(&world, vec![peer.clone()]).await;
    let deal = deal(&world, &only(&world)).await;
    let worker = seat(&world, deal, &[(peer.peer, peer.units[0])]).await[0];
    let before = world.look().await.wallets;
    world.act(Call::ActivateWorker { deal, worker, offchain: key() }).await;
    world.next_epoch().await;
    world.next_epoch().await;
    let claimable = world.look().await.deals[&deal].workers[&worker].reward;
    let effects = world.act(Call::WithdrawDealRewards { deal, worker, claimable }).await;
    let paid = |effect: &Effect| matches!(effect, Effect::DealRewardsWithdrawn { provider, .. } if *provider > U256::ZERO);
    assert!(effects.iter().any(paid), "{effects:?}");
    let effects = world.act(Call::RemoveWorker { deal, worker }).await;
    assert!(effects.contains(&Effect::WorkerRemoved { deal, worker }), "{effects:?}");
    let after = world.look().await.wallets;
    assert_eq!(after[&world.provider], before[&world.provider], "its key has paid for nothing");
    assert!(after[&world.peer_owner] < before[&world.peer_owner], "the peer's key pays the gas");
}

#[tokio::test]
#[ignore = "wants the marketplace contracts on 127.0.0.1:18546"]
async fn a_multicall_is_the_callers_own_and_whole_or_nothing_and_no_key_of_ours_signs_one() {
    let world = World::new("many").await;
    let peer = new_peer(&world, "many", 1);
    let offer = registered(&world, vec![peer]).await;
    let resource = ResourceId(word(1));
    let price = Call::ChangePrice { offer, resource, price: U256::from(11) };
    let name = |name: &str| Call::SetProviderInfo { name: name.to_owned() };
    let many = |calls: &[Call]| {
        let data = calls.iter().map(|call| encode(call, DIAMOND).input).collect();
        multicallCall { data }
    };
    let (both, unknown) =
        (many(&[name("Both"), price.clone()]), CommitmentId(keccak256("there is none")));
    let stranger = world.refusal_of((COORDINATOR, DIAMOND), &both, BlockId::latest()).await;
    assert!(stranger.is_some_and(|refusal| refusal.is_fact()), "the price is its provider's");
    world.impersonate(world.provider).await;
    world.play(world.provider, DIAMOND, &both).await;
    let snapshot = world.look().await;
    assert_eq!(snapshot.providers[&world.provider].name, "Both", "whoever sends it has called");
    assert_eq!(snapshot.offers[&offer].clone().unwrap().prices[&resource], U256::from(11));

    let half = many(&[name("Half"), Call::FinishCommitment { commitment: unknown }]);
    let input = Bytes::from(half.abi_encode());
    let request = TransactionRequest::default().from(world.provider).to(DIAMOND);
    let receipt = world.sent(request.input(input.clone().into()).gas_limit(2_000_000)).await;
    assert!(!receipt.status());
    assert_eq!(world.look().await.providers[&world.provider].name, "Both", "not even the first");

    let secret = Secret::new(
        &word(1).to_string(),
        alloy::primitives::address!("7E5F4552091A69125d5DfCb7b8C2659029395Bdf"),
    );
    let roles = vec![KeyRole::Provider, KeyRole::Peer];
    let permitted = Permitted::new(Box::new(secret.unwrap()), roles, DIAMOND);
    let transaction = Unsigned {
        chain_id: 31337,
        nonce: 0,
        to: DIAMOND,
        input,
        value: U256::ZERO,
        gas_limit: 2_000_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
    };
    let signed = permitted.sign(&transaction).await;
    assert!(matches!(signed, Err(signer::Error::NotAllowed { .. })), "{signed:?}");
}

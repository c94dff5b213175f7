//! Offers, peers and deals: what the contracts do and nobody would expect.

use alloy::primitives::U256;
use coreward_e2e::chain::{
    COORDINATOR, CPU, DealOrder, DealStatus, RAM, Result,
    abi::{BalanceKeeper, Deal, Diamond},
    peer_with_units,
};

use crate::market::{APP, Market, id};

#[tokio::test]
async fn a_stopped_deal_keeps_half_of_its_workers_until_someone_removes_them() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, provider, developer, .. } = &market;
    let peers = [(id(0xa1), vec![id(1)]), (id(0xa2), vec![id(2)])];
    market.offer(&peers).await?;
    for (peer, _) in &peers {
        market.commit(*peer).await?;
    }
    let order = DealOrder {
        target_workers: 2,
        max_workers_per_provider: 2,
        ..DealOrder::of_one_worker(developer.address, APP)
    };
    let deal = driver.create_deal(&order).await?;
    driver.match_deal(deal, &peers).await?;
    driver.stop_deal(developer.address, deal).await?;
    let facts = oracle.deal(deal).await?;
    assert_eq!((facts.status, facts.workers.len()), (DealStatus::Ended, 1));
    driver.remove_worker(provider.address, deal, facts.workers[0].onchainId).await?;
    assert!(oracle.deal(deal).await?.workers.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_removed_peer_leaves_resources_behind_that_block_its_return() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, provider, peer_owner, .. } = &market;
    let (peer, unit) = (id(0xa1), id(1));
    let offer = market.offer(&[(peer, vec![unit])]).await?;
    let remove_unit =
        Diamond::removeComputeUnitV2Call { unitId: unit, associatedResourceId: CPU.1 };
    driver.call(provider.address, &remove_unit).await?;
    let remove_peer = Diamond::removeComputePeerV2Call { peerId: peer };
    driver.call(provider.address, &remove_peer).await?;
    let again = Diamond::addComputePeersV2Call {
        offerId: offer,
        peers: vec![peer_with_units(peer, peer_owner.address, &[unit])],
    };
    let refused = driver.call(provider.address, &again).await.unwrap_err();
    assert!(refused.revert_reason().unwrap().contains("already registered"), "{refused}");
    let leftover = Diamond::removePeerResourceCall { peerId: peer, resourceId: RAM.1 };
    let refused = driver.call(provider.address, &leftover).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some("Peer doesn't exist"));
    Ok(())
}

#[tokio::test]
async fn a_commitment_made_while_a_unit_is_in_a_deal_fails_with_all_units_proven() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, provider, developer, .. } = &market;
    let (peer, units) = (id(0xa1), [id(1), id(2)]);
    market.offer(&[(peer, units.to_vec())]).await?;
    let order = DealOrder {
        only_providers: vec![provider.address],
        ..DealOrder::of_one_worker(developer.address, APP)
    };
    let deal = driver.create_deal(&order).await?;
    let workers = driver.match_deal(deal, &[(peer, vec![units[0]])]).await?;
    let commitment = market.commit(peer).await?;
    driver.remove_worker(provider.address, deal, workers[0]).await?;
    driver.next_epoch().await?;
    let mut fails = Vec::new();
    for epoch in 0..3 {
        market.prove(&units, 10 * epoch + 1).await?;
        fails.push(oracle.commitment(commitment).await?.totalFailCount);
        driver.next_epoch().await?;
    }
    assert!(fails.windows(2).all(|pair| pair[0] < pair[1]), "one fail per epoch: {fails:?}");
    Ok(())
}

#[tokio::test]
async fn a_deal_goes_unpaid_and_the_worker_stays() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, provider, peer_owner, developer, .. } = &market;
    let (peer, unit) = market.committed_unit().await?;
    let order = DealOrder {
        paid_epochs: 2,
        left_over: 5_000_000,
        ..DealOrder::of_one_worker(developer.address, APP)
    };
    let deal = driver.create_deal(&order).await?;
    let workers = driver.match_deal(deal, &[(peer, vec![unit])]).await?;
    driver.activate_worker(provider.address, deal, (workers[0], id(0xcc))).await?;
    let paid_through = oracle.deal(deal).await?.max_paid_epoch;
    driver.to_epoch(paid_through + 1).await?;
    let facts = oracle.deal(deal).await?;
    assert_eq!((facts.status, facts.workers.len()), (DealStatus::InsufficientFunds, 1));
    driver.fund_deal(deal, paid_through + 3).await?;
    assert_ne!(oracle.deal(deal).await?.status, DealStatus::InsufficientFunds);
    let activate =
        Deal::activateWorkerCall { onchainWorkerId: workers[0], offchainWorkerId: id(0xdd) };
    driver.node().send(peer_owner.address, deal, &activate, U256::ZERO).await?;
    assert_eq!(oracle.deal(deal).await?.workers[0].offchainId, id(0xdd));
    driver.set_flt_price(U256::from(20_000_000)).await?;
    Ok(())
}

#[tokio::test]
async fn a_frozen_developer_blocks_neither_activation_nor_pay_nor_removal() -> Result<()> {
    let market = Market::open_with_long_epochs().await?;
    let Market { driver, oracle, provider, peer_owner, developer, .. } = &market;
    let (peer, unit) = market.committed_unit().await?;
    let deal = driver.create_deal(&DealOrder::of_one_worker(developer.address, APP)).await?;
    let worker = driver.match_deal(deal, &[(peer, vec![unit])]).await?[0];
    let freeze = BalanceKeeper::freezeAccountCall { user: developer.address };
    let keeper = driver.contracts().balance_keeper;
    driver.node().send(COORDINATOR, keeper, &freeze, U256::ZERO).await?;
    driver.activate_worker(peer_owner.address, deal, (worker, id(0xcc))).await?;
    driver.next_epoch().await?;
    let earned = oracle.deal_reward(deal, worker).await?.providerReward;
    assert!(earned > U256::ZERO, "the deal pays on");
    driver.withdraw_deal_reward(peer_owner.address, deal, worker).await?;
    assert_eq!(oracle.usdc(provider.address).await?, earned);
    driver.remove_worker(provider.address, deal, worker).await?;
    assert!(oracle.deal(deal).await?.workers.is_empty());
    Ok(())
}

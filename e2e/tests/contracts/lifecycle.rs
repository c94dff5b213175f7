//! The whole life of a unit, as the contracts have it.

use alloy::primitives::{B256, U256};
use coreward_e2e::chain::{
    Anvil, AnvilConfig, CommitmentStatus, Contracts, DealOrder, DealStatus, Packages, Parameters,
    Result, abi::Diamond, cache_root, deploy, flt,
};

use crate::market::{APP, Market, id};

#[tokio::test]
async fn the_recipe_gives_the_addresses_that_the_package_names() -> Result<()> {
    let packages = Packages::install(&cache_root()).await?;
    let anvil = Anvil::start(&AnvilConfig::loopback(packages.anvil())).await?;
    let contracts = deploy(anvil.node(), &packages, &Parameters::of_the_package()).await?;
    assert_eq!(contracts, Contracts::LOCAL);
    Ok(())
}

#[tokio::test]
async fn a_unit_goes_from_offer_to_proofs_to_a_deal_and_back() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, provider, peer_owner, developer, .. } = &market;
    let (peer, units) = (id(0xa1), [id(1), id(2)]);

    let offer = market.offer(&[(peer, units.to_vec())]).await?;
    assert_eq!(oracle.provider(provider.address).await?.name, "Example Hosting");
    assert_eq!(oracle.offers_of(provider.address).await?[0].offerId, offer);
    assert_eq!(oracle.peers_of(offer).await?[0].unitIds.len(), 2);
    assert_eq!(oracle.owner_of(peer).await?, peer_owner.address);

    let withdrawn = driver.commit(provider.address, peer, 100).await?;
    let call = Diamond::removeCommitmentCall { commitmentId: withdrawn };
    driver.call(provider.address, &call).await?;
    let commitment = driver.commit(provider.address, peer, 100).await?;
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::WaitDelegation);
    driver.deposit(provider.address, commitment).await?;
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::WaitStart);
    driver.next_epoch().await?;
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::Active);

    let from_block = oracle.block_number().await?;
    assert_eq!(market.prove(&units, 1).await?, [true; 4]);
    assert!(oracle.proof_counts(commitment).await?.values().all(|count| *count == 2));
    assert_eq!(oracle.accepted_proofs(from_block).await?.len(), 4);

    let deal = driver.create_deal(&DealOrder::of_one_worker(developer.address, APP)).await?;
    assert_eq!(oracle.deal(deal).await?.status, DealStatus::Active);
    assert_eq!(oracle.deal(deal).await?.app_cid, APP);
    let workers = driver.match_deal(deal, &[(peer, vec![units[0]])]).await?;
    assert_eq!(oracle.worker(workers[0]).await?.unitIds, [units[0]]);
    driver.activate_worker(peer_owner.address, deal, (workers[0], id(0xcc))).await?;
    assert_eq!(oracle.deal(deal).await?.workers[0].offchainId, id(0xcc));

    driver.next_epoch().await?;
    assert_eq!(market.prove(&units[1..], 3).await?, [true; 2]);
    let earned = oracle.deal_reward(deal, workers[0]).await?.providerReward;
    assert_eq!(earned, U256::from(1_800_000), "two epochs of 1 USDC, a tenth for the staker");
    driver.withdraw_deal_reward(peer_owner.address, deal, workers[0]).await?;
    assert_eq!(oracle.usdc(provider.address).await?, earned);

    driver.remove_worker(provider.address, deal, workers[0]).await?;
    assert!(oracle.worker(workers[0]).await?.unitIds.is_empty());
    driver.stop_deal(developer.address, deal).await?;
    assert_eq!(oracle.deal(deal).await?.status, DealStatus::Ended);

    take_rewards(&market, commitment).await?;
    fail_and_finish(&market, peer, commitment, &units).await
}

/// Steps 12 and 16: an epoch later the rewards are credited, then vest and are withdrawn.
async fn take_rewards(market: &Market, commitment: B256) -> Result<()> {
    let Market { driver, oracle, provider, .. } = market;
    driver.next_epoch().await?;
    market.prove(&[id(1), id(2)], 5).await?;
    for _ in 0..3 {
        driver.next_epoch().await?;
    }
    let unlocked = oracle.rewards(commitment).await?.unlocked;
    assert!(unlocked.ccRewards > U256::ZERO);
    let before = oracle.flt(provider.address).await?;
    let call = Diamond::withdrawRewardCall { commitmentId: commitment };
    driver.call(provider.address, &call).await?;
    let after = oracle.rewards(commitment).await?;
    assert_eq!(after.unlocked.ccRewards, U256::ZERO);
    assert_eq!(after.withdrawn.ccRewards, unlocked.ccRewards);
    let gained = oracle.flt(provider.address).await? - before;
    assert!(gained <= unlocked.ccRewards + unlocked.dealStakerRewards);
    assert!(gained + flt(1) > unlocked.ccRewards + unlocked.dealStakerRewards, "less gas only");
    Ok(())
}

/// Steps 17 to 19: silence fails the commitment; the collateral comes back after the cooldown, and the peer is free.
async fn fail_and_finish(
    market: &Market,
    peer: B256,
    commitment: B256,
    units: &[B256],
) -> Result<()> {
    let Market { driver, oracle, provider, .. } = market;
    let mut epochs = 0;
    while oracle.commitment_status(commitment).await? != CommitmentStatus::Failed {
        driver.next_epoch().await?;
        epochs += 1;
        assert!(epochs < 10, "three silent epochs are too many");
    }
    let failed: u64 = oracle.commitment(commitment).await?.failedEpoch.saturating_to();
    driver.to_epoch(failed + 2).await?;
    let withdraw = Diamond::withdrawCollateralCall { commitmentId: commitment };
    driver.call(provider.address, &withdraw).await?;
    let leave = Diamond::removeCUFromCCCall { commitmentId: commitment, unitIds: units.to_vec() };
    driver.call(provider.address, &leave).await?;
    let finish = Diamond::finishCommitmentCall { commitmentId: commitment };
    driver.call(provider.address, &finish).await?;
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::Removed);
    assert_eq!(oracle.peer(peer).await?.commitmentId, B256::ZERO);
    let sent = oracle.used_nonces(provider.address, 0).await?;
    assert!(sent.iter().all(|it| it.succeeded));
    assert_eq!(sent.last().map(|it| it.function.as_str()), Some("finishCommitment"));
    assert!(oracle.dump_last_blocks(5).await?.contains("finishCommitment: ok"));
    Ok(())
}

#[tokio::test]
async fn a_chain_that_mines_by_the_second_is_driven_without_waiting_for_it() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, provider, .. } = &market;
    market.anvil.mine_by_interval(1).await?;
    let before = oracle.block_number().await?;
    for name in ["first", "second", "third", "fourth", "fifth"] {
        driver.register_provider(provider.address, name).await?;
    }
    assert_eq!(oracle.provider(provider.address).await?.name, "fifth");
    let epoch = oracle.epoch().await?.number;
    assert_eq!(driver.next_epoch().await?, epoch + 1);
    assert_eq!(oracle.epoch().await?.number, epoch + 1);
    let sent = oracle.used_nonces(provider.address, before).await?;
    assert_eq!(sent.len(), 5);
    Ok(())
}

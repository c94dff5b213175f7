//! Commitments and their collateral: ids, logs, rates and access.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use coreward_e2e::chain::{
    CommitmentStatus, DealOrder, OWNER, Parameters, Result, abi::Diamond, event_of, events_of,
};

use crate::market::{APP, Market, id};

/// All of a payment, as rates count.
const WHOLE: u64 = 10_000_000;
/// Base units of USDC that the deal pays for a worker and epoch.
const PRICE: u64 = 10_000_000;
/// The contract's words to a provider that is on no list.
const NOT_LISTED: &str = "Whitelist: provider is not approved";

/// The wei that a commitment asks for.
async fn asked(market: &Market, commitment: B256) -> Result<U256> {
    let view = market.oracle.commitment(commitment).await?;
    Ok(view.collateralPerUnit * view.unitCount)
}

#[tokio::test]
async fn after_a_reorg_a_commitment_has_another_id_and_only_that_one_takes_the_deposit()
-> Result<()> {
    let market = Market::open_with_long_epochs().await?;
    let Market { driver, oracle, provider, .. } = &market;
    let peer = id(0xa1);
    market.offer(&[(peer, vec![id(1)])]).await?;
    let lost = driver.commit(provider.address, peer, 100).await?;
    let collateral = asked(&market, lost).await?;
    let nothing: [(); 0] = [];
    let taken_back = driver.node().request::<_, serde_json::Value>(
        "anvil_reorg",
        (1, nothing),
        "take the newest block back",
    );
    taken_back.await?;
    assert_eq!(oracle.peer(peer).await?.commitmentId, B256::ZERO, "its block is gone");

    let again = driver.commit(provider.address, peer, 100).await?;
    assert_ne!(again, lost, "the same call in another block");
    let deposit = async |commitment: B256| {
        let call = Diamond::depositCollateralCall { commitmentIds: vec![commitment] };
        let diamond = driver.contracts().diamond;
        driver.node().send(provider.address, diamond, &call, collateral).await
    };
    let refused = deposit(lost).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some("Capacity commitment doesn't exist"));
    deposit(again).await?;
    assert_eq!(oracle.commitment_status(again).await?, CommitmentStatus::WaitStart);
    Ok(())
}

#[tokio::test]
async fn what_is_logged_of_a_commitment_comes_before_its_start_and_after_its_failure() -> Result<()>
{
    let market = Market::open_with_long_epochs().await?;
    let Market { driver, oracle, provider, .. } = &market;
    let (peer, unit) = (id(0xa1), id(1));
    let diamond = driver.contracts().diamond;
    market.offer(&[(peer, vec![unit])]).await?;
    let commitment = driver.commit(provider.address, peer, 100).await?;
    let receipt = driver.deposit(provider.address, commitment).await?;
    let activated = event_of::<Diamond::CommitmentActivated>(&receipt, diamond)?;
    let start: u64 = activated.startEpoch.saturating_to();
    assert_eq!(start, oracle.epoch().await?.number + 1);
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::WaitStart);
    let from_block = oracle.block_number().await? + 1;
    driver.to_epoch(start).await?;
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::Active);
    let later = driver.node().events::<Diamond::CommitmentActivated>(diamond, from_block).await?;
    assert!(later.is_empty(), "nothing is logged when it starts");

    while oracle.commitment_status(commitment).await? != CommitmentStatus::Failed {
        driver.next_epoch().await?;
        assert!(oracle.epoch().await?.number < start + 10, "three silent epochs are too many");
    }
    let told = driver.node().events::<Diamond::CommitmentFailed>(diamond, from_block).await?;
    assert!(told.is_empty(), "the view knows of the failure, and no log does");
    let leave = Diamond::removeCUFromCCCall { commitmentId: commitment, unitIds: vec![unit] };
    let receipt = driver.call(provider.address, &leave).await?;
    assert_eq!(events_of::<Diamond::CommitmentFailed>(&receipt, diamond)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_high_rate_of_ones_own_stake_gives_the_deals_coin_away_and_a_low_one_keeps_it()
-> Result<()> {
    const RATES: [u64; 2] = [1_500_000, 1];
    let market = Market::open_with_long_epochs().await?;
    let Market { driver, oracle, provider, peer_owner, developer, .. } = &market;
    let peers = [(id(0xa1), vec![id(1)]), (id(0xa2), vec![id(2)])];
    market.offer(&peers).await?;
    let mut commitments = Vec::new();
    for ((peer, _), rate) in peers.iter().zip(RATES) {
        let call = Diamond::createCommitmentCall {
            peerId: *peer,
            duration: U256::from(100),
            delegator: provider.address,
            rewardDelegationRate: U256::from(rate),
        };
        let receipt = driver.call(provider.address, &call).await?;
        let made = event_of::<Diamond::CommitmentCreated>(&receipt, driver.contracts().diamond)?;
        driver.deposit(provider.address, made.commitmentId).await?;
        commitments.push(made.commitmentId);
    }
    driver.next_epoch().await?;
    let order = DealOrder {
        target_workers: 2,
        max_workers_per_provider: 2,
        price_per_epoch: PRICE,
        ..DealOrder::of_one_worker(developer.address, APP)
    };
    let deal = driver.create_deal(&order).await?;
    let workers = driver.match_deal(deal, &peers).await?;
    for (worker, key) in workers.iter().zip([0xcc, 0xcd]) {
        driver.activate_worker(peer_owner.address, deal, (*worker, id(key))).await?;
    }

    for ((worker, rate), commitment) in workers.iter().zip(RATES).zip(commitments) {
        let share = PRICE * rate / WHOLE;
        let billed = oracle.deal_reward(deal, *worker).await?;
        assert_eq!(billed.providerReward, U256::from(PRICE - share), "of one billed epoch");
        assert_eq!(billed.stakerReward, U256::from(share), "goes to the market's owner");
        driver.withdraw_deal_reward(peer_owner.address, deal, *worker).await?;
        driver.remove_worker(provider.address, deal, *worker).await?;
        let back = oracle.rewards(commitment).await?.total.dealStakerRewards;
        // FLT has the price of a dollar here, and twelve decimals more than USDC.
        let given = U256::from(share) * U256::from(10).pow(U256::from(12));
        assert!(back < given, "{back} wei came back for {given} given");
    }
    Ok(())
}

#[tokio::test]
async fn a_deposit_inside_a_multicall_is_refused() -> Result<()> {
    let market = Market::open_with_long_epochs().await?;
    let Market { driver, oracle, provider, .. } = &market;
    let peer = id(0xa1);
    market.offer(&[(peer, vec![id(1)])]).await?;
    let commitment = driver.commit(provider.address, peer, 100).await?;
    let deposit = Diamond::depositCollateralCall { commitmentIds: vec![commitment] };
    let call = Diamond::multicallCall { data: vec![Bytes::from(deposit.abi_encode())] };
    let value = asked(&market, commitment).await?;
    let send = async |value: U256| {
        let diamond = driver.contracts().diamond;
        driver.node().send(provider.address, diamond, &call, value).await.unwrap_err()
    };
    assert_eq!(send(value).await.revert_reason(), Some("no revert data"), "it is not payable");
    let without = send(U256::ZERO).await;
    assert_eq!(without.revert_reason(), Some("Not enough collateral sent"));
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::WaitDelegation);
    Ok(())
}

#[tokio::test]
async fn access_that_is_revoked_blocks_new_commitments_and_nothing_else() -> Result<()> {
    let parameters = Parameters { whitelist: true, ..Parameters::for_stories() };
    let market = Market::open_with(parameters).await?;
    let Market { driver, oracle, provider, .. } = &market;
    let peers = [(id(0xa1), vec![id(1)]), (id(0xa2), vec![id(2)])];
    market.offer(&peers).await?;
    let (first, second) = (peers[0].0, peers[1].0);
    let refused = driver.commit(provider.address, first, 100).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some(NOT_LISTED));

    let account: Address = provider.address;
    driver.call(OWNER, &Diamond::grantAccessCall { account }).await?;
    let commitment = driver.commit(provider.address, first, 100).await?;
    driver.call(OWNER, &Diamond::revokeAccessCall { account }).await?;
    driver.deposit(provider.address, commitment).await?;
    driver.next_epoch().await?;
    assert_eq!(market.prove(&peers[0].1, 1).await?, [true; 2]);
    assert_eq!(oracle.commitment_status(commitment).await?, CommitmentStatus::Active);
    let refused = driver.commit(provider.address, second, 100).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some(NOT_LISTED));
    Ok(())
}

//! The marketplace's life cycle on the real contracts, with the driver playing the provider too.
//!
//! It needs no cluster, and keeps the fact sheet of the contracts honest: if a package behaves otherwise one day, it is
//! seen here first.

use alloy::primitives::{B256, U256};
use coreward_e2e::chain::{
    Account, Anvil, AnvilConfig, At, CPU, CommitmentStatus, Contracts, DealOrder, DealStatus,
    Driver, Oracle, Packages, Parameters, Proof, RAM, Result,
    abi::{Deal, Diamond},
    cache_root, check_work_by_keccak, deploy, flt, keccak_of_proof, key_of, peer_with_units,
    randomx_hashes, start, submission,
};

const APP: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

/// A chain of its own, and everybody on it.
struct Market {
    anvil: Anvil,
    driver: Driver,
    oracle: Oracle,
    provider: Account,
    peer_owner: Account,
    developer: Account,
}

impl Market {
    async fn open() -> Result<Self> {
        let cache = cache_root();
        let packages = Packages::install(&cache).await?;
        let parameters = Parameters {
            epoch_duration: 15,
            flt_price_update_period: 15,
            vesting_period_duration: 1,
            max_failed_ratio: 3,
            ..Parameters::for_stories()
        };
        let config = AnvilConfig::loopback(packages.anvil());
        let (anvil, contracts) = start(&config, &packages, &parameters, &cache).await?;
        let driver = Driver::new(anvil.node().clone(), contracts);
        let oracle = Oracle::new(anvil.node().clone(), contracts);
        let account = |role| Account::of("lifecycle", role);
        let market = Self {
            anvil,
            driver,
            oracle,
            provider: account("provider")?,
            peer_owner: account("peer")?,
            developer: account("developer")?,
        };
        for person in [&market.provider, &market.peer_owner, &market.developer] {
            market.driver.set_flt(person.address, flt(1_000)).await?;
        }
        // Activation in epoch 1 reverts for a peer without commitment: every story starts later.
        market.driver.to_epoch(2).await?;
        Ok(market)
    }

    /// Registers an offer with one peer per list of units.
    async fn offer(&self, peers: &[(B256, Vec<B256>)]) -> Result<B256> {
        self.driver.register_provider(self.provider.address, "Example Hosting").await?;
        let peers = peers
            .iter()
            .map(|(peer, units)| peer_with_units(*peer, self.peer_owner.address, units))
            .collect();
        self.driver.register_offer(self.provider.address, peers).await
    }

    /// Commits and stakes `peer`, and lets the commitment start.
    async fn commit(&self, peer: B256) -> Result<B256> {
        let commitment = self.driver.commit(self.provider.address, peer, 100).await?;
        self.driver.deposit(self.provider.address, commitment).await?;
        self.driver.next_epoch().await?;
        Ok(commitment)
    }

    async fn prove(&self, units: &[B256], seed: u8) -> Result<Vec<bool>> {
        let proofs: Vec<Proof> = units
            .iter()
            .flat_map(|unit| [seed, seed + 1].map(|it| Proof { unit: *unit, local_nonce: id(it) }))
            .collect();
        self.driver.submit_proofs(self.peer_owner.address, &proofs).await
    }
}

fn id(number: u8) -> B256 {
    B256::repeat_byte(number)
}

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
async fn at_an_epochs_end_without_a_block_only_pending_sees_the_new_nonce() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, peer_owner, .. } = &market;
    let contracts = driver.contracts();
    check_work_by_keccak(driver.node(), &contracts).await?;
    let (peer, unit) = (id(0xa1), id(1));
    market.offer(&[(peer, vec![unit])]).await?;
    market.commit(peer).await?;

    let epoch = oracle.epoch().await?;
    let key = key_of(epoch.global_nonce, unit);
    let first = search(unit, |nonce| keccak_of_proof(key, nonce) <= epoch.difficulty);
    assert_eq!(driver.submit_proofs(peer_owner.address, &[first]).await?, [true]);
    driver.time_passes_without_a_block(15).await?;

    let diamond = contracts.diamond;
    let next_nonce = driver.node().view(diamond, &Diamond::getGlobalNonceCall {}, At::Pending);
    let next_key = key_of(next_nonce.await?, unit);
    assert_eq!(oracle.epoch().await?, epoch, "the newest block is still in the old epoch");
    let stale = search(unit, |nonce| {
        nonce != first.local_nonce
            && keccak_of_proof(key, nonce) <= epoch.difficulty
            && keccak_of_proof(next_key, nonce) > epoch.difficulty
    });
    let call = submission(&[stale]);
    let try_at = |at| driver.node().try_call(peer_owner.address, diamond, &call, at);
    try_at(At::Latest).await?;
    let refused = try_at(At::Pending).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some("Proof is bigger than difficulty"));
    let gas = 1_000_000;
    let receipt = driver.node().send_unchecked(peer_owner.address, diamond, &call, gas).await?;
    assert!(!receipt.status());
    Ok(())
}

/// The first local nonce, counted from zero, that `wanted` takes.
fn search(unit: B256, wanted: impl Fn(B256) -> bool) -> Proof {
    let mut nonces = (0_u64..).map(|number| B256::from(U256::from(number)));
    Proof { unit, local_nonce: nonces.find(|nonce| wanted(*nonce)).expect("numbers do not end") }
}

#[tokio::test]
async fn the_stock_verifier_takes_everything_and_the_oracle_has_the_last_word() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, peer_owner, .. } = &market;
    let (peer, unit) = (id(0xa1), id(1));
    market.offer(&[(peer, vec![unit])]).await?;
    market.commit(peer).await?;
    let epoch = oracle.epoch().await?;
    let nonces: Vec<B256> = (0..16_u8).map(id).collect();
    let hashes = randomx_hashes(key_of(epoch.global_nonce, unit), nonces.clone()).await?;
    let find = |work: bool| {
        let place = hashes.iter().position(|hash| (*hash <= epoch.difficulty) == work);
        let local_nonce = nonces[place.expect("a quarter of all hashes is work")];
        Proof { unit, local_nonce }
    };

    let from_block = oracle.block_number().await?;
    assert_eq!(driver.submit_proofs(peer_owner.address, &[find(true)]).await?, [true]);
    assert_eq!(oracle.all_proofs_are_work(from_block).await?, 1);
    assert_eq!(driver.submit_proofs(peer_owner.address, &[find(false)]).await?, [true]);
    let found = oracle.all_proofs_are_work(from_block).await.unwrap_err().to_string();
    assert!(found.contains("above the difficulty"), "{found}");
    Ok(())
}

#[tokio::test]
async fn the_keccak_stand_in_refuses_what_is_no_work() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, peer_owner, .. } = &market;
    let (peer, unit) = (id(0xa1), id(1));
    market.offer(&[(peer, vec![unit])]).await?;
    market.commit(peer).await?;
    check_work_by_keccak(driver.node(), &driver.contracts()).await?;
    let epoch = oracle.epoch().await?;
    let key = key_of(epoch.global_nonce, unit);
    let bad = search(unit, |nonce| keccak_of_proof(key, nonce) > epoch.difficulty);
    let refused = driver.submit_proofs(peer_owner.address, &[bad]).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some("Proof is bigger than difficulty"));
    Ok(())
}

#[tokio::test]
async fn a_deal_goes_unpaid_and_the_worker_stays() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, provider, peer_owner, developer, .. } = &market;
    let (peer, unit) = (id(0xa1), id(1));
    market.offer(&[(peer, vec![unit])]).await?;
    market.commit(peer).await?;
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

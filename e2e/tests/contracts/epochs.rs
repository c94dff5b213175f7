//! Proofs, their nonces and their epochs.

use alloy::primitives::{B256, U256};
use coreward_e2e::chain::{
    At, Proof, Result, abi::Diamond, check_work_by_keccak, keccak_of_proof, key_of, randomx_hashes,
    submission,
};

use crate::market::{Market, id};

#[tokio::test]
async fn at_an_epochs_end_without_a_block_only_pending_sees_the_new_nonce() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, peer_owner, .. } = &market;
    let contracts = driver.contracts();
    check_work_by_keccak(driver.node(), &contracts).await?;
    let (_, unit) = market.committed_unit().await?;

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
    // Hashing takes longer than a short epoch.
    let market = Market::open_with_long_epochs().await?;
    let Market { driver, oracle, peer_owner, .. } = &market;
    let (_, unit) = market.committed_unit().await?;
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
    // What is no work now must not pass for work of the epoch before that was on its way.
    driver.mine(3).await?;
    assert_eq!(driver.submit_proofs(peer_owner.address, &[find(false)]).await?, [true]);
    let found = oracle.all_proofs_are_work(from_block).await.unwrap_err().to_string();
    assert!(found.contains("above the difficulty"), "{found}");
    Ok(())
}

#[tokio::test]
async fn the_keccak_stand_in_refuses_what_is_no_work() -> Result<()> {
    let market = Market::open().await?;
    let Market { driver, oracle, peer_owner, .. } = &market;
    let (_, unit) = market.committed_unit().await?;
    check_work_by_keccak(driver.node(), &driver.contracts()).await?;
    let epoch = oracle.epoch().await?;
    let key = key_of(epoch.global_nonce, unit);
    let bad = search(unit, |nonce| keccak_of_proof(key, nonce) > epoch.difficulty);
    let refused = driver.submit_proofs(peer_owner.address, &[bad]).await.unwrap_err();
    assert_eq!(refused.revert_reason(), Some("Proof is bigger than difficulty"));
    Ok(())
}

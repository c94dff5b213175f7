//! Money: what a key spent, and what was paid out to it.

use alloy::primitives::{Address, B256, U256};
use serde_json::Value;

use super::{STEP, Teller, deal::Seat, ensure, offer::Offered};
use crate::{
    chain::abi::Diamond,
    world::{Error, Result, World, until},
};

/// The contract's unit of rates.
const WHOLE: u64 = 10_000_000;

/// Waits until all pay of a worker that is no more has reached the provider: `epochs` epochs at `price`, less the
/// staker's share.
///
/// # Errors
/// [`Error::Late`] with the sum that is there.
pub async fn paid(
    world: &World,
    teller: &Teller,
    (offered, seat): (&Offered, &Seat),
    (before, price, epochs): (U256, u64, u64),
) -> Result<()> {
    let peer = offered.peers.iter().find(|peer| peer.peer == seat.peer);
    let peer = peer.ok_or_else(|| Error::Finding("the peer is not the offer's".to_owned()))?;
    let rate = world.oracle().commitment(peer.commitment).await?.rewardDelegatorRate;
    let billed = U256::from(price * epochs);
    let wanted = billed - billed * rate / U256::from(WHOLE);
    // The contract rounds once for each payment.
    let rounding = U256::from(epochs);
    let provider = world.party().provider.address;
    let what = format!("{wanted} base units of USDC have arrived");
    let arrived = until(&what, STEP, async || {
        let sum = world.oracle().usdc(provider).await? - before;
        ensure(sum + rounding >= wanted, || format!("{sum} are there"))?;
        ensure(sum <= billed, || format!("{sum} are there, more than the {billed} billed"))?;
        Ok(Some(sum))
    });
    let words = format!("{epochs} epochs of pay have arrived at the provider");
    let sum = teller.step(&words, arrived).await?;
    teller.aside(&format!("{} USDC", decimal(sum, 6, 3)));
    Ok(())
}

/// Lets epochs pass until proof rewards are vested, and waits until they were withdrawn: the contract's own account, its
/// events and the provider's balance agree to the wei.
///
/// # Errors
/// [`Error::Late`] with what differs.
pub async fn rewarded(
    world: &World,
    teller: &Teller,
    offered: &Offered,
    (start, from_block): (U256, u64),
) -> Result<()> {
    let withdrawn =
        until("proof rewards are withdrawn, and all accounts agree", STEP, async || {
            let mut total = U256::ZERO;
            for peer in &offered.peers {
                let rewards = world.oracle().rewards(peer.commitment).await?;
                let withdrawn = rewards.withdrawn.ccRewards + rewards.withdrawn.dealStakerRewards;
                let left = rewards.unlocked.ccRewards + rewards.unlocked.dealStakerRewards;
                ensure(!withdrawn.is_zero() && left.is_zero(), || {
                    format!("{withdrawn} wei are withdrawn, {left} are left")
                })?;
                total += withdrawn;
            }
            let paid = payouts(world, offered, from_block).await?;
            ensure(paid == total, || format!("events say {paid}, the contract says {total}"))?;
            let account = world.party().provider.address;
            let spent = spent(world, account, from_block).await?;
            let now = world.oracle().flt(account).await?;
            ensure(now + spent == start + total, || {
                format!("{start} + {total} rewards - {spent} spent is not {now}")
            })?;
            Ok(Some(total))
        });
    let words = "vested proof rewards are withdrawn; contract, events and wallet agree";
    let total = teller.step(words, withdrawn).await?;
    teller.aside(&format!("{} FLT", decimal(total, 18, 3)));
    Ok(())
}

/// Checks that everything staked and earned is with the provider again: events and wallet agree to the wei. Gives the
/// rewards. The contract's own account of them is not to be had while their peers are off the chain.
///
/// # Errors
/// [`Error::Finding`] with what differs.
pub async fn all_is_back(
    world: &World,
    teller: &Teller,
    offered: &Offered,
    start: U256,
) -> Result<U256> {
    let from_block = world.from_block();
    let provider = world.party().provider.address;
    let rewards = payouts(world, offered, from_block).await?;
    ensure(!rewards.is_zero(), || "no rewards were withdrawn".to_owned())?;
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let mut collateral = U256::ZERO;
    for (event, _) in node.events::<Diamond::CollateralWithdrawn>(diamond, from_block).await? {
        if offered.peers.iter().any(|peer| peer.commitment == event.commitmentId) {
            let slashed = event.amountSlashed;
            ensure(slashed.is_zero(), || format!("{slashed} wei were slashed"))?;
            collateral += event.amountWithdrawn;
        }
    }
    ensure(!collateral.is_zero(), || "no collateral came back".to_owned())?;
    let spent = spent(world, provider, from_block).await?;
    let now = world.oracle().flt(provider).await?;
    ensure(now + spent == start + rewards + collateral, || {
        format!(
            "{start} + {rewards} rewards + {collateral} collateral - {spent} spent is not {now}"
        )
    })?;
    teller.aside(&format!(
        "{} FLT of rewards and {} of collateral are back; events and wallet agree",
        decimal(rewards, 18, 3),
        decimal(collateral, 18, 3)
    ));
    Ok(rewards)
}

/// What withdrawals of proof rewards paid since `from_block`, wei.
async fn payouts(world: &World, offered: &Offered, from_block: u64) -> Result<U256> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let events = node.events::<Diamond::RewardWithdrawn>(diamond, from_block).await?;
    let ours = events
        .into_iter()
        .map(|(event, _)| event)
        .filter(|event| offered.peers.iter().any(|peer| peer.commitment == event.commitmentId));
    Ok(ours.map(|event| event.providerReward + event.dealStakerRewardsAmount).sum())
}

/// Gas and value of every transaction of `account` since `from_block`, wei.
pub(super) async fn spent(world: &World, account: Address, from_block: u64) -> Result<U256> {
    let node = world.driver().node();
    let mut sum = U256::ZERO;
    for sent in world.oracle().used_nonces(account, from_block).await? {
        sum += gas(world, sent.hash).await?;
        if sent.succeeded {
            let transaction: Value = node
                .request("eth_getTransactionByHash", (sent.hash,), "read a transaction")
                .await?;
            sum += quantity(&transaction["value"])?;
        }
    }
    Ok(sum)
}

/// What a transaction has cost by the chain's own receipt, wei.
pub(super) async fn gas(world: &World, hash: B256) -> Result<U256> {
    let node = world.driver().node();
    let receipt: Value =
        node.request("eth_getTransactionReceipt", (hash,), "read a receipt").await?;
    Ok(quantity(&receipt["gasUsed"])? * quantity(&receipt["effectiveGasPrice"])?)
}

fn quantity(value: &Value) -> Result<U256> {
    let text = super::text(value);
    text.parse().map_err(|_| Error::Finding(format!("{value} is no quantity")))
}

/// An amount in whole tokens, with the first `shown` of its `places`.
#[must_use]
pub fn decimal(amount: U256, places: usize, shown: usize) -> String {
    let digits = format!("{amount:0>width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    format!("{whole}.{}", part.chars().take(shown).collect::<String>())
}

/// Checks that a key's transactions have one nonce each and no gap.
///
/// # Errors
/// [`Error::Chain`] naming the two.
pub async fn nonces_are_whole(world: &World, teller: &Teller) -> Result<()> {
    for (role, account) in
        [("provider", &world.party().provider), ("peer owner", &world.party().peer_owner)]
    {
        let sent = world.oracle().used_nonces(account.address, world.from_block()).await?;
        teller.aside(&format!("{} transactions of the {role}: no nonce twice, no gap", sent.len()));
        if let Some(failed) = sent.iter().find(|sent| !sent.succeeded) {
            teller.aside(&format!("one of them reverted: {} in {}", failed.function, failed.block));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_whole_tokens() {
        assert_eq!(decimal(U256::from(1_999_999), 6, 3), "1.999");
        assert_eq!(decimal(U256::from(5), 6, 3), "0.000");
    }
}

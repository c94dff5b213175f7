//! Proofs, epoch by epoch.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256};
use serde_json::json;

use super::{STEP, Teller, agrees, ensure, offer::Offered, pods};
use crate::{
    chain::abi::Diamond,
    world::{Result, World, until},
};

/// Waits until each of `units` has a prover of its own that hashes, with exactly one core; gives the pods' UIDs.
///
/// # Errors
/// [`crate::world::Error::Late`], [`crate::world::Error::Finding`] where a core is shared.
pub async fn hashing(
    world: &World,
    teller: &Teller,
    units: &[B256],
) -> Result<BTreeMap<B256, String>> {
    let all = async {
        let mut found = BTreeMap::new();
        for unit in units {
            found.insert(*unit, pods::ready(world, "prover", *unit).await?);
        }
        Ok(found)
    };
    let words = format!("{} prover pod(s) hash", units.len());
    let found = teller.step(&words, all).await?;
    for (unit, pod) in &found {
        let cpus = pods::one_exclusive_core(world, pod).await?;
        let node = pods::node(pod);
        teller.aside(&format!("unit {} has CPU {cpus} of {node} to itself", short(*unit)));
    }
    Ok(found.iter().map(|(unit, pod)| (*unit, pods::uid(pod))).collect())
}

/// The first ten hex digits of a unit, as the names of our objects have them.
#[must_use]
pub fn short(unit: B256) -> String {
    format!("{unit:x}").chars().take(10).collect()
}

/// Waits until `units` have the minimum of the present epoch on chain, and two blocks longer, as an epoch that ends in the
/// block of its last proof would be a rare one.
///
/// # Errors
/// [`crate::world::Error::Late`], [`crate::world::Error::Finding`] where the epoch ended meanwhile.
pub async fn minimum(world: &World, offered: &Offered, units: &[B256]) -> Result<u64> {
    let epoch = world.oracle().epoch().await?;
    let what = format!("{} unit(s) have their minimum of epoch {}", units.len(), epoch.number);
    until(&what, STEP, async || {
        let mut counts = BTreeMap::new();
        for peer in &offered.peers {
            counts.extend(world.oracle().proof_counts(peer.commitment).await?);
        }
        for unit in units {
            let count = counts.get(unit).copied().unwrap_or_default();
            ensure(count >= epoch.min_proofs, || format!("unit {} has {count}", short(*unit)))?;
        }
        Ok(Some(()))
    })
    .await?;
    let reached = world.oracle().block_number().await?;
    until("two more blocks are mined", STEP, async || {
        Ok((world.oracle().block_number().await? >= reached + 2).then_some(()))
    })
    .await?;
    let after = world.oracle().epoch().await?.number;
    ensure(after == epoch.number, || format!("epoch {} ended meanwhile", epoch.number))?;
    Ok(epoch.number)
}

/// Ends the epoch, and waits until `units` have the minimum of the new one, the last proof of it before the epoch's middle.
///
/// # Errors
/// As [`minimum`]; [`crate::world::Error::Finding`] where a proof that was needed came later.
pub async fn next(
    world: &World,
    teller: &Teller,
    offered: &Offered,
    units: &[B256],
) -> Result<u64> {
    let from_block = world.oracle().block_number().await? + 1;
    let number = world.driver().next_epoch().await?;
    let words = format!("epoch {number}: {} unit(s) have their minimum on chain", units.len());
    let reached = teller.step(&words, minimum(world, offered, units)).await?;
    in_its_first_half(world, (reached, from_block), units).await?;
    Ok(reached)
}

/// Checks by the blocks' times that the proofs which `units` owed in an epoch were mined before its middle.
async fn in_its_first_half(
    world: &World,
    (epoch, from_block): (u64, u64),
    units: &[B256],
) -> Result<()> {
    let owed = usize::try_from(world.oracle().epoch().await?.min_proofs).unwrap_or(usize::MAX);
    let accepted = world.oracle().accepted_proofs(from_block).await?;
    let start =
        world.oracle().view(&Diamond::epochTimestampCall { epoch: U256::from(epoch) }).await?;
    let middle = start + world.oracle().view(&Diamond::epochDurationCall {}).await? / U256::from(2);
    for unit in units {
        let own = accepted.iter().filter(|proof| (proof.epoch, proof.unit) == (epoch, *unit));
        let Some(last) = own.take(owed).last() else { continue };
        let block = json!(format!("{:#x}", last.block));
        let mined = world.driver().node().block(block, false).await?.header.timestamp;
        ensure(U256::from(mined) < middle, || {
            format!(
                "unit {} had its minimum of epoch {epoch} at {mined} only, its middle was at {middle}",
                short(*unit)
            )
        })?;
    }
    Ok(())
}

/// Three epochs one after the other, of which the present is the first.
///
/// # Errors
/// As [`minimum`].
pub async fn three_epochs(world: &World, teller: &Teller, offered: &Offered) -> Result<()> {
    let units = offered.units();
    let words = format!("the first epoch: {} unit(s) have their minimum on chain", units.len());
    let first = teller.step(&words, minimum(world, offered, &units)).await?;
    let second = next(world, teller, offered, &units).await?;
    let third = next(world, teller, offered, &units).await?;
    ensure([second, third] == [first + 1, first + 2], || {
        format!("{first}, {second}, {third} are not one after the other")
    })?;
    for unit in &units {
        let name = format!("{}-{}", offered.name, short(*unit));
        agrees(world, ("CapacityUnit", &name), "it proved the epoch before", |object| {
            let status = &object.data["status"];
            let epoch = &status["epoch"];
            status["role"] == "Prover"
                && epoch["number"] == second
                && epoch["proofs"].as_u64() >= epoch["required"].as_u64()
        })
        .await?;
    }
    Ok(())
}

/// Computes every accepted proof of the story again.
///
/// # Errors
/// [`crate::world::Error::Chain`] naming the first that is no work.
pub async fn check_all(world: &World, teller: &Teller) -> Result<()> {
    let checked = async { Ok(world.oracle().all_proofs_are_work(world.from_block()).await?) };
    let count = teller.step("every accepted proof is computed again", checked).await?;
    ensure(count > 0, || "no proof was accepted".to_owned())?;
    teller.aside(&format!("{count} proofs, each of them work"));
    Ok(())
}

/// Waits until each of `units` has `most` proofs on chain, all that the contract takes in the epoch.
///
/// # Errors
/// [`crate::world::Error::Late`] with what is missing.
pub async fn all(world: &World, offered: &Offered, (units, most): (&[B256], u64)) -> Result<()> {
    until("every unit has all proofs of the epoch on chain", STEP, async || {
        let mut counts = BTreeMap::new();
        for peer in &offered.peers {
            counts.extend(world.oracle().proof_counts(peer.commitment).await?);
        }
        for unit in units {
            let count = counts.get(unit).copied().unwrap_or_default();
            ensure(count == most, || format!("unit {} has {count}", short(*unit)))?;
        }
        Ok(Some(()))
    })
    .await
}

use std::collections::BTreeSet;

use alloy::primitives::{B256, U256};
use coreward_e2e::{
    chain::{CPU, CommitmentStatus},
    story::{
        STEP, Teller, account, agrees, deal, ensure, offer, offer::Offered, pods, proving, the_loop,
    },
    world::{Error, Result, World, condition, until},
};
use serde_json::{Value, json};

use super::{Needs, Told, on_stage, people};

/// Working epochs of the commitments: enough to be matched and left within them, and to prove on.
const DURATION: u64 = 4;
/// Base units of USDC that the deal pays per epoch.
const PRICE: u64 = 1_000_000;
/// Epochs in which everything that was earned must have vested.
const VESTING: u64 = 6;
/// The contract's words for a peer that is not registered.
const NO_PEER: &str = "Peer doesn't exist";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawn() -> Told {
    on_stage("withdrawn", (people::WITHDRAWN, Needs::Cores), async |world, teller, stage| {
        tell(world, teller, &stage.apps.hello).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let provider = world.party().provider.address;
    let start = world.oracle().flt(provider).await?;
    let paid_before = world.oracle().usdc(provider).await?;
    let offered = the_loop::proving_offer(world, teller, &spec(world), 2).await?;
    let units = offered.units();
    proving::minimum(world, &offered, &units).await?;
    let seat = deal::matched(world, app, &[&offered.peers[0]]).await?.remove(0);
    deal::serving(world, teller, &seat).await?;

    world.delete("ProviderOffer", &offered.name).await?;
    teller.aside("the offer is deleted with Withdraw, staked and in a deal");
    deal::returned(world, teller, &seat).await?;
    account::paid(world, teller, (&offered, &seat), (paid_before, PRICE, 1)).await?;
    no_deal_is_taken(world, teller, &offered).await?;
    let end = prove_to_the_end(world, teller, &offered).await?;
    teller.step("the commitments are wound up", wound_up(world, &offered)).await?;
    collect(world, teller, &offered).await?;
    teller.step("units, peers and offer are off the chain", off(world, &offered)).await?;
    let gone = until("the object is gone", STEP, async || {
        Ok(world.get("ProviderOffer", &offered.name).await?.is_none().then_some(()))
    });
    teller.step("the object is gone", gone).await?;
    for unit in &units {
        pods::gone(world, "prover", *unit).await?;
    }
    let rewards = account::all_is_back(world, teller, &offered, start).await?;
    proving::check_all(world, teller).await?;
    teller.aside(&format!(
        "staked until epoch {end}, gone in {}",
        world.oracle().epoch().await?.number
    ));
    come_back(world, teller, &offered, rewards).await?;
    account::nonces_are_whole(world, teller).await
}

fn spec(world: &World) -> Value {
    let mut offer = the_loop::both_nodes(world);
    offer["spec"]["deletionPolicy"] = json!("Withdraw");
    offer["spec"]["commitment"] = json!({ "durationEpochs": DURATION, "expiryNoticeEpochs": 1 });
    offer
}

/// The price on chain is one that no match pays.
async fn no_deal_is_taken(world: &World, teller: &Teller, offered: &Offered) -> Result<()> {
    let unpayable = U256::from(10).pow(U256::from(18));
    let seen = until("the vCPU price is out of reach", STEP, async || {
        let offers = world.oracle().offers_of(world.party().provider.address).await?;
        let offer = offers.iter().find(|offer| offer.offerId == offered.id);
        let offer = offer.ok_or_else(|| Error::Finding("the offer is gone already".to_owned()))?;
        let price = offer.prices.iter().find(|price| price.resourceId == CPU.1);
        Ok(price.is_some_and(|price| price.price == unpayable).then_some(()))
    });
    teller.step("the offer takes no new deals", seen).await
}

/// Moves the epochs to the end of the commitments; all units prove in each of them, as the offer waits for that end.
async fn prove_to_the_end(world: &World, teller: &Teller, offered: &Offered) -> Result<u64> {
    let mut end = 0;
    for peer in &offered.peers {
        let commitment = world.oracle().commitment(peer.commitment).await?;
        end = end.max(commitment.endEpoch.saturating_to::<u64>());
    }
    let words = format!("epoch {end}");
    agrees(world, ("ProviderOffer", &offered.name), "it waits for the end", |object| {
        let (_, ready, _) = condition(object, "Ready").unwrap_or_default();
        let (_, reason, message) = condition(object, "Reconciling").unwrap_or_default();
        ready == "Deleting" && reason == "WaitingForEpoch" && message.contains(&words)
    })
    .await?;
    teller.aside(&format!("its conditions say Deleting, and WaitingForEpoch {end}"));
    while world.oracle().epoch().await?.number + 1 < end {
        proving::next(world, teller, offered, &offered.units()).await?;
    }
    for peer in &offered.peers {
        let status = world.oracle().commitment_status(peer.commitment).await?;
        ensure(status == CommitmentStatus::Active, || format!("{status:?} before its end"))?;
    }
    world.driver().next_epoch().await?;
    teller.aside("the driver ends their last epoch");
    Ok(end)
}

async fn wound_up(world: &World, offered: &Offered) -> Result<()> {
    until("all commitments are Removed", STEP, async || {
        for peer in &offered.peers {
            let status = world.oracle().commitment_status(peer.commitment).await?;
            ensure(status == CommitmentStatus::Removed, || format!("{status:?}"))?;
        }
        Ok(Some(()))
    })
    .await
}

/// Lets what was earned vest; as long as something is left, the peers stay on chain.
async fn collect(world: &World, teller: &Teller, offered: &Offered) -> Result<()> {
    ensure(!owed(world, offered).await?.1.is_zero(), || "nothing was earned".to_owned())?;
    for _ in 0..VESTING {
        let epoch = world.oracle().epoch().await?.number;
        let fetched = until("what has vested is withdrawn", STEP, async || {
            let (unlocked, total) = owed(world, offered).await?;
            ensure(unlocked.is_zero(), || format!("{unlocked} wei are unlocked"))?;
            Ok(Some(total))
        });
        let words = format!("epoch {epoch}: what has vested is withdrawn");
        let left = teller.step(&words, fetched).await?;
        if left.is_zero() {
            return Ok(());
        }
        for peer in &offered.peers {
            let present = world.oracle().peer(peer.peer).await?;
            ensure(present.unitIds.len() == peer.units.len(), || {
                format!("peer {} loses units while {left} wei are owed", peer.peer)
            })?;
        }
        world.driver().next_epoch().await?;
    }
    Err(Error::Finding(format!("{} wei do not vest", owed(world, offered).await?.1)))
}

/// What the contract owes for the offer's commitments now, and in all, wei; a peer that is off the chain has no say.
async fn owed(world: &World, offered: &Offered) -> Result<(U256, U256)> {
    let (mut unlocked, mut total) = (U256::ZERO, U256::ZERO);
    for peer in &offered.peers {
        match world.oracle().rewards(peer.commitment).await {
            Ok(rewards) => {
                unlocked += rewards.unlocked.ccRewards + rewards.unlocked.dealStakerRewards;
                total += rewards.total.ccRewards + rewards.total.dealStakerRewards;
            }
            Err(error) if error.revert_reason() == Some(NO_PEER) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((unlocked, total))
}

async fn off(world: &World, offered: &Offered) -> Result<()> {
    let provider = world.party().provider.address;
    until("the contract knows nothing of the offer", STEP, async || {
        let offers = world.oracle().offers_of(provider).await?;
        ensure(offers.is_empty(), || format!("{} offers are there", offers.len()))?;
        let units = world.oracle().provider(provider).await?.unitCount;
        ensure(units.is_zero(), || format!("{units} units are there"))?;
        for peer in &offered.peers {
            let answer = world.oracle().owner_of(peer.peer).await;
            let is_gone = answer.as_ref().is_err_and(|it| it.revert_reason() == Some(NO_PEER));
            ensure(is_gone, || format!("of peer {} it says {answer:?}", peer.peer))?;
        }
        Ok(Some(()))
    })
    .await
}

/// The same offer once more: its peers come back under their own ids, and nothing was left under these.
async fn come_back(world: &World, teller: &Teller, before: &Offered, rewards: U256) -> Result<()> {
    teller.aside("the person applies the offer once more");
    let again = offer::register(world, teller, &spec(world), before.units().len()).await?;
    let ids = |offered: &Offered| -> BTreeSet<B256> {
        offered.peers.iter().map(|peer| peer.peer).collect()
    };
    ensure(ids(&again) == ids(before), || "other peers are registered".to_owned())?;
    ensure(again.id != before.id, || "the offer is the old one".to_owned())?;
    let mut withdrawn = U256::ZERO;
    for peer in &before.peers {
        let past = world.oracle().rewards(peer.commitment).await?;
        let left = past.total.ccRewards + past.total.dealStakerRewards;
        ensure(left.is_zero(), || format!("{left} wei were left under {}", peer.commitment))?;
        withdrawn += past.withdrawn.ccRewards + past.withdrawn.dealStakerRewards;
    }
    ensure(withdrawn == rewards, || format!("{rewards} were paid, {withdrawn} withdrawn"))?;
    teller.aside("under the old commitments the contract owes nothing");
    Ok(())
}

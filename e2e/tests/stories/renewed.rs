//! A commitment ends and the next one follows by itself; that one fails, and is followed too.

use alloy::primitives::{B256, U256};
use coreward_e2e::{
    bed::NODES,
    chain::{
        CommitmentStatus,
        abi::{CommitmentView, Diamond},
    },
    story::{
        STATUS, STEP, Teller, account, agrees, ensure, money, node,
        offer::{self, Offered},
        pods, proving, text, the_loop,
    },
    world::{Error, Result, World, condition, until},
};
use serde_json::{Value, json};

use super::{Needs, Told, on_stage, people};

/// The fewest epochs that the market takes.
const SHORTEST: u64 = 1;
/// Enough to fail within.
const LONG: u64 = 40;
/// Epochs after which something that was earned in the first of them has vested.
const VESTED: u64 = 2;
/// Epochs in which everything that was earned must have vested.
const VESTING: u64 = 4;
/// Silent epochs that half of the fails come from: the epoch in which the silence begins was proven.
const HALF: u64 = 6;
/// Silent epochs that no commitment outlives.
const DEADLY: u64 = 14;
/// Epochs between a failure and the return of the collateral.
const COOLDOWN: u64 = 2;
/// The share of the collateral that one fail costs, of the contract's 1e7.
const SLASHED: u64 = 100_000;
const WHOLE: u64 = 10_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed() -> Told {
    on_stage("renewed", (people::RENEWED, Needs::Cores), async |world, teller, _| {
        Box::pin(tell(world, teller)).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller) -> Result<()> {
    let first = the_loop::proving_offer(world, teller, &spec(world, SHORTEST), 1).await?;
    let units = first.units();
    proving::minimum(world, &first, &units).await?;
    world.apply(&spec(world, LONG)).await?;
    teller.aside("the person wants long commitments from the next one on");
    let second = Box::pin(ends(world, teller, &first)).await?;
    rewards_arrive(world, teller, (&first, &second)).await?;
    for _ in 0..VESTED {
        proving::next(world, teller, &second, &units).await?;
    }

    let third = Box::pin(fails(world, teller, &second)).await?;
    rewards_arrive(world, teller, (&second, &third)).await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await
}

fn spec(world: &World, epochs: u64) -> Value {
    let mut offer = the_loop::one_node(world, "loop", NODES[0].name);
    offer["spec"]["commitment"] = json!({ "durationEpochs": epochs, "expiryNoticeEpochs": 0 });
    offer
}

/// The commitment of an offer's only peer, by its id.
async fn commitment(world: &World, offered: &Offered) -> Result<(B256, CommitmentView)> {
    let id = offered.peers[0].commitment;
    Ok((id, world.oracle().commitment(id).await?))
}

/// Ends the commitment, and follows the peer into its next one: its units are away for the end epoch, and no longer.
async fn ends(world: &World, teller: &Teller, before: &Offered) -> Result<Offered> {
    let (_, was) = commitment(world, before).await?;
    let end = world.driver().next_epoch().await?;
    ensure(was.endEpoch == U256::from(end), || format!("it ends in {}, not {end}", was.endEpoch))?;
    teller.aside(&format!("epoch {end}: the commitment has ended"));
    owed_is_told(world, teller, before).await?;
    follows(world, teller, (before, end), LONG).await
}

/// Follows the same peer into a commitment that works from the epoch after `free`, and proves in it.
async fn follows(
    world: &World,
    teller: &Teller,
    (before, free): (&Offered, u64),
    epochs: u64,
) -> Result<Offered> {
    let again = offer::activate(world, teller, before.clone()).await?;
    let (old, _) = commitment(world, before).await?;
    let (new, view) = commitment(world, &again).await?;
    ensure(again.peers[0].peer == before.peers[0].peer && new != old, || {
        format!("{again:?} is not the same peer with another commitment")
    })?;
    let spans = (view.startEpoch, view.endEpoch);
    ensure(spans == (U256::from(free + 1), U256::from(free + 1 + epochs)), || {
        format!("it works from {} to {}, and the peer was free in {free}", spans.0, spans.1)
    })?;
    teller.aside(&format!("the next one works from epoch {} to {}", spans.0, spans.1));
    let units = again.units();
    proving::hashing(world, teller, &units).await?;
    let words = "its units have their minimum in its first epoch";
    teller.step(words, proving::minimum(world, &again, &units)).await?;
    Ok(again)
}

/// While its last rewards vest, the offer tells what the old commitment owes.
async fn owed_is_told(world: &World, teller: &Teller, old: &Offered) -> Result<()> {
    let id = old.peers[0].commitment;
    let told = until("the offer tells what the old commitment owes", STATUS, async || {
        let rewards = world.oracle().rewards(id).await?;
        let left = rewards.total.ccRewards + rewards.total.dealStakerRewards;
        let told = past(world, old, id).await?;
        let is_so = told == Some(left) && !left.is_zero();
        ensure(is_so, || format!("it says {told:?}, the contract {left}"))?;
        Ok(Some(left))
    });
    let left = teller.step("the offer tells what the old commitment owes", told).await?;
    teller.aside(&format!("{} FLT", account::decimal(left, money::FLT, 3)));
    Ok(())
}

/// All that the old commitment owes is fetched to the last wei, and then it is forgotten.
async fn rewards_arrive(
    world: &World,
    teller: &Teller,
    (old, new): (&Offered, &Offered),
) -> Result<()> {
    let id = old.peers[0].commitment;
    for _ in 0..VESTING {
        let fetched = until("what has vested is withdrawn", STEP, async || {
            let rewards = world.oracle().rewards(id).await?;
            let ripe = rewards.unlocked.ccRewards + rewards.unlocked.dealStakerRewards;
            ensure(ripe.is_zero(), || format!("{ripe} wei are unlocked"))?;
            Ok(Some(rewards.total.ccRewards + rewards.total.dealStakerRewards))
        });
        if fetched.await?.is_zero() {
            break;
        }
        proving::next(world, teller, new, &new.units()).await?;
    }
    let rewards = world.oracle().rewards(id).await?;
    let left = rewards.total.ccRewards + rewards.total.dealStakerRewards;
    let fetched = rewards.withdrawn.ccRewards + rewards.withdrawn.dealStakerRewards;
    ensure(left.is_zero() && !fetched.is_zero(), || format!("{fetched} wei came, {left} did not"))?;
    let words = format!(
        "all {} FLT of the old commitment are fetched, and it is forgotten",
        account::decimal(fetched, money::FLT, 3)
    );
    let forgotten = until("the old commitment is forgotten", STATUS, async || {
        Ok(past(world, old, id).await?.is_none().then_some(()))
    });
    teller.step(&words, forgotten).await
}

/// What the offer's status says that a past commitment owes; `None` where it is not listed.
async fn past(world: &World, offered: &Offered, id: B256) -> Result<Option<U256>> {
    let object = world.get("ProviderOffer", &offered.name).await?;
    let object = object.ok_or_else(|| Error::Finding("the offer is gone".to_owned()))?;
    let listed = object.data["status"]["pastCommitments"].as_array().cloned().unwrap_or_default();
    let id = id.to_string();
    let found = listed.into_iter().find(|it| it["id"] == id.as_str());
    Ok(found.and_then(|it| money::base_units(text(&it["unclaimed"]), money::FLT)))
}

/// The prover hangs until the contract calls the commitment failed; after the cooldown the peer has the next one.
async fn fails(world: &World, teller: &Teller, offered: &Offered) -> Result<Offered> {
    let unit = offered.units()[0];
    let prover = pods::ready(world, "prover", unit).await?;
    let process = node::prover_process(&prover)?;
    process.freeze().await?;
    teller.aside("the prover hangs");
    let told = Box::pin(while_silent(world, teller, (offered, unit))).await;
    // Where the kubelet has ended it meanwhile, nothing hangs any more.
    let _ = process.resume().await;
    let free = told?;
    teller.step("it hangs no more, and goes", pods::gone(world, "prover", unit)).await?;
    let (id, view) = commitment(world, offered).await?;
    world.driver().to_epoch(free).await?;
    let free = world.driver().epoch().await?;
    teller.aside(&format!("epoch {free}: the cooldown is over"));
    let again = follows(world, teller, (offered, free), LONG).await?;
    slashed(world, teller, (id, &view)).await?;
    Ok(again)
}

/// Epochs pass until the commitment has failed, and the product says so; gives the epoch in which its collateral is free.
async fn while_silent(
    world: &World,
    teller: &Teller,
    (offered, unit): (&Offered, B256),
) -> Result<u64> {
    for _ in 0..HALF {
        world.driver().next_epoch().await?;
    }
    let name = format!("{}-{}", offered.name, proving::short(unit));
    let warned = agrees(world, ("CapacityUnit", &name), "its commitment is near its end", |it| {
        let (status, reason, _) = condition(it, "AtRisk").unwrap_or_default();
        (status, reason) == ("True".to_owned(), "CommitmentNearFailure".to_owned())
    });
    teller.step(&format!("{HALF} epochs later its unit is AtRisk"), warned).await?;
    let mut silent = HALF;
    let id = offered.peers[0].commitment;
    while world.oracle().commitment_status(id).await? != CommitmentStatus::Failed {
        ensure(silent < DEADLY, || format!("{silent} silent epochs, and it has not failed"))?;
        world.driver().next_epoch().await?;
        silent += 1;
    }
    let (_, view) = commitment(world, offered).await?;
    let free = view.failedEpoch.saturating_to::<u64>() + COOLDOWN;
    teller.aside(&format!("{silent} epochs later it has failed, as of epoch {}", view.failedEpoch));
    let words = format!("locked until epoch {free}");
    let lost = world.oracle().slashed(&view).await?;
    let told = agrees(world, ("ProviderOffer", &offered.name), "the commitment failed", |it| {
        let (ready, why, _) = condition(it, "Ready").unwrap_or_default();
        let (_, reason, message) = condition(it, "CommitmentsHealthy").unwrap_or_default();
        (ready.as_str(), why.as_str(), reason.as_str()) == ("False", "Degraded", "Failed")
            && message.contains(&words)
            && it.data["status"]["commitments"]["failed"] == 1
            && money::base_units(text(&it.data["status"]["economics"]["slashed"]), money::FLT)
                == Some(lost)
    });
    teller.step(&format!("the offer says: Failed, {words}"), told).await?;
    node::told_of(world, &offered.name, ("CommitmentFailed", &id.to_string())).await?;
    let left = until("the unit has left the commitment", STEP, async || {
        let (_, view) = commitment(world, offered).await?;
        Ok((view.exitedUnitCount == U256::ONE).then_some(()))
    });
    teller.step("its unit is taken out of it at once, and nothing new is made", left).await?;
    Ok(free)
}

/// Each fail has cost what the contract says, and the rest of the collateral came back.
async fn slashed(
    world: &World,
    teller: &Teller,
    (id, view): (B256, &CommitmentView),
) -> Result<()> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let events = node.events::<Diamond::CollateralWithdrawn>(diamond, world.from_block()).await?;
    let mut ours = events.into_iter().filter(|(event, _)| event.commitmentId == id);
    let paid = ours.next().map(|(event, _)| event);
    let paid = paid.ok_or_else(|| Error::Finding("no collateral came back".to_owned()))?;
    let lost =
        view.collateralPerUnit * U256::from(SLASHED) * view.totalFailCount / U256::from(WHOLE);
    ensure(
        (paid.amountSlashed, paid.amountWithdrawn) == (lost, view.collateralPerUnit - lost),
        || format!("{lost} of {} were to be lost: {paid:?}", view.collateralPerUnit),
    )?;
    teller.aside(&format!(
        "{} fails cost {} FLT of the collateral, {} FLT are back",
        view.totalFailCount,
        account::decimal(lost, money::FLT, 3),
        account::decimal(paid.amountWithdrawn, money::FLT, 3)
    ));
    Ok(())
}

//! The whole loop: from an offer to proofs, a served deal, and back.

use alloy::primitives::U256;
use serde_json::{Value, json};

use super::{
    Teller, account, agrees, deal, ensure, is_ready,
    offer::{self, Offered},
    pods, proving,
};
use crate::world::{Error, Result, World};

/// Base units of USDC that the deal pays per epoch.
const PRICE: u64 = 1_000_000;
/// Epochs after which what was earned in the first of them is vested whole.
const VESTING: u64 = 2;

/// The offer of this story: both compute nodes.
#[must_use]
pub fn both_nodes(world: &World) -> Value {
    world.offer("loop", "compute")
}

/// An offer of one unit on every node, exclusive core or not.
#[must_use]
pub fn every_node(world: &World, name: &str) -> Value {
    let mut offer = world.offer(name, "any");
    let capacity = &mut offer["spec"]["capacity"];
    capacity["nodeSelector"]["matchLabels"] = json!({ "kubernetes.io/os": "linux" });
    capacity["coreIsolation"] = json!("Preferred");
    capacity["unitsPerNode"] = json!(1);
    offer
}

/// An offer of one node by its name.
#[must_use]
pub fn one_node(world: &World, name: &str, node: &str) -> Value {
    let mut offer = world.offer(name, "compute");
    offer["spec"]["capacity"]["nodeSelector"]["matchLabels"] =
        json!({ "kubernetes.io/hostname": node });
    offer
}

/// Brings an offer to where all its units prove.
///
/// # Errors
/// As the steps of [`offer`] and [`proving`].
pub async fn proving_offer(
    world: &World,
    teller: &Teller,
    spec: &Value,
    units: usize,
) -> Result<Offered> {
    let offered = offer::register(world, teller, spec, units).await?;
    let offered = offer::activate(world, teller, offered).await?;
    proving::hashing(world, teller, &offered.units()).await?;
    Ok(offered)
}

/// Tells the story with the app `app`.
///
/// # Errors
/// What the contracts, the pods or the answers show otherwise than the story goes.
pub async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let start = world.oracle().flt(world.party().provider.address).await?;
    let paid_before = world.oracle().usdc(world.party().provider.address).await?;
    teller.aside("a person applies one ProviderOffer for the nodes n1 and n2");
    let offered = Box::pin(proving_offer(world, teller, &both_nodes(world), 2)).await?;
    proving::three_epochs(world, teller, &offered).await?;

    let (seat, epochs) = Box::pin(serve(world, teller, &offered, app)).await?;
    let units = offered.units();
    proving::next(world, teller, &offered, &units).await?;
    account::paid(world, teller, (&offered, &seat), (paid_before, PRICE, epochs)).await?;
    for _ in 0..VESTING {
        proving::next(world, teller, &offered, &units).await?;
    }
    account::rewarded(world, teller, &offered, (start, world.from_block())).await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await?;
    agrees(world, ("ProviderOffer", &offered.name), "two units prove", |object| {
        is_ready(object) && object.data["status"]["units"]["proving"] == 2
    })
    .await
    .map(drop)
}

/// One deal of one worker from its match to the return of its unit; gives the seat, and the epochs that were billed.
async fn serve(
    world: &World,
    teller: &Teller,
    offered: &Offered,
    app: &str,
) -> Result<(deal::Seat, u64)> {
    let [first, second] = &offered.peers[..] else {
        return Err(Error::Finding(format!("{} peers are there, not two", offered.peers.len())));
    };
    let other = *second.units.first().unwrap_or(&alloy::primitives::B256::ZERO);
    let stays = pods::ready(world, "prover", other).await?;
    let was = pods::ready(world, "prover", first.units[0]).await?;
    let matched = async {
        let mut seats = deal::matched(world, app, &[first]).await?;
        Ok(seats.remove(0))
    };
    let words = "a customer's deal is deployed, funded and matched to one unit";
    let seat = teller.step(words, matched).await?;
    let served = Box::pin(deal::serving(world, teller, &seat)).await?;
    ensure(pods::node(&served.pod) == pods::node(&was), || {
        format!(
            "the worker is on {}, its prover was on {}",
            pods::node(&served.pod),
            pods::node(&was)
        )
    })?;
    let from = world.oracle().epoch().await?.number;
    teller
        .step("the other unit goes on proving", proving::minimum(world, offered, &[other]))
        .await?;
    let to = proving::next(world, teller, offered, &[other]).await?;
    let same = pods::ready(world, "prover", other).await?;
    ensure(pods::uid(&same) == pods::uid(&stays) && pods::restarts(&same) == 0, || {
        "the other unit's prover is not the same any more".to_owned()
    })?;
    teller.aside("the other unit's prover is the same pod, never started again");
    let earned = world.oracle().deal(seat.deal).await?.free_balance;
    ensure(earned < U256::from(10 * PRICE), || "the deal was not billed".to_owned())?;
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    teller.aside("the customer stops the deal");
    deal::returned(world, teller, &seat).await?;
    let words = "nothing is left of the deal in the cluster: neither its object nor its namespace";
    teller.step(words, deal::forgotten(world, &seat)).await?;
    Ok((seat, to - from + 1))
}

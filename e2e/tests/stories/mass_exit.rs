//! Three deals of one owner who is denied by mistake: none is left before a person confirms the number.

use coreward_e2e::{
    story::{
        STATUS, Teller, agrees,
        deal::{self, Seat},
        ensure, node,
        offer::{self, Offered},
        operators, proving, the_loop, witness,
    },
    world::{Result, World, condition, until},
};
use serde_json::json;

use super::{Needs, Told, on_stage, people};

/// Units of the offer, one on each node, and so deals; the breaker lets two go without a word.
const DEALS: usize = 3;
/// Blocks in which a wrong exit would be under way.
const WHILE: u64 = 5;
const METRIC: &str = "coreward_breaker_open{kind=\"deal\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mass_exit() -> Told {
    on_stage("mass_exit", (people::MASS_EXIT, Needs::Cores), async |world, teller, stage| {
        Box::pin(tell(world, teller, &stage.apps.hello)).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let spec = the_loop::every_node(world, "mass");
    let offered = offer::register(world, teller, &spec, DEALS).await?;
    let offered = offer::activate(world, teller, offered).await?;
    let (seats, urls) = served(world, teller, (&offered, app)).await?;
    let mut denied = spec;
    denied["spec"]["intake"] = json!({ "denyOwners": [world.party().developer.address] });
    world.apply(&denied).await?;
    let words = "their owner is put into intake.denyOwners: each Deal says MassChangeBreaker";
    teller.step(words, all_say(world, &seats, "MassChangeBreaker")).await?;
    operators::shows(world, &format!("{METRIC} 1")).await?;
    witness::blocks(world, WHILE).await?;
    for (seat, url) in seats.iter().zip(&urls) {
        let facts = world.oracle().deal(seat.deal).await?;
        ensure(facts.workers.iter().any(|it| it.onchainId == seat.worker), || {
            format!("deal {} was left", seat.deal)
        })?;
        deal::answers(url).await?;
    }
    teller.aside("all are in their deals, and answer");
    let object = agrees(world, ("ProviderOffer", "mass"), "it is there", |_| true).await?;
    ensure(condition(&object, "Ready").is_some_and(|(status, ..)| status == "True"), || {
        "the offer is not Ready".to_owned()
    })?;
    let name = kube::ResourceExt::name_any(&deal::mirror(world, seats[0].deal).await?);
    node::told_of(world, &name, ("MassChangeBreakerOpen", "mass-exit-confirm")).await?;
    denied["metadata"]["annotations"] =
        json!({ "coreward.dev/mass-exit-confirm": DEALS.to_string() });
    world.apply(&denied).await?;
    teller.aside("a person confirms the number on the offer");
    for seat in &seats {
        deal::returned(world, teller, seat).await?;
    }
    operators::shows(world, &format!("{METRIC} 0")).await?;
    proving::next(world, teller, &offered, &offered.units()).await.map(drop)
}

/// Has each unit serve a deal of its own.
async fn served(
    world: &World,
    teller: &Teller,
    (offered, app): (&Offered, &str),
) -> Result<(Vec<Seat>, Vec<String>)> {
    let (mut seats, mut urls) = (Vec::new(), Vec::new());
    for peer in &offered.peers {
        seats.extend(deal::matched(world, app, &[peer]).await?);
    }
    for seat in &seats {
        urls.push(teller.step("a deal answers", deal::answering(world, seat)).await?);
    }
    Ok((seats, urls))
}

async fn all_say(world: &World, seats: &[Seat], reason: &str) -> Result<()> {
    for seat in seats {
        until(&format!("the Deal says Stalled {reason}"), STATUS, async || {
            let object = deal::mirror(world, seat.deal).await?;
            let told = condition(&object, "Stalled").unwrap_or_default();
            ensure(told.1 == reason, || format!("it says {told:?}"))?;
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

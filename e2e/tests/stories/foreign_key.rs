//! A transaction is lost on its way, and then one of somebody else takes the nonce.

use alloy::primitives::U256;
use coreward_e2e::{
    fault::{Faults, Rpc},
    story::{STEP, Teller, ensure, node, offer, operators, proving, rest, the_loop, witness},
    world::{Error, Result, World, condition, until},
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use super::{Needs, Told, on_stage, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_key() -> Told {
    on_stage(
        "foreign_key",
        (people::FOREIGN_KEY, Needs::Solitude),
        // Transactions of all are lost.
        async |world, teller, _stage| Box::pin(tell(world, teller)).await,
    )
    .await
}

async fn tell(world: &World, teller: &Teller) -> Result<()> {
    let mut spec = the_loop::both_nodes(world);
    let offered = the_loop::proving_offer(world, teller, &spec, 2).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    teller.step("all is at rest", rest::rest(world)).await?;
    let faults = Faults::between(world.bed())?;
    teller.step("new replicas, whose transactions can be lost", operators::renew(world)).await?;

    faults.rpc(Rpc::Losing)?;
    let lost = asks(world, (&mut spec, "0.002"));
    let lost = teller.step("a price is changed: the node takes it, and loses it", lost).await?;
    ensure(offer::vcpu_price(world, &offered).await? == U256::from(1_000), || {
        "it came on chain".to_owned()
    })?;
    faults.rpc(Rpc::Well)?;
    let words = "the same bytes are sent again, and come on chain";
    teller.step(words, ends(world, &lost, "Final")).await?;
    ensure(offer::vcpu_price(world, &offered).await? == U256::from(2_000), || {
        "the price is another".to_owned()
    })?;

    faults.rpc(Rpc::Losing)?;
    let lost = asks(world, (&mut spec, "0.003"));
    let lost = teller.step("another price is taken, and lost", lost).await?;
    let provider = world.party().provider.address;
    world.driver().register_provider(provider, &world.party().provider_name()).await?;
    teller.aside("somebody else sends a transaction with the provider's key, and takes the nonce");
    faults.rpc(Rpc::Well)?;
    teller.step("the lost one ends as Displaced", ends(world, &lost, "Displaced")).await?;
    let stalls = until("the offer is Stalled", STEP, async || {
        let object = world.get("ProviderOffer", &offered.name).await?;
        let said = object.and_then(|object| condition(&object, "Stalled"));
        Ok(said.filter(|said| said.0 == "True" && said.1 == "ForeignSigner").map(|said| said.2))
    });
    let message =
        teller.step("the offer says that the key is used by somebody else", stalls).await?;
    teller.aside(&message);
    node::told_of(world, &offered.name, ("ForeignSignerDetected", "not ours")).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    teller.step("nothing else is begun", witness::blocks(world, 10)).await?;
    ensure(offer::vcpu_price(world, &offered).await? == U256::from(2_000), || {
        "a price was changed".to_owned()
    })?;

    node::kubectl(world, &["delete", "ctx", "--namespace", &lost.0, &lost.1]).await?;
    let goes_on = until("the price is on chain", STEP, async || {
        Ok((offer::vcpu_price(world, &offered).await? == U256::from(3_000)).then_some(()))
    });
    teller.step("the object is deleted: the key is ours again, and work goes on", goes_on).await?;
    proving::check_all(world, teller).await
}

/// Namespace and name of a transaction.
type Place = (String, String);

/// Changes the price of a vCPU; gives the transaction that was sent for it.
async fn asks(world: &World, (spec, price): (&mut Value, &str)) -> Result<Place> {
    let known: Vec<String> =
        witness::transactions(world).await?.iter().map(ResourceExt::name_any).collect();
    spec["spec"]["prices"][0]["price"] = json!(price);
    world.apply(spec).await?;
    until("a transaction of the provider's is sent", STEP, async || {
        let all = witness::transactions(world).await?;
        let is_it = |object: &&DynamicObject| {
            let is_new = !known.contains(&object.name_any());
            let of_the_offer = object.data["spec"]["from"]
                .as_str()
                .is_some_and(|from| from.parse() == Ok(world.party().provider.address));
            is_new && of_the_offer && object.data["status"]["state"] == "Sent"
        };
        let found = all.iter().find(is_it);
        Ok(found.map(|object| (object.namespace().unwrap_or_default(), object.name_any())))
    })
    .await
}

/// Waits until a transaction has come to this end.
async fn ends(world: &World, (_, name): &Place, end: &str) -> Result<()> {
    until(&format!("{name} is {end}"), STEP, async || {
        world.driver().mine(1).await?;
        let all = witness::transactions(world).await?;
        let object = all.iter().find(|object| object.name_any() == *name);
        let object = object.ok_or_else(|| Error::Finding(format!("{name} is gone")))?;
        Ok((object.data["status"]["state"] == end).then_some(()))
    })
    .await
}

//! What is lost on its way, and what holds back all but the minimum proofs: somebody else's use of a key, a used-up budget,
//! a suspended offer.

use alloy::primitives::U256;
use coreward_e2e::{
    fault::{Faults, Rpc},
    story::{
        STEP, Teller, ensure, node,
        offer::{self, Offered},
        operators, page,
        product::{Stage, deploy, deploy_with},
        proving, rest, secrecy, the_loop, witness,
    },
    world::{Error, Result, World, condition, until},
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use super::{Needs, Told, on_stage, people};

/// Blocks in which something would have been sent.
const BLOCKS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_back() -> Told {
    on_stage(
        "held_back",
        (people::HELD_BACK, Needs::Solitude),
        // Transactions of all are lost.
        async |world, teller, stage| Box::pin(tell(world, teller, stage)).await,
    )
    .await
}

async fn tell(world: &World, teller: &Teller, stage: &Stage) -> Result<()> {
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
    let scene = Scene { world, teller, offered: &offered };
    let message = scene.stalls("ForeignSigner").await?;
    teller.aside(&message);
    node::told_of(world, &offered.name, ("ForeignSignerDetected", "not ours")).await?;
    scene.only_proves(2_000).await?;
    node::kubectl(world, &["delete", "ctx", "--namespace", &lost.0, &lost.1]).await?;
    teller.aside("the object is deleted: the key is ours alone again");
    scene.comes_on_chain(3_000).await?;

    spec["spec"]["gas"] = json!({ "dailyBudget": "0.000000001" });
    scene.wants(&mut spec, "0.004").await?;
    teller.aside(&scene.stalls("GasBudgetExhausted").await?);
    node::told_of(world, &offered.name, ("GasBudgetExhausted", "midnight")).await?;
    scene.only_proves(3_000).await?;
    spec["spec"]["gas"] = json!({ "dailyBudget": "1000" });
    world.apply(&spec).await?;
    scene.comes_on_chain(4_000).await?;

    spec["spec"]["suspend"] = json!(true);
    scene.wants(&mut spec, "0.005").await?;
    teller.aside("the offer is suspended, and its price is changed");
    scene.only_proves(4_000).await?;
    spec["spec"]["suspend"] = json!(false);
    world.apply(&spec).await?;
    scene.comes_on_chain(5_000).await?;
    Box::pin(scene.read_only(&mut spec, stage)).await?;
    let read = secrecy::no_key_is_shown(world).await?;
    teller
        .aside(&format!("{read} objects, logs and pages of metrics were read: no key is in them"));
    page::is_closed(world).await?;
    teller.aside("nobody reads the operator's metrics without the right to");
    proving::check_all(world, teller).await
}

/// An offer whose price for a vCPU people change.
struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    offered: &'a Offered,
}

impl Scene<'_> {
    async fn wants(&self, spec: &mut Value, price: &str) -> Result<()> {
        spec["spec"]["prices"][0]["price"] = json!(price);
        self.world.apply(spec).await.map(drop)
    }

    /// Waits until the offer is Stalled for this reason; gives its message.
    async fn stalls(&self, reason: &str) -> Result<String> {
        let what = format!("the offer is Stalled: {reason}");
        let stalls = until(&what, STEP, async || {
            let object = self.world.get("ProviderOffer", &self.offered.name).await?;
            let said = object.and_then(|object| condition(&object, "Stalled"));
            Ok(said.filter(|said| said.0 == "True" && said.1 == reason).map(|said| said.2))
        });
        self.teller.step(&what, stalls).await
    }

    /// The next epoch's minimum comes on chain, and for a while nothing else does.
    async fn only_proves(&self, price: u64) -> Result<()> {
        let (world, offered) = (self.world, self.offered);
        let next = world.oracle().block_number().await? + 1;
        proving::next(world, self.teller, offered, &offered.units()).await?;
        self.teller.step("nothing else is begun", witness::blocks(world, BLOCKS)).await?;
        node::nothing_but_proofs(world, next).await?;
        let now = offer::vcpu_price(world, offered).await?;
        ensure(now == U256::from(price), || format!("the price is {now}, not {price}"))
    }

    /// The platform team makes the whole operator read-only, and takes that back.
    async fn read_only(&self, spec: &mut Value, stage: &Stage) -> Result<()> {
        let over = json!({ "operator": { "readOnly": true } });
        let upgrade = deploy_with(&stage.bed, &stage.parties, over);
        self.teller.step("helm upgrade with operator.readOnly", upgrade).await?;
        self.wants(spec, "0.006").await?;
        self.only_proves(5_000).await?;
        let upgrade = deploy(&stage.bed, &stage.parties);
        self.teller.step("helm upgrade without it", upgrade).await?;
        self.comes_on_chain(6_000).await
    }

    async fn comes_on_chain(&self, price: u64) -> Result<()> {
        let comes = until("the price is on chain", STEP, async || {
            let now = offer::vcpu_price(self.world, self.offered).await?;
            Ok((now == U256::from(price)).then_some(()))
        });
        self.teller.step("work goes on: the new price is on chain", comes).await
    }
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

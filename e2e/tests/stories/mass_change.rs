//! A change of the product that would stop every prover stops one.

use std::collections::BTreeSet;

use coreward_e2e::{
    story::{
        STEP, Teller, agrees, ensure, node,
        offer::Offered,
        operators, pods,
        product::{Stage, deploy_with},
        proving,
    },
    world::{Result, World, condition, until},
};
use kube::ResourceExt;
use serde_json::json;

/// An image that no node has, and none is to fetch.
const ABSENT: &str = "coreward.local/prover:absent";
const METRIC: &str = "coreward_breaker_open{kind=\"prover\"}";

/// Tells it of an offer of two units that prove.
pub(crate) async fn tell(
    world: &World,
    teller: &Teller,
    (stage, offered): (&Stage, &Offered),
) -> Result<()> {
    proving::minimum(world, offered, &offered.units()).await?;
    let before = provers(world, offered).await?;
    let absent = json!({ "images": { "prover": ABSENT, "pullPolicy": "Never" } });
    let upgrade = deploy_with(&stage.bed, &stage.parties, absent);
    teller.step("helm upgrade to provers without an image", upgrade).await?;
    let offer = ("ProviderOffer", offered.name.as_str());
    let stopped = agrees(world, offer, "its provers are renewed no further", |object| {
        condition(object, "Stalled").is_some_and(|told| told.1 == "MassChangeBreaker")
    });
    let object = teller.step("one prover is tried, and no more", stopped).await?;
    let words = condition(&object, "Stalled").unwrap_or_default().2;
    teller.aside(&format!("the offer says {words}"));
    ensure(words.contains("ErrImageNeverPull"), || "it does not say why".to_owned())?;
    let plan = &object.data["status"]["plan"];
    ensure(plan[0]["action"] == "RenewProver" && plan[1].is_null(), || format!("it plans {plan}"))?;
    node::told_of(world, &offered.name, ("MassChangeBreakerOpen", "ErrImageNeverPull")).await?;
    operators::shows(world, &format!("{METRIC} 1")).await?;
    let kept = provers(world, offered).await?;
    ensure(kept.len() == 1 && kept.is_subset(&before), || {
        format!("of the provers {before:?} work {kept:?}")
    })?;

    let right = json!({ "images": { "pullPolicy": "Never" } });
    let upgrade = deploy_with(&stage.bed, &stage.parties, right);
    teller.step("helm upgrade with the image set right", upgrade).await?;
    let renewed = until("both provers are renewed", STEP, async || {
        let now = provers(world, offered).await?;
        ensure(!now.is_empty(), || "neither is ready".to_owned())?;
        Ok((now.len() == 2 && now.is_disjoint(&before)).then_some(()))
    });
    teller.step("the first is made again, then the second", renewed).await?;
    let closed = agrees(world, offer, "nothing stalls it", |object| {
        condition(object, "Stalled").is_some_and(|told| told.1 == "NotStalled")
    });
    closed.await?;
    operators::shows(world, &format!("{METRIC} 0")).await
}

/// UIDs of the offer's provers that are ready.
async fn provers(world: &World, offered: &Offered) -> Result<BTreeSet<String>> {
    let mut ready = BTreeSet::new();
    for unit in offered.units() {
        let pods = pods::of_unit(&world.client(), "prover", unit).await?;
        ready.extend(pods.iter().filter(|pod| pods::is_ready(pod)).filter_map(ResourceExt::uid));
    }
    Ok(ready)
}

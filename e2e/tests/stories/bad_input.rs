use alloy::primitives::{B256, U256};
use coreward_e2e::{
    story::{
        Teller, account, client,
        deal::{self, Served},
        ensure,
        offer::{Offered, Pledged},
        proving, the_loop,
    },
    world::{Error, Result, World, condition, until},
};
use serde_json::{Value, json};

use super::plain_mistakes::{Mistake, TOLD_WITHIN, mistake, told_in_time};
use super::{Needs, Told, on_stage, people};

/// Bytes that the offer lets an app have: more than the good one, fewer than the large one.
const ARTIFACT_BYTES: u64 = 1_000_000;
/// Resource of the offer whose price the second object would change.
const VCPU: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input() -> Told {
    on_stage("bad_input", (people::BAD_INPUT, Needs::Cores), async |world, teller, stage| {
        let spec = spec(world);
        let offered = Box::pin(the_loop::proving_offer(world, teller, &spec, 2)).await?;
        proving::minimum(world, &offered, &offered.units()).await?;
        let [first, second] = &offered.peers[..] else {
            return Err(Error::Finding(format!(
                "{} peers are there, not two",
                offered.peers.len()
            )));
        };
        let seat = deal::matched(world, &stage.apps.hello, &[first]).await?.remove(0);
        let served = Box::pin(deal::serving(world, teller, &seat)).await?;
        let price = price(world, &offered).await?;
        for wrong in mistakes(&offered) {
            told_in_time(world, teller, &spec, &wrong).await?;
            answers(&served).await?;
        }
        ensure(self::price(world, &offered).await? == price, || {
            "a second object has changed the price".to_owned()
        })?;
        teller.aside("the price on chain is the first object's");
        for (name, app, reason, words) in [
            ("a core module", &stage.apps.core_module, "InvalidWasm", "not a usable component"),
            ("half a component", &stage.apps.truncated, "InvalidWasm", "not a usable component"),
            ("too large an app", &stage.apps.hello_in_blocks, "TooLarge", "more than"),
        ] {
            wrong_app(world, teller, second, (name, app, reason, words)).await?;
            answers(&served).await?;
        }
        proving::next(world, teller, &offered, &second.units).await?;
        answers(&served).await?;
        teller.aside("the good deal answered after each of them, and the other unit proves");
        account::nonces_are_whole(world, teller).await
    })
    .await
}

/// Both nodes, with room for small apps only.
fn spec(world: &World) -> Value {
    let mut offer = the_loop::both_nodes(world);
    offer["spec"]["worker"] = json!({ "limits": { "artifactBytes": ARTIFACT_BYTES } });
    offer
}

/// Offers that the API server takes and that mean something wrong.
fn mistakes(offered: &Offered) -> Vec<Mistake> {
    let prices = json!([
        { "resource": "1", "price": "1000000000000" },
        { "resource": "3", "price": "0.000002" },
    ]);
    let misspelt = json!(["0x90F79bf6EB2c4f870365E785982E1f101E93b907"]);
    let far = json!({ "durationEpochs": 365, "expiryNoticeEpochs": 14, "mode": "Auto" });
    vec![
        mistake("second", "/offerID", json!(offered.id), "spec.offerID: the offer belongs to"),
        mistake("closing-price", "/prices", prices, "spec.prices: the price of resource 1 must be"),
        mistake("misspelt", "/intake/denyOwners", misspelt, "spec.intake.denyOwners[0]"),
        mistake("no-such-label", "/commitment", far, "spec.capacity.nodeSelector: no node"),
    ]
}

async fn price(world: &World, offered: &Offered) -> Result<Option<U256>> {
    let offers = world.oracle().offers_of(world.party().provider.address).await?;
    let offer = offers.into_iter().find(|offer| offer.offerId == offered.id);
    let vcpu = B256::from(U256::from(VCPU));
    Ok(offer.and_then(|offer| {
        offer.prices.into_iter().find(|price| price.resourceId == vcpu).map(|price| price.price)
    }))
}

/// The good deal is served at this moment.
async fn answers(served: &Served) -> Result<()> {
    let (status, body) = client::get(&client::http()?, &served.url).await?;
    ensure((status, body.trim()) == (200, "hello"), || {
        format!("the good deal says {status} {body}")
    })
}

async fn wrong_app(
    world: &World,
    teller: &Teller,
    peer: &Pledged,
    (name, app, reason, words): (&str, &str, &str, &str),
) -> Result<()> {
    let seat = deal::matched(world, app, &[peer]).await?.remove(0);
    let what = format!("{name} is told");
    let told = until(&what, TOLD_WITHIN, async || {
        let object = deal::mirror(world, seat.deal).await?;
        let (status, why, message) = condition(&object, "ArtifactAvailable").unwrap_or_default();
        let is_told = status == "False" && why == reason && message.contains(words);
        ensure(is_told, || format!("{status} {why}: {message}"))?;
        Ok(Some(format!("{why}: {message}")))
    });
    let message = teller.step(&format!("wrong app: {name}"), told).await?;
    teller.aside(&message);
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    deal::returned(world, teller, &seat).await
}

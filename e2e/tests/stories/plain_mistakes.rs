use std::time::Duration;

use coreward_e2e::{
    chain::{Account, DealOrder},
    story::{STEP, Teller, client, deal, ensure, is_ready, offer, pods},
    world::{Error, Party, Result, World, condition, until},
};
use serde_json::{Value, json};

use super::{Needs, Told, on_stage, people};

/// How soon a mistake is told.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// A change that makes a good offer wrong, and a word of the condition that tells so.
pub(super) struct Mistake {
    pub(super) name: &'static str,
    path: &'static str,
    value: Value,
    told: &'static str,
}

pub(super) fn mistake(
    name: &'static str,
    path: &'static str,
    value: Value,
    told: &'static str,
) -> Mistake {
    Mistake { name, path, value, told }
}

fn mistakes(world: &World, other: &Party) -> Result<Vec<Mistake>> {
    let nobody = Account::of(world.namespace(), "nobody")?.address;
    let (provider, peer) = (world.party().provider_signer(), world.party().peer_signer());
    let prices = |id: &str, price: &str| json!([{ "resource": "1", "price": "0.001" }, { "resource": id, "price": price }]);
    let nowhere = json!({ "countryCode": "AQ", "cityCode": "VOS", "index": 1 });
    let unknown = format!("0x{}", "5a".repeat(32));
    Ok(vec![
        mistake("network", "/network", json!("mars"), "spec.network"),
        mistake("provider", "/provider/address", json!(nobody), "spec.provider.address"),
        mistake("signer", "/provider/signer", json!("nobody"), "spec.provider.signer"),
        mistake("others-signer", "/provider/signer", json!(other.provider_signer()), "signer"),
        mistake("wrong-role", "/provider/signer", json!(peer), "signer"),
        mistake("peer-signer", "/peers/signers", json!([provider]), "signer"),
        mistake("token", "/paymentToken", json!("DOGE"), "spec.paymentToken"),
        mistake("fine-price", "/prices", prices("3", "0.0000001"), "spec.prices"),
        mistake("resource", "/prices", prices("99", "0.001"), "spec.prices"),
        mistake("datacenter", "/datacenter", nowhere, "spec.datacenter"),
        mistake(
            "no-node",
            "/capacity/nodeSelector/matchLabels",
            json!({ "is": "none" }),
            "no node",
        ),
        mistake("adopts-nothing", "/offerID", json!(unknown), "spec.offerID"),
        mistake("same-node", "/payouts/everyHours", json!(1), "older offer"),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_mistakes() -> Told {
    on_stage(
        "plain_mistakes",
        (people::PLAIN_MISTAKES, Needs::Nothing),
        async |world, teller, stage| {
            let other = &stage.parties[people::THE_LOOP];
            let good = good(world);
            let offered = offer::register(world, teller, &good, 1).await?;
            for wrong in mistakes(world, other)? {
                told_in_time(world, teller, &good, &wrong).await?;
            }
            refused_at_once(world, teller, &good).await?;
            is_unaffected(world, &offered).await?;
            let apps = &stage.apps;
            for (name, app, reason) in [
                ("no Wasm", &apps.not_wasm, "InvalidWasm"),
                ("a missing CID", &apps.missing, "NotFound"),
                ("an app that traps at its start", &apps.traps, "InvalidWasm"),
            ] {
                wrong_app(world, teller, &offered, (name, app, reason)).await?;
                is_unaffected(world, &offered).await?;
            }
            good_app(world, teller, &offered, &apps.hello).await
        },
    )
    .await
}

/// An offer of the node without exclusive cores, for deals that name their provider: it needs no commitment.
fn good(world: &World) -> Value {
    let mut good = world.offer("good", "shared");
    good["spec"]["capacity"]["coreIsolation"] = json!("Preferred");
    good["spec"]["capacity"]["unitsPerNode"] = json!(1);
    good["spec"]["commitment"] = json!({ "mode": "Off" });
    good
}

pub(super) async fn told_in_time(
    world: &World,
    teller: &Teller,
    good: &Value,
    wrong: &Mistake,
) -> Result<()> {
    let mut object = good.clone();
    object["metadata"]["name"] = json!(wrong.name);
    // Nobody else's node, so that the mistake is the only one.
    if wrong.name != "same-node" {
        object["spec"]["capacity"]["nodeSelector"]["matchLabels"] =
            json!({ "coreward.dev/pool": "none" });
    }
    set(&mut object["spec"], wrong.path, wrong.value.clone());
    world.apply(&object).await?;
    let what = format!("{} is told", wrong.name);
    let told = until(&what, TOLD_WITHIN, async || {
        let object = world.get("ProviderOffer", wrong.name).await?;
        let object = object.ok_or_else(|| Error::Finding("it is not there".to_owned()))?;
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let messages: Vec<String> = conditions
            .into_iter()
            .flatten()
            .map(|it| format!("{} {} {}", it["type"], it["reason"], it["message"]))
            .collect();
        ensure(!is_ready(&object), || "it is Ready".to_owned())?;
        let found = messages.iter().find(|message| message.contains(wrong.told));
        found.map(|found| Some(found.clone())).ok_or_else(|| Error::Finding(messages.join("; ")))
    });
    let message = teller.step(&format!("mistake {}", wrong.name), told).await?;
    teller.aside(&message);
    world.delete("ProviderOffer", wrong.name).await
}

/// Sets a field of a spec by its path.
fn set(spec: &mut Value, path: &str, value: Value) {
    let (parent, field) = path.rsplit_once('/').unwrap_or(("", path));
    let mut place = spec;
    for part in parent.split('/').filter(|part| !part.is_empty()) {
        place = &mut place[part];
    }
    place[field] = value;
}

/// A malformed address does not even get in.
async fn refused_at_once(world: &World, teller: &Teller, good: &Value) -> Result<()> {
    let mut object = good.clone();
    object["metadata"]["name"] = json!("malformed");
    object["spec"]["provider"]["address"] = json!("0x12");
    let refusal = match world.apply(&object).await {
        Ok(_) => return Err(Error::Finding("a malformed address was taken".to_owned())),
        Err(Error::Cluster { source, .. }) => source.to_string(),
        Err(error) => return Err(error),
    };
    ensure(refusal.contains("spec.provider.address"), || format!("the refusal is {refusal}"))?;
    teller.aside("a malformed address is refused by the API server, which names the field");
    Ok(())
}

/// The good object beside the mistakes is what it was.
async fn is_unaffected(world: &World, offered: &offer::Offered) -> Result<()> {
    let object = world.get("ProviderOffer", &offered.name).await?;
    let object = object.ok_or_else(|| Error::Finding("the good offer is gone".to_owned()))?;
    let stalled = condition(&object, "Stalled").map(|(status, ..)| status);
    ensure(is_ready(&object) && stalled.as_deref() == Some("False"), || {
        format!("the good offer says {}", object.data["status"]["conditions"])
    })?;
    let peers = world.oracle().peers_of(offered.id).await?;
    ensure(peers.len() == 1, || format!("it has {} peers on chain", peers.len()))
}

async fn seat(world: &World, offered: &offer::Offered, app: &str) -> Result<deal::Seat> {
    let order = DealOrder {
        only_providers: vec![world.party().provider.address],
        ..DealOrder::of_one_worker(world.party().developer.address, app)
    };
    let contract = world.driver().create_deal(&order).await?;
    Ok(deal::seats(world, contract, &[&offered.peers[0]]).await?.remove(0))
}

async fn wrong_app(
    world: &World,
    teller: &Teller,
    offered: &offer::Offered,
    (name, app, reason): (&str, &str, &str),
) -> Result<()> {
    let seat = seat(world, offered, app).await?;
    let what = format!("{name} is told");
    let told = until(&what, TOLD_WITHIN, async || {
        let object = deal::mirror(world, seat.deal).await?;
        let found = condition(&object, "ArtifactAvailable");
        let (status, why, message) = found.unwrap_or_default();
        ensure(status == "False" && why == reason, || format!("{status} {why}: {message}"))?;
        Ok(Some(format!("{why}: {message}")))
    });
    let message = teller.step(&format!("wrong app: {name}"), told).await?;
    teller.aside(&message);
    let worker = world.oracle().deal(seat.deal).await?.workers.into_iter().next();
    ensure(worker.is_some_and(|worker| worker.offchainId.is_zero()), || {
        "a worker that never answered was activated, or is gone".to_owned()
    })?;
    leave(world, &seat).await
}

async fn good_app(
    world: &World,
    teller: &Teller,
    offered: &offer::Offered,
    app: &str,
) -> Result<()> {
    let seat = seat(world, offered, app).await?;
    let served = async {
        let pod = pods::ready(world, "worker", seat.unit).await?;
        let port = pods::entrance(world, &pod).await?;
        let address = world.bed().node_address(coreward_e2e::bed::NODES[2]);
        let http = client::http()?;
        until("the good app answers", STEP, async || {
            let (status, body) = client::get(&http, &format!("http://{address}:{port}/")).await?;
            Ok(((status, body.trim()) == (200, "hello")).then_some(()))
        })
        .await
    };
    teller.step("the next deal on the same unit is served", served).await?;
    deal::activated(world, &seat).await?;
    leave(world, &seat).await
}

/// The customer stops the deal; the unit is free for the next.
async fn leave(world: &World, seat: &deal::Seat) -> Result<()> {
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    pods::gone(world, "worker", seat.unit).await
}

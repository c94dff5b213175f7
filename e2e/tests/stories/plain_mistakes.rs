use std::time::Duration;

use alloy::primitives::U256;
use coreward_e2e::{
    apps::WrongApp,
    chain::DealOrder,
    story::{STEP, Teller, client, deal, ensure, is_ready, offer, pods},
    world::{Error, Result, World, condition, until},
};
use serde_json::{Value, json};

use super::{Needs, Told, on_stage, people, wrong_offers};

/// How soon a mistake is told.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_mistakes() -> Told {
    on_stage(
        "plain_mistakes",
        (people::PLAIN_MISTAKES, Needs::Nothing),
        async |world, teller, stage| {
            let other = &stage.parties[people::THE_LOOP];
            let good = good(world);
            let few_cores = [wrong_offers::of_too_few_cores(world).await?];
            wrong_offers::are_told(world, teller, (&good, &few_cores)).await?;
            without_funds(world, teller, &good).await?;
            let offered = offer::register(world, teller, &good, 1).await?;
            wrong_offers::are_refused(world, teller, &good).await?;
            let wrong = wrong_offers::told(world, other).await?;
            wrong_offers::are_told(world, teller, (&good, &wrong)).await?;
            is_unaffected(world, &offered).await?;
            for app in &stage.apps.wrong {
                wrong_app(world, teller, &offered, app).await?;
                is_unaffected(world, &offered).await?;
            }
            let count = stage.apps.wrong.len();
            teller.aside(&format!("{count} wrong apps were told, and none was billed"));
            good_app(world, teller, &offered, &stage.apps.hello).await
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
    // An endless loop need not last longer to be told.
    good["spec"]["worker"] = json!({ "limits": { "requestMilliseconds": 3000 } });
    good
}

/// The key of the peers holds nothing for a while.
async fn without_funds(world: &World, teller: &Teller, good: &Value) -> Result<()> {
    let account = world.party().peer_owner.address;
    let funds = world.oracle().flt(account).await?;
    world.driver().set_flt(account, U256::ZERO).await?;
    let empty = [wrong_offers::mistake("empty-wallet", json!({}), "holds nothing: send FLT to it")];
    let told = wrong_offers::are_told(world, teller, (good, &empty)).await;
    world.driver().set_flt(account, funds).await?;
    told
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
    app: &WrongApp,
) -> Result<()> {
    let seat = seat(world, offered, &app.cid).await?;
    app_is_told(world, teller, (&seat, app)).await?;
    let worker = world.oracle().deal(seat.deal).await?.workers.into_iter().next();
    ensure(worker.is_some_and(|worker| worker.offchainId.is_zero()), || {
        "a worker that never answered was activated, or is gone".to_owned()
    })?;
    leave(world, &seat).await
}

/// The deal says what is wrong with its app.
pub(super) async fn app_is_told(
    world: &World,
    teller: &Teller,
    (seat, app): (&deal::Seat, &WrongApp),
) -> Result<()> {
    let what = format!("{} is told", app.name);
    let told = until(&what, TOLD_WITHIN, async || {
        let object = deal::mirror(world, seat.deal).await?;
        let (status, why, message) = condition(&object, "ArtifactAvailable").unwrap_or_default();
        let is_told = status == "False" && why == app.reason && message.contains(app.words);
        ensure(is_told, || format!("{status} {why}: {message}"))?;
        Ok(Some(format!("{why}: {message}")))
    });
    let message = teller.step(&format!("wrong app: {}", app.name), told).await?;
    teller.aside(&message);
    Ok(())
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

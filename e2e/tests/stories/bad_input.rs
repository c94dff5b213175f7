use std::iter;

use coreward_e2e::{
    apps::WrongApp,
    story::{
        Teller, account, client,
        deal::{self, Served},
        ensure,
        offer::{self, Offered, Pledged},
        pods, ports, proving, the_loop,
    },
    world::{Error, Result, World},
};
use serde_json::{Value, json};

use super::plain_mistakes::app_is_told;
use super::wrong_offers::{self, Mistake, mistake};
use super::{Needs, Told, on_stage, people};

/// Bytes that the offer lets an app have: more than the good one, fewer than the large one.
const ARTIFACT_BYTES: u64 = 1_000_000;
/// Wrong apps that take what they can get, beside one that is served.
const HUNGRY: [&str; 2] = ["an endless loop", "an app that eats all memory"];
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
        let price = offer::vcpu_price(world, &offered).await?;
        let wrong = mistakes(&offered);
        wrong_offers::are_told(world, teller, (&spec, &wrong)).await?;
        answers(&served).await?;
        ensure(offer::vcpu_price(world, &offered).await? == price, || {
            "a second object has changed the price".to_owned()
        })?;
        teller.aside("the price on chain is the first object's");
        let large = WrongApp {
            name: "too large an app",
            cid: stage.apps.hello_in_blocks.clone(),
            reason: "TooLarge",
            words: "more than",
        };
        let eats = stage.apps.wrong.iter().filter(|app| HUNGRY.contains(&app.name));
        for app in iter::once(&large).chain(eats) {
            wrong_app(world, teller, second, app).await?;
            answers(&served).await?;
        }
        let prover = pods::ready(world, "prover", second.units[0]).await?;
        let own = [prover, served.pod.clone()];
        let words = "random bytes come to every port that we open";
        let open = teller.step(words, ports::make_noise(world, &own)).await?;
        teller.aside(&format!("{open:?}: none broke down, all are ready"));
        answers(&served).await?;
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
    offer["spec"]["worker"] =
        json!({ "limits": { "artifactBytes": ARTIFACT_BYTES, "requestMilliseconds": 3000 } });
    offer
}

/// Offers that the API server takes and that mean something wrong beside the one that is there.
fn mistakes(offered: &Offered) -> Vec<Mistake> {
    let far = json!({ "durationEpochs": 365, "expiryNoticeEpochs": 14, "mode": "Auto" });
    vec![
        mistake("second", json!({ "offerID": offered.id }), "spec.offerID: the offer belongs to"),
        mistake("no-such-label", json!({ "commitment": far }), "no node"),
    ]
}

/// The good deal is served at this moment.
async fn answers(served: &Served) -> Result<()> {
    let (status, body) = client::get(&client::http()?, &served.url).await?;
    ensure((status, body.trim()) == (200, "hello"), || {
        format!("the good deal says {status} {body}")
    })
}

async fn wrong_app(world: &World, teller: &Teller, peer: &Pledged, app: &WrongApp) -> Result<()> {
    let seat = deal::matched(world, &app.cid, &[peer]).await?.remove(0);
    app_is_told(world, teller, (&seat, app)).await?;
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    deal::returned(world, teller, &seat).await
}

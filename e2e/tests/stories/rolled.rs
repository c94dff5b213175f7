//! A customer's app changes under load: told at the beginning of the story of deals that are left.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use coreward_e2e::{
    apps::Apps,
    story::{
        STATUS, STEP, Teller, client,
        deal::{self, Served},
        ensure,
        killer::own_process,
        node, pods, text,
    },
    world::{Error, Result, World, condition, until},
};
use kube::ResourceExt;

/// A good version takes over and a broken one does not, without a failed request; a restart finds the good one.
pub(crate) async fn tell(
    world: &World,
    teller: &Teller,
    (served, apps): (&Served, &Apps),
) -> Result<()> {
    let (is_over, url) = (AtomicBool::new(false), served.url.as_str());
    let changing = async {
        let told = changes(world, teller, served, apps).await;
        is_over.store(true, Ordering::Relaxed);
        told
    };
    let (answers, told) = tokio::join!(asked(url, &is_over), changing);
    told?;
    let answers = answers?;
    let bodies: Vec<_> = answers.keys().map(String::as_str).collect();
    ensure(bodies == ["200 hello", "200 howdy"], || format!("some requests failed: {answers:?}"))?;
    let count: usize = answers.values().sum();
    teller.aside(&format!("of {count} requests meanwhile none failed"));
    restarted(teller, served).await?;
    change(world, served, &apps.hello).await?;
    teller.step("the customer goes back: it answers hello", says(url, "hello")).await?;
    is_told(world, served, ("True", "Pulled", "")).await
}

/// Asks one request after the other until it is over; gives how often each answer came.
async fn asked(url: &str, is_over: &AtomicBool) -> Result<BTreeMap<String, usize>> {
    let (client, mut answers) = (client::http()?, BTreeMap::new());
    while !is_over.load(Ordering::Relaxed) {
        let answer = match client::get(&client, url).await {
            Ok((status, body)) => format!("{status} {}", body.trim()),
            Err(error) => error.to_string(),
        };
        *answers.entry(answer).or_default() += 1;
    }
    Ok(answers)
}

async fn changes(world: &World, teller: &Teller, served: &Served, apps: &Apps) -> Result<()> {
    change(world, served, &apps.howdy).await?;
    let words = "the customer names another app: it answers howdy";
    teller.step(words, says(&served.url, "howdy")).await?;
    is_told(world, served, ("True", "Pulled", "")).await?;
    let broken = apps.wrong.iter().find(|app| app.words == "traps at start");
    let broken = broken.ok_or_else(|| Error::Finding("no app traps".to_owned()))?;
    change(world, served, &broken.cid).await?;
    let wanted = ("False", broken.reason, "the version before it goes on serving");
    let words =
        "the customer names a broken one: the Deal says why, and that the one before serves";
    teller.step(words, is_told(world, served, wanted)).await?;
    let name = deal::mirror(world, served.seat.deal).await?.name_any();
    node::told_of(world, &name, ("ArtifactRejected", broken.words)).await?;
    says(&served.url, "howdy").await?;
    let now = pods::ready(world, "worker", served.seat.unit).await?;
    ensure(pods::uid(&now) == pods::uid(&served.pod) && pods::restarts(&now) == 0, || {
        "the worker's pod is another, or was started again".to_owned()
    })
}

async fn change(world: &World, served: &Served, app: &str) -> Result<()> {
    let developer = world.party().developer.address;
    world.driver().set_app_cid(developer, served.seat.deal, app).await?;
    Ok(())
}

/// Waits until the worker answers with these words.
async fn says(url: &str, words: &str) -> Result<()> {
    let client = client::http()?;
    until(&format!("{url} answers {words}"), STEP, async || {
        let (status, body) = client::get(&client, url).await?;
        ensure((status, body.trim()) == (200, words), || format!("{status} {body:?}"))?;
        Ok(Some(()))
    })
    .await
}

/// Waits until the Deal says this of its app, and that it serves.
async fn is_told(world: &World, served: &Served, wanted: (&str, &str, &str)) -> Result<()> {
    until("the Deal tells of its app", STATUS, async || {
        let object = deal::mirror(world, served.seat.deal).await?;
        let (status, reason, message) = condition(&object, "ArtifactAvailable").unwrap_or_default();
        let is_so = (status.as_str(), reason.as_str()) == (wanted.0, wanted.1);
        ensure(is_so && message.contains(wanted.2), || format!("{status} {reason}: {message}"))?;
        let ready = condition(&object, "Ready").unwrap_or_default();
        ensure(ready.0 == "True", || format!("Ready is {ready:?}"))?;
        let subnet = text(&object.data["status"]["subnet"]["summary"]);
        ensure(subnet == "1/1", || format!("the subnet is {subnet:?}"))?;
        Ok(Some(()))
    })
    .await
}

/// The worker's process is killed while the broken app is ordered: it serves the good one again.
async fn restarted(teller: &Teller, served: &Served) -> Result<()> {
    let killed = own_process(&served.pod)?;
    let killed = killed.ok_or_else(|| Error::Finding("no worker runs".to_owned()))?;
    killed.kill().await?;
    let runs = until("another process runs", STEP, async || {
        let now = own_process(&served.pod)?;
        Ok(now.filter(|process| process.id != killed.id).map(drop))
    });
    runs.await?;
    let words = "it is killed, and serves the good version again though a broken one is ordered";
    teller.step(words, says(&served.url, "howdy")).await
}

//! The loop's speed: from a match on chain to the worker's first answer, and back; kept in `BENCH.md`.

mod report;
mod watch;

use std::{fs, time::Duration};

use crate::{
    bed::{self, Bed},
    story::{Teller, account, deal, end, now, offer::Offered, pods, product, the_loop},
    world::{Error, Result, World, processes_of},
};

pub use report::{Figures, Measured};
use watch::Steps;

/// Everything that one run measures.
///
/// # Errors
/// What the stories' steps report; the figures of an incomplete run are not kept.
pub async fn run(matches: usize) -> Result<()> {
    let teller = Teller::of("bench");
    let stage = Box::pin(product::set_up(&teller, 1)).await?;
    let world = World::open(&stage.bed, "bench", &stage.parties[0]).await?;
    let install = install(&stage, &world, &teller).await?;
    let (install_to_proving, offered) = install;
    let mut figures = Figures { install_to_proving, ..Figures::default() };
    figures.operator_memory_mib = operator_memory(&stage.bed).await?;
    // One more than is counted: the first one fills the caches.
    for number in 0..=matches {
        let measured = one(&world, &stage.apps.hello, &offered).await?;
        teller.aside(&format!("match {number}: {measured}"));
        if number > 0 {
            figures.matches.push(measured);
        }
    }
    account::nonces_are_whole(&world, &teller).await?;
    figures.operator_memory_after_mib = operator_memory(&stage.bed).await?;
    end::release(&world).await?;
    world.close().await?;
    let text = figures.report();
    print(&text);
    let file = stage.bed.paths().checkout.join("e2e/BENCH.md");
    fs::write(&file, &text)
        .map_err(|error| Error::Finding(format!("{} cannot be written: {error}", file.display())))
}

/// Installs the product anew and measures until both units prove.
async fn install(
    stage: &product::Stage,
    world: &World,
    teller: &Teller,
) -> Result<(Duration, Offered)> {
    let removed = bed::undeploy(&stage.bed).await;
    removed.map_err(|error| Error::Finding(format!("the product cannot be removed: {error}")))?;
    let began = now();
    teller.step("helm install", product::deploy(&stage.bed, &stage.parties)).await?;
    let spec = the_loop::both_nodes(world);
    let offered = the_loop::proving_offer(world, teller, &spec, 2).await?;
    Ok((began.elapsed(), offered))
}

/// One match and its end.
async fn one(world: &World, app: &str, offered: &Offered) -> Result<Measured> {
    let peer = offered.peers.first();
    let peer = peer.ok_or_else(|| Error::Finding("the offer has no peer".to_owned()))?;
    let unit = peer.units[0];
    pods::ready(world, "prover", unit).await?;
    let contract = deal::create(world, app, 1).await?;
    let seats = deal::seats(world, contract, &[peer]).await?;
    let seat = seats.first().ok_or_else(|| Error::Finding("nothing was matched".to_owned()))?;
    let serving: Steps = watch::until_answered(world, unit, now()).await?;
    deal::activated(world, seat).await?;
    world.driver().stop_deal(world.party().developer.address, contract).await?;
    let hashing = watch::until_hashing(world, unit, now()).await?;
    Ok(Measured { serving, hashing })
}

/// The largest resident memory of the operator's replicas, MiB.
async fn operator_memory(bed: &Bed) -> Result<u64> {
    let mut largest = 0;
    for pod in pods::of_component(bed.client(), "operator").await? {
        for process in processes_of(&pods::uid(&pod))? {
            let status = fs::read_to_string(format!("/proc/{}/status", process.id));
            let status = status.unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            largest = largest.max(kibibytes.unwrap_or(0) / 1024);
        }
    }
    Ok(largest)
}

#[expect(clippy::print_stdout, reason = "the table is what the person at the terminal asked for")]
fn print(text: &str) {
    println!("{text}");
}

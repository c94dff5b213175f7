//! The loop's speed: from a match on chain to the worker's first answer, and back; kept in `BENCH.md`.

mod report;
mod scale;
mod watch;

use std::{fs, time::Duration};

use k8s_openapi::api::core::v1::Pod;

use crate::{
    bed::{self, Bed},
    story::{Teller, account, deal, end, now, offer::Offered, pods, product, the_loop},
    world::{Error, Result, World, processes_of},
};

pub use report::{Figures, Measured};
pub use scale::{Reading, Scale};
use watch::Steps;

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything, with so many matches; the report is kept.
    Whole(usize),
    /// Only what a unit costs the operator; the figures are shown and not kept.
    Scale,
}

/// Units of the bed's own nodes.
const UNITS: u32 = 2;

/// Measures, and shows the report.
///
/// # Errors
/// What the stories' steps report; the figures of an incomplete run are not kept.
pub async fn run(scope: Scope) -> Result<()> {
    let teller = Teller::of("bench");
    let stage = Box::pin(product::set_up(&teller, 2)).await?;
    let world = World::open(&stage.bed, "bench", &stage.parties[0]).await?;
    let (install_to_proving, offered) = install(&stage, &world, &teller).await?;
    let mut figures = Figures { install_to_proving, ..Figures::default() };
    figures.operator_memory_mib = operator_memory(&stage.bed).await?;
    if let Scope::Whole(count) = scope {
        figures.matches = matches(&stage, &world, (&offered, count), &teller).await?;
        figures.operator_memory_after_mib = operator_memory(&stage.bed).await?;
    }
    figures.scale = Box::pin(scale::measure(&stage, &world, (UNITS, &teller))).await?;
    end::release(&world).await?;
    world.close().await?;
    match scope {
        Scope::Whole(_) => keep(&stage.bed, &figures.report()),
        Scope::Scale => {
            print(&figures.scale_report());
            Ok(())
        }
    }
}

fn keep(bed: &Bed, text: &str) -> Result<()> {
    print(text);
    let file = bed.paths().checkout.join("e2e/BENCH.md");
    fs::write(&file, text)
        .map_err(|error| Error::Finding(format!("{} cannot be written: {error}", file.display())))
}

/// `count` matches one after the other.
async fn matches(
    stage: &product::Stage,
    world: &World,
    (offered, count): (&Offered, usize),
    teller: &Teller,
) -> Result<Vec<Measured>> {
    let mut matches = Vec::new();
    // One more than is counted: the first one fills the caches.
    for number in 0..=count {
        let measured = one(world, &stage.apps.hello, offered).await?;
        teller.aside(&format!("match {number}: {measured}"));
        if number > 0 {
            matches.push(measured);
        }
    }
    account::nonces_are_whole(world, teller).await?;
    Ok(matches)
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
        largest = largest.max(resident_kibibytes(&pod)? / 1024);
    }
    Ok(largest)
}

/// The resident memory of a pod's largest process.
fn resident_kibibytes(pod: &Pod) -> Result<u64> {
    let mut largest = 0;
    for process in processes_of(&pods::uid(pod))? {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        largest = largest.max(kibibytes.unwrap_or(0));
    }
    Ok(largest)
}

#[expect(clippy::print_stdout, reason = "the table is what the person at the terminal asked for")]
fn print(text: &str) {
    println!("{text}");
}

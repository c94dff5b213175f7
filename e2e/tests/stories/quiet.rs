use std::time::Duration;

use coreward_e2e::{
    bed::NAMESPACE,
    story::{
        Teller, ensure,
        offer::{self, Offered},
        operators, proving,
        rest::{Object, Versions, WINDOW, requests_per_block, rest, strays, versions},
        statuses, the_loop,
        witness::{self, Witness},
    },
    world::{Result, World},
};
use serde_json::json;

use super::{
    Needs, Told, alone,
    killed_anywhere::{keep, number},
    mass_change, people, tell_and_release,
};

/// Minutes of chain time without any event.
const MINUTES: &str = "COREWARD_QUIET_MINUTES";
const USUAL_MINUTES: u64 = 3;
/// How often all operators are replaced by new ones.
const RESTARTS: &str = "COREWARD_QUIET_RESTARTS";
const USUAL_RESTARTS: u64 = 3;
/// Where the result is written, if anywhere.
const REPORT: &str = "COREWARD_QUIET";
/// How far two measurements of requests per block may be apart: the operator polls by its own clock, not by blocks.
const TOLERANCE: f64 = 0.15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet() -> Told {
    let teller = Teller::of("quiet");
    let told = alone(&teller, Needs::Solitude, async |stage| {
        tell_and_release(stage, ("quiet", people::QUIET), async |world| {
            tell_and_release(stage, ("quiet", people::LATE_BESIDE_QUIET), async |late| {
                let offered = tell(world, late, &teller).await?;
                // It upgrades the product for all, so it too must be alone.
                mass_change::tell(world, &teller, (stage, &offered)).await
            })
            .await
        })
        .await
    });
    told.await
}

async fn tell(world: &World, late: &World, teller: &Teller) -> Result<Offered> {
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    teller.step("all is at rest", rest(world)).await?;
    let epoch = world.oracle().epoch().await?.number;
    let before = versions(world).await?;
    let minutes = number(MINUTES)?.unwrap_or(USUAL_MINUTES);
    let passed = rates(world, minutes * 60 / WINDOW);
    let rates = teller.step(&format!("{minutes} minutes pass"), passed).await?;
    let after = versions(world).await?;
    ensure(world.oracle().epoch().await?.number == epoch, || "the epoch ended".to_owned())?;
    let changed = changed(&before, &after);
    ensure(changed.is_empty(), || format!("{} objects were written: {changed:?}", changed.len()))?;
    teller.aside(&format!("{} objects, none of them written", before.len()));
    let stray = strays(world).await?;
    ensure(stray.is_empty(), || format!("nobody says whose these are: {stray:?}"))?;
    teller.aside("each of them has our label, or an owner");
    let told = statuses::are_of_their_generation(world).await?;
    teller.aside(&format!("status and conditions of {told} objects are of the generation that is"));
    let mean = rates.iter().sum::<f64>() / f64::from(u32::try_from(rates.len()).unwrap_or(1));
    ensure(rates.iter().all(|rate| is_near(*rate, mean)), || {
        format!("requests per block vary: {rates:.2?}")
    })?;
    teller.aside(&format!("{mean:.2} requests per block with two units"));
    let without = restarts(world, teller, &offered).await?;
    keep(REPORT, &report((minutes, before.len()), mean, without)?)?;

    let mut third = late.offer("late", "shared");
    third["spec"]["capacity"]["coreIsolation"] = json!("Preferred");
    third["spec"]["capacity"]["unitsPerNode"] = json!(1);
    let third = offer::register(late, teller, &third, 1).await?;
    offer::activate(late, teller, third).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    teller.step("all is at rest again", rest(world)).await?;
    let more = requests_per_block(world).await?;
    teller.aside(&format!("{more:.2} requests per block with three units"));
    ensure(is_near(more, mean), || format!("{more:.2} with three units, {mean:.2} with two"))?;
    Ok(offered)
}

/// New operators find all as it is: no unit's pod is another, no transaction is sent, and nothing is written of what is so
/// already.
///
/// Gives how long nobody led when the leader was evicted.
async fn restarts(world: &World, teller: &Teller, offered: &Offered) -> Result<Duration> {
    let witness = Witness::begin(world).await?;
    let before = versions(world).await?;
    let count = number(RESTARTS)?.unwrap_or(USUAL_RESTARTS);
    for _ in 0..count {
        operators::renew(world).await?;
        witness::blocks(world, 2).await?;
    }
    let (without, refusal) = operators::evict_both(world).await?;
    teller.aside(&format!(
        "the leader is evicted: nobody leads for {without:.1?}; the other: {refusal}"
    ));
    witness::settled(world, offered, &[]).await?;
    teller.step("all is at rest after restarts", rest(world)).await?;
    witness.pods_are_the_same(world).await?;
    let sent = witness.only_proofs_were_sent(world).await?;
    ensure(sent.is_empty(), || format!("{} transactions were sent", sent.len()))?;
    let after = versions(world).await?;
    let mut written = changed(&before, &after);
    written.retain(|object| !goes_with_replicas(object));
    ensure(written.is_empty(), || format!("{} objects were written: {written:?}", written.len()))?;
    teller.aside(&format!("{count} times new operators: nothing sent, nothing written"));
    Ok(without)
}

/// What is kept of a long run, as Markdown; everything in it was made sure of before.
fn report((minutes, objects): (u64, usize), requests: f64, without: Duration) -> Result<String> {
    let restarts = number(RESTARTS)?.unwrap_or(USUAL_RESTARTS);
    let without = without.as_secs_f64();
    Ok(format!(
        "# Quiet\n\nWritten by `make soak`: nothing happens, then all operators are replaced by new ones, one time after the \
         other, on a real\ncluster and the real contracts.\n\n| what | |\n| --- | ---: |\n\
         | minutes of chain time without an event | {minutes} |\n\
         | objects of ours; written meanwhile | {objects}; 0 |\n\
         | requests to the chain per block, the lease's aside | {requests:.2} |\n\
         | times that all operators were replaced | {restarts} |\n\
         | transactions sent but proofs, unit pods replaced, objects written by that | 0, 0, 0 |\n\
         | seconds without a leader when it was evicted | {without:.1} |\n"
    ))
}

/// Whether an object changes with the operator's own replicas: they, what the cluster tells of them, and where they are found.
fn goes_with_replicas((kind, namespace, _): &Object) -> bool {
    namespace == NAMESPACE && ["Pod", "Event", "EndpointSlice"].contains(&kind.as_str())
}

/// What is new, gone or of another version.
fn changed<'seen>(before: &'seen Versions, after: &'seen Versions) -> Vec<&'seen Object> {
    let other = before.iter().filter(|(object, version)| match after.get(*object) {
        Some(now) => now != *version,
        // The API server drops events by itself when they are an hour old.
        None => object.0 != "Event",
    });
    let new = after.keys().filter(|object| !before.contains_key(*object));
    other.map(|(object, _)| object).chain(new).collect()
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() <= TOLERANCE * other
}

/// Requests per block in each of `count` windows one after the other.
async fn rates(world: &World, count: u64) -> Result<Vec<f64>> {
    let mut rates = Vec::new();
    for _ in 0..count {
        rates.push(requests_per_block(world).await?);
    }
    Ok(rates)
}

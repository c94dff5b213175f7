//! What a unit costs the operator: its memory and its requests to the chain with the bed's two units, and with 200 more.
//!
//! The API server, the contracts and the operator are real. The nodes of the 200 are KWOK's, and what would run on them
//! is played towards the operator's endpoint: reports, and proofs that are no work.

mod line;
mod players;

use std::time::Duration;

use super::resident_kibibytes;
use crate::{
    bed::{self, Bed, SIMULATED, Simulated},
    story::{
        Teller, end, ensure, now, offer, pods,
        product::Stage,
        proving,
        rest::{requests_per_block, rest},
    },
    world::{Error, Result, World, chain_of, until},
};

/// Nodes that are simulated.
const NODES: u32 = 10;
/// Units on each.
const UNITS_PER_NODE: u32 = 20;
/// GiB of memory of each: enough for its units in light mode.
const GIBIBYTES: u32 = 128;
/// What scheduling and playing all provers may take on a busy machine.
const PROVERS: Duration = Duration::from_mins(5);

/// The operator with so many units, at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// Units.
    pub units: u32,
    /// Resident memory of the replica that leads, KiB.
    pub memory_kib: u64,
    /// Requests that it sends to the chain for each block.
    pub requests_per_block: f64,
}

/// The two readings, and how long the way from one to the other was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scale {
    /// With the bed's own units.
    pub few: Reading,
    /// With the simulated ones as well.
    pub many: Reading,
    /// From the applied offer to the last of the simulated units' first proofs on chain.
    pub offer_to_proofs: Duration,
}

impl Scale {
    /// KiB that one more unit takes; less than nothing where the allocator gave more back than the units took.
    #[must_use]
    pub fn kib_per_unit(&self) -> f64 {
        let units = f64::from(self.many.units.saturating_sub(self.few.units).max(1));
        (mebibytes(self.many.memory_kib) - mebibytes(self.few.memory_kib)) * 1024.0 / units
    }

    /// MiB that 1,000 units take at that slope.
    #[must_use]
    pub fn mib_per_thousand(&self) -> f64 {
        self.kib_per_unit() * 1000.0 / 1024.0
    }
}

/// KiB as MiB.
#[expect(clippy::cast_precision_loss, reason = "the memory of a process is far below 2^52 KiB")]
pub(super) fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// Measures with the units that `world` has, then adds the simulated ones, measures again, and removes them.
///
/// # Errors
/// What the steps report. What they leave then is removed by the next set-up, or with the bed.
pub(super) async fn measure(
    stage: &Stage,
    world: &World,
    (few, teller): (u32, &Teller),
) -> Result<Scale> {
    let party = stage.parties.last();
    let party = party.ok_or_else(|| Error::Finding("the bench has no people".to_owned()))?;
    teller.step("all is at rest", rest(world)).await?;
    let few = reading(world, few).await?;
    teller.aside(&few.to_string());
    let nodes = Simulated { nodes: NODES, cpus: cpus(), gibibytes: GIBIBYTES };
    let simulated = told_by_bed(bed::simulate(&stage.bed, nodes));
    teller.step(&format!("KWOK plays {NODES} nodes"), simulated).await?;
    let other = World::open(&stage.bed, "scale", party).await?;
    let total = few.units + NODES * UNITS_PER_NODE;
    let (offer_to_proofs, many) = tokio::select! {
        ended = players::play(stage.bed.client(), UNITS_PER_NODE) => return Err(unplayed(ended)),
        grown = grow(&other, total, teller) => grown?,
    };
    teller.aside(&many.to_string());
    teller.step("the simulated nodes are removed", Box::pin(remove(&stage.bed, other))).await?;
    Ok(Scale { few, many, offer_to_proofs })
}

const fn cpus() -> u32 {
    UNITS_PER_NODE * players::THREADS_PER_CORE
}

fn unplayed(ended: Result<()>) -> Error {
    let over = || Error::Finding("nobody plays the simulated pods any more".to_owned());
    ended.err().unwrap_or_else(over)
}

/// Brings the operator to `total` units at rest.
async fn grow(world: &World, total: u32, teller: &Teller) -> Result<(Duration, Reading)> {
    let began = now();
    sell(world, teller).await?;
    let offer_to_proofs = began.elapsed();
    teller.step("all is at rest again", rest(world)).await?;
    Ok((offer_to_proofs, reading(world, total).await?))
}

/// Sells all simulated nodes, and waits until each of their units has its minimum on chain.
async fn sell(world: &World, teller: &Teller) -> Result<()> {
    let units = NODES * UNITS_PER_NODE;
    let count = usize::try_from(units).unwrap_or_default();
    let spec = world.offer("scale", SIMULATED);
    let offered = offer::register(world, teller, &spec, count).await?;
    let offered = offer::activate(world, teller, offered).await?;
    let what = format!("{units} simulated prover pods are Ready");
    let ready = until(&what, PROVERS, async || {
        let provers = pods::of_component(&world.client(), "prover").await?;
        let ready = provers.iter().filter(|pod| bed::is_simulated(pod) && pods::is_ready(pod));
        let ready = ready.count();
        ensure(ready == count, || format!("{ready} are"))?;
        Ok(Some(()))
    });
    teller.step(&what, ready).await?;
    let words = format!("{units} units have their minimum on chain");
    teller.step(&words, proving::minimum(world, &offered, &offered.units())).await.map(drop)
}

/// Lets the offer go while KWOK still ends its pods, then removes the rest.
async fn remove(bed: &Bed, world: World) -> Result<()> {
    end::release(&world).await?;
    told_by_bed(bed::end_simulation(bed)).await?;
    world.close().await
}

async fn reading(world: &World, units: u32) -> Result<Reading> {
    let requests_per_block = requests_per_block(world).await?;
    let leader = pods::leader(&world.client()).await?;
    let memory_kib = resident_kibibytes(&leader)?;
    Ok(Reading { units, memory_kib, requests_per_block })
}

async fn told_by_bed(work: impl Future<Output = Result<(), bed::Error>>) -> Result<()> {
    work.await.map_err(|error| Error::Finding(chain_of(&error)))
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let memory = mebibytes(self.memory_kib);
        let (units, requests) = (self.units, self.requests_per_block);
        write!(f, "{units} units: {memory:.1} MiB, {requests:.2} requests per block")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_between_the_readings() {
        let reading = |units, memory_kib| Reading { units, memory_kib, ..Reading::default() };
        let scale =
            Scale { few: reading(2, 50 * 1024), many: reading(202, 54 * 1024), ..Scale::default() };
        assert!((scale.kib_per_unit() - 20.48).abs() < 1e-6);
        assert!((scale.mib_per_thousand() - 20.0).abs() < 1e-6);
        let shrunk = Scale { few: scale.many, many: scale.few, ..scale };
        assert!(shrunk.kib_per_unit() < 0.0);
    }
}

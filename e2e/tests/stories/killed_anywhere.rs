use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{B256, U256};
use coreward_e2e::{
    bed::variable,
    chain::{AcceptedProof, CommitmentStatus, DealStatus, Parameters},
    story::{
        STEP, Teller, account, deal, ensure,
        killer::{self, Kill, Killed},
        offer::Offered,
        pods, proving, the_loop,
    },
    world::{Error, Result, World, until},
};
use futures::future;
use serde_json::json;

use super::{Needs, Told, on_stage, people};

/// How many kills; the soak asks for more.
const ROUNDS: &str = "COREWARD_KILLS";
const FEW: usize = 20;
/// The seed of an earlier run, to see it again.
pub(crate) const SEED: &str = "COREWARD_SEED";
/// Where the result is written, if anywhere.
const REPORT: &str = "COREWARD_SOAK";
/// Base units of USDC that a deal pays per epoch.
const PRICE: u64 = 1_000_000;
/// Epochs in which a deal of one loop is billed: the one of its match, and the one that is ended while it serves.
const BILLED: u64 = 2;
/// The phases of a loop: prove, match, serve, stop, prove; in which of them a worker runs.
const HAS_WORKER: [bool; 5] = [false, true, true, false, false];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere() -> Told {
    // Who leads is killed for the offers of all.
    on_stage(
        "killed_anywhere",
        (people::KILLED_ANYWHERE, Needs::Solitude),
        async |world, teller, stage| tell(world, teller, &stage.apps.hello).await,
    )
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let rounds = number(ROUNDS)?.map_or(FEW, |rounds| usize::try_from(rounds).unwrap_or(FEW));
    let seed = number(SEED)?.unwrap_or_else(rand::random);
    teller.aside(&format!("{rounds} kills, {SEED}={seed}"));
    let start = world.oracle().flt(world.party().provider.address).await?;
    let mut spec = the_loop::both_nodes(world);
    // All that is found is sent: what is missing on chain is lost.
    spec["spec"]["proofs"] = json!({ "target": "Maximum" });
    let offered = the_loop::proving_offer(world, teller, &spec, 2).await?;
    let units = offered.units();
    proving::all(world, &offered, (&units, most())).await?;
    let killed = Mutex::default();
    let course = Course { world, teller, app, offered, units, killed };
    let loops = killer::plan(seed, rounds, HAS_WORKER);
    let count = loops.len();
    for phases in loops {
        Box::pin(course.one_loop(phases)).await?;
    }
    let superfluous = course.no_proof_is_lost().await?;
    Box::pin(course.all_is_well(start)).await?;
    let report = course.report((seed, count), superfluous).await?;
    keep(REPORT, &report).map(drop)
}

/// Writes a report where a variable of the environment says, if it does; gives whether it did.
pub(crate) fn keep(name: &str, report: &str) -> Result<bool> {
    let Some(path) = variable(name) else { return Ok(false) };
    fs::write(&path, report)
        .map_err(|error| Error::Finding(format!("{path} cannot be written: {error}")))?;
    Ok(true)
}

/// The number that a variable of the environment gives.
pub(crate) fn number(name: &str) -> Result<Option<u64>> {
    let number = variable(name).map(|text| text.parse()).transpose();
    number.map_err(|_| Error::Finding(format!("{name} is no number")))
}

/// The most that the contract takes of a unit in an epoch.
fn most() -> u64 {
    Parameters::for_stories().max_proofs_per_epoch
}

/// What was done so far.
struct Course<'a> {
    world: &'a World,
    teller: &'a Teller,
    app: &'a str,
    offered: Offered,
    units: Vec<B256>,
    killed: Mutex<Vec<Killed>>,
}

impl Course<'_> {
    /// Proves, serves a deal of the first unit, proves again; with kills in each phase.
    async fn one_loop(&self, phases: [Vec<Kill>; 5]) -> Result<()> {
        let [prove, matching, serve, stop, again] = phases;
        let (world, teller) = (self.world, self.teller);
        let (units, other) = (self.units.clone(), self.offered.peers[1].units.clone());
        let before = world.oracle().usdc(world.party().provider.address).await?;
        self.phase("an epoch is proved", &prove, self.epoch(&units)).await?;
        let (seat, url, uid) = self
            .phase("a deal is matched, and answers", &matching, Box::pin(self.matched()))
            .await?;
        let serving = async {
            self.epoch(&other).await?;
            deal::answers(&url).await
        };
        self.phase("it serves through an epoch", &serve, serving).await?;
        let same = pods::ready(world, "worker", seat.unit).await?;
        ensure(pods::uid(&same) == uid, || "the worker's pod was replaced".to_owned())?;
        let stopped = async {
            world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
            self.returned(&seat).await?;
            // What the unit finds in the rest of the epoch is lost where the story ends the epoch under it.
            proving::all(world, &self.offered, (&units, most())).await
        };
        self.phase("it is stopped, and its unit proves again", &stop, stopped).await?;
        self.phase("an epoch is proved", &again, self.epoch(&units)).await?;
        account::paid(world, teller, (&self.offered, &seat), (before, PRICE, BILLED)).await?;
        let facts = world.oracle().deal(seat.deal).await?;
        ensure(facts.status == DealStatus::Ended && facts.workers.is_empty(), || {
            format!("the deal is {facts:?}")
        })?;
        Ok(())
    }

    /// Tells a phase and its kills; both must come to their end.
    async fn phase<T>(
        &self,
        words: &str,
        kills: &[Kill],
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let killing = future::try_join_all(kills.iter().map(|kill| kill.strike(self.world)));
        let both = async { tokio::try_join!(Box::pin(work), killing) };
        let victims: Vec<String> = kills.iter().map(|kill| kill.victim.to_string()).collect();
        let words = format!("{words}; killed: {}", victims.join(", "));
        let (done, killed) = self.teller.step(&words, both).await?;
        self.killed().extend(killed);
        Ok(done)
    }

    fn killed(&self) -> MutexGuard<'_, Vec<Killed>> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the epoch; the next has all proofs of these units.
    async fn epoch(&self, units: &[B256]) -> Result<()> {
        self.world.driver().next_epoch().await?;
        proving::all(self.world, &self.offered, (units, most())).await
    }

    /// Makes and matches a deal; gives its seat, where it answers, and its pod's UID.
    async fn matched(&self) -> Result<(deal::Seat, String, String)> {
        let world = self.world;
        let seat = deal::matched(world, self.app, &[&self.offered.peers[0]]).await?.remove(0);
        let pod = pods::ready(world, "worker", seat.unit).await?;
        let url = deal::answering(world, &seat).await?;
        Ok((seat, url, pods::uid(&pod)))
    }

    async fn returned(&self, seat: &deal::Seat) -> Result<()> {
        until("the unit is free on chain", STEP, async || {
            let peer = self.world.oracle().peer(seat.peer).await?;
            let unit = peer.unitIds.into_iter().find(|unit| unit.id == seat.unit);
            Ok(unit.filter(|unit| unit.deal.is_zero()).map(drop))
        })
        .await?;
        pods::gone(self.world, "worker", seat.unit).await?;
        pods::ready(self.world, "prover", seat.unit).await.map(drop)
    }

    /// Whatever a killed prover had kept is on chain, or its unit had all that the contract takes; gives how many of the
    /// latter there were.
    async fn no_proof_is_lost(&self) -> Result<usize> {
        let accepted = self.world.oracle().accepted_proofs(self.world.from_block()).await?;
        let kept: Vec<(u64, B256)> =
            self.killed().iter().flat_map(|killed| killed.kept.clone()).collect();
        let has = |(epoch, nonce): &(u64, B256)| {
            let same =
                |proof: &&AcceptedProof| proof.epoch == *epoch && proof.local_nonce == *nonce;
            accepted.iter().find(same).is_some()
        };
        let missing: Vec<_> = kept.iter().filter(|kept| !has(kept)).collect();
        for (epoch, nonce) in &missing {
            let full = |unit: &B256| {
                let of = accepted.iter().filter(|it| it.epoch == *epoch && it.unit == *unit);
                of.count() as u64 == most()
            };
            ensure(self.units.iter().all(full), || {
                format!("proof {nonce} of epoch {epoch} was kept, and is not on chain")
            })?;
        }
        self.teller.aside(&format!(
            "{} proofs were on volumes of killed provers; {} of them were one too many",
            kept.len(),
            missing.len()
        ));
        Ok(missing.len())
    }

    /// The chain is as if nothing had happened.
    async fn all_is_well(&self, start: U256) -> Result<()> {
        let (world, teller) = (self.world, self.teller);
        for peer in &self.offered.peers {
            let commitment = world.oracle().commitment(peer.commitment).await?;
            let status = CommitmentStatus::try_from(commitment.status)?;
            ensure(
                status == CommitmentStatus::Active && commitment.totalFailCount.is_zero(),
                || format!("a commitment is {status:?} with {} fails", commitment.totalFailCount),
            )?;
            let units = world.oracle().peer(peer.peer).await?.unitIds;
            ensure(units.iter().all(|unit| unit.deal.is_zero()), || "a unit is taken".to_owned())?;
        }
        teller.aside("both commitments are Active without a fail, both units free");
        account::rewarded(world, teller, &self.offered, (start, world.from_block())).await?;
        proving::check_all(world, teller).await?;
        account::nonces_are_whole(world, teller).await
    }
}

impl Course<'_> {
    /// The result as a page.
    async fn report(&self, (seed, loops): (u64, usize), superfluous: usize) -> Result<String> {
        let (world, party) = (self.world, self.world.party());
        let proofs = world.oracle().accepted_proofs(world.from_block()).await?;
        let epochs: BTreeSet<u64> = proofs.iter().map(|proof| proof.epoch).collect();
        let mut sent = 0;
        for account in [party.provider.address, party.peer_owner.address] {
            sent += world.oracle().used_nonces(account, world.from_block()).await?.len();
        }
        let mut text = format!(
            "# Killed anywhere\n\n\
             Written by `make soak`: programs ended by SIGKILL at random moments over {loops} loops of proving, a match, \n\
             serving, a stop, and proving again, on a real cluster and the real contracts. Seed {seed}.\n\n\
             | killed | times | back after, median | back after, longest |\n| --- | ---: | ---: | ---: |\n"
        );
        for (victim, times) in killer::by_victim(&self.killed()) {
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            let _ = writeln!(
                text,
                "| {victim} | {} | {:.1} s | {:.1} s |",
                times.len(),
                median.as_secs_f32(),
                longest.as_secs_f32()
            );
        }
        let units = self.units.len();
        let _ = write!(
            text,
            "\n| checked on the chain and on the pods | |\n| --- | ---: |\n\
             | epochs with all proofs of every unit that proved | {} |\n\
             | proofs accepted, each computed again | {} |\n\
             | proofs that a killed prover had kept and that are not on chain, their unit lacking some | 0 |\n\
             | kept ones beyond what the contract takes | {superfluous} |\n\
             | transactions of the two keys; no nonce twice, none left out | {sent} |\n\
             | deals served, paid to the base unit | {loops} |\n\
             | pods of serving workers replaced | 0 |\n\
             | fails of the {units} commitments | 0 |\n",
            epochs.len(),
            proofs.len(),
        );
        Ok(text)
    }
}

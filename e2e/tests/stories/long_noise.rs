//! Epochs that end by the clock, deals that come and go, kills and outages, all at once and for long.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use alloy::primitives::B256;
use coreward_e2e::{
    chain::Parameters,
    fault::{Api, Faults, Rpc},
    story::{
        Teller, account, deal, ensure,
        killer::{self, Kill, Killed, Victim},
        now,
        offer::Offered,
        pods, proving,
        rest::{rest, versions},
        the_loop,
    },
    world::{Result, World, processes_of, until},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Needs, Told,
    killed_anywhere::{SEED, keep, number},
    on_stage, people,
};

/// Minutes that it lasts.
const MINUTES: &str = "COREWARD_NOISE_MINUTES";
const USUAL_MINUTES: u64 = 30;
/// Where the result is written, if anywhere.
const REPORT: &str = "COREWARD_NOISE";
/// Chain seconds of an epoch: two outages and the start of a new leader fit in.
const EPOCH: u64 = 75;
/// Seconds between two kills, between two outages, and of an outage: the shortest and the longest.
const KILLS: (u64, u64) = (8, 30);
const CALM: (u64, u64) = (8, 25);
const OUTAGE: (u64, u64) = (2, 15);
/// Seconds that a deal is served.
const SERVED: (u64, u64) = (5, 60);
/// KiB by which the operators' memory may differ, besides a quarter: what a cache holds.
const SPARE: u64 = 16 * 1024;
/// What a wait for a chain time may take: nobody but the block clock decides.
const LIMIT: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half an hour of noise: make soak"]
async fn long_noise() -> Told {
    on_stage("long_noise", (people::LONG_NOISE, Needs::Solitude), async |world, teller, stage| {
        tell(world, teller, &stage.apps.hello).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let minutes = number(MINUTES)?.unwrap_or(USUAL_MINUTES);
    let seed = number(SEED)?.unwrap_or_else(rand::random);
    teller.aside(&format!("{minutes} minutes, {SEED}={seed}"));
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    teller.step("all is at rest", rest(world)).await?;
    let before = standing(world).await?;
    let noise = Noise {
        world,
        app,
        offered: &offered,
        seed,
        is_over: AtomicBool::new(false),
        begun: Mutex::default(),
        deals: AtomicU64::new(0),
        killed: Mutex::default(),
        outages: Mutex::default(),
    };
    teller.step("noise", Box::pin(noise.make(minutes))).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    for peer in &offered.peers {
        let fails = world.oracle().commitment(peer.commitment).await?.totalFailCount;
        ensure(fails.is_zero(), || format!("{fails} epochs were missed by peer {}", peer.peer))?;
    }
    teller.aside("no epoch was missed");
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await?;
    teller.step("all is at rest again", rest(world)).await?;
    let after = standing(world).await?;
    ensure(after.objects == before.objects, || {
        format!("objects were {:?}, and are {:?}", before.objects, after.objects)
    })?;
    ensure(after.memory <= before.memory * 5 / 4 + SPARE, || {
        format!("the operators had {} KiB of memory, and have {}", before.memory, after.memory)
    })?;
    let report = noise.report(minutes, (&before, &after), &noise.minimums().await?);
    if !keep(REPORT, &report)? {
        teller.aside(&report);
    }
    Ok(())
}

/// What must be the same after the noise.
struct Standing {
    /// Objects by kind; what is kept of the past for a time, events and transactions, is left out.
    objects: BTreeMap<String, usize>,
    /// Resident memory of the operators' processes, KiB.
    memory: u64,
}

async fn standing(world: &World) -> Result<Standing> {
    let mut objects = BTreeMap::new();
    for (kind, ..) in versions(world).await?.into_keys() {
        if kind != "Event" && kind != "ChainTransaction" {
            *objects.entry(kind).or_default() += 1;
        }
    }
    let mut memory = 0;
    for pod in pods::of_component(&world.client(), "operator").await? {
        let processes = processes_of(&pods::uid(&pod))?;
        let own = processes.iter().filter(|process| process.name.starts_with("coreward"));
        memory += own.filter_map(|process| resident(process.id)).sum::<u64>();
    }
    Ok(Standing { objects, memory })
}

fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// All that goes on at once, and what came of it: the first block of each epoch, and counts.
struct Noise<'a> {
    world: &'a World,
    app: &'a str,
    offered: &'a Offered,
    seed: u64,
    is_over: AtomicBool,
    begun: Mutex<BTreeMap<u64, u64>>,
    deals: AtomicU64,
    killed: Mutex<Vec<Killed>>,
    outages: Mutex<BTreeMap<String, u64>>,
}

impl Noise<'_> {
    async fn make(&self, minutes: u64) -> Result<()> {
        let faults = Faults::between(self.world.bed())?;
        let clock = async {
            let end = now() + Duration::from_secs(60 * minutes);
            while now() < end {
                self.one_epoch().await?;
            }
            self.is_over.store(true, Relaxed);
            Ok(())
        };
        tokio::try_join!(
            clock,
            Box::pin(self.deals()),
            Box::pin(self.kills()),
            Box::pin(self.outages(&faults))
        )?;
        Ok(())
    }

    fn chance(&self, of: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_add(of))
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Relaxed)
    }

    async fn chain_time(&self) -> Result<u64> {
        Ok(self.world.driver().node().head().await?.1)
    }

    /// Lets chain time pass: some whole number of seconds between two.
    async fn pass(&self, chance: &mut StdRng, (least, most): (u64, u64)) -> Result<()> {
        let end = self.chain_time().await? + chance.random_range(least..=most);
        until("chain time passes", LIMIT, async || {
            Ok((self.chain_time().await? >= end || !self.goes_on()).then_some(()))
        })
        .await
    }

    async fn one_epoch(&self) -> Result<()> {
        let end = self.chain_time().await? + EPOCH;
        until("an epoch's time is over", LIMIT, async || {
            Ok((self.chain_time().await? >= end).then_some(()))
        })
        .await?;
        let epoch = self.world.driver().next_epoch().await?;
        let block = self.world.oracle().block_number().await?;
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(epoch, block);
        Ok(())
    }

    async fn deals(&self) -> Result<()> {
        let mut chance = self.chance(1);
        while self.goes_on() {
            let peer = &self.offered.peers[chance.random_range(0..self.offered.peers.len())];
            let seat = deal::matched(self.world, self.app, &[peer]).await?.remove(0);
            let url = deal::answering(self.world, &seat).await?;
            self.pass(&mut chance, SERVED).await?;
            deal::answers(&url).await?;
            let developer = self.world.party().developer.address;
            self.world.driver().stop_deal(developer, seat.deal).await?;
            self.unit_is_back(seat.unit).await?;
            self.deals.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    async fn unit_is_back(&self, unit: B256) -> Result<()> {
        pods::gone(self.world, "worker", unit).await?;
        pods::ready(self.world, "prover", unit).await.map(drop)
    }

    async fn kills(&self) -> Result<()> {
        let mut chance = self.chance(2);
        loop {
            self.pass(&mut chance, KILLS).await?;
            if !self.goes_on() {
                return Ok(());
            }
            let mut victim = Victim::ALL[chance.random_range(0..Victim::ALL.len())];
            let workers = pods::of_component(&self.world.client(), "worker").await?;
            if victim == Victim::Worker && workers.is_empty() {
                victim = Victim::Prover;
            }
            let kill = Kill { victim, after: Duration::ZERO, which: chance.random_range(0..1_000) };
            let killed = kill.strike(self.world).await?;
            self.killed.lock().unwrap_or_else(PoisonError::into_inner).push(killed);
        }
    }

    async fn outages(&self, faults: &Faults) -> Result<()> {
        const LATE: Duration = Duration::from_millis(500);
        let rpcs = [
            Rpc::Away,
            Rpc::Frozen,
            Rpc::Slow(LATE),
            Rpc::TooManyRequests,
            Rpc::Failing,
            Rpc::Empty,
        ];
        let apis = [Api::Away, Api::Cut, Api::Slow(LATE), Api::TooManyRequests, Api::Unavailable];
        let mut chance = self.chance(3);
        while self.goes_on() {
            self.pass(&mut chance, CALM).await?;
            let which = chance.random_range(0..rpcs.len() + apis.len());
            let name = if let Some(fault) = rpcs.get(which) {
                faults.rpc(*fault)?;
                format!("chain: {fault:?}")
            } else {
                let fault = apis[which - rpcs.len()];
                faults.api(fault, None)?;
                format!("API server: {fault:?}")
            };
            self.pass(&mut chance, OUTAGE).await?;
            faults.rpc(Rpc::Well)?;
            faults.api(Api::Well, None)?;
            let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
            *outages.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// Blocks, one a second, from an epoch's begin until a unit had its minimum, in order.
    async fn minimums(&self) -> Result<Vec<u64>> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let least = usize::try_from(Parameters::for_stories().min_proofs_per_epoch).unwrap_or(1);
        let mut proofs: BTreeMap<(u64, B256), Vec<u64>> = BTreeMap::new();
        for proof in self.world.oracle().accepted_proofs(self.world.from_block()).await? {
            proofs.entry((proof.epoch, proof.unit)).or_default().push(proof.block);
        }
        let after = proofs.iter().filter_map(|((epoch, _), blocks)| {
            Some(blocks.get(least - 1)?.saturating_sub(*begun.get(epoch)?))
        });
        let mut after: Vec<u64> = after.collect();
        after.sort_unstable();
        Ok(after)
    }

    fn report(
        &self,
        minutes: u64,
        (before, after): (&Standing, &Standing),
        minimums: &[u64],
    ) -> String {
        let mut text = format!(
            "# Long noise\n\n\
             Written by `make soak`: {minutes} minutes in which epochs of {EPOCH} s ended by the clock, deals came and went, and\n\
             programs were killed and ways cut at random, all at once. Seed {}.\n\n\
             | what | |\n| --- | ---: |\n\
             | epochs | {} |\n| epochs missed | 0 |\n| deals matched, served and stopped | {} |\n",
            self.seed,
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).len(),
            self.deals.load(Relaxed),
        );
        if let [.., latest] = minimums {
            let (count, median) = (minimums.len(), minimums[minimums.len() / 2]);
            let _ = write!(
                text,
                "| minimums of a unit on chain in an epoch | {count} |\n\
                 | the median came after | {median} s |\n| the latest | {latest} s |\n"
            );
        }
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        for (victim, times) in killer::by_victim(&killed) {
            let longest = times[times.len() - 1].as_secs_f32();
            let count = times.len();
            let _ =
                writeln!(text, "| killed: {victim}; back after {longest:.1} s at most | {count} |");
        }
        for (outage, count) in &*self.outages.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(text, "| {outage} | {count} |");
        }
        let _ = write!(
            text,
            "| objects of ours before and after, events and transactions left out | {} / {} |\n\
             | memory of both operators before and after | {} / {} MiB |\n",
            before.objects.values().sum::<usize>(),
            after.objects.values().sum::<usize>(),
            before.memory / 1024,
            after.memory / 1024,
        );
        text
    }
}

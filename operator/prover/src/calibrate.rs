//! Measures a machine before anyone stakes on it.

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io::{self, Write as _};

use alloy_primitives::B256;
use coreward_link::cpu::{CpuError, CpuFiles};
use coreward_randomx::{Difficulty, Mode};
use coreward_telemetry::Shutdown;
use coreward_wire::CpuEvidence;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::info;

use crate::args::CalibrateArgs;
use crate::chance::{Expectation, expected_proofs};
use crate::clock::now;
use crate::miner::{Goal, Job, Miner, Phase};
use crate::puzzle::Key;
use crate::threads::hashing_threads;

/// How often a long build is told of.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// How long a build runs before it is stopped to see how soon that is obeyed.
const INTO_THE_BUILD: Duration = Duration::from_secs(2);

/// How long it hashes before it is told something else: each thread is then in the midst of a hash.
const INTO_THE_HASHING: Duration = Duration::from_millis(500);

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The kernel does not tell about the CPUs.
    #[error("look at the CPUs")]
    Cpu(#[from] CpuError),
    /// The hashing threads could not be started, or the result could not be written.
    #[error("measure this machine")]
    System(#[from] io::Error),
    /// The RandomX engine could not be built.
    #[error("RandomX cannot be built on this machine: the log above says why")]
    Engine,
    /// It was told to end before it had measured.
    #[error("stopped before it was measured")]
    Stopped,
}

/// What was measured.
struct Measured {
    cpu: CpuEvidence,
    threads: NonZeroUsize,
    mode: Mode,
    build: Duration,
    huge_bytes: u64,
    dataset_bytes: u64,
    per_second: f64,
    /// Part of the threads' time that was spent outside hashes.
    lost: f64,
    stop_hashing: Duration,
    reactions: Reactions,
}

/// How long it takes from an order until it has left what it did and begun on what it was told.
struct Reactions {
    new_difficulty: Duration,
    new_epoch: Duration,
    new_epoch_while_building: Duration,
    stop_building: Duration,
}

/// Measures for about a minute, and prints what that means for an epoch's proofs.
///
/// # Errors
///
/// [`CalibrateError`].
pub async fn calibrate(args: CalibrateArgs, shutdown: &Shutdown) -> Result<(), CalibrateError> {
    let cpus = CpuFiles::of_this_machine();
    let (cpu, threads) = (cpus.evidence()?, hashing_threads(&cpus)?);
    let measured = shutdown.token().run_until_cancelled(measure(&args, cpu, threads)).await;
    let measured = measured.ok_or(CalibrateError::Stopped)??;
    let expectation = args.expectation(measured.build);
    writeln!(io::stdout().lock(), "{measured}\n{}", args.table(measured.per_second, expectation))?;
    Ok(())
}

async fn measure(
    args: &CalibrateArgs,
    cpu: CpuEvidence,
    threads: NonZeroUsize,
) -> Result<Measured, CalibrateError> {
    let (mode, length) = (args.mode.engine(), args.length());
    // A difficulty of nothing: no hash is a proof.
    let (found, _proofs) = mpsc::channel(1);
    let miner = Miner::start(mode, threads, found)?;
    let mut phase = miner.phase();
    let begun = now();
    miner.set(Goal::Hash(job(1, 0)));
    until(&miner, &mut phase, Phase::Hashing(mode)).await?;
    let build = begun.elapsed();
    info!("measures the hash rate for {} seconds", length.as_secs());
    let (since, before) = (now(), miner.hashes());
    sleep(length).await;
    let (hashes, took) = (miner.hashes() - before, since.elapsed());
    let stop_hashing = rests(&miner, &mut phase).await?;
    let (hashing, between) = miner.spent();
    let (items, _wanted) = miner.progress();
    let reactions = react(&miner, &mut phase, mode).await?;
    Ok(Measured {
        cpu,
        threads,
        mode,
        build,
        huge_bytes: miner.huge_bytes(),
        dataset_bytes: items * coreward_randomx::ITEM_BYTES as u64,
        per_second: per_second(hashes, took),
        lost: between.as_secs_f64() / (hashing + between).as_secs_f64(),
        stop_hashing,
        reactions,
    })
}

/// Hashes on with the key that is loaded, then gives one order after another.
async fn react(
    miner: &Miner,
    phase: &mut watch::Receiver<Phase>,
    mode: Mode,
) -> Result<Reactions, CalibrateError> {
    let into_the_build = if mode == Mode::Full { INTO_THE_BUILD } else { Duration::ZERO };
    miner.set(Goal::Hash(job(1, 0)));
    until(miner, phase, Phase::Hashing(mode)).await?;
    sleep(INTO_THE_HASHING).await;
    let new_difficulty = takes(miner, phase, job(1, 1)).await?;
    sleep(INTO_THE_HASHING).await;
    let new_epoch = takes(miner, phase, job(2, 1)).await?;
    sleep(into_the_build).await;
    let new_epoch_while_building = takes(miner, phase, job(3, 1)).await?;
    sleep(into_the_build).await;
    let stop_building = rests(miner, phase).await?;
    Ok(Reactions { new_difficulty, new_epoch, new_epoch_while_building, stop_building })
}

/// Gives the miner another job; how long it takes to begin on it: to hash for another difficulty, to build for another key.
async fn takes(
    miner: &Miner,
    phase: &mut watch::Receiver<Phase>,
    job: Job,
) -> Result<Duration, CalibrateError> {
    phase.mark_unchanged();
    let told = now();
    miner.set(Goal::Hash(job));
    let begun = phase.changed().await;
    if begun.is_err() || *phase.borrow() == Phase::Broken {
        return Err(CalibrateError::Engine);
    }
    Ok(told.elapsed())
}

/// Tells the miner to rest; how long it takes to obey.
async fn rests(
    miner: &Miner,
    phase: &mut watch::Receiver<Phase>,
) -> Result<Duration, CalibrateError> {
    let told = now();
    miner.set(Goal::Rest);
    until(miner, phase, Phase::Resting).await?;
    Ok(told.elapsed())
}

/// Waits until the miner is in this phase, and tells how far a dataset is meanwhile.
async fn until(
    miner: &Miner,
    phase: &mut watch::Receiver<Phase>,
    wanted: Phase,
) -> Result<(), CalibrateError> {
    let mut ticks = interval(TOLD_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        tokio::select! {
            reached = phase.wait_for(|now| *now == wanted || *now == Phase::Broken) => {
                let is_broken = reached.map_or(true, |phase| *phase == Phase::Broken);
                return if is_broken { Err(CalibrateError::Engine) } else { Ok(()) };
            }
            _ = ticks.tick() => {
                let (made, wanted) = miner.progress();
                if let Some(percent) = (made * 100).checked_div(wanted) {
                    info!("the dataset is made to {percent} %");
                }
            }
        }
    }
}

/// A puzzle of this number's key whose hashes are worth nothing: none will be as small as either difficulty, 0 or 1.
fn job(number: u8, difficulty: u8) -> Job {
    let (global_nonce, unit_id) = (B256::ZERO, B256::with_last_byte(number));
    Job {
        unit_id,
        epoch: 0,
        global_nonce,
        key: Key::of(global_nonce, unit_id),
        difficulty: Difficulty::new(B256::with_last_byte(difficulty).0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the hashes of minutes are far below 2^52")]
fn per_second(hashes: u64, took: Duration) -> f64 {
    hashes as f64 / took.as_secs_f64()
}

impl CalibrateArgs {
    /// What an epoch asks and leaves, once the dataset is built.
    fn expectation(&self, build: Duration) -> Expectation {
        let epoch = Duration::from_secs(self.epoch_seconds);
        Expectation {
            difficulty: self.difficulty,
            time: epoch.saturating_sub(build),
            minimum: self.minimum,
        }
    }

    fn table(&self, per_second: f64, expectation: Expectation) -> String {
        let proofs = expected_proofs(per_second, expectation);
        let useful = f64::from(self.useful);
        let until_done = if proofs > useful {
            let hours = expectation.time.as_secs_f64() / 3600.0 * useful / proofs;
            format!("{hours:.1} hours, then it idles")
        } else {
            "more than an epoch".to_owned()
        };
        format!(
            "\
expected proofs per epoch     {proofs:.1}
all {} that are of use in     {until_done}
chance to miss the minimum    {:.1e} ({} proofs in {} s at difficulty {})",
            self.useful,
            expectation.chance_of_missing(per_second),
            self.minimum,
            expectation.time.as_secs(),
            self.difficulty,
        )
    }
}

impl fmt::Display for Measured {
    #[expect(clippy::cast_precision_loss, reason = "a handful of threads")]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.cpu.whole_cores { "whole cores" } else { "not whole cores of its own" };
        writeln!(
            out,
            "CPUs                          {} of {}, {cores}",
            self.cpu.cpus, self.cpu.online
        )?;
        writeln!(out, "threads                       {}", self.threads)?;
        if self.mode == Mode::Full {
            writeln!(out, "dataset built in              {:.1} s", self.build.as_secs_f64())?;
            writeln!(
                out,
                "dataset in huge pages         {} of {} MiB",
                self.huge_bytes >> 20,
                self.dataset_bytes >> 20
            )?;
        }
        writeln!(out, "hash rate                     {:.1} H/s", self.per_second)?;
        writeln!(
            out,
            "hash rate per thread          {:.1} H/s",
            self.per_second / self.threads.get() as f64
        )?;
        writeln!(out, "time lost outside hashes      {:.4} %", self.lost * 100.0)?;
        writeln!(out, "stops hashing within          {:.1} ms", milliseconds(self.stop_hashing))?;
        write!(out, "{}", self.reactions)
    }
}

impl fmt::Display for Reactions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [stop, difficulty, epoch, while_building] = [
            self.stop_building,
            self.new_difficulty,
            self.new_epoch,
            self.new_epoch_while_building,
        ]
        .map(milliseconds);
        write!(
            out,
            "\
stops building within         {stop:.1} ms
takes a new difficulty within {difficulty:.1} ms (until it hashes for it)
takes a new epoch within      {epoch:.1} ms (until it builds for it)
takes a new epoch while building within {while_building:.1} ms (until it builds for it)"
        )
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

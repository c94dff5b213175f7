//! The short pod that tells what a node's CPUs are like: its own CPU set against the core's siblings, and a rate.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::thread;

use alloy_primitives::B256;
use coreward_link::cpu::{CpuError, CpuFiles};
use coreward_link::{BackOff, Link, LinkError};
use coreward_randomx::{Engine, Error, Fluence, Mode, Progress, Work};
use coreward_telemetry::{Shutdown, causes};
use coreward_wire::{ProbeReport, Report};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::args::ProbeArgs;
use crate::clock::now;
use crate::nonce::Nonces;
use crate::threads::hashing_threads;

/// How long the operator is tried; beyond that the container is restarted and measures again.
const PATIENCE: Duration = Duration::from_mins(5);

/// Why the probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The line to the operator is not configured right, or the operator refused the report for good.
    #[error("report to the operator")]
    Link(#[from] LinkError),
    /// The kernel does not tell about the pod's CPUs.
    #[error("look at the pod's CPUs")]
    Cpu(#[from] CpuError),
    /// It could not hash.
    #[error("measure the hash rate")]
    Hash(#[from] Error),
    /// The operator did not take the report in time.
    #[error("the operator took no report within {PATIENCE:?}")]
    Away,
    /// It was told to end before its report was taken.
    #[error("stopped before the report was taken")]
    Stopped,
}

/// Measures, reports, and ends when the operator has taken the report.
///
/// # Errors
///
/// [`ProbeError`]; a restart of the container tries again.
pub async fn probe(args: ProbeArgs, shutdown: &Shutdown) -> Result<(), ProbeError> {
    let length = args.length();
    let link = Link::new(args.link.config())?;
    let cpus = CpuFiles::of_this_machine();
    let (cpu, threads) = (cpus.evidence()?, hashing_threads(&cpus)?);
    let measured = spawn_blocking(move || hash_rate(length, threads));
    let measured =
        shutdown.token().run_until_cancelled(measured).await.ok_or(ProbeError::Stopped)?;
    let hash_rate = measured.unwrap_or(Ok(0.0))?;
    info!(
        cpu.list = cpu.cpus,
        cpu.whole_cores = cpu.whole_cores,
        hash.rate_hertz = hash_rate,
        "the probe has CPUs {} of {} and hashes {hash_rate:.1} times a second in light mode",
        cpu.cpus,
        cpu.online
    );
    let report = Report::Probe(ProbeReport { cpu, hash_rate });
    let told =
        shutdown.token().run_until_cancelled_owned(timeout(PATIENCE, tell(link, report))).await;
    told.ok_or(ProbeError::Stopped)?.unwrap_or(Err(ProbeError::Away))
}

async fn tell(link: Link, report: Report) -> Result<(), ProbeError> {
    let mut pauses = BackOff::new();
    loop {
        let Err(error) = link.post_report(&report).await else { return Ok(()) };
        let Some(least) = error.retry() else { return Err(error.into()) };
        if pauses.failures().is_multiple_of(20) {
            warn!(error = %causes(&error), post.failures = pauses.failures(), "the probe's report is not taken by the operator");
        }
        sleep(pauses.pause(least)).await;
    }
}

/// Light-mode hashes per second of so many threads, over about `length`. Blocks.
#[expect(clippy::cast_precision_loss, reason = "the hashes of a minute are far below 2^52")]
fn hash_rate(length: Duration, threads: NonZeroUsize) -> Result<f64, Error> {
    let work = Work { threads, stopped: &|| false, progress: &Progress::default() };
    let loaded = Engine::<Fluence>::new(Mode::Light).load(B256::ZERO.as_slice(), &work)?;
    let (start, count) = (now(), AtomicU64::new(0));
    thread::scope(|scope| {
        let search = || {
            let (mut hasher, mut nonces) = (loaded.hasher()?, Nonces::random());
            while start.elapsed() < length {
                if hasher.advance(nonces.step().as_slice()).is_some() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<(), Error>(())
        };
        let started: Vec<_> = (0..threads.get()).map(|_| scope.spawn(search)).collect();
        started.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    Ok(count.into_inner() as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured() {
        assert!(hash_rate(Duration::from_millis(500), NonZeroUsize::MIN).unwrap() > 0.0);
    }
}

//! Ends programs of ours at random moments, as crashes do, and sees them come back.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf, time::Duration};

use alloy::primitives::B256;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;

use super::{STEP, ensure, now, pods};
use crate::world::{Error, PodProcess, Result, World, processes_of, until};

/// The latest moment of a kill, counted from the beginning of its phase.
const LATEST: u64 = 3_000;
/// Kills of one phase.
const PER_PHASE: usize = 2;
/// Where a prover keeps what it found.
const PROOFS: &str = "var/lib/coreward/proofs";

/// Whose program is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The operator that leads.
    Leader,
    /// A prover.
    Prover,
    /// The worker of a deal.
    Worker,
    /// The agent of a node.
    NodeAgent,
}

impl Victim {
    /// All, in the order in which they are killed in turn.
    pub const ALL: [Self; 4] = [Self::Leader, Self::Prover, Self::Worker, Self::NodeAgent];

    fn component(self) -> &'static str {
        match self {
            Self::Leader => "operator",
            Self::Prover => "prover",
            Self::Worker => "worker",
            Self::NodeAgent => "node",
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Leader => "the operator that leads",
            Self::Prover => "prover",
            Self::Worker => "worker",
            Self::NodeAgent => "node agent",
        })
    }
}

/// A kill to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Whose.
    pub victim: Victim,
    /// This long after its phase began.
    pub after: Duration,
    /// Which one of several, by chance.
    pub which: usize,
}

/// A kill that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// Whose.
    pub victim: Victim,
    /// Until another leads, or until the program ran again.
    pub back: Duration,
    /// What a prover had on its volume then: local nonces by epoch.
    pub kept: Vec<(u64, B256)>,
}

/// The kills of `rounds` rounds, in loops of as many phases as `may_hit` tells of: for each phase, whether a worker runs in
/// it. The same seed gives the same kills.
#[must_use]
pub fn plan<const PHASES: usize>(
    seed: u64,
    rounds: usize,
    has_worker: [bool; PHASES],
) -> Vec<[Vec<Kill>; PHASES]> {
    let mut chance = StdRng::seed_from_u64(seed);
    let victims: Vec<Victim> = Victim::ALL.into_iter().cycle().take(rounds).collect();
    let loops = victims.chunks(PHASES * PER_PHASE);
    loops.map(|victims| one_loop(&mut chance, victims, has_worker)).collect()
}

fn one_loop<const PHASES: usize>(
    chance: &mut StdRng,
    victims: &[Victim],
    has_worker: [bool; PHASES],
) -> [Vec<Kill>; PHASES] {
    let mut kills = [const { Vec::new() }; PHASES];
    // Workers choose first: they have fewer phases.
    let mut victims = victims.to_vec();
    victims.sort_by_key(|victim| *victim != Victim::Worker);
    for victim in victims {
        let fits = |phase: &usize| victim != Victim::Worker || has_worker[*phase];
        let mut phases: Vec<usize> = (0..PHASES).filter(fits).collect();
        phases.shuffle(chance);
        let free = phases.iter().copied().min_by_key(|phase| kills[*phase].len());
        let after = Duration::from_millis(chance.random_range(0..=LATEST));
        let kill = Kill { victim, after, which: chance.random_range(0..1_000) };
        if let Some(phase) = free {
            kills[phase].push(kill);
        }
    }
    kills
}

impl Kill {
    /// Waits for its moment, ends the program, and waits until it is back.
    ///
    /// # Errors
    /// [`Error::Late`] where there is nobody to kill, or nobody comes back.
    pub async fn strike(self, world: &World) -> Result<Killed> {
        // A random moment is what this is about; there is no condition to wait for.
        tokio::time::sleep(self.after).await;
        let leading = pods::leading_process(&world.client()).await?;
        let words = format!("a program of {} runs and can be killed", self.victim);
        let (pod, process, kept) = until(&words, STEP, async || {
            let (pod, process) = self.choose(world).await?;
            let kept = if self.victim == Victim::Prover { kept(&process) } else { Vec::new() };
            process.kill().await?;
            Ok(Some((pod, process, kept)))
        })
        .await?;
        let began = now();
        let words = format!("{} is back after its program was killed", pod.name_any());
        until(&words, STEP, async || match self.victim {
            Victim::Leader => {
                let now = pods::leading_process(&world.client()).await?;
                Ok((now != leading && !now.is_empty()).then_some(()))
            }
            Victim::Prover | Victim::Worker | Victim::NodeAgent => {
                is_back(world, self.victim, &pod, &process).await
            }
        })
        .await?;
        Ok(Killed { victim: self.victim, back: began.elapsed(), kept })
    }

    async fn choose(&self, world: &World) -> Result<(Pod, PodProcess)> {
        let pod = if self.victim == Victim::Leader {
            pods::leader(&world.client()).await?
        } else {
            let found = pods::of_component(&world.client(), self.victim.component()).await?;
            let count = found.len();
            let chosen = found.into_iter().nth(self.which % count.max(1));
            chosen.ok_or_else(|| Error::Finding(format!("no {} is there", self.victim)))?
        };
        let process = own_process(&pod)?;
        let process =
            process.ok_or_else(|| Error::Finding(format!("nothing runs in {}", pod.name_any())))?;
        Ok((pod, process))
    }
}

/// The program of ours in a pod; what else runs there is its children.
///
/// # Errors
/// [`Error::Finding`] where the machine's processes cannot be read.
pub fn own_process(pod: &Pod) -> Result<Option<PodProcess>> {
    let mut ours = processes_of(&pods::uid(pod))?;
    ours.retain(|process| process.name.starts_with("coreward"));
    Ok(ours.into_iter().min_by_key(|process| process.id))
}

/// Whether the pod has a new process; one that was let go meanwhile need not come back.
async fn is_back(
    world: &World,
    victim: Victim,
    pod: &Pod,
    killed: &PodProcess,
) -> Result<Option<()>> {
    let there = pods::of_component(&world.client(), victim.component()).await?;
    let same = there.iter().find(|other| pods::uid(other) == pods::uid(pod));
    let Some(same) = same.filter(|same| same.metadata.deletion_timestamp.is_none()) else {
        return Ok(Some(()));
    };
    let runs = own_process(same)?.is_some_and(|process| process.id != killed.id);
    ensure(runs && pods::is_ready(same), || "it does not work yet".to_owned())?;
    Ok(Some(()))
}

/// The proofs on a prover's volume, read from outside the pod.
fn kept(process: &PodProcess) -> Vec<(u64, B256)> {
    let folder = PathBuf::from(format!("/proc/{}/root", process.id)).join(PROOFS);
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let read = files.flatten().filter_map(|file| fs::read(file.path()).ok());
    read.filter_map(|bytes| {
        let entry: Value = serde_json::from_slice(&bytes).ok()?;
        let proof = &entry["proof"];
        Some((proof["epoch"].as_u64()?, proof["localNonce"].as_str()?.parse().ok()?))
    })
    .collect()
}

/// Kills and the times until all was back, by victim.
#[must_use]
pub fn by_victim(killed: &[Killed]) -> BTreeMap<Victim, Vec<Duration>> {
    let mut times: BTreeMap<Victim, Vec<Duration>> = BTreeMap::new();
    for kill in killed {
        times.entry(kill.victim).or_default().push(kill.back);
    }
    for times in times.values_mut() {
        times.sort();
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_kills_and_no_worker_is_sought_where_none_runs() {
        let has_worker = [false, true, true, false, false];
        let kills = plan(7, 20, has_worker);
        assert_eq!(kills, plan(7, 20, has_worker));
        assert_ne!(kills, plan(8, 20, has_worker));
        assert_eq!(kills.len(), 2);
        for phases in &kills {
            for (phase, has_worker) in phases.iter().zip(has_worker) {
                assert_eq!(phase.len(), PER_PHASE);
                assert!(has_worker || phase.iter().all(|kill| kill.victim != Victim::Worker));
            }
        }
    }
}

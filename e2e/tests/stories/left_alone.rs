//! What pods do of themselves while no operator runs: told at the end of the story of nobody at home.

use alloy::primitives::B256;
use coreward_e2e::{
    story::{
        STEP, Teller, deal, ensure,
        killer::own_process,
        offer::Offered,
        operators, pods, proving,
        witness::{self, Witness},
    },
    world::{Error, PodProcess, Result, World, until},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// Clock ticks that only hashing takes: one second, where the kernel counts a hundred in one.
const MUCH: u64 = 100;

/// Prover and worker are killed while no operator runs: both go on from what is on their volumes.
pub(crate) async fn tell(
    world: &World,
    teller: &Teller,
    (offered, prover, seat): (&Offered, B256, &deal::Seat),
    url: &str,
) -> Result<()> {
    let hashing = pods::ready(world, "prover", prover).await?;
    let serving = pods::ready(world, "worker", seat.unit).await?;
    let before = Witness::begin(world).await?;
    teller.step("all operators are taken away", operators::scale(world, 0)).await?;
    let told = async {
        restarted(&hashing).await?;
        let computes = until("the restarted prover hashes", STEP, async || {
            let process = own_process(&hashing)?;
            let ticks = process.as_ref().and_then(PodProcess::ticks).unwrap_or(0);
            Ok((ticks > MUCH).then_some(()))
        });
        teller.step("a prover is killed: it hashes again, by itself", computes).await?;
        restarted(&serving).await?;
        let answers = deal::answers(url);
        teller.step("a worker is killed: it answers again, by itself", answers).await
    };
    let told = told.await;
    teller.step("operators are there again", operators::scale(world, 2)).await?;
    told?;
    for pod in [&hashing, &serving] {
        let now = pods::of_component(&world.client(), component(pod)).await?;
        ensure(now.iter().any(|it| pods::uid(it) == pods::uid(pod)), || {
            format!("{} is another", pod.name_any())
        })?;
    }
    proving::minimum(world, offered, &[prover]).await?;
    witness::chain_synced(world, offered, "HeadFresh").await?;
    before.nothing_was_sent_in_vain(world).await.map(drop)
}

fn component(pod: &Pod) -> &str {
    pod.labels().get("coreward.dev/component").map_or("", String::as_str)
}

/// Kills the program of a pod, and waits until its container runs another.
async fn restarted(pod: &Pod) -> Result<()> {
    let name = pod.name_any();
    let killed = own_process(pod)?;
    let killed = killed.ok_or_else(|| Error::Finding(format!("nothing runs in {name}")))?;
    killed.kill().await?;
    until(&format!("{name} runs again"), STEP, async || {
        let now = own_process(pod)?;
        Ok(now.is_some_and(|process| process.id != killed.id).then_some(()))
    })
    .await
}

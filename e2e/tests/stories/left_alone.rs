//! What pods do of themselves while no operator runs: told at the end of the story of nobody at home.

use alloy::primitives::B256;
use coreward_e2e::{
    bed,
    fault::{Faults, Rpc},
    story::{
        STEP, Teller, deal, ensure,
        killer::own_process,
        offer::Offered,
        operators, pods, proving,
        witness::{self, Witness},
    },
    world::{Error, PodProcess, Result, World, chain_of, until},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// Clock ticks that only hashing takes: one second, where the kernel counts a hundred in one.
const MUCH: u64 = 100;

/// Prover and worker are killed while nobody is there who could help them: both go on from what is on their volumes.
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
    let told = Box::pin(without_anybody(world, teller, (&hashing, &serving), url)).await;
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

/// No operator runs; neither the chain nor the API server is there while prover and worker are killed.
async fn without_anybody(
    world: &World,
    teller: &Teller,
    (hashing, serving): (&Pod, &Pod),
    url: &str,
) -> Result<()> {
    let bed = world.bed();
    let failed = |error: bed::Error| Error::Finding(chain_of(&error));
    let faults = Faults::between(bed)?;
    faults.rpc(Rpc::Away)?;
    let stopped = bed::stop_api_server(bed).await.map_err(failed);
    let told = match stopped {
        Ok(()) => both_go_on(teller, (hashing, serving), url).await,
        failed => failed,
    };
    // Whatever came of it, the next story finds the API server.
    let back = async { bed::start_api_server(bed).await.map_err(failed) };
    let back = teller.step("the API server is there again", back).await;
    told.and(back)
}

async fn both_go_on(teller: &Teller, (hashing, serving): (&Pod, &Pod), url: &str) -> Result<()> {
    teller.aside("the chain's endpoint and the API server are away too");
    restarted(hashing).await?;
    let computes = until("the restarted prover hashes", STEP, async || {
        let process = own_process(hashing)?;
        let ticks = process.as_ref().and_then(PodProcess::ticks).unwrap_or(0);
        Ok((ticks > MUCH).then_some(()))
    });
    teller.step("a prover is killed: it hashes again, by itself", computes).await?;
    restarted(serving).await?;
    let answers = deal::answers(url);
    teller.step("a worker is killed: it answers again, by itself", answers).await
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

use coreward_e2e::{
    story::{STEP, Teller, account, deal, ensure, pods, proving, the_loop},
    world::{Error, Result, World, processes_of, until},
};
use kube::ResourceExt;

use super::{Needs, Told, on_stage, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_once() -> Told {
    on_stage("killed_once", (people::KILLED_ONCE, Needs::Cores), async |world, teller, stage| {
        Box::pin(tell(world, teller, &stage.apps.hello)).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    let mut running = deal::matched(world, app, &[&offered.peers[0]]).await?;
    let running = deal::serving(world, teller, &running.remove(0)).await?;

    let contract = deal::create(world, app, 1).await?;
    let was = pods::leading_process(&world.client()).await?;
    let leader = pods::leader(&world.client()).await?;
    let peers = [&offered.peers[1]];
    let (seats, killed) = tokio::join!(deal::seats(world, contract, &peers), kill(&leader));
    killed?;
    let seat = seats?.remove(0);
    teller.aside(&format!("{} led, and was killed while a deal was matched", leader.name_any()));
    let follows = until("another process leads", STEP, async || {
        let now = pods::leading_process(&world.client()).await?;
        Ok((now != was).then_some(now))
    });
    let follower = teller.step("the other replica leads", follows).await?;
    // The kubelet starts the killed one again in its pod at once; it has to wait longer than the standby.
    ensure(!follower.starts_with(&leader.name_any()), || format!("{follower} leads, after {was}"))?;
    teller.aside(&format!("it is {follower}"));
    deal::serving(world, teller, &seat).await?;

    let same = pods::ready(world, "worker", running.seat.unit).await?;
    ensure(pods::uid(&same) == pods::uid(&running.pod) && pods::restarts(&same) == 0, || {
        "the running worker's pod did not outlive the operator".to_owned()
    })?;
    teller.aside("the worker that ran before is the same pod, never started again");
    for seat in [&running.seat, &seat] {
        world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    }
    for seat in [&running.seat, &seat] {
        deal::returned(world, teller, seat).await?;
    }
    proving::next(world, teller, &offered, &offered.units()).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await
}

/// Ends the operator in `pod` as a crash would.
async fn kill(pod: &k8s_openapi::api::core::v1::Pod) -> Result<()> {
    let processes = processes_of(&pods::uid(pod))?;
    let operator = processes.iter().find(|process| process.name.starts_with("coreward"));
    let operator = operator
        .ok_or_else(|| Error::Finding(format!("no operator runs in {}", pod.name_any())))?;
    operator.kill().await
}

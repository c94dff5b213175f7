use std::time::Duration;

use coreward_e2e::{
    story::{
        STEP, Teller, client, deal, ensure, now, offer::Offered, pods, proving, stranger, the_loop,
        traffic,
    },
    world::{Error, Result, World, until},
};

use super::{Needs, Told, alone, holes, people, tell_and_release};

/// Requests between the two workers, half in each direction.
const REQUESTS: usize = 4_000;
/// The port of the workers' network.
const OVERLAY: u16 = 4001;
/// A second, and what the operator may take to see the block: its poll of 300 ms, and the test's own look.
const CLOSED_WITHIN: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_providers_one_subnet() -> Told {
    let teller = Teller::of("two_providers_one_subnet");
    let story = "two providers, one subnet";
    let told = alone(&teller, Needs::Cores, async |stage| {
        tell_and_release(stage, (story, people::FIRST_OF_TWO), async |first| {
            tell_and_release(stage, (story, people::SECOND_OF_TWO), async |second| {
                tell((first, second), &teller, &stage.apps.hello).await
            })
            .await
        })
        .await
    });
    told.await
}

async fn tell((first, second): (&World, &World), teller: &Teller, app: &str) -> Result<()> {
    let (one, other) = offers((first, second), teller).await?;
    let peers = [&one.peers[0], &other.peers[0]];
    let mut seats = deal::matched(first, app, &peers).await?;
    let (Some(theirs), Some(ours)) = (seats.pop(), seats.pop()) else {
        return Err(Error::Finding("two workers were not matched".to_owned()));
    };
    let ours = deal::serving(first, teller, &ours).await?;
    let theirs = deal::serving(second, teller, &theirs).await?;
    let places = [&ours, &theirs].map(|it| it.pod.metadata.namespace.clone().unwrap_or_default());
    let [mine, foreign] = &places;
    ensure(mine != foreign && mine.get(..15) == foreign.get(..15), || {
        format!("one deal has the namespaces {mine} and {foreign}")
    })?;
    teller.aside("one deal, two Deals, two namespaces");
    let joined = async {
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            until("the guest of one has the answer of the other", STEP, async || {
                let lost = traffic::lost(from, to, 1).await?;
                lost.first().map_or(Ok(Some(())), |why| Err(Error::Finding(why.clone())))
            })
            .await?;
        }
        Ok(())
    };
    teller.step("each guest calls the other through subnet.internal", joined).await?;
    turn_strangers_away(teller, [&ours, &theirs]).await?;
    let judged = holes::are_as_written(first, (&ours, &theirs)).await?;
    teller.aside(&format!("of {judged} connections the policies allow those of NETWORK.md alone"));
    let all = async {
        let halves = [(&ours, &theirs), (&theirs, &ours)];
        let [there, back] = halves.map(|(from, to)| traffic::lost(from, to, REQUESTS / 2));
        let (there, back) = tokio::try_join!(there, back)?;
        let lost: Vec<String> = there.into_iter().chain(back).collect();
        ensure(lost.is_empty(), || format!("{} are lost, such as {:?}", lost.len(), lost[0]))
    };
    teller.step("4,000 requests between the two lose none", all).await?;
    remove_one(first, teller, (&ours, &theirs)).await
}

async fn offers((first, second): (&World, &World), teller: &Teller) -> Result<(Offered, Offered)> {
    use coreward_e2e::story::offer::{activate, register};
    let one = register(first, teller, &the_loop::one_node(first, "one", "n1"), 1).await?;
    let other = register(second, teller, &the_loop::one_node(second, "other", "n2"), 1).await?;
    // Both wait for the same epoch.
    let one = activate(first, teller, one).await?;
    let other = activate(second, teller, other).await?;
    proving::hashing(first, teller, &one.units()).await?;
    proving::hashing(second, teller, &other.units()).await?;
    Ok((one, other))
}

async fn turn_strangers_away(teller: &Teller, workers: [&deal::Served; 2]) -> Result<()> {
    for worker in workers {
        let address = traffic::address(&worker.pod)?;
        let words = stranger::is_turned_away(address, OVERLAY).await?;
        teller.aside(&format!("a stranger gets no stream from {address}: {words}"));
    }
    Ok(())
}

/// Removes the second worker on chain, and watches its connections at the first one.
async fn remove_one(
    world: &World,
    teller: &Teller,
    (stays, goes): (&deal::Served, &deal::Served),
) -> Result<()> {
    let address = traffic::address(&goes.pod)?;
    let open = traffic::connections(&stays.pod, address)?;
    ensure(open > 0, || "the two workers have no connection".to_owned())?;
    let developer = world.party().developer.address;
    world.driver().remove_worker(developer, goes.seat.deal, goes.seat.worker).await?;
    let mined = now();
    let closed = until("the removed worker's connections are closed", STEP, async || {
        Ok((traffic::connections(&stays.pod, address)? == 0).then_some(()))
    });
    teller.step("one worker is removed on chain: its connections are closed", closed).await?;
    let took = mined.elapsed();
    ensure(took <= CLOSED_WITHIN, || format!("its connections were closed after {took:?}"))?;
    let http = client::http()?;
    let (status, _) = client::get(&http, &traffic::call(stays, goes)).await?;
    ensure(status != 200, || "the removed worker still answers".to_owned())?;
    let (status, body) = client::get(&http, &stays.url).await?;
    ensure(status == 200, || format!("the other worker answers {status} {body}"))?;
    pods::gone(world, "worker", goes.seat.unit).await?;
    world.driver().stop_deal(developer, stays.seat.deal).await?;
    deal::returned(world, teller, &stays.seat).await
}

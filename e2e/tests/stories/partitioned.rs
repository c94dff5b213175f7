use coreward_e2e::{
    chain::Sent,
    fault::{Api, Faults},
    story::{
        STEP, Teller, account, authority, deal, ensure,
        offer::Offered,
        operators, pods, proving, the_loop, traffic,
        witness::{self, Witness},
    },
    world::{Result, World, until},
};
use kube::ResourceExt;

use super::{Needs, Told, on_stage, people};

/// Blocks, and so seconds, of a whole lease and more.
const LEASE: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitioned() -> Told {
    on_stage("partitioned", (people::PARTITIONED, Needs::Solitude), async |world, teller, stage| {
        Box::pin(tell(world, teller, &stage.apps.hello)).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    let faults = Faults::between(world.bed())?;
    teller.step("new replicas, whose ways can be cut", operators::renew(world)).await?;
    witness::settled(world, &offered, &[]).await?;
    let witness = Witness::begin(world).await?;
    let leader = pods::leader(&world.client()).await?;
    faults.api(Api::Cut, Some(traffic::address(&leader)?))?;
    teller.aside(&format!("{} leads, and is cut off from the API server", leader.name_any()));

    let alone = proves(world, &offered);
    teller.step("an epoch ends: the proofs of the next arrive all the same", alone).await?;
    let unkept = senders(world, &witness).await?.without_object;
    ensure(!unkept.is_empty(), || "somebody kept the proofs".to_owned())?;
    teller.aside("they are in no ChainTransaction: the one that is cut off sent them");
    let follows = until("the other replica leads", STEP, async || {
        let now = pods::leader(&world.client()).await?;
        Ok((now.name_any() != leader.name_any()).then_some(now))
    });
    let follower = teller.step("the other replica leads", follows).await?;
    let seat = deal::matched(world, app, &[&offered.peers[0]]).await?.remove(0);
    Box::pin(deal::serving(world, teller, &seat)).await?;
    let other = &offered.peers[1].units;
    proving::next(world, teller, &offered, other).await?;
    teller.step("it lasts for another lease", witness::blocks(world, LEASE)).await?;
    proving::next(world, teller, &offered, other).await?;
    let senders = senders(world, &witness).await?;
    teller.aside(&format!(
        "{} transactions with a ChainTransaction, {} without, all of those proofs",
        senders.with_object.len(),
        senders.without_object.len()
    ));

    faults.api(Api::Well, Some(traffic::address(&leader)?))?;
    let one =
        until("one replica says that it leads, and the Lease says so too", STEP, async || {
            let (leading, holder) =
                (operators::leading(world).await?, pods::leader(&world.client()).await?);
            ensure(leading == 1, || format!("{leading} say that they lead"))?;
            Ok(Some(holder))
        });
    let holder = teller.step("the way is whole again: one leads", one).await?;
    ensure(holder.name_any() == follower.name_any(), || {
        format!("{} leads, not {}", holder.name_any(), follower.name_any())
    })?;
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    deal::returned(world, teller, &seat).await?;
    authority::replaced(world, teller, &offered.units()).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    self::senders(world, &witness).await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await
}

async fn proves(world: &World, offered: &Offered) -> Result<()> {
    world.driver().next_epoch().await?;
    proving::minimum(world, offered, &offered.units()).await.map(drop)
}

/// The world's transactions on chain by who can have sent them: only one who reaches the API server can keep one first.
struct Senders {
    with_object: Vec<Sent>,
    without_object: Vec<Sent>,
}

/// Tells the transactions since the witness began by their senders. The one that is cut off may send proofs and nothing else,
/// and must never take a nonce that the other has kept.
async fn senders(world: &World, witness: &Witness) -> Result<Senders> {
    let kept = witness::kept(world).await?;
    let party = world.party();
    let mut senders = Senders { with_object: Vec::new(), without_object: Vec::new() };
    for account in [party.provider.address, party.peer_owner.address] {
        for sent in world.oracle().used_nonces(account, witness.from_block()).await? {
            let is_kept = kept.contains(&sent.hash);
            ensure(is_kept || sent.function == "submitProofs", || {
                format!("{} in block {} is in no ChainTransaction", sent.function, sent.block)
            })?;
            if is_kept { &mut senders.with_object } else { &mut senders.without_object }.push(sent);
        }
    }
    for object in witness::transactions(world).await? {
        let state = object.data["status"]["state"].as_str().unwrap_or_default();
        ensure(state != "Displaced", || {
            format!("{} lost its nonce to the other replica", object.name_any())
        })?;
    }
    Ok(senders)
}

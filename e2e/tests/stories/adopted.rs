//! An offer that another tool made, staked and once renewed is taken over, and goes on without a transaction of the provider
//! but for its rewards, those of the stake before among them.

use alloy::primitives::{B256, U256, keccak256};
use coreward_e2e::{
    bed::NODES,
    chain::{
        Proof,
        abi::{Diamond, RewardsView},
        key_of, peer_with_units, randomx_hashes,
    },
    story::{
        STEP, Teller, account, agrees, deal, ensure, is_ready,
        offer::{Offered, Pledged},
        proving, the_loop,
    },
    world::{Error, Result, World, until},
};
use libp2p::PeerId;
use serde_json::json;

use super::{Needs, Told, on_stage, people};

/// Epochs that the other tool pledged its unit for.
const DURATION: u64 = 100;
/// What a peer's id begins with: an ed25519 key of 32 bytes, written out.
const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopted() -> Told {
    on_stage("adopted", (people::ADOPTED, Needs::Cores), async |world, teller, stage| {
        tell(world, teller, &stage.apps.hello).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let words = "another tool registers an offer of one unit, proves through a first stake and stakes again";
    let (offered, past) = teller.step(words, by_another_tool(world)).await?;
    let units = offered.units();

    let mut spec = the_loop::one_node(world, &offered.name, NODES[0].name);
    spec["spec"]["offerID"] = json!(offered.id);
    spec["spec"]["managementPolicy"] = json!("Observe");
    spec["spec"]["datacenter"] = json!({ "id": "1" });
    spec["spec"]["peers"]["assignments"] =
        json!([{ "peerID": written(offered.peers[0].peer)?, "nodeName": NODES[0].name }]);
    spec["spec"]["payouts"] = json!({ "everyHours": 1 });
    world.apply(&spec).await?;
    let shown = agrees(world, ("ProviderOffer", &offered.name), "it has all of it", |object| {
        let status = &object.data["status"];
        status["offerID"] == json!(offered.id)
            && status["units"]["total"] == 1
            && status["commitments"]["pending"] == 1
            && status["pastCommitments"][0]["id"] == json!(past)
    });
    let words = "its object shows the offer, the unit, the stake, and the stake before";
    let shown = teller.step(words, shown).await?;
    let plan = &shown.data["status"]["plan"];
    let is_reward = |step: &serde_json::Value| step["function"] == "withdrawReward";
    let is_quiet = plan.as_array().is_none_or(|steps| steps.iter().all(is_reward));
    ensure(is_quiet, || format!("it plans {plan}"))?;
    teller.aside("and plans nothing but calls for rewards");

    world.driver().next_epoch().await?;
    proving::hashing(world, teller, &units).await?;
    let observed = proving::minimum(world, &offered, &units);
    teller.step("observed, the unit has its minimum on chain", observed).await?;
    spec["spec"]["managementPolicy"] = json!("Manage");
    world.apply(&spec).await?;
    proving::next(world, teller, &offered, &units).await?;
    agrees(world, ("ProviderOffer", &offered.name), "it is ready", is_ready).await?;
    nothing_but_rewards(world, teller).await?;

    let seat = deal::matched(world, app, &[&offered.peers[0]]).await?.remove(0);
    deal::serving(world, teller, &seat).await?;
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    deal::returned(world, teller, &seat).await?;
    proving::next(world, teller, &offered, &units).await?;
    teller.step("the rewards of the stake before are fetched", fetched(world, past)).await?;
    let forgotten = agrees(world, ("ProviderOffer", &offered.name), "it is past", |object| {
        object.data["status"]["pastCommitments"].as_array().is_none_or(Vec::is_empty)
    });
    teller.step("and it is forgotten", forgotten).await?;
    account::nonces_are_whole(world, teller).await
}

/// What another tool leaves on chain: the provider's name, an offer of one peer with one unit, a funded commitment, and one
/// before it with rewards that nobody fetched.
async fn by_another_tool(world: &World) -> Result<(Offered, B256)> {
    let (driver, party) = (world.driver(), world.party());
    let provider = party.provider.address;
    let peer = keccak256(format!("{} peer", world.namespace()));
    let unit = keccak256(format!("{} unit", world.namespace()));
    driver.register_provider(provider, &party.provider_name()).await?;
    let peers = vec![peer_with_units(peer, party.peer_owner.address, &[unit])];
    let id = driver.register_offer(provider, peers).await?;
    let past = driver.commit(provider, peer, 1).await?;
    driver.deposit(provider, past).await?;
    driver.next_epoch().await?;
    prove(world, unit).await?;
    driver.next_epoch().await?;
    let units_out = Diamond::removeCUFromCCCall { commitmentId: past, unitIds: vec![unit] };
    driver.call(provider, &units_out).await?;
    driver.call(provider, &Diamond::finishCommitmentCall { commitmentId: past }).await?;
    let commitment = driver.commit(provider, peer, DURATION).await?;
    driver.deposit(provider, commitment).await?;
    let peers = vec![Pledged { peer, units: vec![unit], commitment }];
    Ok((Offered { name: "loop".to_owned(), id, peers }, past))
}

/// The epoch's minimum for a unit, as its own prover would find it.
async fn prove(world: &World, unit: B256) -> Result<()> {
    const TRIED: u64 = 64;
    let epoch = world.oracle().epoch().await?;
    let nonces: Vec<B256> = (0..TRIED).map(|number| U256::from(number).into()).collect();
    let hashes = randomx_hashes(key_of(epoch.global_nonce, unit), nonces.clone()).await?;
    let found = nonces.into_iter().zip(hashes).filter(|(_, hash)| *hash <= epoch.difficulty);
    let proofs = found.map(|(local_nonce, _)| Proof { unit, local_nonce });
    let minimum = usize::try_from(epoch.min_proofs).unwrap_or(usize::MAX);
    let proofs: Vec<_> = proofs.take(minimum).collect();
    ensure(proofs.len() == minimum, || format!("{TRIED} hashes gave {} proofs", proofs.len()))?;
    world.driver().submit_proofs(world.party().peer_owner.address, &proofs).await?;
    Ok(())
}

/// Waits until a commitment that is over has paid, and owes nothing.
async fn fetched(world: &World, past: B256) -> Result<()> {
    until("nothing is left under the old commitment", STEP, async || {
        let rewards = world.oracle().rewards(past).await?;
        let sum = |part: &RewardsView| part.ccRewards + part.dealStakerRewards;
        Ok((sum(&rewards.total).is_zero() && !sum(&rewards.withdrawn).is_zero()).then_some(()))
    })
    .await
}

/// A peer's id as people write it.
fn written(peer: B256) -> Result<String> {
    let bytes = [&ED25519[..], peer.as_slice()].concat();
    let peer = PeerId::from_bytes(&bytes);
    let peer = peer.map_err(|error| Error::Finding(format!("no peer's id: {error}")))?;
    Ok(peer.to_string())
}

/// Checks that the provider's key has sent nothing since the other tool's eight transactions but calls for its rewards.
async fn nothing_but_rewards(world: &World, teller: &Teller) -> Result<()> {
    const OTHERS: usize = 8;
    let provider = world.party().provider.address;
    let sent = world.oracle().used_nonces(provider, world.from_block()).await?;
    let own = sent.iter().skip(OTHERS).find(|sent| !sent.function.starts_with("withdraw"));
    ensure(own.is_none(), || format!("the provider's key sent {own:?}"))?;
    teller.aside("the provider's key has sent nothing of its own but calls for rewards");
    Ok(())
}

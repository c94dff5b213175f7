//! Two providers whose workers have no way to each other but through gateways: one is the product on the bed, the other is
//! played in this process, with a worker on this machine's loopback that knows of ours only what stands on chain.

mod elsewhere;

use std::{fs, os::unix::fs::PermissionsExt as _};

use alloy::primitives::{B256, keccak256};
use coreward_e2e::{
    bed::{NAMESPACE, NODES},
    chain::{CPU, peer_with_units},
    story::{
        STEP, Teller, agrees, client, deal, ensure,
        offer::{self, Offered, Pledged},
        page, pods, ports,
        product::{Stage, deploy, deploy_with},
        proving, stranger, the_loop, traffic,
    },
    world::{Error, Party, Result, World, cluster, condition, until},
};
use elsewhere::{ANSWER, Elsewhere};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Needs, Told, alone, holes, people, tell_and_release};

/// The node's port that leads to our gateway.
const NODE_PORT: u16 = 30_401;
/// The relay's own.
const RELAY: u16 = 4001;
/// What a stranger asks a relay for.
const HOP: &str = "/libp2p/circuit/relay/0.2.0/hop";
/// The class and the name of the volume for the gateway's key: the bed makes none by itself.
const VOLUME: &str = "relay-only";
const CLAIM: &str = "state-coreward-gateway-0";
/// Epochs that the other provider pledges its unit for.
const DURATION: u64 = 100;
/// Requests in each direction.
const REQUESTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_only() -> Told {
    let teller = Teller::of("relay_only");
    // It upgrades the product for all.
    let told = alone(&teller, Needs::Solitude, async |stage| {
        let told = Box::pin(with_a_gateway(stage, &teller)).await;
        let restored = deploy(&stage.bed, &stage.parties).await;
        let cleared = clear(stage).await;
        told.and(restored).and(cleared)
    });
    told.await
}

async fn with_a_gateway(stage: &Stage, teller: &Teller) -> Result<()> {
    make_volume(stage).await?;
    let outside = format!("{}:{NODE_PORT}", stage.bed.node_address(NODES[2]));
    let values = json!({ "gateways": {
        "outside": [outside], "serviceType": "NodePort", "private": true, "storageClassName": VOLUME,
        "nodeSelector": { "coreward.dev/pool": "shared" },
    } });
    let upgrade = deploy_with(&stage.bed, &stage.parties, values);
    teller.step("helm upgrade: one gateway, at a port of a node", upgrade).await?;
    let told = tell_and_release(stage, ("relay only", people::RELAY_ONLY), async |world| {
        let other = &stage.parties[people::OTHER_SIDE_OF_RELAY];
        Box::pin(tell((world, other), teller, &stage.apps.hello)).await
    });
    told.await
}

async fn tell((world, other): (&World, &Party), teller: &Teller, app: &str) -> Result<()> {
    let gateway = teller.step("the gateway is ready", gateway(world)).await?;
    let elsewhere = Elsewhere::begin(world.bed().addresses().machine())?;
    let words =
        "another provider pledges a unit, and publishes its gateway in the details of its vCPU";
    let theirs = teller.step(words, pledge(world, other, &elsewhere)).await?;
    let offered = offered(world, teller).await?;
    let published =
        teller.step("set so, ours is published too", published(world, &offered)).await?;

    let seats = deal::matched(world, app, &[&offered.peers[0], &theirs]).await?;
    let [our_seat, their_seat] = &seats[..] else {
        return Err(Error::Finding("two workers were not matched".to_owned()));
    };
    let activation = (their_seat.worker, elsewhere.key);
    world.driver().activate_worker(other.peer_owner.address, their_seat.deal, activation).await?;
    let ours = deal::serving(world, teller, our_seat).await?;
    let key = deal::activated(world, our_seat).await?;
    let ends = ((&ours, key), (their_seat, &elsewhere));
    elsewhere.calls(key, &published).await?;
    let asked = called(ends, world, &gateway);
    teller.step("the other calls ours, through our gateway alone", asked).await?;
    let words = "the Deal says SubnetJoined: the other member was reached";
    teller.step(words, joined(world, our_seat)).await?;
    elsewhere.is_called(key).await?;
    teller.step("ours calls the other, through the other's gateway alone", calls(ends)).await?;
    let words = "each calls the other 200 times; none is lost";
    teller.step(words, exchange(ends)).await?;
    turn_a_stranger_away(world, teller, &gateway).await?;
    let noisy = ports::make_noise(world, std::slice::from_ref(&gateway)).await?;
    teller.aside(&format!("random bytes came to {noisy:?}: the gateway and all others are well"));
    judge(world, teller, &ours).await?;
    world.driver().stop_deal(world.party().developer.address, our_seat.deal).await?;
    deal::returned(world, teller, our_seat).await
}

async fn gateway(world: &World) -> Result<Pod> {
    until("the gateway's pod is ready", STEP, async || {
        let pods = pods::of_component(&world.client(), "gateway").await?;
        Ok(pods.into_iter().find(pods::is_ready))
    })
    .await
}

/// What the other provider puts on chain.
async fn pledge(world: &World, other: &Party, elsewhere: &Elsewhere) -> Result<Pledged> {
    let (driver, provider) = (world.driver(), other.provider.address);
    let [peer, unit] = ["peer", "unit"].map(|it| keccak256(format!("{} {it}", elsewhere.key)));
    driver.register_provider(provider, &other.provider_name()).await?;
    let mut new = peer_with_units(peer, other.peer_owner.address, &[unit]);
    let vcpu = new.resources.iter_mut().find(|resource| resource.resourceId == CPU.1);
    let vcpu = vcpu.ok_or_else(|| Error::Finding("a peer without vCPU".to_owned()))?;
    vcpu.details = json!({ "model": "x", "gateways": [elsewhere.published] }).to_string();
    driver.register_offer(provider, vec![new]).await?;
    let commitment = driver.commit(provider, peer, DURATION).await?;
    driver.deposit(provider, commitment).await?;
    Ok(Pledged { peer, units: vec![unit], commitment })
}

/// Our offer, which keeps its gateways to itself at first.
async fn offered(world: &World, teller: &Teller) -> Result<Offered> {
    let offered = offer::register(world, teller, &spec(world, false), 1).await?;
    let offered = offer::activate(world, teller, offered).await?;
    proving::hashing(world, teller, &offered.units()).await?;
    let details = details(world, offered.peers[0].peer).await?;
    ensure(details["gateways"].is_null(), || format!("the details are {details}"))?;
    Ok(offered)
}

fn spec(world: &World, publishes: bool) -> Value {
    let mut spec = the_loop::one_node(world, "relayed", NODES[0].name);
    spec["spec"]["overlay"] = json!({ "publishGateways": publishes });
    spec
}

/// Lets the offer publish, and waits until its gateway stands on chain, though its unit is pledged; gives it.
async fn published(world: &World, offered: &Offered) -> Result<Vec<String>> {
    world.apply(&spec(world, true)).await?;
    let at = world.bed().node_address(NODES[2]);
    let found = until("the gateway stands on chain", STEP, async || {
        let details = details(world, offered.peers[0].peer).await?;
        let gateways = details["gateways"].as_array().cloned().unwrap_or_default();
        let texts: Vec<_> =
            gateways.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
        let start = format!("/ip4/{at}/tcp/{NODE_PORT}/p2p/12D3KooW");
        let is_ours = |texts: &[String]| matches!(texts, [one] if one.starts_with(&start));
        ensure(texts.is_empty() || is_ours(&texts), || format!("it publishes {texts:?}"))?;
        Ok((!texts.is_empty()).then_some(texts))
    });
    let found = found.await?;
    agrees(world, ("ProviderOffer", "relayed"), "it is ready", coreward_e2e::story::is_ready)
        .await?;
    Ok(found)
}

/// The details of a peer's vCPU on chain.
async fn details(world: &World, peer: B256) -> Result<Value> {
    let peer = world.oracle().peer(peer).await?;
    let vcpu = peer.resources.iter().find(|resource| resource.resourceId == CPU.1);
    let text = vcpu.map(|vcpu| vcpu.details.clone()).unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| Error::Finding(format!("{text:?}: {error}")))
}

type Ends<'story> = ((&'story deal::Served, B256), (&'story deal::Seat, &'story Elsewhere));

async fn joined(world: &World, seat: &deal::Seat) -> Result<()> {
    until("the subnet is joined", STEP, async || {
        let object = deal::mirror(world, seat.deal).await?;
        let told = condition(&object, "SubnetJoined");
        let is_so = told.as_ref().is_some_and(|(status, ..)| status == "True");
        ensure(is_so, || format!("SubnetJoined is {told:?}"))?;
        Ok(Some(()))
    })
    .await
}

/// The other worker asks ours once.
async fn ask(((ours, key), (their_seat, elsewhere)): Ends<'_>) -> Result<()> {
    let said = elsewhere.ask(key, &format!("{}.subnet.internal", ours.seat.decimal())).await?;
    let hello = format!("200 hello, worker {}", their_seat.decimal());
    ensure(said == hello, || format!("ours says {said:?} to the other"))
}

/// Ours asks the other worker once.
async fn call(http: &reqwest::Client, ((ours, _), (their_seat, _)): Ends<'_>) -> Result<()> {
    let there = format!("{}call/{}", ours.url, their_seat.decimal());
    let (status, body) = client::get(http, &there).await?;
    ensure((status, body.trim()) == (200, ANSWER), || format!("{status} {body}"))
}

/// The other reaches ours once it is known there; our gateway carried it.
async fn called(ends: Ends<'_>, world: &World, gateway: &Pod) -> Result<()> {
    until("ours answers the other", STEP, async || ask(ends).await.map(Some)).await?;
    carried(world, gateway).await
}

/// Ours reaches the other once that has a place at its gateway, which carried it.
async fn calls(ends: Ends<'_>) -> Result<()> {
    let http = client::http()?;
    until("the other answers ours", STEP, async || call(&http, ends).await.map(Some)).await?;
    let (_, (_, elsewhere)) = ends;
    ensure(elsewhere.circuits() >= 1, || "the other's gateway opened no circuit".to_owned())
}

async fn exchange(ends: Ends<'_>) -> Result<()> {
    let http = client::http()?;
    for _ in 0..REQUESTS {
        call(&http, ends).await?;
        ask(ends).await?;
    }
    Ok(())
}

/// One series of the gateway's page.
async fn series(world: &World, gateway: &Pod, name: &str) -> Result<f64> {
    let page = page::of(world, gateway).await?;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.ok_or_else(|| Error::Finding(format!("the gateway's page has no {name}: {page}")))
}

/// Our gateway carried what came for our worker.
async fn carried(world: &World, gateway: &Pod) -> Result<()> {
    let opened = series(world, gateway, "coreward_gateway_circuits_opened_total").await?;
    ensure(opened >= 1.0, || "no circuit was ever opened through our gateway".to_owned())?;
    let reservations = series(world, gateway, "coreward_gateway_reservations").await?;
    ensure(reservations >= 1.0, || "our worker has no place at our gateway".to_owned())
}

/// A key on no list gets nothing from the relay, from inside and outside the cluster.
async fn turn_a_stranger_away(world: &World, teller: &Teller, gateway: &Pod) -> Result<()> {
    const REFUSED: &str = "coreward_gateway_refusals_total{reason=\"stranger\"}";
    let before = series(world, gateway, REFUSED).await?;
    let places =
        [(traffic::address(gateway)?, RELAY), (world.bed().node_address(NODES[2]), NODE_PORT)];
    for (address, port) in places {
        for protocol in [HOP, stranger::PROTOCOL] {
            let Err(words) = stranger::ask(address, port, protocol).await else {
                let what = format!("a stranger got {protocol} from {address}:{port}");
                return Err(Error::Finding(what));
            };
            teller.aside(&format!("a stranger gets no {protocol} at {address}:{port}: {words}"));
        }
    }
    let after = series(world, gateway, REFUSED).await?;
    ensure(after - before >= 4.0, || format!("{before} strangers became {after}"))
}

/// The table of holes, with the gateway among those that it names.
async fn judge(world: &World, teller: &Teller, ours: &deal::Served) -> Result<()> {
    // One like it beside it: the policies tell pods by their labels.
    let mut beside = ours.clone();
    if let Some(status) = &mut beside.pod.status {
        status.pod_ip = Some("10.244.250.40".to_owned());
    }
    let judged = holes::are_as_written(world, (ours, &beside)).await?;
    teller.aside(&format!("of {judged} connections the policies allow those of NETWORK.md alone"));
    Ok(())
}

/// A folder of this machine, as a volume that the gateway's claim finds.
async fn make_volume(stage: &Stage) -> Result<()> {
    clear(stage).await?;
    let folder = stage.bed.paths().state.join(VOLUME);
    let made = fs::create_dir_all(&folder)
        .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)));
    made.map_err(|error| Error::Finding(format!("make {}: {error}", folder.display())))?;
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": VOLUME },
        "spec": {
            "capacity": { "storage": "16Mi" }, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": VOLUME,
            "hostPath": { "path": folder.display().to_string() },
        },
    }))
    .map_err(|error| Error::Finding(format!("no volume: {error}")))?;
    let api: Api<PersistentVolume> = Api::all(stage.bed.client().clone());
    let made = api.create(&PostParams::default(), &volume).await;
    made.map(drop).map_err(cluster("make a volume".to_owned()))
}

/// Removes the claim and the volume, if they are there.
async fn clear(stage: &Stage) -> Result<()> {
    let client = stage.bed.client();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let (at_once, nothing) = (DeleteParams::default(), PatchParams::default());
    let _ = claims.delete(CLAIM, &at_once).await;
    let _ = volumes.delete(VOLUME, &at_once).await;
    // Whoever protects them waits for pods that are gone with the gateway.
    let free = json!({ "metadata": { "finalizers": null } });
    let _ = claims.patch(CLAIM, &nothing, &Patch::Merge(&free)).await;
    let _ = volumes.patch(VOLUME, &nothing, &Patch::Merge(&free)).await;
    until("the gateway's volume is gone", STEP, async || {
        let volume = volumes.get_opt(VOLUME).await.map_err(cluster("get a volume".to_owned()))?;
        Ok(volume.is_none().then_some(()))
    })
    .await
}

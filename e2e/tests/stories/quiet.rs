use std::{collections::BTreeMap, time::Duration};

use coreward_e2e::{
    bed::NAMESPACE,
    story::{Teller, client, ensure, offer, pods, proving, the_loop},
    world::{Result, World, until},
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Event, Namespace, Pod, Secret, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{SILENCE, Told, chain_of, cores, finish, people, stage, tell_and_release};

/// Seconds of chain time without any event.
const QUIET: u64 = 180;
/// Chain seconds after which what did not change is taken to be at rest.
const REST: u64 = 15;
/// Blocks come by the second; a busy machine may delay some.
const LIMIT: Duration = Duration::from_mins(6);
/// Seconds of one measurement of requests.
const WINDOW: u64 = 30;
/// How far two measurements of requests per block may be apart: the operator polls by its own clock, not by blocks.
const TOLERANCE: f64 = 0.15;

/// Kind, namespace and name of an object, and its version.
type Versions = BTreeMap<(String, String, String), String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet() -> Told {
    let teller = Teller::of("quiet");
    let stage = stage(&teller).await.map_err(|error| chain_of(&error))?;
    let _cores = cores().await;
    let _silence = SILENCE.write().await;
    let told = tell_and_release(&stage, ("quiet", people::QUIET), async |world| {
        tell_and_release(&stage, ("quiet", people::LATE_BESIDE_QUIET), async |late| {
            tell(world, late, &teller).await
        })
        .await
    });
    finish(told.await)
}

async fn tell(world: &World, late: &World, teller: &Teller) -> Result<()> {
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    proving::next(world, teller, &offered, &offered.units()).await?;
    teller.step("all is at rest", rest(world)).await?;
    let epoch = world.oracle().epoch().await?.number;
    let before = versions(world).await?;
    let rates = teller.step("three minutes pass", rates(world, QUIET / WINDOW)).await?;
    let after = versions(world).await?;
    ensure(world.oracle().epoch().await?.number == epoch, || "the epoch ended".to_owned())?;
    let changed: Vec<_> = before
        .iter()
        .filter(|(object, version)| after.get(*object) != Some(version))
        .map(|(object, _)| object)
        .chain(after.keys().filter(|object| !before.contains_key(*object)))
        .collect();
    ensure(changed.is_empty(), || format!("{} objects were written: {changed:?}", changed.len()))?;
    teller.aside(&format!("{} objects, none of them written", before.len()));
    let mean = rates.iter().sum::<f64>() / f64::from(u32::try_from(rates.len()).unwrap_or(1));
    ensure(rates.iter().all(|rate| is_near(*rate, mean)), || {
        format!("requests per block vary: {rates:.2?}")
    })?;
    teller.aside(&format!("{mean:.2} requests per block with two units"));

    let mut third = late.offer("late", "shared");
    third["spec"]["capacity"]["coreIsolation"] = json!("Preferred");
    third["spec"]["capacity"]["unitsPerNode"] = json!(1);
    let third = offer::register(late, teller, &third, 1).await?;
    offer::activate(late, teller, third).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    teller.step("all is at rest again", rest(world)).await?;
    let more = requests_per_block(world).await?;
    teller.aside(&format!("{more:.2} requests per block with three units"));
    ensure(is_near(more, mean), || format!("{more:.2} with three units, {mean:.2} with two"))
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() <= TOLERANCE * other
}

/// Waits until nothing of ours was written for some time.
async fn rest(world: &World) -> Result<()> {
    let mut last = (versions(world).await?, timestamp(world).await?);
    until("nothing of ours is written any more", LIMIT, async || {
        let (now, time) = (versions(world).await?, timestamp(world).await?);
        if now != last.0 {
            last = (now, time);
        }
        Ok((time >= last.1 + REST).then_some(()))
    })
    .await
}

async fn timestamp(world: &World) -> Result<u64> {
    Ok(world.driver().node().head().await?.1)
}

/// Waits until `seconds` of chain time have passed.
async fn passes(world: &World, seconds: u64) -> Result<()> {
    let end = timestamp(world).await? + seconds;
    until(&format!("{seconds} seconds of chain time pass"), LIMIT, async || {
        Ok((timestamp(world).await? >= end).then_some(()))
    })
    .await
}

/// Requests per block in each of `count` windows one after the other.
async fn rates(world: &World, count: u64) -> Result<Vec<f64>> {
    let mut rates = Vec::new();
    for _ in 0..count {
        rates.push(requests_per_block(world).await?);
    }
    Ok(rates)
}

async fn requests_per_block(world: &World) -> Result<f64> {
    let (first, from) = (requests(world).await?, world.oracle().block_number().await?);
    passes(world, WINDOW).await?;
    let (last, to) = (requests(world).await?, world.oracle().block_number().await?);
    let blocks = u32::try_from(to - from).unwrap_or(u32::MAX);
    ensure(blocks > 0, || "no block was mined".to_owned())?;
    Ok((last - first) / f64::from(blocks))
}

/// All requests that the leader has sent to the chain, by its own count.
async fn requests(world: &World) -> Result<f64> {
    let leader = pods::leader(&world.client()).await?;
    let address = leader.status.and_then(|status| status.pod_ip).unwrap_or_default();
    let url = format!("http://{address}:9090/metrics");
    let (_, page) = client::get(&client::http()?, &url).await?;
    let counts = page.lines().filter(|line| line.starts_with("coreward_chain_requests_total{"));
    let values: Vec<f64> =
        counts.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    ensure(!values.is_empty(), || format!("{url} counts no requests"))?;
    Ok(values.iter().sum())
}

/// Every object that the product writes but its Lease, in all its namespaces.
async fn versions(world: &World) -> Result<Versions> {
    let mut all = Versions::new();
    let client = world.client();
    for kind in ["ProviderOffer", "CapacityUnit", "Deal", "ChainTransaction"] {
        for object in coreward_e2e::story::all_of_kind(&client, kind).await? {
            add(&mut all, kind, &object);
        }
    }
    add_all::<Pod>(&mut all, &client).await?;
    add_all::<Secret>(&mut all, &client).await?;
    add_all::<ConfigMap>(&mut all, &client).await?;
    add_all::<Service>(&mut all, &client).await?;
    add_all::<ServiceAccount>(&mut all, &client).await?;
    add_all::<EndpointSlice>(&mut all, &client).await?;
    add_all::<Event>(&mut all, &client).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let list = coreward_e2e::story::listed(&namespaces).await?;
    for namespace in &list {
        add(&mut all, "Namespace", namespace);
    }
    all.retain(|(_, namespace, _), _| is_ours(namespace));
    Ok(all)
}

/// The operator's namespace, the stories', and the deals'.
fn is_ours(namespace: &str) -> bool {
    namespace == NAMESPACE || namespace.starts_with("story-") || namespace.starts_with("deal-")
}

async fn add_all<K>(all: &mut Versions, client: &kube::Client) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    for object in coreward_e2e::story::listed(&Api::<K>::all(client.clone())).await? {
        add(all, &K::kind(&()), &object);
    }
    Ok(())
}

fn add(all: &mut Versions, kind: &str, object: &impl ResourceExt) {
    let place = object.namespace().unwrap_or_else(|| object.name_any());
    let name = object.name_any();
    all.insert((kind.to_owned(), place, name), object.resource_version().unwrap_or_default());
}

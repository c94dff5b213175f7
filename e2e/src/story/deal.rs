//! A deal from its creation to its end.

use alloy::primitives::{Address, B256};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{
    STATUS, STEP, Teller, client, ensure, is_ready, listed, offer::Pledged, pods, proving::short,
    text,
};
use crate::{
    bed::NODES,
    chain::{DealOrder, abi::Diamond},
    world::{Error, Result, World, until},
};

/// Says of which deal a namespace is, in hex without `0x`.
const DEAL: &str = "coreward.dev/deal";

/// A seat in a deal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The deal.
    pub deal: Address,
    /// The worker's id.
    pub worker: B256,
    /// The peer that it is on.
    pub peer: B256,
    /// Its unit.
    pub unit: B256,
}

impl Seat {
    /// Its worker's id as guests and objects write it.
    #[must_use]
    pub fn decimal(&self) -> String {
        alloy::primitives::U256::from_be_bytes(self.worker.0).to_string()
    }
}

/// A worker that serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its seat.
    pub seat: Seat,
    /// Its pod.
    pub pod: Pod,
    /// Where it answers from outside the cluster.
    pub url: String,
}

/// Makes a deal of one worker for each of `peers` and matches it to their first units.
///
/// # Errors
/// [`Error::Chain`] with the contract's reason.
pub async fn matched(world: &World, app: &str, peers: &[&Pledged]) -> Result<Vec<Seat>> {
    let deal = create(world, app, peers.len()).await?;
    seats(world, deal, peers).await
}

/// Deploys and funds a deal of `workers` workers.
///
/// # Errors
/// [`Error::Chain`] with the contract's reason.
pub async fn create(world: &World, app: &str, workers: usize) -> Result<Address> {
    let order = DealOrder {
        target_workers: workers as u64,
        ..DealOrder::of_one_worker(world.party().developer.address, app)
    };
    Ok(world.driver().create_deal(&order).await?)
}

/// Matches a deal to the first unit of each of `peers`.
///
/// # Errors
/// [`Error::Chain`] with the contract's reason.
pub async fn seats(world: &World, deal: Address, peers: &[&Pledged]) -> Result<Vec<Seat>> {
    let mut wanted = Vec::new();
    for peer in peers {
        let unit = peer.units.first().copied();
        let unit = unit.ok_or_else(|| Error::Finding(format!("peer {} is empty", peer.peer)))?;
        wanted.push((peer.peer, vec![unit]));
    }
    let workers = world.driver().match_deal(deal, &wanted).await?;
    let seats = wanted.into_iter().zip(workers);
    Ok(seats.map(|((peer, units), worker)| Seat { deal, worker, peer, unit: units[0] }).collect())
}

/// Follows a match until the worker answers: its prover is gone, its pod is on the same node with one core of its own, it
/// is activated on chain, and its text comes from outside and from inside.
///
/// # Errors
/// [`Error::Late`], [`Error::Finding`] with what is not so.
pub async fn serving(world: &World, teller: &Teller, seat: &Seat) -> Result<Served> {
    let unit = short(seat.unit);
    let words = format!("the prover of unit {unit} has stopped");
    teller.step(&words, pods::gone(world, "prover", seat.unit)).await?;
    let words = "a worker pod is ready in its place";
    let pod = teller.step(words, pods::ready(world, "worker", seat.unit)).await?;
    let url = format!(
        "http://{}:{}/",
        world.bed().node_address(NODES[2]),
        pods::entrance(world, &pod).await?
    );
    let served = Served { seat: seat.clone(), pod, url };
    teller.step("it answers from outside the cluster: hello", answers(&served.url)).await?;
    let cpus = pods::one_exclusive_core(world, &served.pod).await?;
    let node = pods::node(&served.pod);
    teller.aside(&format!("it has CPU {cpus} of {node} to itself"));
    teller.step("it is activated on chain", activated(world, seat)).await?;
    let status = status_agrees(world, seat).await?;
    let url = format!("{status}/");
    let inside = Box::pin(pods::get_from_inside(world, &url));
    let said =
        teller.step("it answers from inside the cluster, at the URL in its status", inside).await?;
    ensure(said.trim() == "200 hello", || format!("from inside {status} says {said:?}"))?;
    Ok(served)
}

/// Follows a match until the worker is activated and answers, wherever it is; gives the URL.
///
/// # Errors
/// [`Error::Late`].
pub async fn answering(world: &World, seat: &Seat) -> Result<String> {
    let pod = pods::ready(world, "worker", seat.unit).await?;
    let node = world.bed().node_address(NODES[2]);
    let url = format!("http://{node}:{}/", pods::entrance(world, &pod).await?);
    activated(world, seat).await?;
    answers(&url).await?;
    Ok(url)
}

/// Waits until a worker answers as the sample app does.
///
/// # Errors
/// [`Error::Late`].
pub async fn answers(url: &str) -> Result<()> {
    let client = client::http()?;
    until(&format!("{url} answers hello"), STEP, async || {
        let (status, body) = client::get(&client, url).await?;
        ensure((status, body.trim()) == (200, "hello"), || format!("{status} {body:?}"))?;
        Ok(Some(()))
    })
    .await
}

/// Waits until the contract knows the worker's key.
///
/// # Errors
/// [`Error::Late`].
pub async fn activated(world: &World, seat: &Seat) -> Result<B256> {
    until("the worker is activated", STEP, async || {
        let deal = world.oracle().deal(seat.deal).await?;
        let found = deal.workers.iter().find(|worker| worker.onchainId == seat.worker);
        let found = found.ok_or_else(|| Error::Finding("it is not in the deal".to_owned()))?;
        Ok(Some(found.offchainId).filter(|key| !key.is_zero()))
    })
    .await
}

/// Waits until the world's Deal says that the worker is ready and activated; gives the URL that it tells.
async fn status_agrees(world: &World, seat: &Seat) -> Result<String> {
    let worker = seat.decimal();
    until("the Deal says that its worker serves", STATUS, async || {
        let object = mirror(world, seat.deal).await?;
        let workers = object.data["status"]["workers"].as_array().cloned().unwrap_or_default();
        let ours = workers.into_iter().find(|it| it["onchainWorkerID"] == worker.as_str());
        let ours = ours.ok_or_else(|| Error::Finding("it does not name the worker".to_owned()))?;
        let is_so = ours["ready"] == true && ours["activated"] == true && is_ready(&object);
        ensure(is_so, || format!("it says {ours}"))?;
        Ok(Some(text(&ours["url"]).to_owned()))
    })
    .await
}

/// The moment at which a worker was taken out of its deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    /// The block that did it.
    pub block: u64,
    /// That block's epoch.
    pub epoch: u64,
    /// That block's time, seconds.
    pub timestamp: u64,
}

/// When a worker was taken out of its deal, once it was.
///
/// # Errors
/// [`Error::Finding`] where it is in it, [`Error::Chain`].
pub async fn left(world: &World, seat: &Seat) -> Result<Leave> {
    let (node, diamond) = (world.driver().node(), world.driver().contracts().diamond);
    let events = node.events::<Diamond::WorkerRemovedV2>(diamond, world.from_block()).await?;
    let log = events.into_iter().find(|(event, _)| event.onchainWorkerId == seat.worker);
    let block = log.and_then(|(_, log)| log.block_number);
    let block = block.ok_or_else(|| Error::Finding("the worker is in its deal".to_owned()))?;
    let timestamp = node.block(json!(format!("{block:#x}")), false).await?.header.timestamp;
    Ok(Leave { block, epoch: world.oracle().epoch_at(block).await?, timestamp })
}

/// The world's Deal object of a deal.
///
/// # Errors
/// [`Error::Finding`] where there is none, [`Error::Cluster`].
pub async fn mirror(world: &World, deal: Address) -> Result<kube::api::DynamicObject> {
    let address = deal.to_string().to_lowercase();
    let deals = world.list("Deal").await?;
    let found = deals
        .into_iter()
        .find(|object| text(&object.data["spec"]["dealAddress"]).to_lowercase() == address);
    found.ok_or_else(|| Error::Finding(format!("no Deal of {deal} is in {}", world.namespace())))
}

/// Waits until the chain has given the unit back, its worker pod is gone and its prover hashes again.
///
/// # Errors
/// [`Error::Late`].
pub async fn returned(world: &World, teller: &Teller, seat: &Seat) -> Result<()> {
    let free = until("the unit is free on chain", STEP, async || {
        let peer = world.oracle().peer(seat.peer).await?;
        let unit = peer.unitIds.into_iter().find(|unit| unit.id == seat.unit);
        Ok(unit.filter(|unit| unit.deal.is_zero()).map(drop))
    });
    teller.step("the unit is free on chain", free).await?;
    teller.step("its worker pod is gone", pods::gone(world, "worker", seat.unit)).await?;
    let prover = pods::ready(world, "prover", seat.unit);
    let pod = teller.step("its prover hashes again", prover).await?;
    teller.aside(&format!("in pod {} on {}", pod.name_any(), pods::node(&pod)));
    Ok(())
}

/// Waits until neither the Deal object nor its namespace is there, with every policy in place.
///
/// # Errors
/// [`Error::Late`] with what is left.
pub async fn forgotten(world: &World, seat: &Seat) -> Result<()> {
    let address = seat.deal.to_string().trim_start_matches("0x").to_lowercase();
    let namespaces: Api<Namespace> = Api::all(world.client());
    until("nothing is left of the deal", STEP, async || {
        let left = listed(&namespaces).await?;
        let of_it = |it: &&Namespace| {
            it.labels().get(DEAL).is_some_and(|deal| deal.to_lowercase() == address)
        };
        let left = left.iter().find(of_it);
        ensure(left.is_none(), || format!("its namespace is {:?}", left.map(|it| &it.status)))?;
        ensure(mirror(world, seat.deal).await.is_err(), || "its object is there".to_owned())?;
        Ok(Some(()))
    })
    .await
}

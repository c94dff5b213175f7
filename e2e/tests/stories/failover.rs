//! A node falls silent, and its peer lives on a spare one: first its prover, then its worker with a new key.

use alloy::primitives::B256;
use coreward_e2e::{
    bed::{self, Node},
    story::{STEP, Teller, account, deal, ensure, node, offer::Offered, pods, proving, the_loop},
    world::{Error, Result, World, chain_of, until},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::{Needs, Told, on_stage, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover() -> Told {
    on_stage("failover", (people::FAILOVER, Needs::Cores), async |world, teller, stage| {
        Box::pin(tell(world, teller, &stage.apps.hello)).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let mut spec = the_loop::both_nodes(world);
    spec["spec"]["capacity"]["spareNodes"] = json!(1);
    let offered = the_loop::proving_offer(world, teller, &spec, 1).await?;
    let unit = offered.units()[0];
    proving::minimum(world, &offered, &[unit]).await?;
    let scene = Scene { world, teller, offered, unit };

    let was = pods::ready(world, "prover", unit).await?;
    let block = world.oracle().block_number().await?;
    let moved = scene.while_away(&was, scene.prover_moves(&was)).await?;
    scene.left_alone("prover", &moved).await?;
    node::nothing_but_proofs(world, block).await?;
    teller.aside("nothing but proofs was sent");
    scene.proves().await?;

    let seat = deal::matched(world, app, &[&scene.offered.peers[0]]).await?.remove(0);
    let was = deal::serving(world, teller, &seat).await?.pod;
    let old = deal::activated(world, &seat).await?;
    let moved = scene.while_away(&was, scene.worker_moves(&was, (&seat, old))).await?;
    scene.left_alone("worker", &moved).await?;
    world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
    deal::returned(world, teller, &seat).await?;
    scene.proves().await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await
}

/// One unit, and two nodes that can carry it.
struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    offered: Offered,
    unit: B256,
}

impl Scene<'_> {
    /// Tells what happens while the kubelet of a pod's node is away, and lets it come back whatever came of it.
    async fn while_away<T>(&self, was: &Pod, told: impl Future<Output = Result<T>>) -> Result<T> {
        let home: Node = node::of_pod(was)?;
        let stopped = bed::stop_kubelet(self.world.bed(), home).await;
        stopped.map_err(|error| Error::Finding(chain_of(&error)))?;
        let away = async {
            let words = format!("the kubelet of {} is away, and the cluster knows", home.name);
            self.teller.step(&words, node::ready(self.world, home, false)).await?;
            told.await
        };
        let told = Box::pin(away).await;
        let started = bed::start_kubelet(self.world.bed(), home);
        started.map_err(|error| Error::Finding(chain_of(&error)))?;
        let told = told?;
        self.teller.step("the kubelet is back", node::ready(self.world, home, true)).await?;
        Ok(told)
    }

    /// Waits for another pod of the unit that is ready on another node; the one that was is left as it is.
    async fn another(&self, component: &str, was: &Pod) -> Result<Pod> {
        until(&format!("a {component} is ready on the spare node"), STEP, async || {
            let all = pods::of_unit(&self.world.client(), component, self.unit).await?;
            let stays = all.iter().any(|pod| {
                pods::uid(pod) == pods::uid(was) && pod.metadata.deletion_timestamp.is_none()
            });
            ensure(stays, || format!("{} is not there any more", was.name_any()))?;
            let is_it = |pod: &&Pod| pods::is_ready(pod) && pods::node(pod) != pods::node(was);
            Ok(all.iter().find(is_it).cloned())
        })
        .await
    }

    async fn prover_moves(&self, was: &Pod) -> Result<Pod> {
        let words = "its prover hashes on the spare node, and the old pod is left as it is";
        let moved = self.teller.step(words, self.another("prover", was)).await?;
        let note = node::told_of(self.world, &self.offered.name, ("PeerMoved", "which is away"));
        self.teller.aside(&format!("the offer's event says: {}", note.await?));
        self.proves().await?;
        Ok(moved)
    }

    async fn worker_moves(&self, was: &Pod, (seat, old): (&deal::Seat, B256)) -> Result<Pod> {
        let words = "its worker is ready on the spare node";
        let moved = self.teller.step(words, self.another("worker", was)).await?;
        let fenced = until("the contract knows another key of the worker", STEP, async || {
            Ok((deal::activated(self.world, seat).await? != old).then_some(()))
        });
        let words = "it is activated with a new key: the old one is out of every list";
        self.teller.step(words, fenced).await?;
        let home = self.world.bed().node_address(bed::NODES[2]);
        let url = format!("http://{home}:{}/", pods::entrance(self.world, &moved).await?);
        self.teller.step("it answers from outside the cluster: hello", deal::answers(&url)).await?;
        Ok(moved)
    }

    /// Waits until of two pods the one that moved is left.
    async fn left_alone(&self, component: &str, moved: &Pod) -> Result<()> {
        let left = pods::ready(self.world, component, self.unit);
        let words = format!("of two {component}s the one on the spare node is left");
        let left = self.teller.step(&words, left).await?;
        ensure(pods::uid(&left) == pods::uid(moved), || format!("{} is left", left.name_any()))
    }

    async fn proves(&self) -> Result<()> {
        proving::next(self.world, self.teller, &self.offered, &[self.unit]).await.map(drop)
    }
}

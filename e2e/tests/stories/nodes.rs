use std::fs;

use alloy::primitives::B256;
use coreward_e2e::{
    bed::{self, Node},
    story::{
        STEP, Teller, account, agrees, deal, ensure, node, offer::Offered, pods, proving, the_loop,
    },
    world::{Error, Result, World, chain_of, condition, until},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Needs, Told, on_stage, people};

/// What a kubelet says of a pod that does not get whole cores.
const REFUSAL: (&str, &str) =
    ("SMTAlignmentError", "SMT Alignment Error: requested 1 cpus not multiple cpus per core = 2");

/// Bytes; the volume is to hold 256 MiB.
const OVERFULL: usize = 280 << 20;
/// Bytes that a hog may take at most, beside a prover in its group; the prover is killed before.
const HOGGED: u64 = 64 << 20;
/// Says until when a node may be kept from being drained; and a time that is over.
const DRAIN_BY: &str = "coreward.dev/drain-by";
const PAST: &str = "2020-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes() -> Told {
    on_stage("nodes", (people::NODES, Needs::Cores), async |world, teller, stage| {
        tell(world, teller, &stage.apps.hello).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    proving::minimum(world, &offered, &offered.units()).await?;
    let (unit, other) = (offered.peers[0].units[0], offered.peers[1].units[0]);
    let node = node::of_pod(&pods::ready(world, "prover", unit).await?)?;
    let scene = Scene { world, teller, offered, unit, other, node };

    Box::pin(scene.refused_pod()).await?;
    Box::pin(scene.overfull()).await?;
    Box::pin(scene.out_of_memory()).await?;
    let told = Box::pin(scene.drained()).await;
    // Whatever came of it, the next story finds the node as it was.
    let opened = node::kubectl(world, &["uncordon", node.name]).await.map(drop);
    told.and(opened)?;
    Box::pin(scene.open_again()).await?;
    let told = Box::pin(scene.overdue(app)).await;
    let opened = scene.open().await;
    told.and(opened)?;
    let told = Box::pin(scene.without_kubelet()).await;
    let started = bed::start_kubelet(world.bed(), node);
    let started = started.map_err(|error| Error::Finding(chain_of(&error)));
    told.and(started)?;
    Box::pin(scene.kubelet_is_back()).await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await
}

/// Two units on two nodes, one of which is looked after by its people.
struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    offered: Offered,
    unit: B256,
    other: B256,
    node: Node,
}

impl Scene<'_> {
    async fn prover(&self) -> Result<Pod> {
        pods::ready(self.world, "prover", self.unit).await
    }

    /// Waits until the unit's condition `Draining` says so.
    async fn draining(&self, status: &str, words: &str) -> Result<()> {
        let name = format!("{}-{}", self.offered.name, proving::short(self.unit));
        let what = format!("Draining is {status}: {words}");
        let object = agrees(self.world, ("CapacityUnit", &name), &what, |object| {
            condition(object, "Draining")
                .is_some_and(|told| told.0 == status && told.2.contains(words))
        });
        let told = condition(&object.await?, "Draining").unwrap_or_default();
        self.teller.aside(&format!("the unit says {}: {}", told.1, told.2));
        Ok(())
    }

    /// Waits until the unit's condition `NodeEligible` says so.
    async fn eligible(&self, status: &str, reason: &str) -> Result<()> {
        let name = format!("{}-{}", self.offered.name, proving::short(self.unit));
        let what = format!("NodeEligible is {status}, {reason}");
        agrees(self.world, ("CapacityUnit", &name), &what, |object| {
            condition(object, "NodeEligible")
                .is_some_and(|told| (told.0.as_str(), told.1.as_str()) == (status, reason))
        })
        .await
        .map(drop)
    }

    /// A pod that the kubelet refuses comes back, and the unit says why it went.
    async fn refused_pod(&self) -> Result<()> {
        let was = self.prover().await?;
        node::refuse(self.world, &was, REFUSAL).await?;
        let back = pods::another(self.world, "prover", self.unit, &was);
        let back = self.teller.step("a refused prover is made again", back).await?;
        let unit = (&self.offered, self.unit);
        let note = node::told(self.world, unit, ("PodFailed", REFUSAL.1)).await?;
        self.teller.aside(&format!("{} stands in for it; the unit says {note}", back.name_any()));
        self.all_prove().await
    }

    /// A pod that the kubelet evicts, since a volume of it is overfull, comes back; the unit says why it went.
    async fn overfull(&self) -> Result<()> {
        let was = self.prover().await?;
        let process = node::prover_process(&was)?;
        let file = format!("/proc/{}/root/tmp/overfull", process.id);
        fs::write(&file, vec![1; OVERFULL])
            .map_err(|error| Error::Finding(format!("{file} cannot be written: {error}")))?;
        let back = pods::another(self.world, "prover", self.unit, &was);
        let words = "a prover's volume is overfull: it is evicted, and made again";
        let back = self.teller.step(words, back).await?;
        let unit = (&self.offered, self.unit);
        let words = format!("{} ended: Evicted: ", was.name_any());
        let note = node::told(self.world, unit, ("PodFailed", &words)).await?;
        self.teller.aside(&format!("{} stands in for it; the unit says {note}", back.name_any()));
        self.all_prove().await
    }

    /// A prover that the kernel kills for want of memory is started again; the unit says why.
    async fn out_of_memory(&self) -> Result<()> {
        let was = self.prover().await?;
        let process = node::prover_process(&was)?;
        let hog = process.hog_its_memory(HOGGED)?;
        let killed = until("the prover is killed for want of memory", STEP, async || {
            let pod = pods::of_unit(&self.world.client(), "prover", self.unit).await?.pop();
            Ok(pod.filter(|pod| pods::restarts(pod) > pods::restarts(&was)))
        });
        let killed = self.teller.step("the kernel kills a prover for want of memory", killed).await;
        hog.end().await;
        let killed = killed?;
        ensure(pods::uid(&killed) == pods::uid(&was), || "another pod was made".to_owned())?;
        let back = self.prover();
        self.teller.step("its container is started again, and hashes", back).await?;
        let words = format!("{} was started again: ", was.name_any());
        let note =
            node::told(self.world, (&self.offered, self.unit), ("PodFailed", &words)).await?;
        self.teller.aside(&format!("the unit says {note}"));
        ensure(note.contains("OOMKilled"), || "it does not say for want of what".to_owned())?;
        self.all_prove().await
    }

    async fn all_prove(&self) -> Result<()> {
        let units = self.offered.units();
        proving::next(self.world, self.teller, &self.offered, &units).await.map(drop)
    }

    /// The drain of a node ends by itself, and not before the epoch's minimum is on chain.
    async fn drained(&self) -> Result<()> {
        let (world, teller) = (self.world, self.teller);
        let was = self.prover().await?;
        let process = node::prover_process(&was)?;
        process.freeze().await?;
        let told = self.held(&was).await;
        process.resume().await?;
        told?;
        let words = [
            "drain",
            self.node.name,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=120s",
        ];
        let drain = node::kubectl(world, &words);
        let said = teller.step("kubectl drain ends by itself", drain).await?;
        teller.aside(said.lines().last().unwrap_or_default());
        let (count, wanted) = node::proofs(world, &self.offered, self.unit).await?;
        ensure(count >= wanted, || format!("it went with {count} of {wanted} proofs"))?;
        teller.aside(&format!("{count} proofs of the epoch are on chain, {wanted} were needed"));
        self.draining("True", "nothing of it runs there").await?;
        proving::minimum(world, &self.offered, &[self.other]).await?;
        let left = pods::of_unit(&world.client(), "prover", self.unit).await?;
        ensure(left.is_empty(), || format!("{} is on the drained node", left[0].name_any()))?;
        teller.aside("no pod of the unit came back to the drained node");
        Ok(())
    }

    /// A prover that cannot hash has no minimum: it is held on an open node and on a cordoned one.
    async fn held(&self, was: &Pod) -> Result<()> {
        let number = self.world.driver().next_epoch().await?;
        let refusal = node::eviction_refused(self.world, was).await?;
        self.teller.aside(&format!("an eviction on the open node: {refusal}"));
        node::kubectl(self.world, &["cordon", self.node.name]).await?;
        self.draining("True", "until the epoch's minimum is on chain").await?;
        let (count, wanted) = node::proofs(self.world, &self.offered, self.unit).await?;
        ensure(count < wanted, || format!("epoch {number} has {count} proofs of a frozen prover"))?;
        let refusal = node::eviction_refused(self.world, was).await?;
        self.teller.aside(&format!("with {count} of {wanted} proofs, cordoned: {refusal}"));
        Ok(())
    }

    async fn open_again(&self) -> Result<()> {
        let back = self.prover();
        self.teller.step("the node is uncordoned: its prover is back", back).await?;
        self.draining("False", "").await?;
        self.all_prove().await
    }

    /// Takes the cordon and its time from the node.
    async fn open(&self) -> Result<()> {
        let words = ["annotate", "node", self.node.name, &format!("{DRAIN_BY}-")];
        node::kubectl(self.world, &words).await?;
        node::kubectl(self.world, &["uncordon", self.node.name]).await.map(drop)
    }

    /// A worker is kept on a cordoned node until the time that people set on it.
    async fn overdue(&self, app: &str) -> Result<()> {
        let (world, teller, node) = (self.world, self.teller, self.node.name);
        let peer = [&self.offered.peers[0]];
        let seat = deal::matched(world, app, &peer).await?.remove(0);
        let url =
            teller.step("a deal is matched, and answers", deal::answering(world, &seat)).await?;
        let worker = pods::ready(world, "worker", self.unit).await?;
        node::kubectl(world, &["cordon", node]).await?;
        self.draining("True", "its worker stays while the deal lasts").await?;
        let refusal = node::eviction_refused(world, &worker).await?;
        teller.aside(&format!("cordoned, an eviction of its worker: {refusal}"));
        node::kubectl(world, &["annotate", "node", node, &format!("{DRAIN_BY}={PAST}")]).await?;
        self.draining("True", "the time that was set is over").await?;
        let words =
            ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
        let drained = node::kubectl(world, &words);
        teller.step("its drain-by is over: kubectl drain ends by itself", drained).await?;
        self.open().await?;
        teller.step("uncordoned, the deal answers again", deal::answers(&url)).await?;
        world.driver().stop_deal(world.party().developer.address, seat.deal).await?;
        deal::returned(world, teller, &seat).await?;
        self.all_prove().await
    }

    /// A node whose kubelet is away: its pods stay, and go on.
    async fn without_kubelet(&self) -> Result<()> {
        let world = self.world;
        let was = self.prover().await?;
        let block = world.oracle().block_number().await?;
        let stopped = bed::stop_kubelet(world.bed(), self.node).await;
        stopped.map_err(|error| Error::Finding(chain_of(&error)))?;
        let words = format!("the kubelet of {} is away, and the cluster knows", self.node.name);
        self.teller.step(&words, node::ready(world, self.node, false)).await?;
        // The node's agent goes on without a kubelet, and so does what it tells.
        self.eligible("True", "Verified").await?;
        self.all_prove().await?;
        let left = pods::of_unit(&world.client(), "prover", self.unit).await?;
        let stays = matches!(&left[..], [pod] if pods::uid(pod) == pods::uid(&was)
            && pod.metadata.deletion_timestamp.is_none());
        ensure(stays, || format!("{} pods of the unit are there, not the one", left.len()))?;
        node::nothing_but_proofs(world, block).await?;
        self.teller
            .aside("its pod was not touched and goes on proving; nothing but proofs was sent");
        Ok(())
    }

    async fn kubelet_is_back(&self) -> Result<()> {
        let back = node::ready(self.world, self.node, true);
        self.teller.step("the kubelet is back, and the node ready", back).await?;
        let pod = self.prover().await?;
        ensure(pods::restarts(&pod) == 0, || "its container was started again".to_owned())?;
        self.eligible("True", "Verified").await?;
        self.all_prove().await
    }
}

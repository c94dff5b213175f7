//! Three endpoints before one chain: one that is wrong is outvoted, and without two that agree nothing is sent but proofs.

use coreward_e2e::{
    bed::NAMESPACE,
    fault::{Faults, Rpc, THREE},
    story::{
        STEP, Teller, agrees, ensure,
        offer::{self, Offered},
        operators, page,
        product::{Stage, deploy, deploy_behind_three},
        proving,
        witness::{self, Witness, while_synced},
    },
    world::{Error, NETWORK_OF_THREE, Result, World, cluster, condition, until},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Needs, Told, alone, people, tell_and_release};

/// Blocks that a liar is ahead of the chain.
const FAR: u64 = 1000;
/// Blocks that are to be heard of, and how many at least: two may fall into one look.
const HEARD: u64 = 10;
const HEARD_OF: f64 = 8.0;
/// Says on an identity up to which block its peer's logs were read.
const READ_TO: &str = "coreward.dev/past-read-to";
/// Whose WebSocket dies.
const DEAD: usize = 1;
/// Blocks, and so seconds, in which what is sent out of ignorance would be on its way.
const SHORT: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_endpoints() -> Told {
    let teller = Teller::of("several_endpoints");
    // It upgrades the product for all.
    let told = alone(&teller, Needs::Solitude, async |stage| {
        let faults = Faults::between(&stage.bed)?;
        let told = Box::pin(behind_three(stage, &teller, &faults)).await;
        let restored = deploy(&stage.bed, &stage.parties).await;
        told.and(restored)
    });
    told.await
}

async fn behind_three(stage: &Stage, teller: &Teller, faults: &Faults) -> Result<()> {
    every_one(faults, Rpc::Away)?;
    let person = people::SEVERAL_ENDPOINTS;
    let upgrade = deploy_behind_three(&stage.bed, &stage.parties, &stage.parties[person]);
    let words = "helm upgrade: a network with three endpoints; new replicas reach none of them";
    teller.step(words, upgrade).await?;
    tell_and_release(stage, ("several endpoints", person), async |world| {
        let scene = Box::pin(Scene::set(world, teller, faults)).await?;
        Box::pin(scene.tell()).await
    })
    .await
}

fn every_one(faults: &Faults, fault: Rpc) -> Result<()> {
    (0..THREE.len()).try_for_each(|place| faults.one_of_three(place, fault))
}

/// One unit, which proves on the node without exclusive cores.
fn spec(world: &World) -> Value {
    let mut offer = world.offer("ends", "shared");
    offer["spec"]["network"] = json!(NETWORK_OF_THREE);
    offer["spec"]["capacity"]["coreIsolation"] = json!("Preferred");
    offer["spec"]["capacity"]["unitsPerNode"] = json!(1);
    offer
}

struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    faults: &'a Faults,
    offered: Offered,
}

impl<'a> Scene<'a> {
    /// Replicas that reached no endpoint at their start make the offer once they do.
    async fn set(world: &'a World, teller: &'a Teller, faults: &'a Faults) -> Result<Self> {
        let witness = Witness::begin(world).await?;
        world.apply(&spec(world)).await?;
        let unknown = agrees(world, ("ProviderOffer", "ends"), "nothing is known", |object| {
            condition(object, "ChainSynced").is_some_and(|told| told.1 == "Unknown")
        });
        teller.step("an offer on it says that nothing is known of the chain", unknown).await?;
        witness::blocks(world, SHORT).await?;
        let sent = witness.only_proofs_were_sent(world).await?;
        ensure(sent.is_empty(), || format!("{sent:?} were sent"))?;
        every_one(faults, Rpc::Well)?;
        let offered = offer::register(world, teller, &spec(world), 1).await?;
        operators::never_broke_down(world).await?;
        let offered = offer::activate(world, teller, offered).await?;
        proving::minimum(world, &offered, &offered.units()).await?;
        Ok(Self { world, teller, faults, offered })
    }

    async fn tell(&self) -> Result<()> {
        Box::pin(self.listens()).await?;
        for (words, fault) in [
            ("tells a head far ahead, made up", Rpc::Ahead(FAR)),
            ("tells other blocks than the others", Rpc::Forked),
            ("answers 429", Rpc::TooManyRequests),
            ("takes connections and answers nothing", Rpc::Frozen),
            ("returns nothing for every call", Rpc::Empty),
        ] {
            Box::pin(self.with_one(words, fault)).await?;
        }
        let height = self.world.oracle().block_number().await?;
        Box::pin(self.with_one("stands still at a block", Rpc::Stale(height))).await?;
        Box::pin(self.with_wrong_logs()).await?;
        Box::pin(self.with_a_dead_socket()).await?;
        Box::pin(self.with_one_left()).await?;
        Box::pin(self.with_two_that_contradict()).await
    }

    /// Every block is read, though heads are asked for once in five of them.
    async fn listens(&self) -> Result<()> {
        let before = self.requests().await?;
        witness::blocks(self.world, HEARD).await?;
        let after = self.requests().await?;
        let looks: Vec<_> =
            before.iter().zip(after).map(|(before, after)| after - before).collect();
        let words = format!("{HEARD} blocks are heard of: {looks:?} requests to the endpoints");
        ensure(looks.iter().all(|looks| *looks >= HEARD_OF), || words.clone())?;
        self.teller.aside(&words);
        Ok(())
    }

    /// Something is wrong with the endpoint that is asked for everything: the others carry on.
    async fn with_one(&self, words: &str, fault: Rpc) -> Result<()> {
        let (world, asked) = (self.world, self.asked().await?);
        let witness = Witness::begin(world).await?;
        self.faults.one_of_three(asked, fault)?;
        let proved = async {
            self.proves().await?;
            witness.pods_are_the_same(world).await?;
            witness.nothing_was_sent_in_vain(world).await.map(drop)
        };
        let synced = while_synced((world, &self.offered), proved);
        let words = format!("one, the {}, {words}: proofs arrive", THREE[asked].0);
        self.teller.step(&words, synced).await?;
        let spoiled = self.faults.spoiled_by_one_of_three(asked);
        ensure(spoiled > 0, || "it was asked for nothing".to_owned())?;
        self.faults.one_of_three(asked, Rpc::Well)
    }

    /// The past of the peer is read again, as after an old backup, out of logs that one forges: nothing follows from them.
    async fn with_wrong_logs(&self) -> Result<()> {
        let (world, asked) = (self.world, self.asked().await?);
        let (witness, told) = (Witness::begin(world).await?, self.told_of_stakes().await?);
        self.faults.one_of_three(asked, Rpc::WrongLogs)?;
        let endured = async {
            self.past_is_read_again().await?;
            self.proves().await?;
            witness::blocks(world, SHORT).await?;
            witness.pods_are_the_same(world).await?;
            witness.nothing_was_sent_in_vain(world).await.map(drop)
        };
        let synced = while_synced((world, &self.offered), endured);
        let words =
            format!("one, the {}, tells logs that nobody wrote: proofs arrive", THREE[asked].0);
        self.teller.step(&words, synced).await?;
        let now = self.told_of_stakes().await?;
        ensure(now == told, || format!("the offer told {told} of its stakes, and tells {now}"))?;
        self.faults.one_of_three(asked, Rpc::Well)
    }

    /// What the offer tells of its peers and of commitments, past ones too.
    async fn told_of_stakes(&self) -> Result<Value> {
        let offer = self.world.get("ProviderOffer", &self.offered.name).await?;
        let offer = offer.ok_or_else(|| Error::Finding("the offer is gone".to_owned()))?;
        let status = &offer.data["status"];
        Ok(json!([status["peers"], status["commitments"], status["pastCommitments"]]))
    }

    /// Takes away how far the logs of the offer's peers were read, and waits until they were read again.
    async fn past_is_read_again(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.world.client(), NAMESPACE);
        let of_world = ListParams::default()
            .labels(&format!("coreward.dev/offer-namespace={}", self.world.namespace()));
        let list = async || {
            let list = secrets.list(&of_world).await.map_err(cluster("list identities"))?;
            let mut read = list.items;
            read.retain(|secret| secret.annotations().contains_key(READ_TO));
            Ok::<_, Error>(read)
        };
        let read = list().await?;
        ensure(!read.is_empty(), || "no identity says how far its logs were read".to_owned())?;
        let forget = Patch::Merge(json!({ "metadata": { "annotations": { READ_TO: null } } }));
        for secret in &read {
            let name = secret.name_any();
            let patched = secrets.patch(&name, &PatchParams::default(), &forget).await;
            patched.map_err(cluster(format!("change {name}")))?;
        }
        until("the peers' logs were read again", STEP, async || {
            Ok((list().await?.len() == read.len()).then_some(()))
        })
        .await
    }

    /// A WebSocket that is open and through which nothing comes is given up for a new one.
    async fn with_a_dead_socket(&self) -> Result<()> {
        let silent = || self.answers(THREE[DEAD].0, "silent");
        let taken = || self.faults.sockets_taken_for_one_of_three(DEAD);
        let (before, taken_before) = (silent().await?, taken());
        self.faults.sockets_of_one_of_three_die(DEAD);
        let noticed = until("the silence is counted", STEP, async || {
            Ok((silent().await? > before).then_some(()))
        });
        let words = "a WebSocket is half-open: the watchdog gives it up for a new one";
        self.teller.step(words, noticed).await?;
        self.proves().await?;
        witness::blocks(self.world, SHORT).await?;
        let (silences, new) = (silent().await? - before, taken() - taken_before);
        ensure(silences.total_cmp(&1.0).is_eq() && new == 1, || {
            format!("{new} new connections, given up for silence {silences} times")
        })
    }

    /// A single endpoint is good for proofs, and for nothing else.
    async fn with_one_left(&self) -> Result<()> {
        let (world, asked) = (self.world, self.asked().await?);
        witness::settled(world, &self.offered, &[]).await?;
        let witness = Witness::begin(world).await?;
        for away in [asked, (asked + 1) % THREE.len()] {
            self.faults.one_of_three(away, Rpc::Away)?;
        }
        let endured = async {
            self.proves().await?;
            witness::chain_synced(world, &self.offered, "EndpointsDisagree").await?;
            self.proves().await?;
            witness.pods_are_the_same(world).await?;
            witness.only_proofs_were_sent(world).await
        };
        let words = "two refuse connections: proofs of two epochs arrive, and the offer says so";
        let sent = self.teller.step(words, endured).await?;
        self.teller.aside(&format!("{} transactions meanwhile, all of them proofs", sent.len()));
        every_one(self.faults, Rpc::Well)?;
        self.recovers(&witness).await
    }

    /// Nobody can tell which of two is right.
    async fn with_two_that_contradict(&self) -> Result<()> {
        let (world, asked) = (self.world, self.asked().await?);
        witness::settled(world, &self.offered, &[]).await?;
        self.faults.one_of_three(asked, Rpc::Away)?;
        self.faults.one_of_three((asked + 1) % THREE.len(), Rpc::Forked)?;
        world.driver().next_epoch().await?;
        let witness = Witness::begin(world).await?;
        let endured = async {
            witness::chain_synced(world, &self.offered, "EndpointsDisagree").await?;
            witness::blocks(world, SHORT).await?;
            witness.pods_are_the_same(world).await?;
            let mut sent = witness.only_proofs_were_sent(world).await?;
            // What was on its way when the epoch was ended.
            sent.retain(|sent| sent.succeeded);
            ensure(sent.is_empty(), || format!("{sent:?} were sent out of ignorance"))
        };
        let words = "one refuses connections, and two tell different blocks: nothing is sent";
        self.teller.step(words, endured).await?;
        every_one(self.faults, Rpc::Well)?;
        self.recovers(&witness).await
    }

    /// Ends the epoch and waits for the minimum of the next.
    async fn proves(&self) -> Result<()> {
        self.world.driver().next_epoch().await?;
        proving::minimum(self.world, &self.offered, &self.offered.units()).await.map(drop)
    }

    /// Proofs of the epoch arrive, and all is as before.
    async fn recovers(&self, witness: &Witness) -> Result<()> {
        let back = async {
            proving::minimum(self.world, &self.offered, &self.offered.units()).await?;
            witness::chain_synced(self.world, &self.offered, "HeadFresh").await
        };
        self.teller.step("all are well again: proofs of the epoch arrive", back).await?;
        witness.pods_are_the_same(self.world).await?;
        witness.nothing_was_sent_in_vain(self.world).await.map(drop)
    }

    /// The endpoint that is asked for more than its head: the one whose requests grow most.
    async fn asked(&self) -> Result<usize> {
        let before = self.requests().await?;
        witness::blocks(self.world, 2).await?;
        let after = self.requests().await?;
        let more = before.iter().zip(after).map(|(before, after)| after - before).enumerate();
        let most = more.max_by(|(_, one), (_, other)| one.total_cmp(other));
        most.map(|(place, _)| place).ok_or_else(|| Error::Finding("no endpoint".to_owned()))
    }

    /// Answers of an endpoint that came out so, by the leader's count.
    async fn answers(&self, endpoint: &str, code: &str) -> Result<f64> {
        let label = [("endpoint", endpoint), ("code", code)];
        let counts = page::values(self.world, "coreward_chain_requests_total", &label).await;
        // A series is there from its first answer on.
        Ok(counts.unwrap_or_default().iter().sum())
    }

    /// Requests to each endpoint, by the leader's count.
    async fn requests(&self) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for (name, _) in THREE {
            let label = [("endpoint", name)];
            let counts = page::values(self.world, "coreward_chain_requests_total", &label);
            all.push(counts.await?.iter().sum());
        }
        Ok(all)
    }
}

use std::{net::Ipv4Addr, time::Duration};

use alloy::primitives::{Address, B256, U256};
use coreward_e2e::{
    bed::NODES,
    chain::{CapacityConstant, DealOrder, Parameters},
    fault::{Api, Faults, Rpc},
    story::{
        STEP, Teller, agrees, deal, ensure,
        offer::{self, Offered},
        operators, pods, proving, the_loop,
        witness::{self, Witness, while_visited},
    },
    world::{Error, Result, World, condition, until},
};
use serde_json::{Value, json};

use super::{Needs, Told, left_alone, on_stage, people};

/// So many proofs that no prover has ever enough. On a machine with no core to spare that starves everything else, so it
/// holds for one fault only; else provers rest once they have found what is of use.
const ENDLESS: u64 = 10_000;
/// Epochs that the deal is paid for; more than the story ends.
const PAID_EPOCHS: u64 = 60;
/// Blocks, and so seconds, of a short fault.
const SHORT: u64 = 5;
/// Blocks after which a leader that hears nothing of the API server has given up leading, and the lease is over.
const BLIND: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_home() -> Told {
    // What is wrong is wrong for the offers of all.
    on_stage("nobody_home", (people::NOBODY_HOME, Needs::Solitude), async |world, teller, stage| {
        let told = tell(world, teller, &stage.apps.hello).await;
        // The next story finds the usual rules, whatever came of this one.
        limit(world, usual()).await?;
        told
    })
    .await
}

fn usual() -> u64 {
    Parameters::for_stories().max_proofs_per_epoch
}

/// From now on a unit may bring so many proofs per epoch.
async fn limit(world: &World, proofs: u64) -> Result<()> {
    Ok(world.driver().set_capacity_constant(CapacityConstant::MaxProofsPerEpoch, proofs).await?)
}

async fn tell(world: &World, teller: &Teller, app: &str) -> Result<()> {
    let scene = Box::pin(Scene::set(world, teller, app)).await?;
    while_visited(&scene.url, Box::pin(scene.tell())).await?;
    teller.aside("the customer of the deal was answered all the time");
    scene.stay.pods_are_the_same(world).await?;
    teller.aside("provers and worker are the pods that they were, never started again");
    operators::never_broke_down(world).await?;
    proving::next(world, teller, &scene.offered, &scene.provers).await?;
    let (prover, seat) = (scene.provers[0], &scene.seat);
    Box::pin(left_alone::tell(world, teller, (&scene.offered, prover, seat), &scene.url)).await?;
    world.driver().stop_deal(world.party().developer.address, scene.seat.deal).await?;
    deal::returned(world, teller, &scene.seat).await
}

/// One unit serves a deal, two prove.
struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    offered: Offered,
    seat: deal::Seat,
    url: String,
    provers: Vec<B256>,
    stay: Witness,
}

/// How a fault of the endpoint is endured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endures {
    /// For some seconds.
    Shortly,
    /// Until the offer says that nothing is known of the chain.
    UntilTold,
    /// So long too, while the provers hash for the epoch that they were told of last.
    Hashing,
}

fn spec(world: &World) -> Value {
    let mut offer = the_loop::every_node(world, "home");
    // Where many are found, a further proof is not worth its gas, and provers would rest.
    offer["spec"]["proofs"] = json!({ "target": "Maximum" });
    offer
}

impl<'a> Scene<'a> {
    async fn set(world: &'a World, teller: &'a Teller, app: &str) -> Result<Self> {
        let offered = offer::register(world, teller, &spec(world), 3).await?;
        let offered = offer::activate(world, teller, offered).await?;
        proving::minimum(world, &offered, &offered.units()).await?;
        let order = DealOrder {
            paid_epochs: PAID_EPOCHS,
            ..DealOrder::of_one_worker(world.party().developer.address, app)
        };
        let contract = world.driver().create_deal(&order).await?;
        // The worker goes where nothing is exclusive, so that both cores prove.
        let mut shared = None;
        for peer in &offered.peers {
            let prover = pods::ready(world, "prover", peer.units[0]).await?;
            if pods::node(&prover) == NODES[2].name {
                shared = Some(peer);
            }
        }
        let peer = shared.ok_or_else(|| Error::Finding("no unit is on n3".to_owned()))?;
        let seat = deal::seats(world, contract, &[peer]).await?.remove(0);
        let url = teller.step("a deal is matched, and answers", deal::answering(world, &seat));
        let url = url.await?;
        let mut provers = offered.units();
        provers.retain(|unit| *unit != seat.unit);
        let stay = Witness::begin(world).await?;
        Ok(Self { world, teller, offered, seat, url, provers, stay })
    }

    async fn tell(&self) -> Result<()> {
        let faults = Faults::between(self.world.bed())?;
        Box::pin(self.starts_without_a_chain(&faults)).await?;
        for (words, fault, endures) in [
            ("takes connections and answers nothing", Rpc::Frozen, Endures::Hashing),
            ("returns nothing for every call", Rpc::Empty, Endures::UntilTold),
            ("answers 429", Rpc::TooManyRequests, Endures::Shortly),
            ("answers errors", Rpc::Failing, Endures::Shortly),
            ("begins answers and ends none", Rpc::HalfOpen, Endures::Shortly),
        ] {
            Box::pin(self.without_a_chain(&faults, (words, fault), endures)).await?;
        }
        Box::pin(self.on_an_old_chain(&faults)).await?;
        Box::pin(self.on_a_slow_chain(&faults)).await?;
        for (words, fault, lasts) in [
            ("refuses connections", Api::Away, BLIND),
            ("loses every packet", Api::Cut, SHORT),
            ("answers 429", Api::TooManyRequests, SHORT),
            ("answers 503", Api::Unavailable, SHORT),
            ("takes half a second for everything", Api::Slow(Duration::from_millis(500)), SHORT),
        ] {
            Box::pin(self.without_an_api(&faults, (words, fault), lasts)).await?;
        }
        Box::pin(self.without_either(&faults)).await
    }

    /// New replicas find no endpoint at all.
    async fn starts_without_a_chain(&self, faults: &Faults) -> Result<()> {
        let (world, teller) = (self.world, self.teller);
        self.rest().await?;
        let witness = Witness::begin(world).await?;
        faults.rpc(Rpc::Away)?;
        world.driver().next_epoch().await?;
        let words = "the endpoint refuses connections; new replicas start, and one leads";
        teller.step(words, operators::renew(world)).await?;
        let unknown = witness::chain_synced(world, &self.offered, "Unknown");
        teller.step("the offer says that nothing is known of the chain", unknown).await?;
        let words = "a new offer has all its conditions, none of them known";
        teller.step(words, self.a_new_offer_is_unknown()).await?;
        witness::blocks(world, SHORT).await?;
        self.held_still(&witness).await?;
        faults.rpc(Rpc::Well)?;
        self.recovers(&witness).await?;
        operators::never_broke_down(world).await
    }

    /// An offer that is made while no endpoint answers says that nothing is known yet, and can be taken back.
    async fn a_new_offer_is_unknown(&self) -> Result<()> {
        let mut spec = self.world.offer("unheard", "none");
        spec["spec"]["managementPolicy"] = json!("Observe");
        self.world.apply(&spec).await?;
        agrees(self.world, ("ProviderOffer", "unheard"), "nothing is known of it", |object| {
            let told = ["Ready", "ChainSynced", "OfferInSync", "CommitmentsHealthy"];
            told.iter()
                .all(|kind| condition(object, kind).is_some_and(|(status, ..)| status == "Unknown"))
        })
        .await?;
        self.world.delete("ProviderOffer", "unheard").await?;
        until("it is gone again", STEP, async || {
            let left = self.world.get("ProviderOffer", "unheard").await?;
            Ok(left.is_none().then_some(()))
        })
        .await
    }

    /// The epoch ends while nothing can be learned of it.
    async fn without_a_chain(
        &self,
        faults: &Faults,
        (words, fault): (&str, Rpc),
        endures: Endures,
    ) -> Result<()> {
        self.rest().await?;
        if endures == Endures::Hashing {
            // The contract takes limits over when an epoch begins.
            limit(self.world, ENDLESS).await?;
            self.world.driver().next_epoch().await?;
            let begun = Witness::begin(self.world).await?;
            begun.provers_compute_again().await?;
            self.settled().await?;
        }
        let witness = Witness::begin(self.world).await?;
        faults.rpc(fault)?;
        self.world.driver().next_epoch().await?;
        let waited = async {
            if endures == Endures::Shortly {
                witness::blocks(self.world, SHORT).await?;
            } else {
                witness::chain_synced(self.world, &self.offered, "HeadStale").await?;
            }
            if endures == Endures::Hashing {
                witness.provers_compute_again().await?;
                limit(self.world, usual()).await?;
            }
            let spoiled = faults.spoiled();
            ensure(spoiled > 0, || "the operator asked for nothing".to_owned())?;
            self.held_still(&witness).await
        };
        self.teller.step(&format!("the endpoint {words}"), waited).await?;
        faults.rpc(Rpc::Well)?;
        self.recovers(&witness).await?;
        if endures == Endures::Hashing {
            self.proves().await?;
        }
        Ok(())
    }

    /// The endpoint stands still at the beginning of an epoch, and another begins behind its back.
    async fn on_an_old_chain(&self, faults: &Faults) -> Result<()> {
        self.rest().await?;
        let witness = Witness::begin(self.world).await?;
        self.world.driver().next_epoch().await?;
        faults.rpc(Rpc::Stale(self.world.oracle().block_number().await?))?;
        let endured = async {
            witness::blocks(self.world, SHORT).await?;
            self.world.driver().next_epoch().await?;
            witness::chain_synced(self.world, &self.offered, "HeadStale").await?;
            witness.pods_are_the_same(self.world).await?;
            witness.nothing_was_sent_in_vain(self.world).await.map(drop)
        };
        self.teller.step("the endpoint stands still at a block", endured).await?;
        faults.rpc(Rpc::Well)?;
        self.recovers(&witness).await
    }

    async fn on_a_slow_chain(&self, faults: &Faults) -> Result<()> {
        self.rest().await?;
        let witness = Witness::begin(self.world).await?;
        faults.rpc(Rpc::Slow(Duration::from_millis(700)))?;
        self.world.driver().next_epoch().await?;
        let proved = proving::minimum(self.world, &self.offered, &self.provers);
        self.teller.step("the endpoint takes 0.7 s for everything: proofs arrive", proved).await?;
        faults.rpc(Rpc::Well)?;
        self.recovers(&witness).await
    }

    /// Nothing answers for more than an epoch: the one that nobody could prove for is missed, and nothing else is lost.
    async fn without_either(&self, faults: &Faults) -> Result<()> {
        let world = self.world;
        self.rest().await?;
        let (witness, before) = (Witness::begin(world).await?, self.fails().await?);
        faults.rpc(Rpc::Frozen)?;
        faults.api(Api::Cut, None)?;
        world.driver().next_epoch().await?;
        let endured = async {
            witness::blocks(world, BLIND).await?;
            world.driver().next_epoch().await?;
            witness::blocks(world, SHORT).await?;
            self.held_still(&witness).await
        };
        let words = "neither the endpoint nor the API server answers, for more than an epoch";
        self.teller.step(words, endured).await?;
        faults.api(Api::Well, None)?;
        faults.rpc(Rpc::Well)?;
        self.recovers(&witness).await?;
        let missed = self.fails().await? - before;
        ensure(missed == U256::from(self.provers.len()), || {
            format!("{missed} epochs of {} units were missed, not one of each", self.provers.len())
        })?;
        self.teller.aside("each unit missed the one epoch in which nothing answered");
        Ok(())
    }

    /// How many epochs the contract counts as missed on all commitments.
    async fn fails(&self) -> Result<U256> {
        let mut fails = U256::ZERO;
        for peer in &self.offered.peers {
            fails += self.world.oracle().commitment(peer.commitment).await?.totalFailCount;
        }
        Ok(fails)
    }

    /// The chain is there: proofs arrive without the API server, and nothing else is sent.
    async fn without_an_api(
        &self,
        faults: &Faults,
        (words, fault): (&str, Api),
        lasts: u64,
    ) -> Result<()> {
        const ALL: Option<Ipv4Addr> = None;
        let world = self.world;
        self.rest().await?;
        let witness = Witness::begin(world).await?;
        faults.api(fault, ALL)?;
        let endured = async {
            self.proves().await?;
            witness::blocks(world, lasts).await?;
            if lasts >= BLIND {
                self.proves().await?;
            }
            witness.pods_are_the_same(world).await?;
            match fault {
                Api::Slow(_) => witness.nothing_was_sent_in_vain(world).await,
                Api::Well | Api::Away | Api::Cut | Api::TooManyRequests | Api::Unavailable => {
                    witness.only_proofs_were_sent(world).await
                }
            }
        };
        let words = format!("the API server {words}: proofs arrive");
        let sent = self.teller.step(&words, endured).await?.len();
        self.teller.aside(&format!("{sent} transactions meanwhile"));
        faults.api(Api::Well, ALL)?;
        let kept_again = async {
            self.proves().await?;
            self.rest().await?;
            let kept = witness::kept(world).await?;
            let sent = witness.nothing_was_sent_in_vain(world).await?;
            let last = sent.iter().rfind(|sent| sent.function == "submitProofs");
            ensure(last.is_some_and(|last| kept.contains(&last.hash)), || {
                format!("{last:?} is in no ChainTransaction")
            })
        };
        self.teller.step("it is back: transactions are kept again", kept_again).await?;
        self.recovers(&witness).await
    }

    /// Ends the epoch and waits for the minimum of the next.
    async fn proves(&self) -> Result<()> {
        self.world.driver().next_epoch().await?;
        proving::minimum(self.world, &self.offered, &self.provers).await.map(drop)
    }

    /// The operator has nothing left to do: all proofs that the contract takes are there.
    async fn rest(&self) -> Result<()> {
        proving::all(self.world, &self.offered, (&self.provers, usual())).await?;
        self.settled().await
    }

    /// Nothing is on its way.
    async fn settled(&self) -> Result<()> {
        let seat = &self.seat;
        let deals: [(Address, B256); 1] = [(seat.deal, seat.worker)];
        witness::settled(self.world, &self.offered, &deals).await
    }

    /// What must be so while nothing is known of the chain.
    async fn held_still(&self, witness: &Witness) -> Result<()> {
        witness.pods_are_the_same(self.world).await?;
        let mut sent = witness.only_proofs_were_sent(self.world).await?;
        // What was on its way when the epoch was ended.
        sent.retain(|sent| sent.succeeded);
        ensure(sent.is_empty(), || format!("{sent:?} were sent out of ignorance"))
    }

    /// Proofs of the epoch arrive, and all is as before.
    async fn recovers(&self, witness: &Witness) -> Result<()> {
        let back = async {
            proving::minimum(self.world, &self.offered, &self.provers).await?;
            witness::chain_synced(self.world, &self.offered, "HeadFresh").await
        };
        self.teller.step("it is well again: proofs of the epoch arrive", back).await?;
        witness.pods_are_the_same(self.world).await?;
        witness.nothing_was_sent_in_vain(self.world).await.map(drop)
    }
}

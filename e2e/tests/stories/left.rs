//! Deals that are not served on, after one whose app changes: a person leaves that one, an owner is denied, one is not paid, and an app never answers.

use alloy::primitives::U256;
use coreward_e2e::{
    apps::Apps,
    bed::NODES,
    chain::DealOrder,
    story::{
        STATUS, Teller, account,
        deal::{self, Leave, Seat},
        ensure, node,
        offer::Offered,
        proving, text, the_loop, witness,
    },
    world::{Error, Result, World, condition, until},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::plain_mistakes::app_is_told;
use super::{Needs, Told, on_stage, people, rolled};

/// Minutes of notice that the person gives.
const NOTICE: i64 = 30;
/// Seconds before the end of the notice at which the deal is looked at once more.
const BEFORE: u64 = 120;
/// Blocks in which a wrong exit would be under way.
const WHILE: u64 = 5;
/// Blocks of a second in which a turn on a busy machine sees a match and its transaction is mined.
const TURN: u64 = 20;
/// Epochs that an unpaid deal is served on, and that an app has to answer within, by the offer's spec.
const GRACE: u64 = 1;
/// The fewest epochs that a deal is paid for when it is made.
const FEWEST: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left() -> Told {
    on_stage("left", (people::LEFT, Needs::Cores), async |world, teller, stage| {
        Box::pin(tell(world, teller, &stage.apps)).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, apps: &Apps) -> Result<()> {
    let offered = the_loop::proving_offer(world, teller, &spec(world), 1).await?;
    let units = offered.units();
    proving::minimum(world, &offered, &units).await?;
    let scene = Scene { world, teller, offered, hello: &apps.hello, apps };
    Box::pin(scene.by_a_person()).await?;
    Box::pin(scene.denied()).await?;
    Box::pin(scene.unpaid()).await?;
    Box::pin(scene.unready()).await?;
    proving::next(world, teller, &scene.offered, &units).await?;
    proving::check_all(world, teller).await?;
    account::nonces_are_whole(world, teller).await
}

fn spec(world: &World) -> Value {
    let mut offer = the_loop::one_node(world, "loop", NODES[0].name);
    offer["spec"]["intake"] = json!({ "unpaidGraceEpochs": GRACE, "unreadyGraceEpochs": GRACE });
    // The driver ends two epochs within a second, and pay that is fetched just then would count an unpaid one as paid: here all of
    // it comes with leaving.
    offer["spec"]["payouts"] = json!({ "everyHours": 0, "minAmount": "1000" });
    offer
}

/// One unit that takes one deal after the other.
struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    offered: Offered,
    hello: &'a str,
    apps: &'a Apps,
}

impl Scene<'_> {
    async fn matched(&self, order: &DealOrder) -> Result<Seat> {
        let contract = self.world.driver().create_deal(order).await?;
        Ok(deal::seats(self.world, contract, &[&self.offered.peers[0]]).await?.remove(0))
    }

    fn order(&self, app: &str) -> DealOrder {
        DealOrder::of_one_worker(self.world.party().developer.address, app)
    }

    /// Waits until the worker is away and the prover is back; gives when the worker was taken out of the deal.
    async fn is_left(&self, seat: &Seat) -> Result<Leave> {
        deal::returned(self.world, self.teller, seat).await?;
        deal::left(self.world, seat).await
    }

    /// Waits some blocks, and checks that the worker is still in its deal and answers.
    async fn goes_on(&self, seat: &Seat, url: &str) -> Result<()> {
        witness::blocks(self.world, WHILE).await?;
        let facts = self.world.oracle().deal(seat.deal).await?;
        ensure(facts.workers.iter().any(|it| it.onchainId == seat.worker), || {
            "the worker was taken out of its deal".to_owned()
        })?;
        deal::answers(url).await
    }

    /// What the Deal's conditions say, once that is so.
    async fn says(&self, seat: &Seat, (kind, wanted): (&str, &str), words: &str) -> Result<()> {
        until(&format!("the Deal says {kind} {wanted}"), STATUS, async || {
            let object = deal::mirror(self.world, seat.deal).await?;
            let (status, reason, message) = condition(&object, kind).unwrap_or_default();
            let is_so = reason == wanted && message.contains(words);
            ensure(is_so, || format!("{status} {reason}: {message}"))?;
            Ok(Some(()))
        })
        .await
    }

    /// A person leaves a deal with notice: it answers until the notice is over by the chain's time.
    async fn by_a_person(&self) -> Result<()> {
        let Self { world, teller, .. } = self;
        let seat = self.matched(&self.order(self.hello)).await?;
        let served = Box::pin(deal::serving(world, teller, &seat)).await?;
        let name = deal::mirror(world, seat.deal).await?.name_any();
        Box::pin(rolled::tell(world, teller, (&served, self.apps))).await?;
        let exit = json!({ "noticeMinutes": NOTICE, "reason": "the hall is rebuilt" });
        world
            .apply(&json!({
                "apiVersion": "coreward.dev/v1alpha1",
                "kind": "Deal",
                "metadata": { "name": name },
                "spec": { "policy": { "desiredState": "Exit", "exit": exit } },
            }))
            .await?;
        let words =
            format!("desiredState: Exit with {NOTICE} minutes of notice; status.exit is there");
        let leaves_at = teller.step(&words, self.leaves_at(&seat)).await?;
        self.says(&seat, ("Exiting", "RequestedByOperator"), "go on until").await?;
        world.driver().to_timestamp(leaves_at - BEFORE).await?;
        let words = "two minutes before its end the worker is in its deal and answers";
        teller.step(words, self.goes_on(&seat, &served.url)).await?;
        world.driver().to_timestamp(leaves_at).await?;
        teller.aside("the notice is over");
        let leave = self.is_left(&seat).await?;
        ensure(leave.timestamp >= leaves_at, || format!("{leave:?} is before {leaves_at}"))?;
        node::told_of(world, &name, ("DealExited", "removeWorker")).await.map(drop)
    }

    /// When the Deal says that its notice is over: so many minutes after it was asked for.
    async fn leaves_at(&self, seat: &Seat) -> Result<u64> {
        until("the Deal says when it is left", STATUS, async || {
            let object = deal::mirror(self.world, seat.deal).await?;
            let time =
                |field: &str| text(&object.data["status"]["exit"][field]).parse::<Timestamp>();
            let (Ok(asked), Ok(leaves)) = (time("askedAt"), time("leavesAt")) else {
                return Ok(None);
            };
            let notice = leaves.as_second() - asked.as_second();
            ensure(notice == NOTICE * 60, || format!("the notice is {notice} seconds"))?;
            Ok(Some(leaves.as_second().unsigned_abs()))
        })
        .await
    }

    /// The owner of a deal is denied: it is left in the turn that sees it, and the next is given back before it is billed.
    async fn denied(&self) -> Result<()> {
        let Self { world, teller, .. } = self;
        let seat = self.matched(&self.order(self.hello)).await?;
        teller.step("the next deal answers", deal::answering(world, &seat)).await?;
        let name = deal::mirror(world, seat.deal).await?.name_any();
        let mut spec = spec(world);
        spec["spec"]["intake"]["denyOwners"] = json!([world.party().developer.address]);
        let before = world.oracle().block_number().await?;
        world.apply(&spec).await?;
        teller.aside("its owner is put into intake.denyOwners");
        let leave = self.is_left(&seat).await?;
        in_a_turn(before, &leave)?;
        node::told_of(world, &name, ("OwnerDenied", "denyOwners")).await?;

        let order = self.order(self.hello);
        let before = world.oracle().block_number().await?;
        let seat = self.matched(&order).await?;
        teller.aside("a further deal of that owner is matched");
        let leave = self.is_left(&seat).await?;
        in_a_turn(before, &leave)?;
        self.nothing_was_billed(&seat, &order).await?;
        world.apply(&self::spec(world)).await.map(drop)
    }

    /// A deal whose money ends: it goes on for the grace, and not longer.
    async fn unpaid(&self) -> Result<()> {
        let Self { world, teller, .. } = self;
        let order = DealOrder { paid_epochs: FEWEST, ..self.order(self.hello) };
        let seat = self.matched(&order).await?;
        let words = "a deal that is paid for two epochs answers";
        let url = teller.step(words, deal::answering(world, &seat)).await?;
        let paid = world.oracle().deal(seat.deal).await?.max_paid_epoch;
        let words = format!("paid until epoch {paid}");
        world.driver().to_epoch(paid + GRACE).await?;
        self.says(&seat, ("Funded", "InsufficientFunds"), &words).await?;
        let told = format!("epoch {}: {words}, and it goes on", paid + GRACE);
        teller.step(&told, self.goes_on(&seat, &url)).await?;
        world.driver().next_epoch().await?;
        teller.aside("the grace is over");
        let leave = self.is_left(&seat).await?;
        ensure(leave.epoch == paid + GRACE + 1, || format!("{leave:?}, and {words}"))
    }

    /// A deal whose app is nowhere: it is given back once the grace is over, with nothing billed.
    async fn unready(&self) -> Result<()> {
        let Self { world, teller, apps, .. } = self;
        let app = apps.wrong.iter().find(|app| app.reason == "NotFound");
        let app = app.ok_or_else(|| Error::Finding("no app is missing".to_owned()))?;
        let order = self.order(&app.cid);
        let seat = self.matched(&order).await?;
        let joined = world.oracle().epoch().await?.number;
        app_is_told(world, teller, (&seat, app)).await?;
        let epoch = world.driver().next_epoch().await?;
        witness::blocks(world, WHILE).await?;
        let facts = world.oracle().deal(seat.deal).await?;
        ensure(facts.workers.iter().any(|it| it.onchainId == seat.worker), || {
            "it was given back within its grace".to_owned()
        })?;
        teller.aside(&format!("epoch {epoch}: its worker is given time"));
        world.driver().next_epoch().await?;
        teller.aside("the grace is over");
        let leave = self.is_left(&seat).await?;
        ensure(leave.epoch == joined + GRACE + 1, || format!("{leave:?}, matched in {joined}"))?;
        self.nothing_was_billed(&seat, &order).await
    }

    async fn nothing_was_billed(&self, seat: &Seat, order: &DealOrder) -> Result<()> {
        let facts = self.world.oracle().deal(seat.deal).await?;
        let deposit = U256::from(order.paid_epochs * order.price_per_epoch);
        ensure(facts.free_balance == deposit && facts.max_paid_epoch == 0, || {
            format!("of {deposit} are left {}", facts.free_balance)
        })?;
        self.teller.aside("nothing was billed");
        Ok(())
    }
}

/// Checks that a worker was removed by the first turn after a block.
fn in_a_turn(before: u64, leave: &Leave) -> Result<()> {
    ensure(leave.block <= before + TURN, || format!("{leave:?}, though seen from block {before}"))
}

//! What a deal's turn tells: its status.

use alloy_primitives::U256;
use coreward_crds::{
    AppliedPolicy, Deal, DealChain, DealRevenue, DealStatus, DealSubnet, DealTimeline, DealWorker,
    ProviderOffer, WorkerCounts,
};
use coreward_domain::chain::{self, Seat, Snapshot};
use coreward_domain::condition::{ConditionType, Truth, Verdict};
use coreward_domain::deal::{Plan, WorkerPlan, conditions};
use coreward_domain::id::OnchainWorkerId;
use coreward_domain::money;

use crate::clock;
use crate::condition::{self, Moment, merge};
use crate::config::Token;
use crate::deal::duty::{OVERLAY_PORT, egress, egress_mode, multiaddrs};
use crate::deal::observe::Sight;
use crate::deal::{artifact, exit};
use crate::identity;
use crate::pods::fact;
use crate::pods::template::worker_name;
use crate::send::Sent;
use crate::turn::Shared;

/// Everything that a status is made from.
#[derive(Debug)]
pub struct Told<'a> {
    /// What was seen.
    pub sight: &'a Sight,
    /// What was decided.
    pub plan: &'a Plan,
    /// What was sent.
    pub sent: &'a Sent,
}

/// The status of a deal.
#[must_use]
pub fn status(
    shared: &Shared,
    offer: &ProviderOffer,
    mirror: &Deal,
    told: &Told<'_>,
) -> DealStatus {
    let old = mirror.status.clone().unwrap_or_default();
    let Told { sight, plan, sent } = told;
    let mut verdicts = conditions(&sight.seen, plan);
    if let Some(refused) = &sent.refused {
        verdicts.push(Verdict::new(
            ConditionType::Stalled,
            Truth::True,
            "ContractReverted",
            refused.clone(),
        ));
    }
    let now = sight.seen.snapshot.as_deref().map(|snapshot| snapshot.head.timestamp);
    let moment = Moment { generation: mirror.metadata.generation.unwrap_or(0), now: clock::wall() };
    let common = DealStatus {
        observed_generation: mirror.metadata.generation,
        conditions: merge(&old.conditions, &condition::DEAL, &verdicts, moment),
        namespace: Some(sight.place.namespace()),
        exit: exit::requested(mirror, now),
        policy: Some(AppliedPolicy {
            unpaid_grace_epochs: count(sight.seen.policy.unpaid_grace),
            egress: format!("{:?}", egress_mode(&egress(offer, mirror))),
        }),
        ..old
    };
    let deal = sight
        .seen
        .snapshot
        .as_deref()
        .and_then(|snapshot| Some((snapshot, snapshot.deals.get(&sight.place.deal)?)));
    match deal {
        None => common,
        Some((snapshot, deal)) => with_chain(common, (shared, offer), told, (snapshot, deal)),
    }
}

fn with_chain(
    common: DealStatus,
    (shared, offer): (&Shared, &ProviderOffer),
    told: &Told<'_>,
    (snapshot, deal): (&Snapshot, &chain::Deal),
) -> DealStatus {
    let token = token(shared, offer, deal);
    let Told { sight, plan, .. } = told;
    DealStatus {
        chain: Some(chain_part(deal, plan, &token)),
        workers: plan.workers.iter().map(|(id, worker)| worker_part(told, (*id, worker))).collect(),
        subnet: sight.seen.subnet.map(|subnet| DealSubnet {
            expected: i64::from(subnet.expected),
            reachable: i64::from(subnet.reachable),
            summary: format!("{}/{}", subnet.reachable, subnet.expected),
        }),
        revenue: Some(revenue(deal, plan, &token)),
        timeline: Some(timeline(common.timeline.clone(), shared, told, snapshot)),
        ..common
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn length(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// The deal's token by its configured symbol; one that is not configured is shown by its address, in base units.
fn token(shared: &Shared, offer: &ProviderOffer, deal: &chain::Deal) -> Token {
    let network = shared.context.config.network(&offer.spec.network);
    let known = network.and_then(|network| {
        network.tokens.iter().find(|token| token.address == deal.payment_token)
    });
    known.cloned().unwrap_or_else(|| Token {
        symbol: deal.payment_token.to_string(),
        address: deal.payment_token,
        decimals: 0,
    })
}

fn chain_part(deal: &chain::Deal, plan: &Plan, token: &Token) -> DealChain {
    DealChain {
        state: state(deal.status).to_owned(),
        owner: deal.owner.to_string(),
        app_cid: artifact::text(&deal.app_cid),
        price_per_worker_epoch: money::from_base_units(deal.price_per_epoch, token.decimals),
        funded_until_epoch: count(deal.max_paid_epoch.0),
        workers: WorkerCounts {
            target: count(deal.target_workers),
            joined: length(deal.workers.len()),
            ours: length(plan.workers.len()),
        },
    }
}

const fn state(status: chain::DealStatus) -> &'static str {
    match status {
        chain::DealStatus::InsufficientFunds => "INSUFFICIENT_FUNDS",
        chain::DealStatus::Active => "ACTIVE",
        chain::DealStatus::Ended => "ENDED",
        chain::DealStatus::NotEnoughWorkers => "NOT_ENOUGH_WORKERS",
        chain::DealStatus::SmallBalance => "SMALL_BALANCE",
    }
}

fn worker_part(told: &Told<'_>, (id, worker): (OnchainWorkerId, &WorkerPlan)) -> DealWorker {
    let sight = told.sight;
    let pod = sight.pods.iter().find(|pod| fact::seat(pod).is_some_and(|seat| seat.worker == id));
    let seat = Seat { deal: sight.place.deal, worker: id };
    DealWorker {
        units: worker
            .units
            .iter()
            .map(|unit| sight.place.offer.unit_name(*unit))
            .take(64)
            .collect(),
        onchain_worker_id: id.decimal(),
        peer_id: identity::text(worker.peer),
        activated: worker.activated,
        ready: worker.ready,
        url: worker
            .served
            .then(|| format!("http://{}.{}.svc", worker_name(seat), sight.place.namespace())),
        addresses: pod.map(|pod| multiaddrs(pod, OVERLAY_PORT)).unwrap_or_default(),
    }
}

fn revenue(deal: &chain::Deal, plan: &Plan, token: &Token) -> DealRevenue {
    let own = deal.workers.iter().filter(|(id, _)| plan.workers.contains_key(id));
    let claimable: U256 = own.map(|(_, worker)| worker.reward).sum();
    let amount = money::from_base_units(claimable, token.decimals);
    DealRevenue {
        summary: format!("{amount} {}", token.symbol),
        token: token.symbol.clone(),
        claimable: amount,
    }
}

/// The first match, and how long it took until a worker answered; both stay once they are known.
fn timeline(
    old: Option<DealTimeline>,
    shared: &Shared,
    told: &Told<'_>,
    snapshot: &Snapshot,
) -> DealTimeline {
    let mut timeline = old.unwrap_or_default();
    let network = &told.sight.place.network;
    let now = clock::now();
    let seats = told.plan.workers.iter();
    let matches = seats.map(|(id, worker)| {
        (shared.memory.matched(network, *id, (now, snapshot.head.number)), worker)
    });
    let first = matches.min_by_key(|((at, _), _)| *at);
    if let Some(((at, block), worker)) = first {
        if timeline.matched_block.is_none() {
            timeline.matched_block = Some(count(block));
        }
        // Only where the match was seen by this process: else the time would be too short.
        if timeline.match_to_ready_milliseconds.is_none()
            && worker.ready
            && timeline.matched_block == Some(count(block))
        {
            let took = now.saturating_duration_since(at);
            timeline.match_to_ready_milliseconds =
                Some(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
            shared.context.metrics.deals.match_to_ready.observe(took.as_secs_f64());
        }
    }
    timeline
}

//! Tells what is known of a deal; writes only what changed.

use alloy_primitives::U256;
use coreward_crds::{
    AppliedPolicy, Condition, ConditionStatus, Deal, DealChain, DealRevenue, DealStatus, DealSubnet, DealTimeline, DealWorker,
    WorkerCounts,
};
use coreward_domain::chain::{self, Seat};
use coreward_domain::condition::{ConditionType, Verdict};
use coreward_domain::deal::conditions;
use coreward_domain::id::OnchainWorkerId;
use coreward_domain::money::from_base_units;
use kube::ResourceExt;

use crate::apply::{self, Manager};
use crate::clock;
use crate::condition::{self, Moment};
use crate::deal::act::Done;
use crate::deal::observe::Look;
use crate::deal::{artifact, duty};
use crate::event::Happening;
use crate::identity;
use crate::pods::template::worker_name;
use crate::turn::{Error, Shared};

/// Writes the status if it changed, and tells the owner of transitions.
pub(super) async fn report(shared: &Shared, deal: &Deal, look: &Look, done: &Done) -> Result<(), Error> {
    if done.released {
        return Ok(());
    }
    let before = deal.status.clone().unwrap_or_default();
    let after = status(shared, deal, look, (&before, done));
    if before == after {
        return Ok(());
    }
    apply::status(&shared.context.client, deal, &after, Manager::Deal).await?;
    tell(shared, deal, &before.conditions, &after.conditions).await;
    Ok(())
}

fn status(shared: &Shared, deal: &Deal, look: &Look, (before, done): (&DealStatus, &Done)) -> DealStatus {
    let generation = deal.metadata.generation.unwrap_or_default();
    let mut verdicts = conditions(&look.seen, &look.plan);
    if let Some(refused) = &done.refused {
        verdicts.push(Verdict::new(ConditionType::Stalled, true, "ContractReverted", refused.as_str()));
    }
    let moment = Moment { generation, now: clock::wall() };
    let intake = &look.seen.policy;
    DealStatus {
        observed_generation: Some(generation),
        chain: look.last.deals.get(&look.seen.deal).map(|found| chain_of(shared, look, found)).or_else(|| before.chain.clone()),
        namespace: Some(look.namespace.clone()),
        policy: Some(AppliedPolicy {
            unpaid_grace_epochs: number(intake.unpaid_grace),
            egress: match duty::egress(&look.offer.spec.worker.egress, Some(&deal.spec.policy)) {
                coreward_wire::Egress::None => "None",
                coreward_wire::Egress::AllowList { .. } => "AllowList",
                coreward_wire::Egress::Internet => "Internet",
            }
            .to_owned(),
        }),
        workers: look.plan.workers.keys().map(|id| worker(shared, look, *id)).collect(),
        subnet: look.seen.subnet.map(|subnet| DealSubnet {
            expected: i64::from(subnet.expected),
            reachable: i64::from(subnet.reachable),
            summary: format!("{}/{}", subnet.reachable, subnet.expected),
        }),
        revenue: revenue(shared, look, before),
        timeline: timeline(shared, look, before),
        conditions: condition::merge(&before.conditions, &condition::DEAL, &verdicts, moment),
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn token(shared: &Shared, look: &Look) -> Option<(String, u8)> {
    let paid_in = look.last.deals.get(&look.seen.deal)?.payment_token;
    let tokens = &shared.context.networks.get(&look.offer.spec.network)?.network().tokens;
    tokens.iter().find(|token| token.address == paid_in).map(|token| (token.symbol.clone(), token.decimals))
}

fn chain_of(shared: &Shared, look: &Look, deal: &chain::Deal) -> DealChain {
    let decimals = token(shared, look).map_or(0, |(_, decimals)| decimals);
    DealChain {
        state: state(deal.status).to_owned(),
        owner: format!("{:#x}", deal.owner),
        app_cid: artifact::text(&deal.app_cid),
        price_per_worker_epoch: from_base_units(deal.price_per_epoch, decimals),
        funded_until_epoch: number(deal.max_paid_epoch.0),
        workers: WorkerCounts {
            target: number(deal.target_workers),
            joined: i64::try_from(deal.workers.len()).unwrap_or(i64::MAX),
            ours: i64::try_from(look.plan.workers.len()).unwrap_or(i64::MAX),
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

fn worker(shared: &Shared, look: &Look, id: OnchainWorkerId) -> DealWorker {
    let planned = &look.plan.workers[&id];
    let seat = Seat { deal: look.seen.deal, worker: id };
    DealWorker {
        units: planned.units.iter().map(|unit| look.key.unit_name(*unit)).collect(),
        onchain_worker_id: id.decimal(),
        peer_id: identity::text(planned.peer),
        activated: planned.activated,
        ready: planned.ready,
        url: planned.served.then(|| format!("http://{}.{}.svc", worker_name(seat), look.namespace)),
        addresses: duty::addresses(shared, seat),
    }
}

/// What can be claimed; written when it changes by an epoch's pay, that is at most once an epoch.
fn revenue(shared: &Shared, look: &Look, before: &DealStatus) -> Option<DealRevenue> {
    let Some(deal) = look.last.deals.get(&look.seen.deal) else { return before.revenue.clone() };
    let (symbol, decimals) = token(shared, look)?;
    let ours = deal.workers.iter().filter(|(id, _)| look.plan.workers.contains_key(*id));
    let claimable = ours.fold(U256::ZERO, |sum, (_, worker)| sum.saturating_add(worker.reward));
    let claimable = from_base_units(claimable, decimals);
    Some(DealRevenue { summary: format!("{claimable} {symbol}"), token: symbol, claimable })
}

fn timeline(shared: &Shared, look: &Look, before: &DealStatus) -> Option<DealTimeline> {
    let known = before.timeline.clone().unwrap_or_default();
    let first = look.plan.workers.keys().next();
    let Some(first) = first else { return before.timeline.clone() };
    let network = &look.offer.spec.network;
    let (seen_at, block) = shared.memory.matched(network, *first, (clock::now(), look.last.head.number));
    let is_ready = look.plan.workers.values().any(|worker| worker.ready);
    let took = clock::now().saturating_duration_since(seen_at).as_millis();
    let took = is_ready.then(|| i64::try_from(took).unwrap_or(i64::MAX));
    Some(DealTimeline {
        matched_block: known.matched_block.or_else(|| Some(number(block))),
        match_to_ready_milliseconds: known.match_to_ready_milliseconds.or(took),
    })
}

async fn tell(shared: &Shared, deal: &Deal, before: &[Condition], after: &[Condition]) {
    let name = deal.name_any();
    for (kind, status, happening) in [
        (ConditionType::SubnetJoined, ConditionStatus::True, Happening::SubnetJoined),
        (ConditionType::SubnetJoined, ConditionStatus::False, Happening::SubnetUnreachable),
        (ConditionType::ArtifactAvailable, ConditionStatus::False, Happening::ArtifactRejected),
        (ConditionType::Funded, ConditionStatus::False, Happening::DealUnderfunded),
    ] {
        let holds = |conditions: &[Condition]| {
            condition::find(conditions, kind).filter(|found| found.status == status).cloned()
        };
        if let (None, Some(now)) = (holds(before), holds(after)) {
            tracing::info!(deal.name = name, condition = kind.name(), reason = now.reason, message = now.message, "a deal's condition changed");
            shared.events.tell(deal, happening, &format!("{}: {}", now.reason, now.message)).await;
        }
    }
}

//! The overlay's gateways: whom ours relay for, where workers find them, and what others' are taken for.

mod address;
pub mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use alloy_primitives::B256;
use coreward_domain::chain::{Seat, Snapshot};
use coreward_domain::deal::{self as domain, Member};
use coreward_domain::id::{DealAddress, OnchainWorkerId, PeerId};
use coreward_wire::{Duty, GatewayDuty, GatewayReport, Report};

use crate::context::Context;
use crate::deal::duty::multiaddrs;
use crate::labels::{GATEWAY, WORKER_POD, component};
use crate::pods::{Pod, fact};
use crate::turn::Shared;
pub use address::{Address, PRIVATE};

/// Addresses of others' gateways that the workers of one deal may reach: what strangers write must not grow our policies.
const MOST_HOLES: usize = 256;

/// Tells every gateway whom it relays for; the same again tells it nothing. While the members of a deal that a pod of ours serves
/// were never known, the last word stands.
pub fn assign_all(shared: &Shared) {
    let context = &shared.context;
    let pods = context.stores.pods.all();
    let workers = pods.iter().filter(|pod| is_worker(context, pod));
    let seats: BTreeSet<_> = workers.filter_map(|pod| fact::seat(pod)).collect();
    let Some(duty) = duty(&seats, |deal| members(shared, deal)) else { return };
    for pod in pods.iter().filter(|pod| is_gateway(context, pod)) {
        if let Some(uid) = &pod.metadata.uid {
            context.hub.assign(uid, Duty::Gateway(duty.clone()));
        }
    }
}

/// Who lets whom in: the members that live here, and the others of their deals.
fn duty(
    seats: &BTreeSet<Seat>,
    members: impl Fn(DealAddress) -> Option<BTreeSet<Member>>,
) -> Option<GatewayDuty> {
    let (mut own, mut others) = (BTreeSet::new(), BTreeSet::new());
    let deals: BTreeSet<_> = seats.iter().map(|seat| seat.deal).collect();
    for deal in deals {
        for member in members(deal)? {
            let is_own = seats.contains(&Seat { deal, worker: member.worker });
            let side = if is_own { &mut own } else { &mut others };
            side.insert(member.offchain.0);
        }
    }
    let others = others.difference(&own).copied().collect();
    Some(GatewayDuty { own: own.into_iter().collect(), others })
}

/// A deal's members; those of before while the chain does not tell.
fn members(shared: &Shared, deal: DealAddress) -> Option<BTreeSet<Member>> {
    let networks = &shared.context.networks;
    let now = networks.values().filter_map(|network| domain::members(&*network.snapshot()?, deal));
    let before = networks.keys().filter_map(|name| shared.memory.last_members(name, deal));
    now.chain(before).next()
}

/// Multiaddrs, with keys, of our gateways that reported, as the pods of this cluster reach them.
#[must_use]
pub fn inside(context: &Context) -> Vec<String> {
    let known = known(context).into_iter();
    let addresses = known.flat_map(|(pod, report)| {
        let key = crate::identity::text(PeerId(report.key));
        multiaddrs(&pod, report.port).into_iter().map(move |at| format!("{at}/p2p/{key}"))
    });
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether our gateways may still report to this leader: without them, workers would leave their places there for a moment.
pub fn are_awaited(shared: &Shared) -> bool {
    let context = &shared.context;
    shared.is_new() && known(context).len() < count(context)
}

fn count(context: &Context) -> usize {
    usize::try_from(context.config.overlay.gateways).unwrap_or(usize::MAX)
}

fn known(context: &Context) -> Vec<(Arc<Pod>, GatewayReport)> {
    let pods = context.stores.pods.all().into_iter();
    let stay =
        pods.filter(|pod| is_gateway(context, pod) && pod.metadata.deletion_timestamp.is_none());
    stay.filter_map(|pod| {
        let received = context.hub.report(pod.metadata.uid.as_deref()?)?;
        let Report::Gateway(report) = received.report else { return None };
        Some((pod, report))
    })
    .collect()
}

/// Labels alone prove nothing: others may write them in namespaces of theirs.
fn is_worker(context: &Context, pod: &Pod) -> bool {
    let is_ours = |namespace: &String| context.stores.namespaces.get_cluster(namespace).is_some();
    component(pod) == Some(WORKER_POD) && pod.metadata.namespace.as_ref().is_some_and(is_ours)
}

/// As [`is_worker`].
fn is_gateway(context: &Context, pod: &Pod) -> bool {
    component(pod) == Some(GATEWAY) && pod.metadata.namespace.as_ref() == Some(&context.namespace)
}

/// Gateways of the members of a deal that live elsewhere, by worker: as their peers publish them, without those that our workers
/// would not dial. A gateway with the key of a member, or of one of `ours`, is somebody's mistake or trick.
#[must_use]
pub fn elsewhere(
    snapshot: &Snapshot,
    deal: DealAddress,
    (ours, private): (&BTreeSet<B256>, bool),
) -> BTreeMap<OnchainWorkerId, Vec<Address>> {
    let Some(deal) = snapshot.deals.get(&deal) else { return BTreeMap::new() };
    let members: BTreeSet<_> = deal.workers.values().map(|worker| worker.offchain.0).collect();
    let is_usable = |address: &Address| {
        let key = address.key.0;
        (private || address.is_public()) && !members.contains(&key) && !ours.contains(&key)
    };
    let published = deal.workers.iter().filter_map(|(id, worker)| {
        let texts = snapshot.gateways.get(&worker.peer)?;
        let mut addresses: Vec<_> =
            texts.iter().filter_map(|text| Address::parse(text)).filter(is_usable).collect();
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        Some((*id, addresses))
    });
    published.filter(|(_, addresses)| !addresses.is_empty()).collect()
}

/// [`elsewhere`] as this operator is configured.
#[must_use]
pub fn of_others(
    context: &Context,
    snapshot: &Snapshot,
    deal: DealAddress,
) -> BTreeMap<OnchainWorkerId, Vec<Address>> {
    let ours = known(context).into_iter().map(|(_, report)| report.key).collect();
    elsewhere(snapshot, deal, (&ours, context.config.overlay.private_gateways))
}

/// Ways of a deal's workers to gateways.
#[derive(Clone, Debug, Default)]
pub struct Holes {
    /// Whether this cluster has gateways.
    pub own: bool,
    /// Those of members elsewhere.
    pub others: BTreeSet<SocketAddr>,
}

/// What the workers of a deal need of its network policies to reach gateways.
#[must_use]
pub fn holes(context: &Context, snapshot: Option<&Snapshot>, deal: DealAddress) -> Holes {
    let others = snapshot.map(|snapshot| of_others(context, snapshot, deal)).unwrap_or_default();
    let others = others.into_values().flatten().map(|address| address.at).take(MOST_HOLES);
    Holes { own: count(context) > 0, others: others.collect() }
}

#[cfg(test)]
mod tests;

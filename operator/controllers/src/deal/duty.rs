//! What each worker pod is told: its key, its artifact, its bounds, its subnet.

use std::collections::BTreeMap;

use coreward_crds::{
    Deal, Egress as EgressSpec, EgressMode, Instances, ProviderOffer,
    WorkerLimits as WorkerLimitsSpec,
};
use coreward_domain::chain::{Seat, Snapshot};
use coreward_domain::deal::{self as domain, Plan};
use coreward_domain::id::OnchainWorkerId;
use coreward_wire::{
    ArtifactOrder, Duty, Egress, Gateways, Member, RequestLimits, WorkerDuty, WorkerLimits,
};

use crate::context::Context;
use crate::deal::artifact;
use crate::deal::observe::{Sight, key, memory, storage};
use crate::gateway;
use crate::node::look;
use crate::pods::{Pod, fact};
use crate::turn::Shared;

/// Port of every worker's overlay.
pub const OVERLAY_PORT: u16 = 4001;

/// Tells every pod of ours that serves a seat; the same again tells it nothing.
pub fn assign(
    shared: &Shared,
    offer: &ProviderOffer,
    mirror: &Deal,
    (sight, plan): (&Sight, &Plan),
) {
    let Some(snapshot) = sight.seen.snapshot.as_deref() else { return };
    if gateway::are_awaited(shared) {
        return;
    }
    let Some(members) = members(shared, sight, snapshot) else { return };
    for pod in &sight.pods {
        let seat = fact::seat(pod)
            .filter(|seat| plan.workers.get(&seat.worker).is_some_and(|worker| worker.served));
        let (Some(seat), Some(uid)) = (seat, pod.metadata.uid.as_deref()) else { continue };
        if !lives_here(sight, snapshot, seat, pod) {
            continue;
        }
        if let Some(duty) = duty((shared, offer, mirror), (sight, snapshot), seat.worker, &members)
        {
            shared.context.hub.assign(uid, Duty::Worker(Box::new(duty)));
        }
    }
}

/// Whether a pod is on the node that its peer lives on: one that was left behind keeps the key that it has.
fn lives_here(sight: &Sight, snapshot: &Snapshot, seat: Seat, pod: &Pod) -> bool {
    let deal = snapshot.deals.get(&seat.deal);
    let peer = deal.and_then(|deal| deal.workers.get(&seat.worker)).map(|worker| worker.peer);
    let identity = peer.and_then(|peer| sight.identities.get(&peer));
    identity.is_some_and(|identity| fact::is_for(pod, &identity.identity.node))
}

type Members = (Vec<Member>, u64);

fn duty(
    (shared, offer, mirror): (&Shared, &ProviderOffer, &Deal),
    (sight, snapshot): (&Sight, &Snapshot),
    worker: OnchainWorkerId,
    (members, members_block): &Members,
) -> Option<WorkerDuty> {
    let deal = snapshot.deals.get(&sight.place.deal)?;
    let identity = sight.identities.get(&deal.workers.get(&worker)?.peer)?;
    let limits = &offer.spec.worker.limits;
    Some(WorkerDuty {
        deal: sight.place.deal,
        onchain_worker_id: worker.0,
        key_seed: key(shared, &sight.place, identity, worker)?.seed,
        artifact: ArtifactOrder {
            cid: artifact::text(&deal.app_cid),
            max_bytes: u64::try_from(limits.artifact_bytes).unwrap_or(0),
            from: look(shared, &identity.identity.node).artifact_url?,
        },
        limits: WorkerLimits {
            memory_mib: memory(snapshot, sight.place.deal)?,
            request_milliseconds: u64::try_from(limits.request_milliseconds).unwrap_or(0),
            connections: u32::try_from(limits.connections).unwrap_or(0),
            request: of_a_request(limits),
            storage_mib: storage(snapshot, sight.place.deal)?,
            reuse_instances: offer.spec.worker.instances == Instances::Reused,
        },
        egress: egress(offer, mirror),
        members: members.clone(),
        members_block: *members_block,
        gateways: gateways(&shared.context, worker, members),
    })
}

/// Our gateways let in members only: until the chain lists a worker, asking them for a place would only make it wait longer.
fn gateways(context: &Context, worker: OnchainWorkerId, members: &[Member]) -> Gateways {
    let is_listed = members.iter().any(|member| member.onchain_worker_id == worker.0);
    Gateways {
        own: if is_listed { gateway::inside(context) } else { Vec::new() },
        private: context.config.overlay.private_gateways,
    }
}

/// What one request may use, as the offer has it.
fn of_a_request(limits: &WorkerLimitsSpec) -> RequestLimits {
    let of = |amount: i64| u64::try_from(amount).unwrap_or(0);
    RequestLimits {
        cpu_milliseconds: of(limits.cpu_milliseconds),
        memory_mib: of(limits.instance_mebibytes),
        request_bytes: of(limits.request_bytes),
        answer_bytes: of(limits.answer_bytes),
        ..RequestLimits::default()
    }
}

/// What a worker may reach: the offer's word, narrowed by the deal's.
#[must_use]
pub fn egress(offer: &ProviderOffer, mirror: &Deal) -> Egress {
    let base = &offer.spec.worker.egress;
    match &mirror.spec.policy.egress {
        None => wire(base),
        Some(narrower) => narrowed(base, narrower),
    }
}

fn wire(egress: &EgressSpec) -> Egress {
    match egress.mode {
        EgressMode::None => Egress::None,
        EgressMode::AllowList => Egress::AllowList { hosts: egress.hosts.clone() },
        EgressMode::Internet => Egress::Internet,
    }
}

fn narrowed(base: &EgressSpec, narrower: &EgressSpec) -> Egress {
    match (base.mode, narrower.mode) {
        (EgressMode::None, _) | (_, EgressMode::None) => Egress::None,
        (EgressMode::Internet, _) => wire(narrower),
        (EgressMode::AllowList, EgressMode::Internet) => wire(base),
        (EgressMode::AllowList, EgressMode::AllowList) => {
            let hosts = base.hosts.iter().filter(|host| narrower.hosts.contains(host));
            Egress::AllowList { hosts: hosts.cloned().collect() }
        }
    }
}

/// The mode of what is in force.
#[must_use]
pub const fn egress_mode(egress: &Egress) -> EgressMode {
    match egress {
        Egress::None => EgressMode::None,
        Egress::AllowList { .. } => EgressMode::AllowList,
        Egress::Internet => EgressMode::Internet,
    }
}

/// The deal's members, and since which block they are the members. Those that live in this cluster are reached directly, the
/// others through the gateways that their peers publish.
fn members(shared: &Shared, sight: &Sight, snapshot: &Snapshot) -> Option<Members> {
    let place = &sight.place;
    let members = domain::members(snapshot, place.deal)?;
    let block =
        shared.memory.members_since(&place.network, place.deal, &members, snapshot.head.number);
    let addresses = addresses(&shared.context);
    let elsewhere = gateway::of_others(&shared.context, snapshot, place.deal);
    let through = |worker| {
        let gateways = elsewhere.get(&worker).into_iter().flatten();
        gateways.map(|gateway| format!("{gateway}/p2p-circuit")).collect()
    };
    let members = members.into_iter().map(|member| Member {
        onchain_worker_id: member.worker.0,
        offchain_worker_id: member.offchain.0,
        addresses: addresses
            .get(&(place.deal, member.worker))
            .cloned()
            .unwrap_or_else(|| through(member.worker)),
    });
    Some((members.collect(), block))
}

type Addresses = BTreeMap<(alloy_primitives::Address, OnchainWorkerId), Vec<String>>;

/// Overlay addresses of all our worker pods, whichever offer they belong to.
fn addresses(context: &Context) -> Addresses {
    let pods = context.stores.pods.all();
    let mut pods: Vec<_> =
        pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    // Of two for one seat the one that is well is told.
    pods.sort_by_key(|pod| fact::is_ready(pod));
    let pods = pods.into_iter();
    pods.filter_map(|pod| {
        let seat = fact::seat(pod)?;
        let found = multiaddrs(pod, OVERLAY_PORT);
        (!found.is_empty()).then_some(((seat.deal, seat.worker), found))
    })
    .collect()
}

/// Multiaddrs of a pod, at one of its ports.
#[must_use]
pub fn multiaddrs(pod: &Pod, port: u16) -> Vec<String> {
    let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    ips.map(|ip| {
        let family = if ip.ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{family}/{}/tcp/{port}", ip.ip)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn spec(mode: EgressMode, hosts: &[&str]) -> EgressSpec {
        EgressSpec { mode, hosts: hosts.iter().map(ToString::to_string).collect() }
    }

    #[rstest]
    #[case::nothing_stays_nothing(spec(EgressMode::None, &[]), spec(EgressMode::Internet, &[]), Egress::None)]
    #[case::all_becomes_a_list(spec(EgressMode::Internet, &[]), spec(EgressMode::AllowList, &["a"]), Egress::AllowList { hosts: vec!["a".into()] })]
    #[case::a_list_is_not_widened(spec(EgressMode::AllowList, &["a"]), spec(EgressMode::Internet, &[]), Egress::AllowList { hosts: vec!["a".into()] })]
    #[case::lists_meet(spec(EgressMode::AllowList, &["a", "b"]), spec(EgressMode::AllowList, &["b", "c"]), Egress::AllowList { hosts: vec!["b".into()] })]
    fn a_deal_narrows_and_never_widens(
        #[case] base: EgressSpec,
        #[case] narrower: EgressSpec,
        #[case] expected: Egress,
    ) {
        assert_eq!(narrowed(&base, &narrower), expected);
    }

    #[test]
    fn an_offer_that_says_nothing_of_requests_has_the_workers_own_limits() {
        assert_eq!(of_a_request(&WorkerLimitsSpec::default()), RequestLimits::default());
    }

    #[test]
    fn an_offer_limits_what_a_request_may_use() {
        let said = WorkerLimitsSpec {
            cpu_milliseconds: 1,
            instance_mebibytes: 2,
            request_bytes: 3,
            answer_bytes: 4,
            ..WorkerLimitsSpec::default()
        };
        let limits = of_a_request(&said);
        let told =
            [limits.cpu_milliseconds, limits.memory_mib, limits.request_bytes, limits.answer_bytes];
        assert_eq!(told, [1, 2, 3, 4]);
    }
}

//! What each of our workers is told.

use coreward_crds::{DealPolicy, Egress, EgressMode};
use coreward_domain::chain::Seat;
use coreward_domain::id::OnchainWorkerId;
use coreward_wire::{self as wire, ArtifactOrder, Duty, Member, WorkerDuty, WorkerLimits};

use crate::deal::artifact;
use crate::deal::observe::{Look, Ours, reserved_memory};
use crate::node;
use crate::pods::fact;
use crate::turn::Shared;

/// Port of a worker's overlay.
const OVERLAY_PORT: u16 = 4001;

/// Tells every worker its duty; the same again tells it nothing.
pub fn assign(shared: &Shared, look: &Look) {
    for (id, ours) in &look.workers {
        let uid = ours.pod.as_deref().and_then(|pod| pod.metadata.uid.as_deref());
        if let (Some(uid), Some(duty)) = (uid, duty(shared, look, *id, ours)) {
            shared.context.hub.assign(uid, Duty::Worker(Box::new(duty)));
        }
    }
}

fn duty(shared: &Shared, look: &Look, id: OnchainWorkerId, ours: &Ours) -> Option<WorkerDuty> {
    let address = look.seen.deal;
    let deal = look.last.deals.get(&address)?;
    let limits = &look.offer.spec.worker.limits;
    let members = coreward_domain::deal::members(&look.last, address)?;
    let network = &look.offer.spec.network;
    let members_block = shared.memory.members_since(network, address, &members, look.last.head.number);
    let members = members.into_iter().map(|member| Member {
        onchain_worker_id: member.worker.0,
        offchain_worker_id: member.offchain.0,
        addresses: addresses(shared, Seat { deal: address, worker: member.worker }),
    });
    Some(WorkerDuty {
        deal: address,
        onchain_worker_id: id.0,
        key_seed: ours.key.seed.clone(),
        artifact: ArtifactOrder {
            cid: artifact::text(&deal.app_cid),
            max_bytes: u64::try_from(limits.artifact_bytes).unwrap_or(0),
            // Until the node's agent has told where it answers, the worker waits for it.
            from: node::look(shared, &ours.node).artifact_url.unwrap_or_default(),
        },
        limits: WorkerLimits {
            memory_mib: reserved_memory(&look.last, address),
            request_milliseconds: u64::try_from(limits.request_milliseconds).unwrap_or(0),
            connections: u32::try_from(limits.connections).unwrap_or(0),
        },
        egress: egress(&look.offer.spec.worker.egress, mirror_policy(shared, look).as_ref()),
        members: members.collect(),
        members_block,
    })
}

fn mirror_policy(shared: &Shared, look: &Look) -> Option<DealPolicy> {
    let name = look.key.deal_name(&look.offer.spec.network, look.seen.deal);
    Some(shared.context.stores.deals.get(&look.key.namespace, &name)?.spec.policy.clone())
}

/// Where a worker of this cluster listens; empty for workers elsewhere.
pub(super) fn addresses(shared: &Shared, seat: Seat) -> Vec<String> {
    let pods = shared.context.stores.pods.all();
    let running = pods.iter().filter(|pod| fact::seat(pod) == Some(seat) && pod.metadata.deletion_timestamp.is_none());
    let addresses = running.filter_map(|pod| pod.status.as_ref()?.pod_ip.clone());
    addresses
        .map(|ip| format!("/{}/{ip}/tcp/{OVERLAY_PORT}", if ip.contains(':') { "ip6" } else { "ip4" }))
        .collect()
}

/// The offer's rule, narrowed by the deal's: what both allow.
pub(super) fn egress(offer: &Egress, deal: Option<&DealPolicy>) -> wire::Egress {
    let Some(narrow) = deal.and_then(|policy| policy.egress.as_ref()) else { return plain(offer) };
    match (offer.mode, narrow.mode) {
        (EgressMode::None, _) | (_, EgressMode::None) => wire::Egress::None,
        (EgressMode::Internet, _) => plain(narrow),
        (EgressMode::AllowList, EgressMode::Internet) => plain(offer),
        (EgressMode::AllowList, EgressMode::AllowList) => {
            let hosts = narrow.hosts.iter().filter(|host| offer.hosts.contains(host));
            wire::Egress::AllowList { hosts: hosts.cloned().collect() }
        }
    }
}

fn plain(egress: &Egress) -> wire::Egress {
    match egress.mode {
        EgressMode::None => wire::Egress::None,
        EgressMode::AllowList => wire::Egress::AllowList { hosts: egress.hosts.clone() },
        EgressMode::Internet => wire::Egress::Internet,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rule(mode: EgressMode, hosts: &[&str]) -> Egress {
        Egress { mode, hosts: hosts.iter().map(ToString::to_string).collect() }
    }

    fn list(hosts: &[&str]) -> wire::Egress {
        wire::Egress::AllowList { hosts: hosts.iter().map(ToString::to_string).collect() }
    }

    #[rstest]
    #[case::the_offers_rule_alone(rule(EgressMode::Internet, &[]), None, wire::Egress::Internet)]
    #[case::a_deal_may_forbid(rule(EgressMode::Internet, &[]), Some(rule(EgressMode::None, &[])), wire::Egress::None)]
    #[case::a_deal_may_not_widen(rule(EgressMode::None, &[]), Some(rule(EgressMode::Internet, &[])), wire::Egress::None)]
    #[case::a_list_is_kept(rule(EgressMode::AllowList, &["a"]), Some(rule(EgressMode::Internet, &[])), list(&["a"]))]
    #[case::both_lists_meet(
        rule(EgressMode::AllowList, &["a", "b"]), Some(rule(EgressMode::AllowList, &["b", "c"])), list(&["b"])
    )]
    fn what_may_be_reached(#[case] offer: Egress, #[case] deal: Option<Egress>, #[case] expected: wire::Egress) {
        let policy = deal.map(|egress| DealPolicy { egress: Some(egress), ..DealPolicy::default() });
        assert_eq!(egress(&offer, policy.as_ref()), expected);
    }
}

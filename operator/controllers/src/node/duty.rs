//! What each node's agent keeps: the artifacts of the workers that live there, and no other.

use std::collections::{BTreeMap, BTreeSet};

use coreward_domain::chain::Snapshot;
use coreward_wire::{ArtifactOrder, Duty, NodeDuty};

use crate::context::Context;
use crate::deal::artifact;
use crate::identity::PeerIdentity;
use crate::labels::{NODE_AGENT, component};

/// Tells every node agent what it has to keep; the same again tells it nothing.
pub fn assign_all(context: &Context) {
    let wanted = wanted(context);
    for pod in context.stores.pods.all() {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let (Some(NODE_AGENT), Some(node), Some(uid)) =
            (component(pod.as_ref()), node, &pod.metadata.uid)
        else {
            continue;
        };
        let artifacts = wanted.get(node).into_iter().flatten().cloned();
        let artifacts =
            artifacts.map(|(cid, max_bytes)| ArtifactOrder { cid, max_bytes, from: String::new() });
        let duty = NodeDuty {
            artifacts: artifacts.collect(),
            gateways: context.config.artifact_gateways.clone(),
        };
        context.hub.assign(uid, Duty::Node(duty));
    }
}

/// Artifacts and their limits by node.
fn wanted(context: &Context) -> BTreeMap<String, BTreeSet<(String, u64)>> {
    let mut wanted: BTreeMap<String, BTreeSet<(String, u64)>> = BTreeMap::new();
    let secrets = context.stores.identities.all();
    for identity in secrets.iter().filter_map(|secret| PeerIdentity::read(secret)) {
        let Some(offer) = context.stores.offer(&identity.offer) else {
            continue;
        };
        let network = context.networks.get(&offer.spec.network);
        let Some(snapshot) = network.and_then(crate::chain_watch::NetworkHandle::snapshot) else {
            continue;
        };
        let limit = u64::try_from(offer.spec.worker.limits.artifact_bytes).unwrap_or(0);
        let artifacts = artifacts(&snapshot, &identity).into_iter().map(|cid| (cid, limit));
        wanted.entry(identity.identity.node.clone()).or_default().extend(artifacts);
    }
    wanted
}

fn artifacts(snapshot: &Snapshot, identity: &PeerIdentity) -> BTreeSet<String> {
    let peer = snapshot.peers.get(&identity.identity.peer).and_then(Option::as_ref);
    let seats = peer.into_iter().flat_map(|peer| peer.units.values()).filter_map(|unit| unit.seat);
    seats
        .filter_map(|seat| snapshot.deals.get(&seat.deal))
        .map(|deal| artifact::text(&deal.app_cid))
        .collect()
}

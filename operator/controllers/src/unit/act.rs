//! What the turn of a peer's units does: makes and deletes pods; it chooses nothing.

use std::collections::BTreeSet;

use coreward_domain::id::UnitId;
use coreward_domain::unit::{DeletionCause, Plan, Step};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::anchor;
use crate::apply;
use crate::deal::observe::memory;
use crate::identity::{DRAINED, PeerIdentity};
use crate::labels::{EVICT, HOLD, LET_GO};
use crate::offer::act::annotate;
use crate::pods::{ProverOrder, WorkerOrder, prover, worker};
use crate::turn::{Error, Shared};
use crate::unit::observe::{Sight, surroundings};

/// The peer whose pods are made and deleted.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// What all turns share.
    pub shared: &'a Shared,
    /// The peer.
    pub identity: &'a PeerIdentity,
    /// The network, by name.
    pub network: &'a str,
    /// What was seen.
    pub sight: &'a Sight,
}

/// Carries the plan out; a step of a frozen unit is left out, and one that fails does not stop the others.
///
/// # Errors
///
/// The first failure, after all steps were tried.
pub async fn act(scene: Scene<'_>, plan: &Plan, frozen: &BTreeSet<UnitId>) -> Result<usize, Error> {
    let mut first = None;
    let mut taken = 0;
    let steps: Vec<_> = plan.steps.iter().filter(|step| !is_frozen(scene, step, frozen)).collect();
    for step in steps {
        if !scene.shared.context.leadership.may_send() {
            break;
        }
        match take(scene, step).await {
            Ok(()) => taken += 1,
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(taken), Err)
}

fn is_frozen(scene: Scene<'_>, step: &Step, frozen: &BTreeSet<UnitId>) -> bool {
    match step {
        Step::CreateProver { unit, .. } => frozen.contains(unit),
        Step::CreateWorker { units, .. } => !units.is_disjoint(frozen),
        Step::SetHold { .. } | Step::NoteDrain { .. } => false,
        Step::DeletePod { uid, .. } => {
            let pods = scene.sight.seen.pods.iter().flatten();
            pods.filter(|pod| pod.uid == *uid)
                .any(|pod| frozen.iter().any(|unit| pod.role.holds(*unit)))
        }
    }
}

async fn take(scene: Scene<'_>, step: &Step) -> Result<(), Error> {
    match step {
        Step::CreateProver { unit, node, attempt } => {
            create_prover(scene, (*unit, *attempt), node).await
        }
        Step::CreateWorker { seat, units, node, attempt } => {
            create_worker(scene, (*seat, units, *attempt), node).await
        }
        Step::SetHold { uid, namespace, name, held } => {
            set_hold(scene.shared, (namespace, name, uid), *held).await
        }
        Step::NoteDrain { drained } => {
            let node = drained.then_some(scene.identity.identity.node.as_str());
            annotate(scene.shared, scene.identity, DRAINED, node).await
        }
        Step::DeletePod { uid, namespace, name, grace_seconds, cause } => {
            delete(scene.shared, (namespace, name, uid), (*grace_seconds, *cause)).await
        }
    }
}

/// Deletes one pod by its UID.
///
/// # Errors
///
/// [`Error::Write`].
pub async fn delete(
    shared: &Shared,
    (namespace, name, uid): (&str, &str, &str),
    (grace_seconds, cause): (u32, DeletionCause),
) -> Result<(), Error> {
    tracing::info!(pod.name = name, pod.namespace = namespace, ?cause, "a pod is deleted");
    let api: Api<Pod> = Api::namespaced(shared.context.client.clone(), namespace);
    api.delete(name, &apply::of_uid(Some(uid.to_owned()), Some(grace_seconds)))
        .await
        .map(drop)
        .or_else(apply::gone_is_fine)
        .map_err(|source| Error::write("deletion", name, source))
}

/// Labels one pod so that the standing budget holds it, or does not.
async fn set_hold(
    shared: &Shared,
    (namespace, name, uid): (&str, &str, &str),
    held: bool,
) -> Result<(), Error> {
    tracing::info!(pod.name = name, pod.namespace = namespace, held, "a pod may be evicted or not");
    let label = if held { HOLD } else { LET_GO };
    // With its UID: a pod of the same name that came after it is not meant.
    let body = json!({ "metadata": { "uid": uid, "labels": { EVICT: label } } });
    let api: Api<Pod> = Api::namespaced(shared.context.client.clone(), namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map(drop)
        .or_else(apply::gone_is_fine)
        .map_err(|source| Error::write("label", name, source))
}

async fn create_prover(
    scene: Scene<'_>,
    (unit, attempt): (UnitId, u32),
    node: &str,
) -> Result<(), Error> {
    let Scene { shared, identity, sight, .. } = scene;
    let namespace = &shared.context.namespace;
    let anchor = anchor::uid(shared, namespace).await?;
    let at = surroundings(shared, namespace, (node, &sight.evidence), &anchor);
    let order = ProverOrder {
        offer: &identity.offer,
        peer: identity.identity.peer,
        unit,
        mode: sight.demand.mode,
        isolation: sight.demand.isolation,
        attempt,
    };
    create(shared, namespace, &prover(&at, &order)?).await
}

type Seated<'a> = (coreward_domain::chain::Seat, &'a BTreeSet<UnitId>, u32);

async fn create_worker(
    scene: Scene<'_>,
    (seat, units, attempt): Seated<'_>,
    node: &str,
) -> Result<(), Error> {
    let Scene { shared, identity, sight, network } = scene;
    let namespace = identity.offer.deal_namespace(network, seat.deal);
    let anchor = anchor::uid(shared, &namespace).await?;
    let at = surroundings(shared, &namespace, (node, &sight.evidence), &anchor);
    let memory_mib = sight
        .seen
        .snapshot
        .as_deref()
        .and_then(|snapshot| memory(snapshot, seat.deal))
        .unwrap_or(0);
    let peer = identity.identity.peer;
    let order = WorkerOrder { offer: &identity.offer, peer, seat, units, memory_mib, attempt };
    create(shared, &namespace, &worker(&at, &order)?).await
}

async fn create(shared: &Shared, namespace: &str, pod: &Pod) -> Result<(), Error> {
    apply::create(&Api::namespaced(shared.context.client.clone(), namespace), pod).await
}

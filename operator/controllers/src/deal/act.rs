//! Does what a deal's plan says.

use std::time::Duration;

use coreward_crds::Deal;
use coreward_domain::call::Call;
use coreward_domain::chain::Seat;
use coreward_domain::deal::{Namespace, Step};
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;

use crate::anchor;
use crate::apply::{self, Manager};
use crate::clock;
use crate::deal::children::{self, Place};
use crate::deal::duty;
use crate::deal::observe::{Look, peer_keys};
use crate::event::Happening;
use crate::labels::{DEAL_FINALIZER, hash_of};
use crate::outbox::Order;
use crate::turn::{Error, Shared};

/// Children that were removed by somebody are found missing, and made again, within this time.
const CHILDREN_EVERY: Duration = Duration::from_secs(20);

/// What came of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Whether anything was written or sent.
    pub(super) acted: bool,
    /// What the contract, the signer or the node refused, in words.
    pub(super) refused: Option<String>,
    /// Whether the mirror was let go: nothing is left to report on.
    pub(super) released: bool,
}

/// Does the steps in their order, and keeps what stands around the workers.
pub(super) async fn act(shared: &Shared, deal: &Deal, look: &Look) -> Result<Done, Error> {
    let mut done = Done::default();
    for step in &look.plan.steps {
        match step {
            // Made just below, with what is missing in it.
            Step::EnsureNamespace => {}
            Step::Send(call) => send(shared, deal, look, call, &mut done).await,
            Step::DeleteNamespace => delete_namespace(shared, look, &mut done).await?,
            Step::ReleaseMirror => release(shared, deal, look, &mut done).await?,
        }
    }
    if look.plan.workers.values().any(|worker| worker.served) && look.seen.namespace != Namespace::Terminating {
        done.acted |= surround(shared, look).await?;
    }
    Ok(done)
}

async fn send(shared: &Shared, deal: &Deal, look: &Look, call: &Call, done: &mut Done) {
    let Some(signer) = signer_of(shared, look, call) else {
        done.refused = Some("no configured signer of spec.peers.signers owns this peer".to_owned());
        return;
    };
    let why = format!("deal {}", deal.name_any());
    let order = Order {
        network: &look.offer.spec.network,
        signer: &signer,
        namespace: &look.key.namespace,
        call: call.clone(),
        why: &why,
        planned_at: look.last.head.number,
    };
    match shared.context.outbox.submit(order).await {
        Ok(name) => {
            done.acted = true;
            if let Some(happening) = happening(call) {
                shared.events.tell(deal, happening, &format!("{} in transaction {name}", call.function())).await;
            }
        }
        Err(error) => {
            let cause = coreward_telemetry::causes(&error).to_string();
            tracing::warn!(deal.name = deal.name_any(), call = call.function(), error = cause, "a transaction was not sent");
            done.refused = Some(cause);
        }
    }
}

const fn happening(call: &Call) -> Option<Happening> {
    match call {
        Call::ActivateWorker { .. } => Some(Happening::WorkerActivated),
        Call::RemoveWorker { .. } => Some(Happening::DealExited),
        _ => None,
    }
}

/// The signer that owns the peer of the worker that a call is about.
fn signer_of(shared: &Shared, look: &Look, call: &Call) -> Option<String> {
    let worker = match call {
        Call::ActivateWorker { worker, .. } | Call::RemoveWorker { worker, .. } => worker,
        _ => return None,
    };
    let peer = look.plan.workers.get(worker)?.peer;
    let owner = look.last.peers.get(&peer)?.as_ref()?.owner;
    peer_keys(shared, &look.offer).into_iter().find(|(_, address)| *address == owner).map(|(name, _)| name)
}

/// Makes and completes what stands around the workers; says whether anything was written.
async fn surround(shared: &Shared, look: &Look) -> Result<bool, Error> {
    let egress = duty::egress(&look.offer.spec.worker.egress, None);
    let place = Place {
        namespace: &look.namespace,
        operator: &shared.context.namespace,
        offer: &look.key,
        deal: format!("{:#x}", look.seen.deal),
        egress: &egress,
        service_type: shared.context.config.workers.service_type,
    };
    let mut wanted = children::fixed(&place);
    let served = look.plan.workers.iter().filter(|(_, worker)| worker.served);
    wanted.extend(served.map(|(id, _)| children::service(&place, Seat { deal: look.seen.deal, worker: *id })));
    let hash = hash_of(&wanted);
    let now = clock::now();
    if !shared.memory.is_due(&look.namespace, &hash, now, CHILDREN_EVERY) {
        return Ok(false);
    }
    let mut acted = false;
    if look.seen.namespace == Namespace::Absent {
        apply_child(shared, &children::namespace(&place)).await?;
        acted = true;
    }
    anchor::ensure(shared, &look.namespace).await?;
    for child in &wanted {
        acted |= keep_child(shared, child).await?;
    }
    shared.memory.looked(&look.namespace, &hash, now);
    Ok(acted)
}

/// Applies a child unless the one that stands there was made from the same description.
async fn keep_child(shared: &Shared, child: &Value) -> Result<bool, Error> {
    let (api, name) = api_of(shared, child);
    let found = api.get_opt(&name).await.map_err(|source| Error::read("child", &name, source))?;
    if found.is_some_and(|found| children::is_current(child, found.labels())) {
        return Ok(false);
    }
    apply_child(shared, child).await.map(|()| true)
}

async fn apply_child(shared: &Shared, child: &Value) -> Result<(), Error> {
    let (api, name) = api_of(shared, child);
    let parameters = PatchParams::apply(Manager::Deal.name()).force();
    let applied = api.patch(&name, &parameters, &Patch::Apply(child)).await;
    applied.map(drop).map_err(|source| Error::write("child", &name, source))
}

fn api_of(shared: &Shared, child: &Value) -> (Api<DynamicObject>, String) {
    let text = |path: &str| child.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let client = shared.context.client.clone();
    let api = match text("/metadata/namespace") {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    (api, text("/metadata/name").to_owned())
}

async fn delete_namespace(shared: &Shared, look: &Look, done: &mut Done) -> Result<(), Error> {
    let api: Api<NamespaceObject> = Api::all(shared.context.client.clone());
    let uid = shared.context.stores.namespaces.get_cluster(&look.namespace).and_then(|namespace| namespace.uid());
    shared.memory.forget(&look.namespace);
    done.acted = true;
    api.delete(&look.namespace, &apply::of_uid(uid, None))
        .await
        .map(drop)
        .or_else(apply::gone_is_fine)
        .map_err(|source| Error::write("deletion", &look.namespace, source))
}

async fn release(shared: &Shared, deal: &Deal, look: &Look, done: &mut Done) -> Result<(), Error> {
    done.acted = true;
    done.released = true;
    shared.memory.forget(&look.namespace);
    apply::finalizer(&shared.context.client, deal, DEAL_FINALIZER, false).await?;
    apply::delete(&shared.context.client, deal).await
}

//! The end of a story: its offers are let go, and the cores are free for the next one.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::json;

use super::{STEP, pods, text};
use crate::{
    bed::{Bed, say},
    world::{Error, Result, World, cluster, until},
};

/// What the product may take to let go.
const RELEASE: Duration = Duration::from_secs(30);
/// Our kinds with a finalizer, those that hang on others last.
const KINDS: [&str; 3] = ["Deal", "CapacityUnit", "ProviderOffer"];

/// Lets all offers of a world go with no transaction, and waits until none of their pods is left.
///
/// # Errors
/// [`Error::Late`] where the product does not let go.
pub async fn release(world: &World) -> Result<()> {
    let offers = world.list("ProviderOffer").await?;
    let names: BTreeSet<String> = offers.iter().map(ResourceExt::name_any).collect();
    for offer in &offers {
        orphan(&world.client(), offer).await?;
    }
    until("the offers are let go", RELEASE, async || {
        let left = world.list("ProviderOffer").await?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    until("no pod of them is left", STEP, async || {
        let mut left = Vec::new();
        for component in ["prover", "worker"] {
            left.extend(pods::of_component(&world.client(), component).await?);
        }
        left.retain(|pod| {
            let label = |key: &str| pod.labels().get(key).map(String::as_str).unwrap_or_default();
            label("coreward.dev/offer-namespace") == world.namespace()
                && names.contains(label("coreward.dev/offer"))
        });
        match left.first() {
            None => Ok(Some(())),
            Some(pod) => Err(Error::Finding(format!("{} is there", pod.name_any()))),
        }
    })
    .await
}

/// Asks for the deletion of an offer, with no transaction to follow.
async fn orphan(client: &kube::Client, offer: &DynamicObject) -> Result<()> {
    let (namespace, name) = (offer.namespace().unwrap_or_default(), offer.name_any());
    let api = api(client, "ProviderOffer", Some(&namespace));
    let id = text(&offer.data["status"]["offerID"]);
    let patch = json!({
        "metadata": { "annotations": { "coreward.dev/orphan-confirm": id } },
        "spec": { "deletionPolicy": "Orphan" },
    });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(cluster(format!("let the offer {name} go")))?;
    api.delete(&name, &DeleteParams::default())
        .await
        .map(drop)
        .map_err(cluster(format!("delete the offer {name}")))
}

pub(super) fn api(
    client: &kube::Client,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("coreward.dev", "v1alpha1", kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Objects of a kind in the whole cluster; none where the kind is not known yet.
async fn all(client: &kube::Client, kind: &str) -> Vec<DynamicObject> {
    let list = api(client, kind, None).list(&ListParams::default()).await;
    list.map(|list| list.items).unwrap_or_default()
}

/// Clears the bed of what an earlier run left: asks the product first, and does it by hand where it is not there.
///
/// # Errors
/// [`Error::Late`] where something cannot be removed even by hand.
pub async fn clear(bed: &Bed) -> Result<()> {
    let client = bed.client();
    for offer in all(client, "ProviderOffer").await {
        orphan(client, &offer).await?;
    }
    let asked = until("the product lets its offers go", RELEASE, async || {
        Ok(all(client, "ProviderOffer").await.is_empty().then_some(()))
    });
    if asked.await.is_err() {
        say("offers of an earlier run are removed by hand: the product did not let go of them");
    }
    for kind in KINDS {
        for object in all(client, kind).await {
            remove_by_hand(client, kind, &object).await;
        }
    }
    remove_leftovers(client).await?;
    until("nothing of an earlier run is left", STEP, async || {
        for kind in KINDS {
            if let Some(left) = all(client, kind).await.first() {
                return Err(Error::Finding(format!("{kind} {} is there", left.name_any())));
            }
        }
        for component in ["prover", "worker"] {
            if let Some(left) = pods::of_component(client, component).await?.first() {
                return Err(Error::Finding(format!("pod {} is there", left.name_any())));
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Takes an object's finalizers away and deletes it; what is gone meanwhile is no error.
async fn remove_by_hand(client: &kube::Client, kind: &str, object: &DynamicObject) {
    let api = api(client, kind, Some(&object.namespace().unwrap_or_default()));
    let name = object.name_any();
    let patch = json!({ "metadata": { "finalizers": null } });
    let _ = api.delete(&name, &DeleteParams::default()).await;
    let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
}

/// Deletes pods and namespaces that no object stands for any more.
async fn remove_leftovers(client: &kube::Client) -> Result<()> {
    for component in ["prover", "worker"] {
        for pod in pods::of_component(client, component).await? {
            let api: Api<Pod> =
                Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            let _ = api.delete(&pod.name_any(), &DeleteParams::default().grace_period(1)).await;
        }
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let list = namespaces.list(&ListParams::default()).await.map_err(cluster("list namespaces"))?;
    for namespace in list.items.iter().map(ResourceExt::name_any) {
        if namespace.starts_with("story-") || namespace.starts_with("deal-") {
            let _ = namespaces.delete(&namespace, &DeleteParams::default()).await;
        }
    }
    Ok(())
}

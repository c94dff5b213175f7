//! The end of a story: its offers are let go, and the cores are free for the next one.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::json;

use super::{STEP, ensure, pods, text};
use crate::{
    bed::{self, Bed, say},
    world::{Error, Result, World, chain_of, cluster, until},
};

/// What the product may take to let go.
const RELEASE: Duration = Duration::from_secs(30);
/// Says on a pod which namespace its offer is in.
const OFFER_NAMESPACE: &str = "coreward.dev/offer-namespace";
/// Our kinds with a finalizer, those that hang on others last.
const KINDS: [&str; 3] = ["Deal", "CapacityUnit", "ProviderOffer"];

/// Lets all offers of a world go with no transaction, and waits until none of their pods is left.
///
/// # Errors
/// [`crate::world::Error::Late`] where the product does not let go.
pub async fn release(world: &World) -> Result<()> {
    let offers = world.list("ProviderOffer").await?;
    for offer in &offers {
        orphan(&world.client(), offer).await?;
    }
    until("the offers are let go", RELEASE, async || {
        let left = world.list("ProviderOffer").await?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    until("no pod of them is left", STEP, async || {
        let left = pods_of(&world.client(), world.namespace()).await?;
        ensure(left.is_empty(), || format!("{} is there", left[0].name_any()))?;
        Ok(Some(()))
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

/// Clears the bed of what earlier runs left: asks the product first, and does it by hand where it is not there.
///
/// # Errors
/// [`crate::world::Error::Late`] where something cannot be removed even by hand.
pub async fn clear(bed: &Bed) -> Result<()> {
    let mut stories = BTreeSet::new();
    for kind in KINDS {
        let objects = all(bed.client(), kind).await;
        stories.extend(objects.iter().filter_map(ResourceExt::namespace));
    }
    for component in ["prover", "worker"] {
        let pods = pods::of_component(bed.client(), component).await?;
        stories.extend(pods.iter().filter_map(|pod| pod.labels().get(OFFER_NAMESPACE).cloned()));
    }
    for namespace in stories {
        clear_story(bed, &namespace).await?;
    }
    bed::end_simulation(bed).await.map_err(|error| Error::Finding(chain_of(&error)))?;
    remove_namespaces(bed.client()).await
}

/// Takes the product's admission policies out of force, as a person with all rights can; the next installation brings them
/// back.
///
/// # Errors
/// [`crate::world::Error::Cluster`].
pub async fn lift_policies(client: &kube::Client) -> Result<()> {
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let ours = ListParams::default().labels("app.kubernetes.io/name=coreward");
    let lifted = bindings.delete_collection(&DeleteParams::default(), &ours).await;
    lifted.map(drop).map_err(cluster("lift the admission policies"))
}

/// Clears what one story left in its namespace, and its pods wherever they are.
///
/// # Errors
/// [`crate::world::Error::Late`] where something cannot be removed even by hand.
pub async fn clear_story(bed: &Bed, namespace: &str) -> Result<()> {
    let client = bed.client();
    for offer in in_namespace(client, "ProviderOffer", namespace).await {
        orphan(client, &offer).await?;
    }
    let asked = until("the product lets the offers go", RELEASE, async || {
        Ok(in_namespace(client, "ProviderOffer", namespace).await.is_empty().then_some(()))
    });
    if asked.await.is_err() {
        say(format_args!("{namespace} is cleared by hand: the product did not let its offers go"));
        lift_policies(client).await?;
    }
    until("nothing of the story is left", STEP, async || {
        let mut left = Vec::new();
        for kind in KINDS {
            for object in in_namespace(client, kind, namespace).await {
                remove_by_hand(client, kind, &object).await;
                left.push(object.name_any());
            }
        }
        for pod in pods_of(client, namespace).await? {
            let place = pod.namespace().unwrap_or_default();
            let api: Api<Pod> = Api::namespaced(client.clone(), &place);
            // Who plays the node of a simulated pod may be gone: nobody would confirm its end.
            let grace = u32::from(!bed::is_simulated(&pod));
            let _ = api.delete(&pod.name_any(), &DeleteParams::default().grace_period(grace)).await;
            left.push(pod.name_any());
        }
        ensure(left.is_empty(), || format!("{left:?} are there"))?;
        Ok(Some(()))
    })
    .await
}

/// Objects of a kind in one namespace.
async fn in_namespace(client: &kube::Client, kind: &str, namespace: &str) -> Vec<DynamicObject> {
    let mut objects = all(client, kind).await;
    objects.retain(|object| object.namespace().as_deref() == Some(namespace));
    objects
}

/// Provers and workers of the offers in one namespace, wherever they run.
async fn pods_of(client: &kube::Client, namespace: &str) -> Result<Vec<Pod>> {
    let mut found = Vec::new();
    for component in ["prover", "worker"] {
        found.extend(pods::of_component(client, component).await?);
    }
    found.retain(|pod| pod.labels().get(OFFER_NAMESPACE).is_some_and(|of| of == namespace));
    Ok(found)
}

/// Takes an object's finalizers away and deletes it; what is gone meanwhile is no error.
async fn remove_by_hand(client: &kube::Client, kind: &str, object: &DynamicObject) {
    let api = api(client, kind, Some(&object.namespace().unwrap_or_default()));
    let name = object.name_any();
    let patch = json!({ "metadata": { "finalizers": null } });
    let _ = api.delete(&name, &DeleteParams::default()).await;
    let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
}

/// Deletes the namespaces of stories and of their deals.
async fn remove_namespaces(client: &kube::Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let list = namespaces.list(&ListParams::default()).await.map_err(cluster("list namespaces"))?;
    let mut left: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
    left.retain(|name| name.starts_with("story-") || name.starts_with("deal-"));
    if !left.is_empty() {
        lift_policies(client).await?;
    }
    for namespace in left {
        let _ = namespaces.delete(&namespace, &DeleteParams::default()).await;
    }
    Ok(())
}

//! Keeps a deal's namespace complete: makes what is missing, mends what was changed.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::Value;

use crate::anchor;
use crate::apply::{self, Manager};
use crate::clock;
use crate::deal::build::{self, Order};
use crate::labels::{TEMPLATE, hash_of};
use crate::turn::{Error, Shared};

/// What was found complete is looked at again after this.
const AGAIN: Duration = Duration::from_secs(20);

/// Looks at the namespace and its children, and writes those that are not as they should be.
///
/// # Errors
///
/// [`Error`]; the next turn goes on from there.
pub async fn ensure(shared: &Shared, order: &Order<'_>) -> Result<bool, Error> {
    let name = order.place.namespace();
    let children = build::children(order);
    let hash = hash_of(&children);
    let now = clock::now();
    if !shared.memory.is_due(&name, &hash, now, AGAIN) {
        return Ok(false);
    }
    let client = &shared.context.client;
    let mut written = false;
    if shared.context.stores.namespaces.get_cluster(&name).is_none() {
        apply_one(client, None, &build::namespace(order.place)).await?;
        written = true;
    }
    anchor::ensure(shared, &name).await?;
    for child in &children {
        written |= mend(client, &name, child).await?;
    }
    shared.memory.looked(&name, &hash, now);
    Ok(written)
}

/// Writes a child unless it stands as it was made: the hash on it is that of its description.
async fn mend(client: &Client, namespace: &str, child: &Value) -> Result<bool, Error> {
    let name = child["metadata"]["name"].as_str().unwrap_or_default();
    let present = api(client, Some(namespace), child)
        .get_opt(name)
        .await
        .map_err(|source| Error::read("child of a deal", name, source))?;
    let is_same = present.is_some_and(|present| {
        present.labels().get(TEMPLATE).map(String::as_str)
            == child["metadata"]["labels"][TEMPLATE].as_str()
    });
    if !is_same {
        apply_one(client, Some(namespace), child).await?;
    }
    Ok(!is_same)
}

async fn apply_one(client: &Client, namespace: Option<&str>, body: &Value) -> Result<(), Error> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    api(client, namespace, body)
        .patch(name, &PatchParams::apply(Manager::Deal.name()).force(), &Patch::Apply(body))
        .await
        .map(drop)
        .map_err(|source| Error::write("child of a deal", name, source))
}

fn api(client: &Client, namespace: Option<&str>, body: &Value) -> Api<DynamicObject> {
    let version = body["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, body["kind"].as_str().unwrap_or_default());
    let resource = ApiResource::from_gvk(&kind);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Deletes a deal's namespace, if it is still the one that was seen.
///
/// # Errors
///
/// [`Error::Write`].
pub async fn delete(shared: &Shared, name: &str) -> Result<(), Error> {
    let Some(namespace) = shared.context.stores.namespaces.get_cluster(name) else { return Ok(()) };
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(shared.context.client.clone());
    api.delete(name, &apply::of_uid(namespace.uid(), None))
        .await
        .map(drop)
        .or_else(apply::gone_is_fine)
        .map_err(|source| Error::write("deletion", name, source))?;
    shared.memory.forget(name);
    Ok(())
}

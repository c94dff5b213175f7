//! Rest: nothing of ours is written any more; and what the operator still asks of the chain then.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Event, Namespace, Pod, Secret, Service, ServiceAccount},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{all_of_kind, ensure, listed, page};
use crate::{
    bed::NAMESPACE,
    world::{Result, World, until},
};

/// Chain seconds after which what did not change is taken to be at rest.
const REST: u64 = 15;
/// Blocks come by the second; a busy machine may delay some.
const LIMIT: Duration = Duration::from_mins(6);
/// Seconds of one measurement of requests.
pub const WINDOW: u64 = 30;

/// What the cluster puts into each namespace, by kind and name.
const CLUSTERS_OWN: [(&str, &str); 2] =
    [("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")];

/// Kind, namespace and name of an object, and its version.
pub type Versions = BTreeMap<Object, String>;
/// Kind, namespace and name of an object.
pub type Object = (String, String, String);

/// Waits until nothing of ours was written for some time.
///
/// # Errors
/// [`crate::world::Error::Late`].
pub async fn rest(world: &World) -> Result<()> {
    let mut last = (versions(world).await?, timestamp(world).await?);
    let mut looked = last.1;
    until("nothing of ours is written any more", LIMIT, async || {
        let time = timestamp(world).await?;
        // Once a block: a look at hundreds of units must not be what keeps the machine busy.
        if time > looked {
            looked = time;
            let now = versions(world).await?;
            if now != last.0 {
                last = (now, time);
            }
        }
        Ok((time >= last.1 + REST).then_some(()))
    })
    .await
}

async fn timestamp(world: &World) -> Result<u64> {
    Ok(world.driver().node().head().await?.1)
}

/// Waits until `seconds` of chain time have passed.
async fn passes(world: &World, seconds: u64) -> Result<()> {
    let end = timestamp(world).await? + seconds;
    until(&format!("{seconds} seconds of chain time pass"), LIMIT, async || {
        Ok((timestamp(world).await? >= end).then_some(()))
    })
    .await
}

/// How many requests the leader sends to the chain per block, over one window.
///
/// # Errors
/// [`crate::world::Error::Finding`] where it does not count them; [`crate::world::Error::Late`].
pub async fn requests_per_block(world: &World) -> Result<f64> {
    let (first, from) = (requests(world).await?, world.oracle().block_number().await?);
    passes(world, WINDOW).await?;
    let (last, to) = (requests(world).await?, world.oracle().block_number().await?);
    let blocks = u32::try_from(to - from).unwrap_or(u32::MAX);
    ensure(blocks > 0, || "no block was mined".to_owned())?;
    Ok((last - first) / f64::from(blocks))
}

/// All requests that the leader has sent to the chain, by its own count.
async fn requests(world: &World) -> Result<f64> {
    let counts = page::values(world, "coreward_chain_requests_total", &[]).await?;
    Ok(counts.iter().sum())
}

/// Every object that the product writes but its Lease, in all its namespaces.
///
/// # Errors
/// [`crate::world::Error::Cluster`].
pub async fn versions(world: &World) -> Result<Versions> {
    let all = objects(world).await?.into_iter();
    Ok(all.map(|(object, meta)| (object, meta.resource_version.unwrap_or_default())).collect())
}

/// Objects in the product's namespaces that have neither its label nor an owner, and that neither the cluster nor a person made.
///
/// # Errors
/// [`crate::world::Error::Cluster`].
pub async fn strays(world: &World) -> Result<Vec<Object>> {
    let all = objects(world).await?.into_iter();
    Ok(all.filter(|(object, meta)| is_stray(object, meta)).map(|(object, _)| object).collect())
}

fn is_stray((kind, namespace, name): &Object, meta: &ObjectMeta) -> bool {
    let has = |key: &str, value: &str| {
        meta.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|it| it == value)
    };
    let is_marked = has("app.kubernetes.io/managed-by", "coreward")
        || has("app.kubernetes.io/name", "coreward")
        || has("owner", "helm");
    let is_owned = meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    let of_cluster = kind == "Event" || CLUSTERS_OWN.contains(&(kind.as_str(), name.as_str()));
    let is_ground = kind == "Namespace" && !namespace.starts_with("deal-");
    let mut writers = meta.managed_fields.iter().flatten();
    let by_person = writers.any(|writer| writer.manager.as_deref() == Some("coreward-e2e"));
    !(is_marked || is_owned || of_cluster || is_ground || by_person)
}

async fn objects(world: &World) -> Result<BTreeMap<Object, ObjectMeta>> {
    let mut all = BTreeMap::new();
    let client = world.client();
    for kind in ["ProviderOffer", "CapacityUnit", "Deal", "ChainTransaction"] {
        for object in all_of_kind(&client, kind).await? {
            add(&mut all, kind, &object);
        }
    }
    add_all::<Pod>(&mut all, &client).await?;
    add_all::<Secret>(&mut all, &client).await?;
    add_all::<ConfigMap>(&mut all, &client).await?;
    add_all::<Service>(&mut all, &client).await?;
    add_all::<ServiceAccount>(&mut all, &client).await?;
    add_all::<EndpointSlice>(&mut all, &client).await?;
    add_all::<Event>(&mut all, &client).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in &listed(&namespaces).await? {
        add(&mut all, "Namespace", namespace);
    }
    all.retain(|(_, namespace, _), _| is_ours(namespace));
    Ok(all)
}

/// The operator's namespace, the stories', and the deals'.
pub(super) fn is_ours(namespace: &str) -> bool {
    namespace == NAMESPACE || namespace.starts_with("story-") || namespace.starts_with("deal-")
}

async fn add_all<K>(all: &mut BTreeMap<Object, ObjectMeta>, client: &kube::Client) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    for object in listed(&Api::<K>::all(client.clone())).await? {
        add(all, &K::kind(&()), &object);
    }
    Ok(())
}

fn add(all: &mut BTreeMap<Object, ObjectMeta>, kind: &str, object: &impl ResourceExt) {
    let place = object.namespace().unwrap_or_else(|| object.name_any());
    let name = object.name_any();
    all.insert((kind.to_owned(), place, name), object.meta().clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stray(kind: &str, namespace: &str, name: &str, meta: serde_json::Value) -> bool {
        let object = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        is_stray(&object, &serde_json::from_value(meta).unwrap())
    }

    #[test]
    fn what_has_neither_label_nor_owner_is_a_stray() {
        let ours = serde_json::json!({ "labels": { "app.kubernetes.io/managed-by": "coreward" } });
        let owner =
            serde_json::json!({ "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b" });
        let with_owner = serde_json::json!({ "ownerReferences": [owner] });
        let by_person = serde_json::json!({ "managedFields": [{ "manager": "coreward-e2e" }] });
        let none = serde_json::json!({});
        assert!(stray("Secret", NAMESPACE, "left-behind", none.clone()));
        assert!(stray("Namespace", "deal-51", "deal-51", none.clone()));
        for meta in [ours, with_owner, by_person] {
            assert!(!stray("Secret", NAMESPACE, "left-behind", meta.clone()), "{meta}");
        }
        assert!(!stray("ConfigMap", "deal-51", "kube-root-ca.crt", none.clone()));
        assert!(!stray("Namespace", "story-51", "story-51", none));
    }
}

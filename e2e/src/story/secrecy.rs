//! Whether any place that people read shows a key.

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::{Api, Resource, ResourceExt, api::LogParams};
use serde::{Serialize, de::DeserializeOwned};

use super::{all_of_kind, ensure, listed, page, pods, rest};
use crate::world::{Result, World, cluster};

/// Searches objects, logs and metrics for the party's keys; gives how many texts were read.
///
/// # Errors
/// [`crate::world::Error::Finding`] with the place that shows one.
pub async fn no_key_is_shown(world: &World) -> Result<usize> {
    let party = world.party();
    let keys = [&party.provider, &party.peer_owner, &party.developer]
        .map(|account| account.private_key().trim_start_matches("0x").to_lowercase());
    let texts = texts(world).await?;
    for (place, text) in &texts {
        let text = text.to_lowercase();
        ensure(!keys.iter().any(|key| text.contains(key)), || format!("{place} shows a key"))?;
    }
    Ok(texts.len())
}

/// Everything that is written for people, by its place.
async fn texts(world: &World) -> Result<Vec<(String, String)>> {
    let client = world.client();
    let mut texts = Vec::new();
    for kind in ["ProviderOffer", "CapacityUnit", "Deal", "ChainTransaction"] {
        let all = all_of_kind(&client, kind).await?;
        texts.extend(all.iter().map(|object| told(kind, object)));
    }
    texts.extend(objects::<ConfigMap>(&client).await?);
    texts.extend(objects::<Event>(&client).await?);
    texts.extend(objects::<Pod>(&client).await?);
    for component in ["operator", "node", "prover", "worker"] {
        for pod in pods::of_component(&client, component).await? {
            match of_pod(world, &pod).await {
                Ok(read) => texts.extend(read),
                // One that an upgrade replaced may go between the list and the reading.
                Err(_) if pods::is_leaving(&client, &pod).await? => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(texts)
}

/// The log and the metrics of a pod of ours.
async fn of_pod(world: &World, pod: &Pod) -> Result<[(String, String); 2]> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let api: Api<Pod> = Api::namespaced(world.client(), &namespace);
    let what = cluster(format!("read the log of {name}"));
    let log = api.logs(&name, &LogParams::default()).await.map_err(what)?;
    let metrics = page::of(world, pod).await?;
    Ok([(format!("the log of {name}"), log), (format!("the metrics of {name}"), metrics)])
}

async fn objects<K>(client: &kube::Client) -> Result<Vec<(String, String)>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let all = listed(&Api::<K>::all(client.clone())).await?;
    let ours = all.iter().filter(|object| rest::is_ours(&object.namespace().unwrap_or_default()));
    Ok(ours.map(|object| told(&K::kind(&()), object)).collect())
}

fn told(kind: &str, object: &(impl ResourceExt + Serialize)) -> (String, String) {
    let text = serde_json::to_string(object).unwrap_or_default();
    (format!("{kind} {}", object.name_any()), text)
}

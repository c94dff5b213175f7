//! Whether any place that people read shows a key.

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret};
use kube::{Api, Resource, ResourceExt, api::LogParams};
use serde::{Serialize, de::DeserializeOwned};

use super::{all_of_kind, ensure, listed, page, pods, rest};
use crate::{
    bed::NAMESPACE,
    world::{Result, World, cluster},
};

/// Letters of the shortest text that is taken for a key: those of 16 bytes in base64.
const SHORTEST: usize = 24;

/// Searches objects, logs and metrics for the party's keys and for all that the operator's Secrets hold; gives how many texts
/// were read.
///
/// # Errors
/// [`crate::world::Error::Finding`] with the place that shows one.
pub async fn no_key_is_shown(world: &World) -> Result<usize> {
    let party = world.party();
    let mut keys: Vec<_> = [&party.provider, &party.peer_owner, &party.developer]
        .map(|account| account.private_key().trim_start_matches("0x").to_lowercase())
        .into();
    let secrets: Api<Secret> = Api::namespaced(world.client(), NAMESPACE);
    for secret in listed(&secrets).await? {
        keys.extend(forms_of(&secret));
    }
    let texts = texts(world).await?;
    for (place, text) in &texts {
        let text = text.to_lowercase();
        ensure(!keys.iter().any(|key| text.contains(key)), || format!("{place} shows a key"))?;
    }
    Ok(texts.len())
}

/// How what a Secret hides would look where it is shown, in small letters: its certificates are for all, and what Helm keeps
/// is the chart.
fn forms_of(secret: &Secret) -> Vec<String> {
    if secret.type_.as_deref() == Some("helm.sh/release.v1") {
        return Vec::new();
    }
    let hidden =
        secret.data.iter().flatten().filter(|(name, _)| !name.split('.').any(|part| part == "crt"));
    let forms = hidden.flat_map(|(_, value)| {
        let bytes = &value.0;
        let text = String::from_utf8_lossy(bytes);
        // Of a PEM block, each full line.
        let lines: Vec<_> =
            text.lines().map(|line| line.trim_start_matches("0x").to_owned()).collect();
        lines.into_iter().chain([STANDARD.encode(bytes), hex::encode(bytes)])
    });
    forms
        .filter(|form| form.len() >= SHORTEST && !form.starts_with("-----"))
        .map(|form| form.to_lowercase())
        .collect()
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
    for component in ["operator", "node", "prover", "worker", "gateway"] {
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::json;

    use super::{STANDARD, Secret, forms_of};

    fn forms(kind: &str, name: &str, value: &[u8]) -> Vec<String> {
        let secret = json!({ "type": kind, "data": { name: STANDARD.encode(value) } });
        forms_of(&serde_json::from_value::<Secret>(secret).unwrap())
    }

    #[test]
    fn a_hidden_value_is_searched_for_in_each_way_that_it_may_be_written() {
        let seed = forms("Opaque", "seed", &[0xAB; 32]);
        assert!(
            seed.contains(&"ab".repeat(32))
                && seed.contains(&STANDARD.encode([0xAB; 32]).to_lowercase())
        );
        let key = forms("Opaque", "privateKey", format!("0x{}", "CD".repeat(32)).as_bytes());
        assert!(key.contains(&"cd".repeat(32)));
        let line = "MC4CAQAwBQYDK2VwBCIEI".repeat(3);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n");
        let pem = forms("kubernetes.io/tls", "tls.key", pem.as_bytes());
        assert!(
            pem.contains(&line.to_lowercase()) && pem.iter().all(|form| !form.contains("begin"))
        );
    }

    #[test]
    fn what_is_for_all_is_not_searched_for() {
        assert!(forms("kubernetes.io/tls", "tls.crt", &[0xAB; 32]).is_empty());
        assert!(forms("helm.sh/release.v1", "release", &[0xAB; 32]).is_empty());
        assert!(forms("Opaque", "roles", b"Peer").is_empty());
    }
}

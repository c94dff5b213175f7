//! Keeps a deal's namespace complete: makes what is missing, mends what was changed.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Map, Value, json};

use crate::anchor;
use crate::apply::{self, Manager};
use crate::clock;
use crate::deal::build::{self, Order};
use crate::labels::hash_of;
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
    let wanted = build::namespace(order.place);
    let present = shared.context.stores.namespaces.get_cluster(&name);
    if !present
        .is_some_and(|present| contains(&wanted["metadata"]["labels"], &json!(present.labels())))
    {
        apply_one(client, None, &wanted).await?;
        written = true;
    }
    anchor::ensure(shared, &name).await?;
    for child in &children {
        written |= mend(client, &name, child).await?;
    }
    shared.memory.looked(&name, &hash, now);
    Ok(written)
}

/// Writes a child unless it stands as it is described, and takes away what others added to it.
async fn mend(client: &Client, namespace: &str, child: &Value) -> Result<bool, Error> {
    let name = child["metadata"]["name"].as_str().unwrap_or_default();
    let api = api(client, Some(namespace), child);
    let present =
        api.get_opt(name).await.map_err(|source| Error::read("child of a deal", name, source))?;
    let present = present.map_or(Value::Null, |present| json!(present));
    let surplus = surplus(&closed(child), &closed(&present));
    if contains(child, &present) && surplus.is_none() {
        return Ok(false);
    }
    apply_one(client, Some(namespace), child).await?;
    if let Some(surplus) = surplus {
        // What another has set outlives what is applied.
        api.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": surplus })))
            .await
            .map(drop)
            .or_else(apply::gone_is_fine)
            .map_err(|source| Error::write("child of a deal", name, source))?;
    }
    Ok(true)
}

/// The part of a child that nobody may add to. The API server fills in a Service, but not whom it leads to.
fn closed(child: &Value) -> Value {
    let spec = &child["spec"];
    if child["kind"] == "Service" { json!({ "selector": spec["selector"] }) } else { spec.clone() }
}

/// Whether `present` has all that is wanted; lists must have as many entries as wanted.
fn contains(wanted: &Value, present: &Value) -> bool {
    match (wanted, present) {
        (Value::Object(wanted), Value::Object(present)) => {
            let mut fields = wanted.iter();
            fields.all(|(field, value)| present.get(field).is_some_and(|it| contains(value, it)))
        }
        (Value::Array(wanted), Value::Array(present)) => {
            let mut pairs = wanted.iter().zip(present);
            wanted.len() == present.len()
                && pairs.all(|(wanted, present)| contains(wanted, present))
        }
        (wanted, present) => wanted == present,
    }
}

/// A merge patch that takes away what `present` has and is not wanted; what a list has too much goes with the list.
fn surplus(wanted: &Value, present: &Value) -> Option<Value> {
    let (Value::Object(wanted), Value::Object(present)) = (wanted, present) else {
        return (has_more(wanted, present)).then(|| wanted.clone());
    };
    let fields = present.iter().filter_map(|(field, value)| {
        let patch = wanted.get(field).map_or(Some(Value::Null), |wanted| surplus(wanted, value));
        Some((field.clone(), patch?))
    });
    let fields: Map<String, Value> = fields.collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Whether an entry of a list has a field that is not wanted.
fn has_more(wanted: &Value, present: &Value) -> bool {
    let (Value::Array(wanted), Value::Array(present)) = (wanted, present) else { return false };
    let mut pairs = wanted.iter().zip(present);
    pairs.any(|(wanted, present)| surplus(wanted, present).is_some())
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

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use tower_test::mock;

    use super::*;

    fn policy() -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "it", "labels": { "coreward.dev/template": "0123" } },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{ "ports": [{ "port": 8080 }] }] },
        })
    }

    fn service() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "it" },
            "spec": { "selector": { "worker": "3" }, "ports": [{ "port": 80 }] },
        })
    }

    fn changed(mut child: Value, pointer: &str, field: &str, value: Value) -> Value {
        child.pointer_mut(pointer).unwrap()[field] = value;
        child
    }

    /// What is written where this is present: the kind of each patch, and the body of those that take away.
    async fn writes(wanted: &Value, present: &Value) -> Vec<(String, Value)> {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let present = present.clone();
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        let server = tokio::spawn(async move {
            let mut written = Vec::new();
            while let Some((request, send)) = handle.next_request().await {
                let kind = request.headers().get("content-type").cloned();
                let body = request.into_body().collect_bytes().await.unwrap();
                if let Some(kind) = kind.filter(|_| !body.is_empty()) {
                    let kind = kind.to_str().unwrap().to_owned();
                    let is_apply = kind.contains("apply");
                    let body = serde_json::from_slice(&body).unwrap();
                    written.push((kind, if is_apply { Value::Null } else { body }));
                }
                let missing = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 });
                let (code, body) =
                    if present.is_null() { (404, &missing) } else { (200, &present) };
                let body = Body::from(body.to_string().into_bytes());
                send.send_response(Response::builder().status(code).body(body).unwrap());
            }
            written
        });
        let _ = mend(&client, "deal-1", wanted).await;
        drop(client);
        server.await.unwrap()
    }

    #[rstest::rstest]
    #[case::as_described(policy(), policy(), &[])]
    #[case::somebody_labelled_it(policy(), changed(policy(), "/metadata/labels", "team", json!("a")), &[])]
    #[case::deleted(policy(), Value::Null, &["apply"])]
    #[case::of_an_older_description(policy(), changed(policy(), "/metadata/labels", "coreward.dev/template", json!("9999")), &["apply"])]
    #[case::another_port(policy(), changed(policy(), "/spec/ingress/0/ports/0", "port", json!(22)), &["apply"])]
    #[case::one_more_way_in(policy(), changed(policy(), "/spec", "ingress", json!([{ "ports": [{ "port": 8080 }] }, {}])), &["apply"])]
    #[case::opened_the_other_way(policy(), changed(policy(), "/spec", "egress", json!([{}])), &["apply", r#"{"spec":{"egress":null}}"#])]
    #[case::narrowed(
        policy(), changed(policy(), "/spec/ingress/0", "from", json!([{}])),
        &["apply", r#"{"spec":{"ingress":[{"ports":[{"port":8080}]}]}}"#]
    )]
    #[case::pods_picked_out(
        policy(), changed(policy(), "/spec/podSelector", "matchLabels", json!({ "a": "b" })),
        &["apply", r#"{"spec":{"podSelector":{"matchLabels":null}}}"#]
    )]
    #[case::filled_in_by_the_api_server(service(), changed(changed(service(), "/spec", "clusterIP", json!("10.0.0.1")), "/spec/ports/0", "nodePort", json!(30_000)), &[])]
    #[case::leads_elsewhere(service(), changed(service(), "/spec/selector", "worker", json!("4")), &["apply"])]
    #[case::leads_nowhere(
        service(), changed(service(), "/spec/selector", "never", json!("so")),
        &["apply", r#"{"spec":{"selector":{"never":null}}}"#]
    )]
    #[tokio::test]
    async fn a_child_is_mended(
        #[case] wanted: Value,
        #[case] present: Value,
        #[case] writes: &[&str],
    ) {
        let written = self::writes(&wanted, &present).await;
        let written: Vec<String> = written
            .into_iter()
            .map(|(_, body)| if body.is_null() { "apply".to_owned() } else { body.to_string() })
            .collect();
        assert_eq!(written, writes);
    }
}

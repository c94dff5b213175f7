//! The steps that stories are made of, told one by one with the time that each took; the demo tells them to a person,
//! the tests tell the same ones to their output.

pub mod account;
pub mod authority;
pub mod client;
pub mod deal;
pub mod end;
pub mod holes;
pub mod killer;
pub mod money;
pub mod node;
pub mod offer;
pub mod operators;
pub mod page;
pub mod pods;
pub mod ports;
pub mod product;
pub mod proving;
pub mod referee;
pub mod rest;
pub mod secrecy;
pub mod statuses;
pub mod stranger;
mod teller;
pub mod the_loop;
pub mod traffic;
pub mod witness;

use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::Value;

use crate::world::{Error, Result, World, until};

pub use teller::{Teller, now, today};

/// What a cluster and a chain on a busy machine may take for one step.
pub const STEP: Duration = Duration::from_mins(2);
/// Within this, status agrees with what was seen from outside; mirrors of hundreds of units are made before it tells of them.
pub const STATUS: Duration = Duration::from_mins(1);

/// Waits until the status of one of the world's objects says what the contracts and the pods have said already.
///
/// # Errors
/// [`Error::Late`].
pub async fn agrees(
    world: &World,
    (kind, name): (&str, &str),
    what: &str,
    says: impl Fn(&DynamicObject) -> bool,
) -> Result<DynamicObject> {
    until(&format!("{kind} {name} says that {what}"), STATUS, async || {
        let object = world.get(kind, name).await?;
        let object = object.ok_or_else(|| Error::Finding(format!("no {kind} {name} is there")))?;
        if says(&object) {
            return Ok(Some(object));
        }
        Err(Error::Finding(format!("it says {}", told(&object))))
    })
    .await
}

/// The status of an object without its peers and workers, for a message.
fn told(object: &DynamicObject) -> String {
    let status = &object.data["status"];
    let conditions: Vec<String> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| format!("{}={} {}: {}", it["type"], it["status"], it["reason"], it["message"]))
        .collect();
    format!("units {}, {}", status["units"], conditions.join("; "))
}

/// The condition `Ready` of an object, `True` or not.
#[must_use]
pub fn is_ready(object: &DynamicObject) -> bool {
    crate::world::condition(object, "Ready").is_some_and(|(status, ..)| status == "True")
}

/// Fails with `what` unless `holds`.
///
/// # Errors
/// [`Error::Finding`].
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Finding(what())) }
}

/// A text of an object's data; empty where it is none.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All objects that an API lists.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn listed<K>(api: &kube::Api<K>) -> Result<Vec<K>>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let list = api.list(&kube::api::ListParams::default()).await;
    Ok(list.map_err(crate::world::cluster("list objects"))?.items)
}

/// All objects of one of the product's kinds in the whole cluster.
///
/// # Errors
/// [`Error::Cluster`].
pub async fn all_of_kind(client: &kube::Client, kind: &str) -> Result<Vec<DynamicObject>> {
    listed(&end::api(client, kind, None)).await
}

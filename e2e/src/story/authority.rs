//! The authority of the pods' endpoint, replaced while pods rely on it.

use std::{collections::BTreeMap, fs};

use alloy::primitives::B256;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{STEP, Teller, ensure, operators, pods};
use crate::{
    bed::NAMESPACE,
    world::{Error, Result, World, cluster, until},
};

const SECRET: &str = "coreward-pods-ca";
/// Where pods find whom they trust.
const TRUSTED: &str = "var/run/coreward/anchor/ca.crt";

/// Has the authority replaced, by making the two steps of it due at once: the pods of these units are told of the next one
/// before it signs.
///
/// # Errors
/// [`Error::Late`] where a step is not taken, or a pod is not told.
pub async fn replaced(world: &World, teller: &Teller, units: &[B256]) -> Result<()> {
    let before = kept(world).await?;
    make_due(world).await?;
    let announced = until("a next authority is announced", STEP, async || {
        Ok(kept(world).await?.get("next.crt").cloned())
    });
    let next = teller.step("a next authority is announced", announced).await?;
    for unit in units {
        let told = until("the prover trusts it", STEP, async || {
            let prover = pods::ready(world, "prover", *unit).await?;
            let process = operators::process(&prover)?;
            let trusted = fs::read_to_string(format!("/proc/{}/root/{TRUSTED}", process.id))
                .map_err(|error| Error::Finding(format!("its trust cannot be read: {error}")))?;
            let knows = trusted.contains(&next) && trusted.contains(&before["tls.crt"]);
            ensure(knows, || "it trusts the old one only".to_owned())?;
            Ok(Some(()))
        });
        teller.step("a prover trusts the old one and the next", told).await?;
    }
    make_due(world).await?;
    let signs = until("the next authority signs", STEP, async || {
        let now = kept(world).await?;
        let signs = now.get("tls.crt") == Some(&next);
        ensure(signs && now.get("previous.crt") == before.get("tls.crt"), || {
            format!("the Secret holds {:?}", now.keys())
        })?;
        Ok(Some(()))
    });
    teller.step("the next one signs, and the old one is trusted still", signs).await
}

/// What the Secret holds.
async fn kept(world: &World) -> Result<BTreeMap<String, String>> {
    let secret = api(world).get(SECRET).await.map_err(cluster(format!("read {SECRET}")))?;
    let data = secret.data.unwrap_or_default().into_iter();
    Ok(data.map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes.0).into_owned())).collect())
}

/// Lets the last step look old.
async fn make_due(world: &World) -> Result<()> {
    let patch =
        json!({ "metadata": { "annotations": { "coreward.dev/since": "2020-01-01T00:00:00Z" } } });
    let patched = api(world).patch(SECRET, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(drop).map_err(cluster(format!("change {SECRET}")))
}

fn api(world: &World) -> Api<Secret> {
    Api::namespaced(world.client(), NAMESPACE)
}

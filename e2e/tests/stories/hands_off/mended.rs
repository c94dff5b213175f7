//! What stands around a deal's workers is put right again.

use std::time::Duration;

use coreward_e2e::{
    story::{ensure, listed},
    world::{Result, cluster, until},
};
use k8s_openapi::api::{
    core::v1::{LimitRange, ResourceQuota, Service},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use super::Scene;

/// Within this all of it is as it was.
const LIMIT: Duration = Duration::from_secs(30);

impl Scene<'_> {
    /// A `Service` and a `NetworkPolicy` that somebody deletes come back; one that somebody opens is closed.
    pub(super) async fn mended(&self) -> Result<()> {
        let (client, namespace) = (self.world.client(), self.deal_namespace());
        let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
        let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &namespace);
        let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
        let ranges: Api<LimitRange> = Api::namespaced(client, &namespace);
        let names: Vec<_> = listed(&services).await?.iter().map(ResourceExt::name_any).collect();
        for name in &names {
            let deleted = services.delete(name, &DeleteParams::default()).await;
            deleted.map(drop).map_err(cluster("delete a worker's Service"))?;
        }
        let deleted = policies.delete("allow-worker", &DeleteParams::default()).await;
        deleted.map(drop).map_err(cluster("delete a NetworkPolicy"))?;
        let (quota, range) = (listed(&quotas).await?, listed(&ranges).await?);
        ensure(quota.len() == 1 && range.len() == 1, || {
            format!("the deal's namespace has {} quotas and {} ranges", quota.len(), range.len())
        })?;
        let open = Patch::Merge(json!({ "spec": { "ingress": [{}], "egress": [{}] } }));
        let opened = policies.patch("deny-all", &PatchParams::default(), &open).await;
        opened.map(drop).map_err(cluster("open a NetworkPolicy"))?;
        let back = until("the deal's namespace is as it was", LIMIT, async || {
            for name in &names {
                let service = services.get_opt(name).await.map_err(cluster("read a Service"))?;
                ensure(service.is_some(), || format!("there is no Service {name}"))?;
            }
            let allowing = policies.get_opt("allow-worker").await;
            let allowing = allowing.map_err(cluster("read a NetworkPolicy"))?;
            ensure(allowing.is_some(), || "workers may reach nothing".to_owned())?;
            let denying = policies.get("deny-all").await.map_err(cluster("read deny-all"))?;
            let spec = denying.spec.unwrap_or_default();
            let is_closed = spec.ingress.is_none() && spec.egress.is_none();
            ensure(is_closed, || format!("the deal's namespace is open: {spec:?}"))?;
            Ok(Some(()))
        });
        let words = "a Service and a NetworkPolicy of the deal were deleted, another opened: all is as it was";
        self.teller.step(words, back).await?;
        self.answers().await
    }
}

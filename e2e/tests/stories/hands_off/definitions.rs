//! Our own definitions are gone for a while.

use coreward_e2e::{
    bed::{self, NAMESPACE},
    story::{STEP, all_of_kind, ensure, listed, operators, pods},
    world::{Error, Result, chain_of, cluster, until},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use super::Scene;

/// Of all that mirrors the chain. Offers are a person's.
const GONE: [&str; 3] =
    ["capacityunits.coreward.dev", "deals.coreward.dev", "chaintransactions.coreward.dev"];

impl Scene<'_> {
    /// Without the definitions of units, deals and transactions all goes on, even by an operator that starts meanwhile; with
    /// them their objects are back.
    pub(super) async fn loses_definitions(&self, was: &[String; 2]) -> Result<()> {
        let told = self.without_definitions(was).await;
        // Whatever came of it, the next part needs them.
        let back = bed::define(self.world.bed()).await;
        back.map_err(|error| Error::Finding(format!("no definitions: {}", chain_of(&error))))?;
        told?;
        let back = until("units and deals are mirrored", STEP, async || {
            for (kind, count) in [("CapacityUnit", 2), ("Deal", 1)] {
                let mirrors = self.world.list(kind).await?;
                let told = mirrors.iter().filter(|mirror| !mirror.data["status"].is_null());
                let found = told.count();
                ensure(found == count, || format!("{found} of {count} {kind} have a status"))?;
            }
            Ok(Some(()))
        });
        self.teller.step("the definitions are installed again: the mirrors are back", back).await?;
        self.goes_on().await?;
        let kept = until("transactions are kept", STEP, async || {
            let kept = listed(&self.ours("ChainTransaction", NAMESPACE)).await?;
            Ok((!kept.is_empty()).then_some(()))
        });
        kept.await?;
        self.same(was).await
    }

    async fn without_definitions(&self, was: &[String; 2]) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.world.client());
        for name in GONE {
            until("the policies are out of force", STEP, async || {
                let deleted = definitions.delete(name, &DeleteParams::default()).await;
                deleted.map(|_| Some(())).map_err(cluster(format!("delete {name}")))
            })
            .await?;
        }
        let gone = until("the definitions are gone", STEP, async || {
            for kind in ["Deal", "CapacityUnit"] {
                self.free(kind).await?;
            }
            let left = listed(&definitions).await?;
            let left: Vec<_> = left.iter().map(ResourceExt::name_any).collect();
            let is_gone = GONE.iter().all(|name| !left.iter().any(|it| it == name));
            Ok(is_gone.then_some(()))
        });
        let words =
            "the definitions of units, deals and transactions were deleted with all objects";
        self.teller.step(words, gone).await?;
        self.goes_on().await?;
        self.same(was).await?;

        let client = self.world.client();
        let led = pods::leading_process(&client).await?;
        operators::process(&pods::leader(&client).await?)?.kill().await?;
        let follows = until("another process leads", STEP, async || {
            Ok((pods::leading_process(&client).await? != led).then_some(()))
        });
        self.teller.step("the leader was killed: another leads", follows).await?;
        self.goes_on().await?;
        let renewed = operators::renew(self.world);
        let words = "every replica was replaced: one that never saw the definitions leads";
        self.teller.step(words, renewed).await?;
        self.goes_on().await?;
        self.same(was).await
    }

    /// Takes the finalizers of all objects of a kind away, as long as the kind is there.
    async fn free(&self, kind: &str) -> Result<()> {
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        for object in all_of_kind(&self.world.client(), kind).await.unwrap_or_default() {
            let api = self.ours(kind, &object.namespace().unwrap_or_default());
            // It may have gone meanwhile.
            let _ = api.patch(&object.name_any(), &PatchParams::default(), &free).await;
        }
        Ok(())
    }

    async fn same(&self, was: &[String; 2]) -> Result<()> {
        ensure(self.pods().await? == *was, || "a pod was replaced".to_owned())?;
        self.teller.aside("no pod was touched");
        Ok(())
    }
}

//! Our own definitions are gone for a while.

use coreward_e2e::{
    bed::{self, NAMESPACE},
    story::{
        STEP, all_of_kind, deal, ensure, listed, operators, pods,
        witness::{self, Witness},
    },
    world::{Error, Result, chain_of, cluster, until},
};
use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use super::{Scene, forged::CROSSING};

/// Of all that mirrors the chain. Offers are a person's.
const GONE: [&str; 3] =
    ["capacityunits.coreward.dev", "deals.coreward.dev", "chaintransactions.coreward.dev"];
/// Where the operator keeps what people wrote on mirrors, on a Secret of an identity.
const KEPT: &str = "coreward.dev/kept";
/// Epochs that a person lets the deal go on unpaid.
const GRACE: u64 = 7;

impl Scene<'_> {
    /// Without the definitions of units, deals and transactions all goes on, even by an operator that starts meanwhile; with
    /// them their objects are back.
    pub(super) async fn loses_definitions(&self, was: &[String; 2]) -> Result<()> {
        self.people_write(true, Some(GRACE)).await?;
        self.what_they_wrote_is_kept().await?;
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
        self.what_they_wrote_is_there().await?;
        self.goes_on().await?;
        let kept = until("transactions are kept", STEP, async || {
            let kept = listed(&self.ours("ChainTransaction", NAMESPACE)).await?;
            Ok((!kept.is_empty()).then_some(()))
        });
        kept.await?;
        self.people_write(false, None).await?;
        self.same(was).await
    }

    /// A person's words on mirrors: on the unit that proves, which goes on as it is, and on the deal.
    async fn people_write(&self, suspend: bool, grace: Option<u64>) -> Result<()> {
        let own = self.world.namespace();
        let unit = self.unit_name(self.offered.peers[1].units[0]);
        let deal = self.deal_name().await?;
        let grace = json!({ "policy": { "unpaidGraceEpochs": grace } });
        for (kind, name, fields) in
            [("CapacityUnit", unit, json!({ "suspend": suspend })), ("Deal", deal, grace)]
        {
            let patch = Patch::Merge(json!({ "spec": fields }));
            let written = self.ours(kind, own).patch(&name, &PatchParams::default(), &patch).await;
            written.map(drop).map_err(cluster(format!("write on {kind} {name}")))?;
        }
        Ok(())
    }

    async fn what_they_wrote_is_kept(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.world.client(), NAMESPACE);
        let unit = self.unit_name(self.offered.peers[1].units[0]);
        let words = [unit.as_str(), "\"suspend\":true", &format!("\"unpaidGraceEpochs\":{GRACE}")];
        let kept = until("what people wrote on mirrors is kept", STEP, async || {
            let all = listed(&secrets).await?;
            let mut texts = all.iter().filter_map(|secret| secret.annotations().get(KEPT));
            let has = |text: &String| words.iter().all(|word| text.contains(word));
            Ok(texts.any(has).then_some(()))
        });
        kept.await
    }

    async fn what_they_wrote_is_there(&self) -> Result<()> {
        let unit = self.unit_name(self.offered.peers[1].units[0]);
        let unit = self.world.get("CapacityUnit", &unit).await?;
        let is_suspended = unit.is_some_and(|unit| unit.data["spec"]["suspend"] == true);
        ensure(is_suspended, || "the unit came back without its suspend".to_owned())?;
        let deal = deal::mirror(self.world, self.served.seat.deal).await?;
        let policy = &deal.data["spec"]["policy"];
        ensure(policy["unpaidGraceEpochs"] == GRACE, || {
            format!("the deal came back with the policy {policy}")
        })?;
        self.teller.aside("they came back with what people had written on them");
        Ok(())
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
        self.only_proves().await?;
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
        self.only_proves().await?;
        self.same(was).await
    }

    /// All goes on, and nothing but proofs is sent.
    pub(super) async fn only_proves(&self) -> Result<()> {
        // What was on its way before is none of it.
        witness::blocks(self.world, CROSSING).await?;
        let witness = Witness::begin(self.world).await?;
        self.goes_on().await?;
        witness::blocks(self.world, CROSSING).await?;
        let sent = witness.only_proofs_were_sent(self.world).await?;
        self.teller.aside(&format!("{} transactions meanwhile, all of them proofs", sent.len()));
        Ok(())
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

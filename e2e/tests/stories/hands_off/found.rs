//! All objects are gone, and at last the definition of offers: what is staked is proven, and found again.

use alloy::primitives::B256;
use coreward_e2e::{
    bed,
    story::{STEP, agrees, ensure, node, operators, pods, the_loop, witness::unit_pods},
    world::{Error, Result, chain_of, cluster, until},
};
use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use super::Scene;

/// Of what people write.
const OFFERS: &str = "provideroffers.coreward.dev";

impl Scene<'_> {
    /// Even where all objects are gone, staked units are proven; the same offer applied again is the same on chain, and its pods
    /// never stopped.
    pub(super) async fn is_found_again(&self) -> Result<()> {
        let world = self.world;
        let chain = self.on_chain().await?;
        self.loses_all_objects().await?;
        // Nobody who leads has ever seen the offer.
        operators::renew(world).await?;
        self.teller.aside("new operators lead, and there is no offer");
        self.makes_an_ended_prover_again().await?;
        let pods = self.pods().await?;
        self.only_proves().await?;
        let count = unit_pods(world).await?.len();
        operators::shows(world, &orphans(count)).await?;
        self.teller.aside(&format!("the metrics show {count} pods that nobody wants"));

        let told = self.without_the_definition_of_offers().await;
        // Whatever came of it, the next part needs it.
        let back = bed::define(world.bed()).await;
        back.map_err(|error| Error::Finding(format!("no definitions: {}", chain_of(&error))))?;
        told?;
        self.is_applied_again().await?;
        ensure(self.on_chain().await? == chain, || "the chain has other peers now".to_owned())?;
        ensure(self.pods().await? == pods, || "a pod was replaced".to_owned())?;
        operators::shows(world, &orphans(0)).await?;
        self.goes_on().await
    }

    /// A prover that ends by itself is made again, though its offer is not there.
    async fn makes_an_ended_prover_again(&self) -> Result<()> {
        let idle = self.offered.peers[1].units[0];
        let was = pods::ready(self.world, "prover", idle).await?;
        node::refuse(self.world, &was, ("OutOfcpu", "told by the story")).await?;
        let again = pods::another(self.world, "prover", idle, &was);
        self.teller.step("a prover ended by itself: it is made again", again).await.map(drop)
    }

    /// The offer as the contracts have it.
    async fn on_chain(&self) -> Result<Vec<(B256, B256)>> {
        let offers = self.world.oracle().offers_of(self.world.party().provider.address).await?;
        ensure(offers.len() == 1, || format!("the provider has {} offers", offers.len()))?;
        let peers = self.world.oracle().peers_of(offers[0].offerId).await?;
        Ok(peers.iter().map(|peer| (peer.peerId, peer.commitmentId)).collect())
    }

    async fn loses_all_objects(&self) -> Result<()> {
        let (world, own) = (self.world, self.world.namespace());
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        for kind in ["Deal", "CapacityUnit", "ProviderOffer"] {
            let api = self.ours(kind, own);
            for object in world.list(kind).await? {
                let name = object.name_any();
                let freed = api.patch(&name, &PatchParams::default(), &free).await;
                freed.map_err(cluster(format!("take the finalizers of {name} away")))?;
            }
        }
        let namespaces: Api<Namespace> = Api::all(world.client());
        let gone = until("the offer's namespace is gone", STEP, async || {
            let left = namespaces.get_opt(own).await.map_err(cluster("look for the namespace"))?;
            Ok(left.is_none().then_some(()))
        });
        self.teller.step("all finalizers were taken away: every object is gone", gone).await
    }

    /// Operators that never knew what an offer is go on proving.
    async fn without_the_definition_of_offers(&self) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.world.client());
        let deleted = definitions.delete(OFFERS, &DeleteParams::default()).await;
        deleted.map(drop).map_err(cluster(format!("delete {OFFERS}")))?;
        let gone = until("the definition is gone", STEP, async || {
            let left = definitions.get_opt(OFFERS).await.map_err(cluster("read a definition"))?;
            Ok(left.is_none().then_some(()))
        });
        self.teller.step("the definition of offers was deleted too", gone).await?;
        let renewed = operators::renew(self.world);
        self.teller
            .step("every replica was replaced: none knows what an offer is", renewed)
            .await?;
        self.only_proves().await
    }

    async fn is_applied_again(&self) -> Result<()> {
        let world = self.world;
        world.make_namespace("hands off, again").await?;
        let offer = the_loop::both_nodes(world);
        // The API server may not serve the kind at once.
        until("the offer can be applied", STEP, async || world.apply(&offer).await.map(Some))
            .await?;
        let id = self.offered.id.to_string();
        let found = agrees(world, ("ProviderOffer", &self.offered.name), "it is found", |object| {
            let units = &object.data["status"]["units"];
            object.data["status"]["offerID"] == id.as_str()
                && (units["proving"] == 1, units["serving"] == 1) == (true, true)
        });
        self.teller
            .step("the same offer is applied again, and found on chain", found)
            .await
            .map(drop)
    }
}

/// The line of the metrics with so many pods of ours whose offer is not there.
fn orphans(count: usize) -> String {
    format!("coreward_orphans{{kind=\"pod\"}} {count}")
}

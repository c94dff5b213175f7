mod definitions;
mod mended;
mod refused;

use alloy::primitives::B256;
use coreward_e2e::{
    bed::{self, NAMESPACE},
    story::{
        STEP, Teller, agrees, client, deal, end, ensure, offer::Offered, operators, pods, product,
        proving, the_loop,
    },
    world::{Error, Result, World, chain_of, cluster, until},
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};

use serde_json::json;

use refused::refusal;

use super::{Needs, Told, on_stage, people};

/// The `ConfigMap` that owns the unit pods of a namespace.
const ANCHOR: &str = "coreward-anchor";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hands_off() -> Told {
    // For a while the policies are not in force, for nobody.
    on_stage("hands_off", (people::HANDS_OFF, Needs::Solitude), async |world, teller, stage| {
        tell(world, teller, stage).await
    })
    .await
}

async fn tell(world: &World, teller: &Teller, stage: &product::Stage) -> Result<()> {
    let offered = the_loop::proving_offer(world, teller, &the_loop::both_nodes(world), 2).await?;
    let seat = deal::matched(world, &stage.apps.hello, &[&offered.peers[0]]).await?.remove(0);
    let served = Box::pin(deal::serving(world, teller, &seat)).await?;
    let scene = Scene { world, teller, offered, served };

    Box::pin(scene.refused()).await?;
    scene.mended().await?;
    let was = scene.pods().await?;
    scene.goes_on().await?;
    ensure(scene.pods().await? == was, || "a pod was replaced meanwhile".to_owned())?;
    teller.aside("no pod was touched");

    end::lift_policies(&world.client()).await?;
    let told = Box::pin(scene.loses_definitions(&was)).await;
    let told = match told {
        Ok(()) => Box::pin(scene.held_by_finalizers(&was)).await,
        failed => failed,
    };
    let told = match told {
        Ok(()) => Box::pin(scene.comes_back()).await,
        failed => failed,
    };
    let told = match told {
        Ok(()) => Box::pin(scene.is_found_again()).await,
        failed => failed,
    };
    // Whatever came of it, the next story finds the policies in force.
    let restored = teller.step("the policies are in force again", restore(&scene)).await;
    told.and(restored)
}

/// What a person does after a refused `helm uninstall`; it brings back what was taken away meanwhile, too.
async fn restore(scene: &Scene<'_>) -> Result<()> {
    let order = bed::rollback(scene.world.bed()).await;
    order.map_err(|error| Error::Finding(format!("no rollback: {}", chain_of(&error))))?;
    let deals = scene.ours("Deal", scene.world.namespace());
    until("the policies are in force", STEP, async || {
        let how = DeleteParams::default().dry_run();
        refusal(&deals, &scene.deal_name().await?, &how).await.map(Some)
    })
    .await
    .map(drop)
}

/// Two units, one of which serves a deal.
struct Scene<'a> {
    world: &'a World,
    teller: &'a Teller,
    offered: Offered,
    served: deal::Served,
}

impl Scene<'_> {
    fn ours(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("coreward.dev", "v1alpha1", kind));
        Api::namespaced_with(self.world.client(), namespace, &resource)
    }

    fn everywhere<K: Resource<DynamicType = ()>>(&self) -> Api<DynamicObject> {
        Api::all_with(self.world.client(), &ApiResource::erase::<K>(&()))
    }

    fn unit_name(&self, unit: B256) -> String {
        format!("{}-{}", self.offered.name, proving::short(unit))
    }

    fn deal_namespace(&self) -> String {
        self.served.pod.namespace().unwrap_or_default()
    }

    async fn deal_name(&self) -> Result<String> {
        Ok(deal::mirror(self.world, self.served.seat.deal).await?.name_any())
    }

    /// UIDs of the pods that work for the two units.
    async fn pods(&self) -> Result<[String; 2]> {
        let prover = pods::ready(self.world, "prover", self.offered.peers[1].units[0]).await?;
        let worker = pods::ready(self.world, "worker", self.served.seat.unit).await?;
        Ok([pods::uid(&prover), pods::uid(&worker)])
    }

    /// The idle unit proves in the next epoch, the deal answers.
    async fn goes_on(&self) -> Result<()> {
        proving::next(self.world, self.teller, &self.offered, &self.offered.peers[1].units).await?;
        self.answers().await
    }

    async fn answers(&self) -> Result<()> {
        let http = client::http()?;
        until("the deal answers", STEP, async || {
            let pod = pods::ready(self.world, "worker", self.served.seat.unit).await?;
            let port = pods::entrance(self.world, &pod).await?;
            let address = self.world.bed().node_address(bed::NODES[2]);
            let url = format!("http://{address}:{port}/");
            let (status, body) = client::get(&http, &url).await?;
            Ok(((status, body.trim()) == (200, "hello")).then_some(()))
        })
        .await
    }

    /// Without the policies the deletions are asked for, and finalizers hold what they are asked for.
    async fn held_by_finalizers(&self, was: &[String; 2]) -> Result<()> {
        for target in self.objects().await? {
            let how = DeleteParams::foreground();
            let asked = until("the policies are out of force", STEP, async || {
                match target.api.delete(&target.name, &how).await {
                    Ok(_) => Ok(Some(())),
                    Err(error) => Err(cluster(format!("delete {}", target.name))(error)),
                }
            });
            asked.await?;
        }
        self.teller.aside(
            "units, deal, offer and its namespace were deleted, with all that hangs on them",
        );
        self.goes_on().await?;
        ensure(self.pods().await? == *was, || "a pod was replaced".to_owned())?;
        let kept = self.world.get("ProviderOffer", &self.offered.name).await?;
        let kept = kept.ok_or_else(|| Error::Finding("the offer is gone".to_owned()))?;
        let told = coreward_e2e::world::condition(&kept, "Ready").unwrap_or_default();
        ensure(told.2.contains("staked"), || format!("its condition says {told:?}"))?;
        self.teller.aside(&format!("the offer says {}: {}", told.1, told.2));
        Ok(())
    }

    /// What no finalizer can hold comes back by itself.
    async fn comes_back(&self) -> Result<()> {
        let (world, unit) = (self.world, self.served.seat.unit);
        let key = deal::activated(world, &self.served.seat).await?;
        let was = pods::uid(&pods::ready(world, "worker", unit).await?);
        let namespaces: Api<Namespace> = Api::all(world.client());
        let deleted = namespaces.delete(&self.deal_namespace(), &DeleteParams::default()).await;
        deleted.map_err(cluster("delete the deal's namespace"))?;
        let back = until("the deal has a worker again", STEP, async || {
            let pod = pods::ready(world, "worker", unit).await?;
            Ok((pods::uid(&pod) != was).then_some(()))
        });
        self.teller.step("the deal's namespace was deleted: its worker is back", back).await?;
        self.answers().await?;
        let same = deal::activated(world, &self.served.seat).await? == key;
        ensure(same, || "the worker came back with another key".to_owned())?;

        let idle = self.offered.peers[1].units[0];
        let anchors: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
        let was = pods::uid(&pods::ready(world, "prover", idle).await?);
        let deleted = anchors.delete(ANCHOR, &DeleteParams::default()).await;
        deleted.map_err(cluster("delete the anchor"))?;
        let back = until("another prover hashes", STEP, async || {
            let pod = pods::ready(world, "prover", idle).await?;
            Ok((pods::uid(&pod) != was).then_some(()))
        });
        self.teller.step("the anchor was deleted: the prover is back", back).await?;
        self.goes_on().await
    }
}

impl Scene<'_> {
    /// The offer as the contracts have it.
    async fn on_chain(&self) -> Result<Vec<(B256, B256)>> {
        let offers = self.world.oracle().offers_of(self.world.party().provider.address).await?;
        ensure(offers.len() == 1, || format!("the provider has {} offers", offers.len()))?;
        let peers = self.world.oracle().peers_of(offers[0].offerId).await?;
        Ok(peers.iter().map(|peer| (peer.peerId, peer.commitmentId)).collect())
    }

    /// Even where all objects are gone, staked units are proven; the same offer applied again is the same on chain, and its pods
    /// never stopped.
    async fn is_found_again(&self) -> Result<()> {
        let (world, own) = (self.world, self.world.namespace());
        let (pods, chain) = (self.pods().await?, self.on_chain().await?);
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
        self.teller.step("all finalizers were taken away: every object is gone", gone).await?;
        // Nobody who leads has ever seen the offer.
        operators::renew(world).await?;
        self.teller.aside("new operators lead, and there is no offer");
        self.goes_on().await?;
        world.make_namespace("hands off, again").await?;
        world.apply(&the_loop::both_nodes(world)).await?;
        let id = self.offered.id.to_string();
        let found = agrees(world, ("ProviderOffer", &self.offered.name), "it is found", |object| {
            let units = &object.data["status"]["units"];
            object.data["status"]["offerID"] == id.as_str()
                && (units["proving"] == 1, units["serving"] == 1) == (true, true)
        });
        self.teller.step("the same offer is applied again, and found on chain", found).await?;
        ensure(self.on_chain().await? == chain, || "the chain has other peers now".to_owned())?;
        ensure(self.pods().await? == pods, || "a pod was replaced".to_owned())?;
        self.goes_on().await
    }
}

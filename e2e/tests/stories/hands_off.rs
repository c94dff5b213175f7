mod definitions;
mod forged;
mod found;
mod mended;
mod refused;

use alloy::primitives::B256;
use coreward_e2e::{
    bed::{self, NAMESPACE},
    chain::DealOrder,
    story::{
        STEP, Teller, client, deal, end, ensure, offer::Offered, pods, product, proving, the_loop,
    },
    world::{Error, Result, World, chain_of, cluster, until},
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject},
    core::GroupVersionKind,
};

use refused::refusal;

use super::{Needs, Told, on_stage, people};

/// The `ConfigMap` that owns the unit pods of a namespace.
const ANCHOR: &str = "coreward-anchor";
/// Epochs that the deal is paid for; more than the story ends.
const PAID_EPOCHS: u64 = 60;

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
    let order = DealOrder {
        paid_epochs: PAID_EPOCHS,
        ..DealOrder::of_one_worker(world.party().developer.address, &stage.apps.hello)
    };
    let contract = world.driver().create_deal(&order).await?;
    let seat = deal::seats(world, contract, &[&offered.peers[0]]).await?.remove(0);
    let served = Box::pin(deal::serving(world, teller, &seat)).await?;
    let scene = Scene { world, teller, offered, served };

    Box::pin(scene.refused()).await?;
    scene.mended().await?;
    let was = scene.pods().await?;
    scene.goes_on().await?;
    ensure(scene.pods().await? == was, || "a pod was replaced meanwhile".to_owned())?;
    teller.aside("no pod was touched");

    end::lift_policies(&world.client()).await?;
    let told = Box::pin(scene.unprotected(&was)).await;
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

    /// What is lost and what is not while no policy is in force.
    async fn unprotected(&self, was: &[String; 2]) -> Result<()> {
        Box::pin(self.outlives_forgery(was)).await?;
        Box::pin(self.loses_definitions(was)).await?;
        Box::pin(self.held_by_finalizers(was)).await?;
        Box::pin(self.comes_back()).await?;
        Box::pin(self.is_found_again()).await
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
        let was = pods::ready(world, "worker", unit).await?;
        let namespaces: Api<Namespace> = Api::all(world.client());
        let deleted = namespaces.delete(&self.deal_namespace(), &DeleteParams::default()).await;
        deleted.map_err(cluster("delete the deal's namespace"))?;
        let back = pods::another(world, "worker", unit, &was);
        self.teller.step("the deal's namespace was deleted: its worker is back", back).await?;
        self.answers().await?;
        let same = deal::activated(world, &self.served.seat).await? == key;
        ensure(same, || "the worker came back with another key".to_owned())?;

        let idle = self.offered.peers[1].units[0];
        let anchors: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
        let was = pods::ready(world, "prover", idle).await?;
        let deleted = anchors.delete(ANCHOR, &DeleteParams::default()).await;
        deleted.map_err(cluster("delete the anchor"))?;
        let back = pods::another(world, "prover", idle, &was);
        self.teller.step("the anchor was deleted: the prover is back", back).await?;
        self.goes_on().await
    }
}

//! What a person with all rights takes from the outbox or puts beside it by hand.

use coreward_e2e::{
    bed::NAMESPACE,
    story::{
        STEP, account, deal, ensure,
        witness::{self, Witness},
    },
    world::{Error, Result, cluster, until},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::Scene;

/// The name of what is made by hand.
const BY_HAND: &str = "made-by-hand";
/// A deal that the chain does not have.
const NOWHERE: &str = "0x5151515151515151515151515151515151515151";
/// Blocks in which what was on its way is mined.
pub(super) const CROSSING: u64 = 5;

impl Scene<'_> {
    /// Without the policies the newest transaction's object is deleted, and a deal and a transaction are made by hand: no nonce is
    /// used twice, and nothing is sent for what nobody has.
    pub(super) async fn outlives_forgery(&self, was: &[String; 2]) -> Result<()> {
        let (world, outbox) = (self.world, self.ours("ChainTransaction", NAMESPACE));
        let newest = self.newest_transaction().await?.name_any();
        until("the policies are out of force", STEP, async || {
            let deleted = outbox.delete(&newest, &DeleteParams::default()).await;
            deleted.map(|_| Some(())).map_err(cluster(format!("delete {newest}")))
        })
        .await?;
        self.goes_on().await?;
        account::nonces_are_whole(world, self.teller).await?;
        self.teller
            .aside("the newest transaction's object was deleted: its nonce is not used again");

        witness::blocks(world, CROSSING).await?;
        let witness = Witness::begin(world).await?;
        let deals = self.ours("Deal", world.namespace());
        let mut forged = deal::mirror(world, self.served.seat.deal).await?;
        forged.data["spec"]["dealAddress"] = json!(NOWHERE);
        make(&deals, forged).await?;
        make(&outbox, self.newest_transaction().await?).await?;
        self.goes_on().await?;
        witness::blocks(world, CROSSING).await?;
        witness.nothing_was_sent_in_vain(world).await?;
        witness.pods_are_the_same(world).await?;
        ensure(self.pods().await? == *was, || "a pod was replaced".to_owned())?;
        self.teller
            .aside("a Deal and a ChainTransaction were made by hand: nothing was sent for them");
        for api in [&deals, &outbox] {
            remove(api).await?;
        }
        Ok(())
    }

    /// The newest of the world's transactions: the one with the highest nonce of the account that was used last.
    async fn newest_transaction(&self) -> Result<DynamicObject> {
        let all = witness::transactions(self.world).await?;
        let newest = all.into_iter().max_by_key(|object| {
            let made = object.metadata.creation_timestamp.as_ref().map(|made| made.0);
            (made, object.data["spec"]["nonce"].as_i64())
        });
        newest.ok_or_else(|| Error::Finding("no transaction is kept".to_owned()))
    }
}

/// Makes a copy under a name of its own, with the labels of the original: it looks like one of the operator's.
async fn make(api: &Api<DynamicObject>, original: DynamicObject) -> Result<()> {
    let metadata = ObjectMeta {
        name: Some(BY_HAND.to_owned()),
        namespace: original.namespace(),
        labels: original.metadata.labels.clone(),
        ..ObjectMeta::default()
    };
    let copy = DynamicObject { metadata, ..original };
    let made = api.create(&PostParams::default(), &copy).await;
    made.map(drop).map_err(cluster(format!("make {BY_HAND}")))
}

/// Takes it away again, with whatever holds it; the operator may have swept it.
async fn remove(api: &Api<DynamicObject>) -> Result<()> {
    until("what was made by hand is gone", STEP, async || {
        if api.get_opt(BY_HAND).await.map_err(cluster(format!("read {BY_HAND}")))?.is_none() {
            return Ok(Some(()));
        }
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        let freed = api.patch(BY_HAND, &PatchParams::default(), &free).await;
        freed.map_err(cluster(format!("free {BY_HAND}")))?;
        let deleted = api.delete(BY_HAND, &DeleteParams::default()).await;
        deleted.map(|_| None).map_err(cluster(format!("delete {BY_HAND}")))
    })
    .await
}

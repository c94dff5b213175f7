//! The product as stories find it: installed once, knowing the people of all of them.

use serde_json::{Value, json};

use super::{Teller, end, page};
use crate::{
    apps::{Apps, BlockFolder},
    bed::{self, Bed, NAMESPACE},
    chain::{Driver, Node, cache_root},
    world::{Error, Party, Result, chain_of},
};

/// Everything that a story needs besides its own world.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The cluster and the chain.
    pub bed: Bed,
    /// People; no two stories at the same time use the same.
    pub parties: Vec<Party>,
    /// What deals run.
    pub apps: Apps,
}

/// The first epoch in which a worker can be activated.
const FIRST_EPOCH: u64 = 2;

/// Starts the bed, clears what an earlier run left in it, and installs the product for `count` new parties.
///
/// # Errors
/// What the bed reports, as [`Error::Finding`]; [`Error::Cluster`], [`Error::Chain`].
pub async fn set_up(teller: &Teller, count: u8) -> Result<Stage> {
    let bed = teller.step("the bed is up: cluster and chain", up()).await?;
    teller.step("nothing of an earlier run is left in it", end::clear(&bed)).await?;
    let seed = format!("{}-{:08x}", bed.paths().name, rand::random::<u32>());
    let parties = Party::several(&seed, count)?;
    let node = Node::at(&bed.chain_url())?;
    Driver::new(node, bed.contracts()).to_epoch(FIRST_EPOCH).await?;
    let publish =
        async { Ok(Apps::publish(&cache_root(), &BlockFolder::at(bed.artifacts())).await?) };
    let apps = teller.step("the sample apps are built and published", publish).await?;
    Party::bring(&bed, &parties).await?;
    let words = "helm install: the operator with two replicas is ready";
    teller.step(words, deploy(&bed, &parties)).await?;
    page::make_reader(&bed).await?;
    Ok(Stage { bed, parties, apps })
}

async fn up() -> Result<Bed> {
    Box::pin(bed::up()).await.map_err(|error| Error::Finding(chain_of(&error)))
}

/// Installs or upgrades the product by its charts.
///
/// # Errors
/// Helm's words as [`Error::Finding`].
pub async fn deploy(bed: &Bed, parties: &[Party]) -> Result<()> {
    deploy_with(bed, parties, json!({})).await
}

/// The same with values that go over those of the stories, field by field.
///
/// # Errors
/// As [`deploy`].
pub async fn deploy_with(bed: &Bed, parties: &[Party], over: Value) -> Result<()> {
    install(bed, (Party::values(bed, parties), over)).await
}

/// The same with another network, the chain behind three endpoints, that one person's keys are for.
///
/// # Errors
/// As [`deploy`].
pub async fn deploy_behind_three(bed: &Bed, parties: &[Party], person: &Party) -> Result<()> {
    let mut values = Party::values(bed, parties);
    person.go_behind_three(bed, &mut values);
    install(bed, (values, json!({}))).await
}

async fn install(bed: &Bed, (mut values, over): (Value, Value)) -> Result<()> {
    values["workers"] = json!({ "serviceType": "NodePort" });
    // A story need not wait for minutes once the cluster has noticed that a node is away.
    values["operator"] = json!({ "failoverSeconds": 10 });
    bed::merge(&mut values, over);
    Box::pin(bed::deploy(bed, values)).await.map_err(|error| {
        Error::Finding(format!("the product is not installed in {NAMESPACE}: {}", chain_of(&error)))
    })
}

//! What one story has to itself: a namespace, accounts, a driver and an oracle; and what it leaves behind as evidence
//! when it fails.
//!
//! ```no_run
//! use coreward_e2e::{bed, world::{Party, World}};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let bed = bed::up().await?;
//! let parties = Party::several(bed.paths().name.as_str(), 3)?;
//! Party::bring(&bed, &parties).await?;
//! bed::deploy(&bed, Party::values(&bed, &parties)).await?;
//! World::tell(&bed, "the loop", &parties[0], async |world| {
//!     world.apply(&world.offer("one", "compute")).await?;
//!     Ok(())
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```

mod evidence;
mod objects;
mod party;
mod process;
mod wait;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::{
    bed::Bed,
    chain::{self, Driver, Node, Oracle},
};

pub use evidence::evidence;
pub use objects::condition;
pub use party::{NETWORK, NETWORK_OF_THREE, Party};
pub use process::{Hog, PodProcess, processes_of};
pub use wait::{chain_of, until};

/// Why a story did not go as told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain's part of the bed failed, or found something wrong.
    #[error(transparent)]
    Chain(#[from] chain::Error),
    /// The cluster refused or did not answer.
    #[error("cannot {what}")]
    Cluster {
        /// The operation and its object.
        what: String,
        /// The client's own account.
        #[source]
        source: Box<kube::Error>,
    },
    /// A condition was not met in time.
    #[error("after {limit:?} still not: {what} (last: {last})")]
    Late {
        /// The condition.
        what: String,
        /// The time it was given.
        limit: std::time::Duration,
        /// What the last look gave.
        last: String,
    },
    /// The story's own finding.
    #[error("{0}")]
    Finding(String),
}

/// The result of a story and its steps.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Makes an error of the API server into ours, with what was tried.
pub fn cluster(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let what = what.into();
    move |source| Error::Cluster { what, source: Box::new(source) }
}

/// One story's world.
#[derive(Debug, Clone)]
pub struct World {
    bed: Bed,
    namespace: String,
    party: Party,
    driver: Driver,
    oracle: Oracle,
    from_block: u64,
}

impl World {
    /// Runs a story in a world of its own, and prints the evidence if it fails or panics.
    ///
    /// The world's namespace stays after a failure, and is removed after a success.
    ///
    /// # Errors
    /// The story's own, and what [`World::open`] reports.
    pub async fn tell(
        bed: &Bed,
        story: &str,
        party: &Party,
        tell: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let world = Self::open(bed, story, party).await?;
        let told = AssertUnwindSafe(tell(&world)).catch_unwind().await;
        if !matches!(told, Ok(Ok(()))) {
            let text = evidence(&world.bed, &world.oracle).await;
            print(&format!("--- evidence of the failed story \"{story}\" ---\n{text}---"));
        }
        match told {
            Ok(Ok(())) => world.close().await,
            Ok(Err(error)) => Err(error),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Makes the namespace `story-<six hex digits>` with the story's name as an annotation.
    ///
    /// # Errors
    /// [`Error::Cluster`], [`Error::Chain`].
    pub async fn open(bed: &Bed, story: &str, party: &Party) -> Result<Self> {
        let namespace = format!("story-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        let node = Node::at(&bed.chain_url())?;
        let world = Self {
            driver: Driver::new(node.clone(), bed.contracts()),
            oracle: Oracle::new(node, bed.contracts()),
            bed: bed.clone(),
            namespace,
            party: party.clone(),
            from_block: 0,
        };
        let from_block = world.oracle.block_number().await?;
        world.make_namespace(story).await?;
        Ok(Self { from_block, ..world })
    }

    /// Makes the namespace; again, where a story had it deleted.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn make_namespace(&self, story: &str) -> Result<()> {
        let annotations = [("coreward.dev/story".to_owned(), story.to_owned())].into();
        let mut object = Namespace::default();
        object.metadata.name = Some(self.namespace.clone());
        object.metadata.annotations = Some(annotations);
        let namespaces: Api<Namespace> = Api::all(self.client());
        let made = namespaces.create(&PostParams::default(), &object).await;
        made.map(drop).map_err(cluster(format!("create the namespace {}", self.namespace)))
    }

    /// Removes the namespace, without waiting for its end.
    ///
    /// # Errors
    /// [`Error::Cluster`].
    pub async fn close(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.bed.client().clone());
        namespaces
            .delete(&self.namespace, &kube::api::DeleteParams::default())
            .await
            .map(drop)
            .map_err(cluster(format!("remove the namespace {}", self.namespace)))
    }

    /// The bed that it is in.
    #[must_use]
    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    /// The cluster's client, with all rights.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.bed.client().clone()
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its people.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// Who plays everybody but the product.
    #[must_use]
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Who tells what the contracts say.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The newest block when the story began: earlier ones are none of its business.
    #[must_use]
    pub fn from_block(&self) -> u64 {
        self.from_block
    }

    /// An offer of the nodes whose label `coreward.dev/pool` is `pool`, at low prices, under this world's accounts.
    ///
    /// It is a value to be changed before it is applied.
    #[must_use]
    pub fn offer(&self, name: &str, pool: &str) -> Value {
        json!({
            "apiVersion": "coreward.dev/v1alpha1",
            "kind": "ProviderOffer",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": {
                "network": NETWORK,
                "provider": {
                    "address": self.party.provider.address,
                    "signer": self.party.provider_signer(),
                },
                "peers": { "signers": [self.party.peer_signer()] },
                "datacenter": { "countryCode": "DE", "cityCode": "BER", "index": 1 },
                "paymentToken": "USDC",
                "prices": [
                    { "resource": "1", "price": "0.001" },
                    { "resource": "3", "price": "0.00001" },
                ],
                "capacity": {
                    "nodeSelector": { "matchLabels": { "coreward.dev/pool": pool } },
                    "resources": [{ "resource": "1" }, { "resource": "3" }],
                },
                "payouts": { "everyHours": 0 },
            },
        })
    }
}

#[expect(clippy::print_stderr, reason = "evidence belongs into the test's output")]
fn print(text: &str) {
    eprintln!("{text}");
}

//! The bed: a real cluster of three nodes and a chain, in network namespaces of this machine.
//!
//! ```no_run
//! # async fn story() -> Result<(), coreward_e2e::bed::Error> {
//! let bed = coreward_e2e::bed::up().await?; // starts it, or finds it up already
//! let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::all(bed.client().clone());
//! println!("the chain is at {}, the cluster at {:?}", bed.chain_url(), bed.kubeconfig());
//! # Ok(())
//! # }
//! ```
//!
//! Everything of a bed carries its name, which comes from the place of the checkout or from `COREWARD_BED`; two beds
//! share nothing but the cache of what was built.

mod addresses;
mod command;
mod control_plane;
mod cores;
mod deploy;
mod dns;
mod engine;
mod error;
mod go;
mod image;
mod life;
mod lock;
mod network;
mod node;
mod node_files;
mod oci;
mod paths;
mod pki;
mod preflight;
mod process;
mod progress;
mod rights;
mod setup;
mod simulated;
mod status;
mod tar;
mod upkeep;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

pub use addresses::Addresses;
pub use deploy::{NAMESPACE, define, deploy, merge, rollback, undeploy};
pub use error::{Error, Result};
pub use image::{ALL, ImageSpec, PRODUCT, Source, ensure};
pub use life::{down, up, up_unless_interrupted};
pub use node::{NODES, Node, Pool};
pub use paths::{ENFORCE_VARIABLE, NAME_VARIABLE, Paths, variable};
pub use process::Room;
pub use progress::{say, step};
pub use rights::{Rights, rights};
pub use setup::{Parts, everything as setup, helm, promtool};
pub use simulated::{SIMULATED, Simulated, end_simulation, is_simulated, simulate};
pub use status::{Status, status};
pub use upkeep::{kubectl, start_api_server, start_kubelet, stop_api_server, stop_kubelet};

use crate::chain::Contracts;

/// A bed that is up.
#[derive(Clone)]
pub struct Bed {
    paths: Paths,
    addresses: Addresses,
    programs: PathBuf,
    contracts: Contracts,
    client: kube::Client,
}

impl std::fmt::Debug for Bed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bed")
            .field("name", &self.paths.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Bed {
    /// Its folders and names.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Its addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// A client of its cluster with all rights.
    #[must_use]
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// The file that `kubectl` wants in `KUBECONFIG`.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.paths.kubeconfig()
    }

    /// The folder with kubectl, helm, and the cluster's programs.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The chain's RPC endpoint; the same for pods and for this machine.
    #[must_use]
    pub fn chain_url(&self) -> String {
        self.addresses.chain()
    }

    /// The marketplace's contracts on that chain.
    #[must_use]
    pub fn contracts(&self) -> Contracts {
        self.contracts
    }

    /// The IPFS gateway; the same for pods and for this machine.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        self.addresses.gateway()
    }

    /// The folder that the gateway serves: put a `.car` file or a block named by its CID there, and it is found.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.paths.artifacts()
    }

    /// The address of a node, for `NodePorts`.
    #[must_use]
    pub fn node_address(&self, node: Node) -> Ipv4Addr {
        self.addresses.node(node.number)
    }

    /// The program that plays nodes by the hundred, built if it is not there (a minute).
    ///
    /// # Errors
    /// [`Error::Missing`] where the module proxy does not answer, [`Error::Failed`] with the compiler's words.
    pub async fn kwok(&self) -> Result<PathBuf> {
        go::kwok(&self.paths).await
    }

    /// The control plane's network, for programs that must be reached from pods.
    #[must_use]
    pub fn control_room(&self) -> Room {
        Room::network(self.paths.control_namespace())
    }
}

//! What a bed looks like right now.

use std::fmt;

use k8s_openapi::api::core::v1::Node as ClusterNode;
use kube::{Api, api::ListParams};

use super::{Bed, error::Result, life, network, paths::Paths, process};

/// What a bed looks like right now; its text is for a person.
#[derive(Debug)]
pub struct Status {
    name: String,
    bed: Option<Bed>,
    /// Names of nodes, and whether each is Ready.
    nodes: Vec<(String, bool)>,
    /// Names of processes that were started and have ended by themselves.
    ended: Vec<String>,
    traces: bool,
}

/// Looks at the bed of this checkout.
///
/// # Errors
/// Where the environment names no folder to look in.
pub async fn status() -> Result<Status> {
    let paths = Paths::read()?;
    let bed = life::standing(&paths).await;
    let nodes = match &bed {
        Some(bed) => nodes(bed).await,
        None => Vec::new(),
    };
    let names = process::names(&paths);
    let traces = network::exists(&paths) || !names.is_empty();
    let ended = names.into_iter().filter(|name| process::alive(&paths, name).is_none()).collect();
    Ok(Status { name: paths.name, bed, nodes, ended, traces })
}

async fn nodes(bed: &Bed) -> Vec<(String, bool)> {
    let api: Api<ClusterNode> = Api::all(bed.client().clone());
    let list = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    list.iter()
        .map(|node| (node.metadata.name.clone().unwrap_or_default(), life::is_ready(node)))
        .collect()
}

impl Status {
    /// Whether the bed is up and its API server answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.bed.is_some()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bed) = &self.bed else {
            let rest = if self.traces {
                ", but something of it is left; `bed down` removes it"
            } else {
                ""
            };
            write!(f, "the bed {} is down{rest}", self.name)?;
            return self
                .ended
                .iter()
                .try_for_each(|name| write!(f, "\n  {name} has ended by itself"));
        };
        writeln!(f, "the bed {} is up", self.name)?;
        for (name, ready) in &self.nodes {
            writeln!(f, "  node {name}: {}", if *ready { "Ready" } else { "not Ready" })?;
        }
        let contracts = bed.contracts();
        writeln!(
            f,
            "  chain: {} (diamond {}, USDC {})",
            bed.chain_url(),
            contracts.diamond,
            contracts.usdc
        )?;
        writeln!(f, "  gateway: {} serves {}", bed.gateway_url(), bed.artifacts().display())?;
        writeln!(f, "  logs: {}", bed.paths().state.join("log").display())?;
        writeln!(f, "  export KUBECONFIG={}", bed.kubeconfig().display())?;
        write!(f, "  export PATH={}:$PATH", bed.programs().display())
    }
}

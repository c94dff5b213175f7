//! What was typed, and what it means: two steps, so that each can be tested alone.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

use crate::config::{self, Config};

/// Runs a Kubernetes cluster as a provider of the Fluence compute marketplace.
#[derive(Clone, Debug, Parser)]
#[command(name = "coreward-operator", version)]
pub struct Typed {
    /// File with networks, signers, images and gateways.
    #[arg(long, env = "COREWARD_CONFIG", default_value = "/etc/coreward/config.yaml")]
    pub config: PathBuf,
    /// Namespace of the operator: its lease, transactions, identities and unit pods live there.
    #[arg(long, env = "COREWARD_NAMESPACE")]
    pub namespace: String,
    /// Name of this replica, unique among replicas; the pod's name.
    #[arg(long, env = "COREWARD_IDENTITY")]
    pub identity: String,
    /// Address of this replica's pod, for the `EndpointSlice` that the leader writes. Without it other pods cannot find the endpoint.
    #[arg(long, env = "POD_IP")]
    pub pod_address: Option<IpAddr>,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[arg(long, env = "COREWARD_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// Where pods ask for their duty, over TLS.
    #[arg(long, env = "COREWARD_PODS_LISTEN", default_value = "0.0.0.0:8443")]
    pub pods_listen: SocketAddr,
    /// Only says whether anything is staked, and fails if so: what the chart asks before it is uninstalled.
    #[arg(long)]
    pub check_uninstall: bool,
    /// What is logged, e.g. `info,coreward_chain=debug`.
    #[arg(long, env = "COREWARD_LOG", default_value = "info")]
    pub log: String,
}

/// What was typed, with the files read.
#[derive(Clone, Debug)]
pub struct Args {
    /// The operator's configuration, checked.
    pub config: Config,
    /// Namespace of the operator.
    pub namespace: String,
    /// Name of this replica.
    pub identity: String,
    /// Address of this replica's pod.
    pub pod_address: Option<IpAddr>,
    /// Health and metrics.
    pub listen: SocketAddr,
    /// The pods' endpoint.
    pub pods_listen: SocketAddr,
}

impl TryFrom<Typed> for Args {
    type Error = config::Error;

    /// Reads and checks the configuration file.
    ///
    /// # Errors
    ///
    /// [`config::Error`] names the file, the field and what to write there instead.
    fn try_from(typed: Typed) -> Result<Self, config::Error> {
        Ok(Self {
            config: Config::read(&typed.config)?,
            namespace: typed.namespace,
            identity: typed.identity,
            pod_address: typed.pod_address,
            listen: typed.listen,
            pods_listen: typed.pods_listen,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Typed;

    #[test]
    fn the_flags_are_well_formed() {
        Typed::command().debug_assert();
    }
}

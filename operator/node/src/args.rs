//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use coreward_link::LinkConfig;

/// Tells the operator what the node is, and serves artifacts to the node's workers.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// What is logged: `level` or `target=level`, with commas between.
    #[arg(long, env = "COREWARD_LOG", default_value = "info")]
    pub log: String,
    /// Address of the operator's endpoint for pods.
    #[arg(long, env = "COREWARD_OPERATOR_URL")]
    pub operator_url: String,
    /// The certificate that the operator's is signed by, in PEM.
    #[arg(long, env = "COREWARD_CA_FILE")]
    pub ca_file: PathBuf,
    /// The pod's projected token.
    #[arg(long, env = "COREWARD_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// Where health and metrics are served.
    #[arg(long, env = "COREWARD_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// Where artifacts are served.
    #[arg(long, env = "COREWARD_ARTIFACT_LISTEN", default_value = "0.0.0.0:8081")]
    pub artifact_listen: SocketAddr,
    /// The address of this pod, as workers reach it.
    #[arg(long, env = "COREWARD_ADVERTISE_ADDRESS")]
    pub advertise_address: IpAddr,
    /// Where verified artifacts are kept.
    #[arg(long, env = "COREWARD_CACHE_DIR", default_value = "/var/cache/coreward")]
    pub cache_dir: PathBuf,
    /// How many MiB of artifacts are kept.
    #[arg(long, env = "COREWARD_CACHE_MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub cache_mib: u64,
}

impl Args {
    pub(crate) fn link(&self) -> LinkConfig {
        LinkConfig {
            url: self.operator_url.clone(),
            ca_file: self.ca_file.clone(),
            token_file: self.token_file.clone(),
        }
    }

    /// The base address that workers are told.
    pub(crate) fn artifact_url(&self) -> String {
        format!("http://{}", SocketAddr::new(self.advertise_address, self.artifact_listen.port()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[rstest]
    #[case::four("10.244.1.7", "http://10.244.1.7:8081")]
    #[case::six("fd00::7", "http://[fd00::7]:8081")]
    fn workers_are_told_a_whole_address(#[case] address: &str, #[case] url: &str) {
        let line = ["coreward-node", "--operator-url=https://o", "--ca-file=c", "--token-file=t"];
        let advertise = format!("--advertise-address={address}");
        let args = Args::try_parse_from(line.into_iter().chain([advertise.as_str()])).unwrap();
        assert_eq!(args.artifact_url(), url);
    }
}

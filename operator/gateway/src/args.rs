//! The command line.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use coreward_link::LinkConfig;
use coreward_overlay::gateway::{Limits, MOST_CIRCUITS_PER_MEMBER};

/// Relays between members of the subnets of one cluster and the other members of their deals.
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
    /// Port of the relay, in both IP families.
    #[arg(long, env = "COREWARD_RELAY_PORT", default_value_t = 4001)]
    pub relay_port: u16,
    /// Addresses from outside, such as `203.0.113.7:4001`: one for each replica, in the order of the replicas.
    #[arg(long, env = "COREWARD_OUTSIDE", value_delimiter = ',', required = true)]
    pub outside: Vec<SocketAddr>,
    /// The name of this replica; its number at the end picks the address from outside.
    #[arg(long, env = "COREWARD_REPLICA")]
    pub replica: String,
    /// Where the key stays, and the last list of members for a restart.
    #[arg(long, env = "COREWARD_STATE_DIR", default_value = "/var/lib/coreward")]
    pub state_dir: PathBuf,
    /// Connections in all.
    #[arg(long, env = "COREWARD_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Members that are reachable through this replica.
    #[arg(long, env = "COREWARD_RESERVATIONS", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub reservations: u16,
    /// Circuits in all.
    #[arg(long, env = "COREWARD_CIRCUITS", default_value_t = 4096, value_parser = clap::value_parser!(u16).range(1..))]
    pub circuits: u16,
    /// Circuits that one member may have before it opens another.
    #[arg(long, env = "COREWARD_CIRCUITS_PER_MEMBER", default_value_t = MOST_CIRCUITS_PER_MEMBER, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_CIRCUITS_PER_MEMBER)))]
    pub circuits_per_member: u16,
    /// MiB that one circuit carries before it is ended; the members then open another.
    #[arg(long, env = "COREWARD_CIRCUIT_MIB", default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub circuit_mib: u64,
    /// Seconds that one circuit stands before it is ended; the members then open another.
    #[arg(long, env = "COREWARD_CIRCUIT_SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(1..))]
    pub circuit_seconds: u32,
}

impl Args {
    pub(crate) fn link(&self) -> LinkConfig {
        LinkConfig {
            url: self.operator_url.clone(),
            ca_file: self.ca_file.clone(),
            token_file: self.token_file.clone(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connections: self.connections,
            reservations: self.reservations.into(),
            circuits: self.circuits.into(),
            circuits_per_member: self.circuits_per_member.into(),
            circuit_bytes: self.circuit_mib << 20,
            circuit_duration: Duration::from_secs(self.circuit_seconds.into()),
        }
    }

    /// Where this replica is reached from outside; `None` if there is no address with its number.
    pub(crate) fn outside(&self) -> Option<SocketAddr> {
        let (_, number) = self.replica.rsplit_once('-')?;
        self.outside.get(number.parse::<usize>().ok()?).copied()
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
    #[case::first("coreward-gateway-0", Some("203.0.113.7:4001"))]
    #[case::second("coreward-gateway-1", Some("[2001:db8::7]:4001"))]
    #[case::beyond("coreward-gateway-2", None)]
    #[case::no_number("gateway", None)]
    fn a_replica_has_the_address_of_its_number(
        #[case] replica: &str,
        #[case] expected: Option<&str>,
    ) {
        let line =
            ["coreward-gateway", "--operator-url=https://o", "--ca-file=c", "--token-file=t"];
        let outside = "--outside=203.0.113.7:4001,[2001:db8::7]:4001";
        let replica = format!("--replica={replica}");
        let args = Args::try_parse_from(line.into_iter().chain([outside, &replica])).unwrap();
        assert_eq!(args.outside(), expected.map(|text| text.parse().unwrap()));
    }
}

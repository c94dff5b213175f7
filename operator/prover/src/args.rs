//! The command line.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use coreward_link::LinkConfig;
use coreward_randomx::Mode;
use coreward_wire::HashMode;

/// Proves the capacity of one compute unit, or probes the CPUs of a node.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// What is logged: `level` or `target=level`, with commas between.
    #[arg(long, env = "COREWARD_LOG", default_value = "info", global = true)]
    pub log: String,
    /// Which of the two.
    #[command(subcommand)]
    pub command: Command,
}

/// The two kinds of pod.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hash for the assigned unit until told to stop.
    Prove(ProveArgs),
    /// Report the CPU set and a hash rate, then end.
    Probe(ProbeArgs),
}

/// The line to the operator.
#[derive(Clone, Debug, ClapArgs)]
pub struct LinkArgs {
    /// Address of the operator's endpoint for pods.
    #[arg(long, env = "COREWARD_OPERATOR_URL")]
    pub operator_url: String,
    /// The certificate that the operator's is signed by, in PEM.
    #[arg(long, env = "COREWARD_CA_FILE")]
    pub ca_file: PathBuf,
    /// The pod's projected token.
    #[arg(long, env = "COREWARD_TOKEN_FILE")]
    pub token_file: PathBuf,
}

/// Of the prover.
#[derive(Debug, ClapArgs)]
pub struct ProveArgs {
    /// The line to the operator.
    #[command(flatten)]
    pub link: LinkArgs,
    /// Where proofs wait for their acknowledgement, and the last assignment for a restart.
    #[arg(long, env = "COREWARD_STATE_DIR", default_value = "/var/lib/coreward")]
    pub state_dir: PathBuf,
    /// Where health and metrics are served.
    #[arg(long, env = "COREWARD_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// How it hashes.
    #[arg(long, env = "COREWARD_MODE", value_enum, ignore_case = true, default_value = "light")]
    pub mode: ModeArg,
}

/// Of the probe.
#[derive(Debug, ClapArgs)]
pub struct ProbeArgs {
    /// The line to the operator.
    #[command(flatten)]
    pub link: LinkArgs,
    /// Seconds to hash for the calibration rate.
    #[arg(long, env = "COREWARD_SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// 256 MiB, about a sixteenth of the rate, ready within a second.
    Light,
    /// The whole dataset: 4.4 GiB at its peak.
    Full,
}

impl LinkArgs {
    pub(crate) fn config(self) -> LinkConfig {
        LinkConfig { url: self.operator_url, ca_file: self.ca_file, token_file: self.token_file }
    }
}

impl ProbeArgs {
    pub(crate) const fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl ModeArg {
    pub(crate) const fn engine(self) -> Mode {
        match self {
            Self::Light => Mode::Light,
            Self::Full => Mode::Full,
        }
    }

    pub(crate) const fn told(self) -> HashMode {
        match self {
            Self::Light => HashMode::Light,
            Self::Full => HashMode::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_mode_may_be_written_as_in_the_configuration() {
        let line =
            "coreward-prover prove --operator-url https://o --ca-file c --token-file t --mode Full";
        let Command::Prove(prove) = Args::try_parse_from(line.split(' ')).unwrap().command else {
            unreachable!("the line says prove");
        };
        assert_eq!(prove.mode, ModeArg::Full);
    }
}

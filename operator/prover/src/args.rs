//! The command line.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use alloy_primitives::B256;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use coreward_link::LinkConfig;
use coreward_randomx::Mode;
use coreward_wire::HashMode;

/// Proves the capacity of one compute unit, probes the CPUs of a node, or measures a machine.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// What is logged: `level` or `target=level`, with commas between.
    #[arg(long, env = "COREWARD_LOG", default_value = "info", global = true)]
    pub log: String,
    /// Which of them.
    #[command(subcommand)]
    pub command: Command,
}

/// The two kinds of pod, and what people run themselves.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hash for the assigned unit until told to stop.
    Prove(ProveArgs),
    /// Report the CPU set and a hash rate, then end.
    Probe(ProbeArgs),
    /// Measure for a minute what this machine can do before anyone stakes on it; run it on the CPUs of one unit (taskset).
    Calibrate(CalibrateArgs),
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
    /// Not Ready, though it hashes, on CPUs that are not whole cores of its own.
    #[arg(long, env = "COREWARD_WHOLE_CORES")]
    pub whole_cores: bool,
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

/// Of the calibration.
#[derive(Clone, Debug, ClapArgs)]
pub struct CalibrateArgs {
    /// How it hashes.
    #[arg(long, value_enum, ignore_case = true, default_value = "full")]
    pub mode: ModeArg,
    /// Seconds to hash, once the dataset is built.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// The largest hash that is a proof; by default the Fluence market's.
    #[arg(
        long,
        default_value = "0x0000241fffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    )]
    pub difficulty: B256,
    /// Seconds of an epoch.
    #[arg(long, default_value_t = 86_400)]
    pub epoch_seconds: u64,
    /// Proofs of a unit without which it misses the epoch.
    #[arg(long, default_value_t = 30)]
    pub minimum: u32,
    /// Proofs of a unit beyond which none is of use in the epoch.
    #[arg(long, default_value_t = 50)]
    pub useful: u32,
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

impl CalibrateArgs {
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

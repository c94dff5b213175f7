//! The command line; every flag may come from the environment instead.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The worker's command line.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the component that the operator orders.
    Serve(Box<ServeArgs>),
    /// Compile the component on standard input, within limits; `serve` runs this as a child process.
    Compile(CompileArgs),
}

/// Flags of `serve`.
#[derive(Debug, Parser)]
pub struct ServeArgs {
    /// Address of the operator's endpoint for pods.
    #[arg(long, env = "COREWARD_OPERATOR_URL")]
    pub operator_url: String,
    /// Certificate of the authority that signed the operator's, in PEM.
    #[arg(long, env = "COREWARD_CA_FILE", default_value = "/var/run/coreward/anchor/ca.crt")]
    pub ca_file: PathBuf,
    /// Projected service-account token.
    #[arg(long, env = "COREWARD_TOKEN_FILE", default_value = "/var/run/coreward/token/token")]
    pub token_file: PathBuf,
    /// Directory for the last assignment and for compiled code. Nobody else may write to it: code in it is trusted.
    #[arg(long, env = "COREWARD_STATE_DIR", default_value = "/var/lib/coreward")]
    pub state_dir: PathBuf,
    /// Where health and metrics are served.
    #[arg(long, env = "COREWARD_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// Where the component is served over HTTP/1.1.
    #[arg(long, env = "COREWARD_PUBLIC_LISTEN", default_value = "0.0.0.0:8080")]
    pub public_listen: SocketAddr,
    /// Where the overlay listens, as a multiaddr.
    #[arg(long, env = "COREWARD_OVERLAY_LISTEN", default_value = "/ip4/0.0.0.0/tcp/4001")]
    pub overlay_listen: String,
    /// CPU seconds that one compilation may take.
    #[arg(long, env = "COREWARD_COMPILE_CPU_SECONDS", default_value_t = 60)]
    pub compile_cpu_seconds: u64,
    /// What to log, e.g. `info,coreward_worker=debug`.
    #[arg(long, env = "COREWARD_LOG", default_value = "info")]
    pub log: String,
}

/// Flags of `compile`.
#[derive(Clone, Debug, Parser)]
pub struct CompileArgs {
    /// File for the compiled code; replaced if it exists.
    #[arg(long)]
    pub output: PathBuf,
    /// MiB of memory that it may use.
    #[arg(long)]
    pub memory_mib: u64,
    /// CPU seconds that it may use.
    #[arg(long)]
    pub cpu_seconds: u64,
}

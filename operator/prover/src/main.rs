//! `coreward-prover`: proves one unit's capacity, probes a node's CPUs, or measures a machine.

use core::time::Duration;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use coreward_prover::{Args, Command, calibrate, probe, prove};
use coreward_telemetry::{Shutdown, log_to_stderr, log_to_stdout};
use tracing::{error, info};

/// What the tasks get to end; the pod's grace is one second.
const DRAIN: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // Another provider can only be there if something in this process installed it before its first line.
    drop(rustls::crypto::ring::default_provider().install_default());
    let args = Args::parse();
    match &args.command {
        Command::Calibrate(_) => log_to_stderr(&args.log)?,
        Command::Prove(_) | Command::Probe(_) => log_to_stdout(&args.log)?,
    }
    Ok(match run(args).await {
        Ok(code) => code,
        Err(error) => {
            error!(error = format!("{error:#}"), "the prover ends: {error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    match args.command {
        Command::Prove(args) => prove(args, &shutdown).await.context("prove")?,
        Command::Probe(args) => probe(args, &shutdown).await.context("probe")?,
        Command::Calibrate(args) => calibrate(args, &shutdown).await.context("calibrate")?,
    }
    shutdown.stop();
    let drained = shutdown.finished(DRAIN).await;
    info!(process.drained = ?drained, "the prover has ended");
    Ok(shutdown.exit_code())
}

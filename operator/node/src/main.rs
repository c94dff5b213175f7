//! `coreward-node`: the agent of one node.

use core::time::Duration;
use std::process::ExitCode;

use clap::Parser as _;
use coreward_node::{Args, run};
use coreward_telemetry::{Shutdown, log_to_stdout};
use tracing::{error, info};

/// What the tasks get to end.
const DRAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // Another provider can only be there if something in this process installed it before its first line.
    drop(rustls::crypto::ring::default_provider().install_default());
    let args = Args::parse();
    log_to_stdout(&args.log)?;
    Ok(match work(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "the node agent ends: {error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn work(args: Args) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    run(args, &shutdown).await?;
    let drained = shutdown.finished(DRAIN).await;
    info!(process.drained = ?drained, "the node agent has ended");
    Ok(())
}

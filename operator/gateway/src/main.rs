//! `coreward-gateway`: a relay for the subnets of one cluster.

use core::time::Duration;
use std::process::ExitCode;

use clap::Parser as _;
use coreward_gateway::{Args, run};
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
            error!(error = format!("{error:#}"), "the gateway ends: {error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn work(args: Args) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    run(args, &shutdown).await?;
    let drained = shutdown.finished(DRAIN).await;
    info!(process.drained = ?drained, "the gateway has ended");
    Ok(())
}

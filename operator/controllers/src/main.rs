//! The operator's program: what was typed, the log, and the process.

use anyhow::Context as _;
use clap::Parser;
use coreward_controllers::args::{Args, Typed};
use coreward_controllers::{endpoint, process};
use coreward_telemetry::Shutdown;

/// Gives memory back that a burst of objects has left behind; the system's keeps it for good.
#[cfg(target_arch = "x86_64")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator reads its settings from here. One arena, since each keeps pages of its own for every size and this program is
/// rarely at work on two cores; and for each thread only small pieces at hand.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the allocator knows its settings by this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 26] = b"narenas:1,tcache_max:4096\0";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Two TLS libraries are linked; one is chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    endpoint::install_token_checks();
    let typed = Typed::parse();
    coreward_telemetry::log_to_stdout(&typed.log).context("begin the log")?;
    if typed.check_uninstall {
        return Ok(process::check_uninstall().await?);
    }
    let args = Args::try_from(typed)?;
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    process::run(args, shutdown).await?;
    Ok(())
}

//! The chain alone, for work on whatever speaks to it: `cargo run -p coreward-e2e --example chain -- up`.

use clap::Parser;
use coreward_e2e::chain::cli::ChainCommand;

/// Anvil with the marketplace contracts.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: ChainCommand,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Ok(Arguments::parse().command.run().await?)
}

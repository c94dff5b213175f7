//! The bed on the command line.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use coreward_e2e::bed;

/// The test bed of Coreward: a real cluster and a real chain on this machine.
#[derive(Debug, Parser)]
#[command(name = "coreward-e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start and end the bed.
    #[command(subcommand)]
    Bed(BedCommand),
}

#[derive(Debug, Subcommand)]
enum BedCommand {
    /// Fetch and build everything, and start nothing.
    Setup,
    /// Start the cluster and the chain; find them if they are up.
    Up,
    /// End them and remove every trace but the cache.
    Down,
    /// Say whether they are up, and where.
    Status,
    /// Build the product's images and bring them onto the nodes.
    Images,
    /// Install the product by its charts, with the values of a YAML file over the bed's own.
    Deploy {
        /// The file; without it only the bed's own values.
        values: Option<std::path::PathBuf>,
    },
    /// Remove the product.
    Undeploy,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A second installation is refused, and harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Bed(command) => run(command).await,
    }
}

async fn run(command: BedCommand) -> anyhow::Result<()> {
    match command {
        BedCommand::Setup => bed::setup(&bed::Paths::read()?).await.map(drop)?,
        BedCommand::Up => {
            bed::up().await?;
            bed::say(bed::status().await?);
        }
        BedCommand::Down => bed::down().await?,
        BedCommand::Status => {
            let status = bed::status().await?;
            bed::say(&status);
            anyhow::ensure!(status.is_up(), "start it with `bed up`");
        }
        BedCommand::Images => {
            for (name, reference) in bed::ensure(&bed::up().await?, &bed::PRODUCT).await? {
                bed::say(format_args!("{name}: {reference}"));
            }
        }
        BedCommand::Deploy { values } => {
            let values = values
                .map(|path| read_values(&path))
                .transpose()?
                .unwrap_or_else(|| serde_json::json!({}));
            bed::deploy(&bed::up().await?, values).await?;
        }
        BedCommand::Undeploy => bed::undeploy(&bed::up().await?).await?,
    }
    Ok(())
}

fn read_values(path: &std::path::Path) -> anyhow::Result<serde_json::Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))
}

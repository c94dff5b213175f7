//! The bed on the command line.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use coreward_e2e::{
    bed::{self, up_unless_interrupted as up},
    bench::{self, Scope},
    demo,
};

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
    /// Tell the whole loop on a real cluster and the real contracts, and leave both up.
    Demo,
    /// Measure how fast the loop is and what a unit costs the operator, and write e2e/BENCH.md.
    Bench {
        /// How many matches.
        #[arg(long, default_value_t = 20)]
        matches: usize,
        /// Only what a unit costs the operator; shows the figures and writes nothing.
        #[arg(long, conflicts_with = "matches")]
        scale_only: bool,
    },
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
    Images {
        /// Only these: operator, prover, worker, node.
        names: Vec<String>,
    },
    /// Install the product by its charts, with the values of a YAML file over the bed's own.
    Deploy {
        /// The file; without it only the bed's own values.
        values: Option<std::path::PathBuf>,
    },
    /// Remove the product.
    Undeploy,
    /// Say which of its rights the operator never used since the bed came up, and which it lacked.
    Rights,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A second installation is refused, and harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Bed(command) => run(command).await,
        Command::Demo => demo::tell().await.map_err(Into::into),
        Command::Bench { matches, scale_only } => {
            let scope = if scale_only { Scope::Scale } else { Scope::Whole(matches) };
            bench::run(scope).await.map_err(Into::into)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bed::say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: BedCommand) -> anyhow::Result<()> {
    match command {
        BedCommand::Setup => bed::setup(&bed::Paths::read()?).await.map(drop)?,
        BedCommand::Up => {
            up().await?;
            bed::say(bed::status().await?);
        }
        BedCommand::Down => bed::down().await?,
        BedCommand::Status => {
            let status = bed::status().await?;
            bed::say(&status);
            anyhow::ensure!(status.is_up(), "start it with `bed up`");
        }
        BedCommand::Images { names } => {
            let mut specs = bed::PRODUCT.to_vec();
            specs.retain(|spec| names.is_empty() || names.iter().any(|name| name == spec.name));
            for (name, reference) in bed::ensure(&up().await?, &specs).await? {
                bed::say(format_args!("{name}: {reference}"));
            }
        }
        BedCommand::Deploy { values } => {
            let values = values
                .map(|path| read_values(&path))
                .transpose()?
                .unwrap_or_else(|| serde_json::json!({}));
            bed::deploy(&up().await?, values).await?;
        }
        BedCommand::Undeploy => bed::undeploy(&up().await?).await?,
        BedCommand::Rights => {
            let rights = bed::rights(&up().await?).await?;
            bed::say(&rights);
            anyhow::ensure!(
                rights.are_used(),
                "give in charts/coreward/templates/rbac.yaml what is used"
            );
        }
    }
    Ok(())
}

fn read_values(path: &std::path::Path) -> anyhow::Result<serde_json::Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))
}

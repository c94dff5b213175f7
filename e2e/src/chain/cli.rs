//! The chain on the command line: `chain up` runs it until interrupted.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

use super::{
    Anvil, AnvilConfig, Contracts, Packages, Parameters, cache_root, check_work_by_keccak,
    error::{Error, Result},
    start,
};

/// What can be done with a chain alone, without a cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum ChainCommand {
    /// Run Anvil with the marketplace contracts until interrupted, and print where everything is as one line of JSON.
    Up(Up),
    /// Install the npm packages into the cache, so that a later start needs no registry.
    Fetch,
}

/// How to run the chain.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:18545")]
    listen: SocketAddr,
    /// Seconds between blocks; 0 gives every transaction its own block at once.
    #[arg(long, default_value_t = 1)]
    block_time: u64,
    /// Seconds of an epoch; without it those of the stories (3600), which only a driver ends in time.
    #[arg(long)]
    epoch_duration: Option<u64>,
    /// The package's own parameters instead of those of the stories.
    #[arg(long)]
    package_parameters: bool,
    /// Check proofs with keccak256 instead of accepting all.
    #[arg(long)]
    keccak: bool,
    /// Where Anvil's own output goes.
    #[arg(long)]
    log: Option<PathBuf>,
}

impl ChainCommand {
    /// Does what was asked; `Up` returns when interrupted or when Anvil ends.
    ///
    /// # Errors
    /// What the installation, the start and the deployment report.
    pub async fn run(self) -> Result<()> {
        let cache = cache_root();
        let packages = Packages::install(&cache).await?;
        match self {
            Self::Fetch => Ok(()),
            Self::Up(up) => {
                let (mut anvil, contracts) = up.start(&packages, &cache).await?;
                announce(&anvil, contracts)?;
                tokio::select! {
                    ended = anvil.ended() => ended,
                    interrupted = tokio::signal::ctrl_c() => {
                        interrupted.map_err(Error::machine("wait for an interrupt of", "this process"))
                    }
                }
            }
        }
    }
}

impl Up {
    async fn start(
        &self,
        packages: &Packages,
        cache: &std::path::Path,
    ) -> Result<(Anvil, Contracts)> {
        let mut parameters = if self.package_parameters {
            Parameters::of_the_package()
        } else {
            Parameters::for_stories()
        };
        if let Some(seconds) = self.epoch_duration {
            parameters.epoch_duration = seconds;
            parameters.flt_price_update_period = seconds;
        }
        let config = AnvilConfig {
            listen: self.listen,
            log: self.log.clone(),
            ..AnvilConfig::loopback(packages.anvil())
        };
        let (anvil, contracts) = start(&config, packages, &parameters, cache).await?;
        if self.keccak {
            check_work_by_keccak(anvil.node(), &contracts).await?;
        }
        if self.block_time > 0 {
            anvil.mine_by_interval(self.block_time).await?;
        }
        Ok((anvil, contracts))
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command line program")]
fn announce(anvil: &Anvil, contracts: Contracts) -> Result<()> {
    let answer = serde_json::json!({
        "url": anvil.node().url(),
        "processId": anvil.process_id(),
        "contracts": contracts,
    });
    let text = serde_json::to_string(&answer).map_err(|source| Error::Malformed {
        what: "announcement",
        path: PathBuf::from("standard output"),
        source,
    })?;
    println!("{text}");
    Ok(())
}

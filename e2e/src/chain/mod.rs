//! The chain of the test bed: Anvil with the real marketplace contracts, someone who plays everybody but the provider's
//! operator, and someone who looks at the contracts and says what is so.
//!
//! Nothing here uses the product's crates: they are what is being judged.

pub mod abi;
mod anvil;
pub mod cli;
mod contracts;
mod deploy;
mod error;
mod node;
mod packages;
mod parameters;
mod revert;

use std::path::Path;

pub use anvil::{Anvil, AnvilConfig};
pub use contracts::Contracts;
pub use deploy::{
    COORDINATOR, OWNER, Saved, VODOPAD, check_work_by_keccak, deploy, keccak_of_proof,
};
pub use error::{Error, Result};
pub use node::{At, Node, event_of, events_of};
pub use packages::{Packages, cache_root};
pub use parameters::{Parameters, flt};

/// Starts Anvil with the marketplace on it, from the saved deployment under `cache` where there is one.
///
/// # Errors
/// What [`Packages::artifacts`], [`Anvil::start`] and [`deploy`] report.
pub async fn start(
    config: &AnvilConfig,
    packages: &Packages,
    parameters: &Parameters,
    cache: &Path,
) -> Result<(Anvil, Contracts)> {
    if let Some(saved) = Saved::find(cache, packages, parameters).await? {
        let config =
            AnvilConfig { first_timestamp: Some(saved.first_timestamp()), ..config.clone() };
        let anvil = Anvil::start(&config).await?;
        let contracts = saved.restore(anvil.node()).await?;
        return Ok((anvil, contracts));
    }
    let anvil = Anvil::start(config).await?;
    let contracts = deploy(anvil.node(), packages, parameters).await?;
    Saved::keep(cache, packages, parameters, (anvil.node(), contracts)).await?;
    Ok((anvil, contracts))
}

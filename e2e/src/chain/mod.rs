//! The chain of the test bed: Anvil with the real marketplace contracts, someone who plays everybody but the provider's
//! operator, and someone who looks at the contracts and says what is so.
//!
//! Nothing here uses the product's crates: they are what is being judged.

pub mod abi;
mod account;
mod anvil;
pub mod cid;
pub mod cli;
mod contracts;
mod deploy;
mod driver;
mod error;
mod node;
mod oracle;
mod packages;
mod parameters;
mod revert;
mod words;

use std::path::Path;

pub use account::Account;
pub use anvil::{Anvil, AnvilConfig};
pub use contracts::Contracts;
pub use deploy::{
    COORDINATOR, OWNER, Saved, VODOPAD, check_work_by_keccak, deploy, keccak_of_proof,
};
pub use driver::{
    CPU, CapacityConstant, DealOrder, Driver, Proof, RAM, peer_with_units, submission,
};
pub use error::{Error, Result};
pub use node::{At, Node, event_of, events_of};
pub use oracle::{
    AcceptedProof, CheckedProof, CommitmentRewards, DealFacts, EpochFacts, Oracle, Sent, key_of,
    randomx_hashes,
};
pub(crate) use packages::run;
pub use packages::{Packages, cache_root};
pub use parameters::{Parameters, flt};
pub use words::{CommitmentStatus, DealStatus};

/// Starts Anvil with the marketplace on it, from the saved deployment under `cache` where there is one.
///
/// A restored chain goes on in its own time, from where the saved one stood: its clock is not the machine's.
///
/// # Errors
/// What [`Packages::artifacts`], [`Anvil::start`] and [`deploy()`] report.
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

//! The gateway: where members of a subnet meet that do not reach each other.
//!
//! The operator tells each gateway the keys of its cluster's workers and of the other members of their deals; the gateway
//! relays for them and for nobody else, within its limits. Its key is made at its first start and stays on its volume.

mod args;
mod key;
mod metrics;
mod report;
mod run;

pub use args::Args;
pub use key::KeyError;
pub use run::{GatewayError, run};

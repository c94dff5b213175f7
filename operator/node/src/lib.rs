//! The node agent: what the node is, and the artifacts that its workers may ask for.
//!
//! Workers reach no IPFS gateway themselves. The operator tells each agent which artifacts its node may need; the agent
//! fetches each once, verifies every block, keeps the archive within a bound on its volume, and serves it.

mod agent;
mod args;
mod artifacts;
mod cache;
mod facts;
mod metrics;
mod report;
mod server;

pub use agent::{AgentError, run};
pub use args::Args;
pub use facts::{FactsError, NodeFiles};

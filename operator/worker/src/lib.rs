//! The pod of a deal's worker: hosts its Wasm component within limits.
//!
//! The operator orders ([`coreward_wire::WorkerDuty`]) by the line of `coreward-link`. [`release`] turns the ordered CID into
//! an [`app::App`]: fetched from the node agent, verified, compiled in a child process, loaded, asked once. Requests reach
//! the app through [`inbound`], from the public port and from members of the deal's subnet; what the component asks of
//! others leaves through [`outbound`], to members over the overlay or to what the order's egress rule allows.
//! [`subnet`] keeps the member list of the overlay and probes it; [`report`] tells the operator.

mod app;
mod args;
mod body;
mod form;
mod inbound;
#[doc(hidden)]
pub mod measure;
mod metrics;
mod orders;
mod outbound;
mod release;
mod report;
mod serve;
mod subnet;

pub use args::{Args, Command, CompileArgs, ServeArgs};
pub use release::child::compile;
pub use serve::{ServeError, serve};

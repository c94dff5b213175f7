//! A pod's line to the operator: what it has to do, what it found, how it is.
//!
//! A [`Link`] speaks TLS to the one address that the pod was given, trusts the one certificate that was mounted, and
//! shows the pod's projected token; both files are read again when the cluster changes them. [`Link::assignments`] keeps
//! a long poll open and gives what it hears through a watch channel; with an [`AssignmentFile`] a restarted container
//! goes on while the operator is away.

mod assignments;
mod back_off;
mod client;
pub mod cpu;
pub mod durable;
mod error;

pub use assignments::{AssignmentFile, Assignments};
pub use back_off::BackOff;
pub use client::{Link, LinkConfig};
pub use error::{Call, LinkError};

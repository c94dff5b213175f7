//! Nodes: whether they can carry units, shown by evidence, and what their agents have to keep.

pub mod cordon;
pub mod duty;
pub mod evidence;
pub mod probe;

pub use evidence::{Evidence, look};

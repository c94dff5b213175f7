//! `RandomX` with the market's parameters (a dataset of 4 GiB, 16 cache accesses), behind a safe face.
//!
//! An [`Engine`] is loaded with the [`Key`] of a puzzle; what it gives is shared by threads, each of which makes its own
//! [`Hasher`]. Stock `RandomX` gives other hashes: [`self_check`] tells.

mod engine;
mod memory;
mod puzzle;

pub use engine::{Engine, Error, Hasher, Loaded, Mode, self_check};
pub use puzzle::{Difficulty, Key};

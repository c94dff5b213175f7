//! One task per network: follows the head and takes one snapshot per block for all loops.

mod handle;

pub use handle::{Health, NetworkHandle, Publisher};

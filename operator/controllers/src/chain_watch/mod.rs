//! One task per network: follows the head and takes one snapshot per block for all loops.

mod follow;
mod handle;
mod observer;

pub use follow::{Follower, covers};
pub use handle::{FRESH, Health, NetworkHandle, Publisher};
pub use observer::EndpointObserver;

//! One task per network: follows the head and takes one snapshot per block for all loops.

mod follow;
mod handle;
mod health;
mod observer;

pub use follow::{Follower, covers};
pub use handle::{NetworkHandle, Publisher, Read};
pub use health::Health;
pub use observer::EndpointObserver;

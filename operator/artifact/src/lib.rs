//! Artifacts by CID: fetched within bounds and verified.
//!
//! A deal names what it runs by a CID. [`Gateways::fetch`] gets the blocks under it from IPFS gateways, [`car`] carries
//! them from a node agent to a worker, [`unixfs::content`] puts the file or directory together. No byte is believed that does not hash to
//! the CID it was asked for by, and nothing is read without a bound: see [`Limits`].

mod block;
pub mod car;
mod error;
mod gateway;
mod identifier;
mod protobuf;
pub mod unixfs;

pub use block::Blocks;
pub use cid::Cid;
pub use error::{Error, Fault};
pub use gateway::Gateways;
pub use identifier::{DAG_PB, RAW, parse, raw};

use core::time::Duration;

/// Bounds of one artifact; whatever passes one of them is [`Fault::TooLarge`], but for time, which is
/// [`Fault::GatewayUnreachable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all blocks together, and bytes of the file that they make.
    pub bytes: u64,
    /// Different blocks, and links followed while the file is put together.
    pub blocks: usize,
    /// Links between the root and the farthest leaf.
    pub depth: usize,
    /// The wait for one block from one gateway.
    pub block_time: Duration,
    /// The wait for all of it.
    pub total_time: Duration,
}

impl Limits {
    /// The bounds that go with an artifact of at most `bytes` bytes.
    #[must_use]
    pub const fn of_bytes(bytes: u64) -> Self {
        Self {
            bytes,
            // IPFS cuts files into 256 KiB or 1 MiB; 65,536 links are 16 GiB of the smaller kind.
            blocks: 65_536,
            // At 174 links to a block, four levels reach every file that fits the byte bound; the rest is slack for odd trees.
            depth: 16,
            block_time: Duration::from_secs(10),
            total_time: Duration::from_mins(2),
        }
    }
}

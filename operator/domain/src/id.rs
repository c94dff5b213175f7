//! Names that the chain gives to things. Each is a type of its own, so that none is mistaken for another.

use core::fmt;

use alloy_primitives::{Address, B256, keccak256};

macro_rules! word_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub B256);

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }

        impl From<B256> for $name {
            fn from(word: B256) -> Self {
                Self(word)
            }
        }
    };
}

word_id!(
    /// An offer on chain. Depends on the block of its registration: read it, never compute it.
    OfferId
);
word_id!(
    /// A compute peer: an ed25519 public key.
    PeerId
);
word_id!(
    /// A compute unit.
    UnitId
);
word_id!(
    /// A capacity commitment. Depends on the block of its creation: read it, never compute it.
    CommitmentId
);
word_id!(
    /// A worker's seat in a deal; a counter over all deals, never reused.
    OnchainWorkerId
);
word_id!(
    /// The ed25519 public key of a worker's overlay identity; zero until activated.
    OffchainWorkerId
);
word_id!(
    /// A kind of resource; a counter.
    ResourceId
);
word_id!(
    /// A datacenter; a counter.
    DatacenterId
);

/// The contract of a deal.
pub type DealAddress = Address;

impl UnitId {
    /// The unit with this index on this peer; the same each time, so that nothing else must be kept.
    #[must_use]
    pub fn derive(peer: PeerId, index: u32) -> Self {
        let mut preimage = b"coreward compute unit".to_vec();
        preimage.extend_from_slice(peer.0.as_slice());
        preimage.extend_from_slice(&index.to_be_bytes());
        Self(keccak256(preimage))
    }

    /// The first ten hex digits, as in the name of its `CapacityUnit`.
    #[must_use]
    pub fn short(&self) -> String {
        alloy_primitives::hex::encode(&self.0.as_slice()[..5])
    }
}

impl OnchainWorkerId {
    /// The counter in decimal, as in `<id>.subnet.internal`.
    #[must_use]
    pub fn decimal(&self) -> String {
        alloy_primitives::U256::from_be_bytes(self.0.0).to_string()
    }
}

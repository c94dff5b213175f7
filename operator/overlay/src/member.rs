//! Who may speak.

use std::sync::Arc;

use libp2p::{PeerId, identity};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::way::Way;

/// Streams of one member that are served at once, and streams that we hold towards it.
pub(crate) const STREAMS_PER_MEMBER: usize = 64;
/// Addresses of one member that are looked at: a foreign provider writes as many as it likes.
const MOST_WAYS: usize = 8;

/// An ed25519 public key, as the chain's list has it.
pub type Key = [u8; 32];

/// A member of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its key; a member whose key is no valid point, or a weak one, is skipped alone.
    pub key: Key,
    /// Multiaddrs to dial, at most eight: direct ones, or `<gateway>/p2p/<its key>/p2p-circuit`; those that are neither are
    /// skipped.
    pub addresses: Vec<String>,
}

impl Member {
    /// The member as libp2p knows it; `None` if its key is not valid.
    pub(crate) fn resolve(&self) -> Option<(PeerId, Vec<Way>)> {
        let peer = peer_of(&self.key)?;
        let ways = self.addresses.iter().filter_map(|text| Way::parse(text, peer));
        Some((peer, ways.take(MOST_WAYS).collect()))
    }
}

/// What a member holds here while it is on the list.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) ways: Vec<Way>,
    /// Room for its streams.
    pub(crate) room: Arc<Semaphore>,
    /// Ends its streams when the seat goes.
    pub(crate) cut: CancellationToken,
}

impl Seat {
    pub(crate) fn new() -> Self {
        let room = Arc::new(Semaphore::new(STREAMS_PER_MEMBER));
        Self { ways: Vec::new(), room, cut: CancellationToken::new() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

/// The libp2p name of a key; `None` if the key is not valid, or so weak that anybody can sign for it: zero is such a key,
/// and it is what the chain has of a worker that has none yet.
pub(crate) fn peer_of(key: &Key) -> Option<PeerId> {
    if ed25519_dalek::VerifyingKey::from_bytes(key).ok()?.is_weak() {
        return None;
    }
    let key = identity::ed25519::PublicKey::try_from_bytes(key).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// The key behind a libp2p name; `None` for other kinds of key.
pub(crate) fn key_of(peer: PeerId) -> Option<Key> {
    // An ed25519 PeerId is the identity multihash of the protobuf `08 01 12 20 <key>`.
    let digest = peer.as_ref().digest();
    let (head, key) = digest.split_at_checked(4)?;
    (head == [0x08, 0x01, 0x12, 0x20]).then(|| key.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_peer_id_name_each_other() {
        let key = identity::ed25519::Keypair::generate().public().to_bytes();
        assert_eq!(key_of(peer_of(&key).unwrap()), Some(key));
    }

    #[test]
    fn a_key_that_anybody_can_sign_for_names_nobody() {
        let (mut one, mut order_two) = ([0; 32], [0xff; 32]);
        one[0] = 1;
        (order_two[0], order_two[31]) = (0xec, 0x7f);
        for weak in [[0; 32], one, order_two] {
            assert_eq!(peer_of(&weak), None, "{weak:02x?}");
        }
    }

    #[test]
    fn the_chains_vector_names_the_same_peer() {
        let peer: PeerId = "12D3KooWCGZ6t8by5ag5YMQW4k3HoPLaKdN5rB9DhAmDUeG8dj1N".parse().unwrap();
        let key = key_of(peer).unwrap();
        assert_eq!(key[..4], [0x24, 0x6c, 0xd6, 0x5b]);
        assert_eq!(key[28..], [0x34, 0xf4, 0x00, 0x2d]);
    }
}

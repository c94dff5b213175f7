//! Peers' identities: ed25519 seeds in Secrets of the operator's namespace, made before the chain hears of a peer.
//!
//! The Secret is the anchor of everything staked on its peer: it is found again by (offer, node, ordinal), and it outlives
//! the offer's object.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use coreward_domain::id::{CommitmentId, DealAddress, OffchainWorkerId, OnchainWorkerId, PeerId};
use coreward_domain::offer::Identity;
use coreward_wire::SecretSeed;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::labels::{NODE, OfferKey, PEER_ID};
use crate::stores::IDENTITY_COMPONENT;

/// Annotation: counts the identities of one node.
const ORDINAL: &str = "coreward.dev/ordinal";
/// Annotation: a stranger holds this id on chain; never used again.
pub const RETIRED: &str = "coreward.dev/retired";
/// Annotation: commitments that the peer had and that may still hold rewards, separated by commas.
const COMMITMENTS: &str = "coreward.dev/commitments";
/// Annotation: the final block up to which the chain's logs were read for commitments that the peer had. It tells of the list
/// beside it, and both are always written together: an older pair is true of its block and read on from there.
const PAST_READ_TO: &str = "coreward.dev/past-read-to";
/// Annotation: a commitment of the peer was funded once; outlives the list of those that hold rewards.
pub const WAS_COMMITTED: &str = "coreward.dev/was-committed";
/// Annotation: the commitment whose collateral came back; outlives the transaction that fetched it.
pub const COLLATERAL_BACK: &str = "coreward.dev/collateral-back";
/// Annotation: the node that pods of the peer were evicted from since it was cordoned.
pub const DRAINED: &str = "coreward.dev/drained";
/// Annotation: people's fields of the offer's units and deals, as JSON by the object's name.
pub const KEPT: &str = "coreward.dev/kept";
/// Annotation: the node that the peer has moved to from the one that it was made for.
pub const LIVES_ON: &str = "coreward.dev/lives-on";
/// Annotation: how often the peer has moved.
pub const MOVES: &str = "coreward.dev/moves";
/// Annotation: another tool registered the peer, whose own key is not here; the seed is only for keys of workers.
const ADOPTED: &str = "coreward.dev/adopted";
/// Annotation: the peer's id as people know it.
const PEER_TEXT: &str = "coreward.dev/peer";
/// Key of the seed in the Secret.
const SEED: &str = "seed";

/// A persisted identity.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The offer that it was made for.
    pub offer: OfferKey,
    /// Its peer, node and place among the node's identities, and the peer's commitments.
    pub identity: Identity,
    /// Whether it was put aside.
    pub retired: bool,
    /// Whether a commitment of the peer was ever funded.
    pub was_committed: bool,
    /// The last commitment of the peer whose collateral came back, once that was final.
    pub collateral_back: Option<CommitmentId>,
    /// Whether pods of the peer were evicted from its node since that was cordoned.
    pub drained: bool,
    /// People's fields of units and deals of the offer, by the object's name; one identity of an offer holds them for all.
    pub kept: BTreeMap<String, Value>,
    seed: [u8; 32],
}

impl std::fmt::Debug for PeerIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PeerIdentity")
            .field("offer", &self.offer)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A worker's key: derived, so that it outlives pods and needs no Secret in the deal's namespace.
#[derive(Clone, Debug)]
pub struct WorkerKey {
    /// The seed, for the pod.
    pub seed: SecretSeed,
    /// The public half, for the chain.
    pub public: OffchainWorkerId,
}

/// The seat that a worker's key is derived for.
#[derive(Clone, Copy, Debug)]
pub struct KeyUse {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// The deal.
    pub deal: DealAddress,
    /// The seat.
    pub worker: OnchainWorkerId,
    /// Goes up only when a worker is moved while its old pod may live.
    pub generation: u32,
}

impl PeerIdentity {
    /// Reads a Secret of ours; `None` if it is no identity, or its seed does not give the peer that it names.
    #[must_use]
    pub fn read(secret: &Secret) -> Option<Self> {
        let annotations = secret.annotations();
        let seed: [u8; 32] = secret.data.as_ref()?.get(SEED)?.0.as_slice().try_into().ok()?;
        let peer = PeerId(annotations.get(PEER_ID)?.parse().ok()?);
        if peer != peer_of(&seed) && !annotations.contains_key(ADOPTED) {
            return None;
        }
        let home = annotations.get(NODE)?.clone();
        let node = annotations.get(LIVES_ON).unwrap_or(&home).clone();
        let commitments = annotations.get(COMMITMENTS).map(String::as_str).unwrap_or_default();
        Some(Self {
            offer: OfferKey::of_labels(secret)?,
            drained: annotations.get(DRAINED) == Some(&node),
            identity: Identity {
                peer,
                node,
                home,
                ordinal: annotations.get(ORDINAL)?.parse().ok()?,
                moves: annotations.get(MOVES).and_then(|moves| moves.parse().ok()).unwrap_or(0),
                commitments: commitments
                    .split(',')
                    .filter_map(|id| id.parse().ok().map(CommitmentId))
                    .collect(),
                past_read_to: annotations.get(PAST_READ_TO).and_then(|block| block.parse().ok()),
            },
            retired: annotations.contains_key(RETIRED),
            was_committed: annotations.contains_key(WAS_COMMITTED),
            collateral_back: annotations
                .get(COLLATERAL_BACK)
                .and_then(|id| id.parse().ok().map(CommitmentId)),
            kept: annotations
                .get(KEPT)
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            seed,
        })
    }

    /// The key of a worker of this peer.
    ///
    /// # Panics
    ///
    /// Never: 32 bytes are within what HKDF-SHA256 gives.
    #[must_use]
    pub fn worker_key(&self, at: KeyUse) -> WorkerKey {
        let mut info = Vec::with_capacity(96);
        info.extend_from_slice(&at.chain_id.to_be_bytes());
        info.extend_from_slice(at.deal.as_slice());
        info.extend_from_slice(at.worker.0.as_slice());
        info.extend_from_slice(&at.generation.to_be_bytes());
        let mut seed = [0; 32];
        Hkdf::<Sha256>::new(Some(b"coreward worker key"), &self.seed)
            .expand(&info, &mut seed)
            .expect("32 bytes are within what HKDF-SHA256 gives");
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        WorkerKey {
            seed: SecretSeed(B256::from(seed)),
            public: OffchainWorkerId(B256::from(public)),
        }
    }
}

/// The Secret for a new identity. Its name follows from what it is for: a second one cannot be made. The peer has no past before
/// `born`, a block that was final when its seed was drawn.
#[must_use]
pub fn secret(
    offer: &OfferKey,
    (node, ordinal): (&str, u32),
    born: Option<u64>,
    seed: [u8; 32],
) -> Secret {
    let peer = peer_of(&seed);
    let mut annotations = BTreeMap::from([
        (NODE.to_owned(), node.to_owned()),
        (ORDINAL.to_owned(), ordinal.to_string()),
        (PEER_ID.to_owned(), peer.to_string()),
        (PEER_TEXT.to_owned(), text(peer)),
    ]);
    annotations.extend(born.map(|block| (PAST_READ_TO.to_owned(), block.to_string())));
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(offer, node, ordinal)),
            labels: Some(offer.labels_of(IDENTITY_COMPONENT)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(SEED.to_owned(), ByteString(seed.to_vec()))])),
        type_: Some("coreward.dev/peer-identity".to_owned()),
        ..Secret::default()
    }
}

/// The Secret for a peer that another tool registered.
#[must_use]
pub fn adopted_secret(
    offer: &OfferKey,
    place: (&str, u32),
    peer: PeerId,
    seed: [u8; 32],
) -> Secret {
    let mut secret = secret(offer, place, None, seed);
    secret.annotations_mut().extend([
        (ADOPTED.to_owned(), "true".to_owned()),
        (PEER_ID.to_owned(), peer.to_string()),
        (PEER_TEXT.to_owned(), text(peer)),
    ]);
    secret
}

/// The annotations that keep what is known of a peer's past.
#[must_use]
pub fn past(commitments: &BTreeSet<CommitmentId>, read_to: Option<u64>) -> Value {
    let ids: Vec<_> = commitments.iter().map(ToString::to_string).collect();
    json!({ COMMITMENTS: ids.join(","), PAST_READ_TO: read_to.map(|block| block.to_string()) })
}

/// Name of an identity's Secret.
#[must_use]
pub fn secret_name(offer: &OfferKey, node: &str, ordinal: u32) -> String {
    let hash = Sha256::digest(format!("{}/{node}/{ordinal}", offer.path()));
    format!("peer-{}-{}", offer.name, hex::encode(&hash[..6]))
}

fn peer_of(seed: &[u8; 32]) -> PeerId {
    PeerId(B256::from(SigningKey::from_bytes(seed).verifying_key().to_bytes()))
}

/// An identity multihash (00, 36 bytes) of a protobuf: key type 1 (ed25519), 32 bytes of key.
const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Reads a peer's id as libp2p writes it; `None` for what is none of an ed25519 key.
#[must_use]
pub fn parsed(text: &str) -> Option<PeerId> {
    let bytes = bs58::decode(text).into_vec().ok()?;
    bytes.strip_prefix(&ED25519)?.try_into().ok().map(|key: [u8; 32]| PeerId(B256::from(key)))
}

/// The peer that a Secret of ours is the identity of, in base58; `None` where that was put aside. Without a look at the seed.
#[must_use]
pub fn peer_text(secret: &Secret) -> Option<&str> {
    let annotations = secret.annotations();
    let text = annotations.get(PEER_TEXT).filter(|_| !annotations.contains_key(RETIRED))?;
    Some(text)
}

/// A peer's id in base58, as libp2p writes it.
#[must_use]
pub fn text(peer: PeerId) -> String {
    let mut bytes = ED25519.to_vec();
    bytes.extend_from_slice(peer.0.as_slice());
    bs58::encode(bytes).into_string()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    fn offer() -> OfferKey {
        OfferKey { namespace: "provider".into(), name: "fra1".into() }
    }

    #[test]
    fn a_peer_is_written_as_the_market_writes_it() {
        let peer = PeerId(
            "0x246cd65bc58db104674f76c9b1340eb16881d9ef90e33d4b1086ebd334f4002d".parse().unwrap(),
        );
        let written = "12D3KooWCGZ6t8by5ag5YMQW4k3HoPLaKdN5rB9DhAmDUeG8dj1N";
        assert_eq!(text(peer), written);
        assert_eq!(parsed(written), Some(peer));
    }

    #[test]
    fn what_is_no_peer_is_not_read() {
        let rsa = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        for text in ["", "12D3KooW", "n0", rsa, "0x246cd65b"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_peer_of_another_tool_has_a_seed_of_its_own() {
        let peer = PeerId(B256::repeat_byte(9));
        let read = PeerIdentity::read(&adopted_secret(&offer(), ("n1", 1), peer, [7; 32]));
        let read = read.unwrap();
        assert_eq!((read.identity.peer, read.identity.ordinal), (peer, 1));
    }

    #[test]
    fn an_identity_is_read_back() {
        let read = PeerIdentity::read(&secret(&offer(), ("n1", 2), Some(5), [7; 32])).unwrap();
        assert_eq!(
            (read.offer, read.identity.node.as_str(), read.identity.ordinal),
            (offer(), "n1", 2)
        );
        assert_eq!(read.identity.peer, peer_of(&[7; 32]));
        assert_eq!(read.identity.past_read_to, Some(5));
    }

    #[test]
    fn the_past_is_read_back_and_that_of_another_tools_peer_is_unknown() {
        let mut secret = adopted_secret(&offer(), ("n1", 0), PeerId(B256::repeat_byte(9)), [7; 32]);
        assert_eq!(PeerIdentity::read(&secret).unwrap().identity.past_read_to, None);
        let ids = BTreeSet::from([1, 2].map(|byte| CommitmentId(B256::repeat_byte(byte))));
        for (name, value) in past(&ids, Some(98)).as_object().unwrap() {
            secret.annotations_mut().insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        let read = PeerIdentity::read(&secret).unwrap().identity;
        assert_eq!((read.commitments, read.past_read_to), (ids, Some(98)));
    }

    #[test]
    fn a_peer_that_moved_lives_elsewhere_and_keeps_its_name() {
        let mut secret = secret(&offer(), ("n1", 0), None, [7; 32]);
        secret.annotations_mut().insert(LIVES_ON.into(), "n2".into());
        secret.annotations_mut().insert(MOVES.into(), "1".into());
        let read = PeerIdentity::read(&secret).unwrap().identity;
        assert_eq!((read.node.as_str(), read.home.as_str(), read.moves), ("n2", "n1", 1));
    }

    #[test]
    fn a_drain_is_that_of_one_node() {
        let mut secret = secret(&offer(), ("n1", 0), None, [7; 32]);
        assert!(!PeerIdentity::read(&secret).unwrap().drained);
        secret.annotations_mut().insert(DRAINED.into(), "n1".into());
        assert!(PeerIdentity::read(&secret).unwrap().drained);
        secret.annotations_mut().insert(DRAINED.into(), "n2".into());
        assert!(!PeerIdentity::read(&secret).unwrap().drained);
    }

    #[test]
    fn a_seed_that_is_not_the_peers_is_no_identity() {
        let mut changed = secret(&offer(), ("n1", 0), None, [7; 32]);
        changed.data.as_mut().unwrap().insert(SEED.into(), ByteString(vec![8; 32]));
        assert_eq!(PeerIdentity::read(&changed), None);
    }

    #[test]
    fn each_seat_and_generation_has_a_key_of_its_own() {
        let identity = PeerIdentity::read(&secret(&offer(), ("n1", 0), None, [7; 32])).unwrap();
        let seat = KeyUse {
            chain_id: 1,
            deal: Address::repeat_byte(1),
            worker: OnchainWorkerId(B256::repeat_byte(1)),
            generation: 0,
        };
        let others = [
            KeyUse { chain_id: 2, ..seat },
            KeyUse { deal: Address::repeat_byte(2), ..seat },
            KeyUse { worker: OnchainWorkerId(B256::repeat_byte(2)), ..seat },
            KeyUse { generation: 1, ..seat },
        ];
        let keys: BTreeSet<_> =
            others.iter().chain([&seat]).map(|at| identity.worker_key(*at).public).collect();
        assert_eq!(keys.len(), 5);
        assert_eq!(identity.worker_key(seat).public, identity.worker_key(seat).public);
    }

    #[test]
    fn no_seed_in_debug() {
        let identity = PeerIdentity::read(&secret(&offer(), ("n1", 0), None, [7; 32])).unwrap();
        assert!(!format!("{identity:?}").contains("7, 7"));
    }
}

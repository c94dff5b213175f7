use alloy_primitives::Address;
use crate::id::PeerId;

/// Which of the spec's signers owns a peer: follows from its id alone, until the chain has fixed it.
#[must_use]
pub fn owner_of(peer: PeerId, owners: &[Address]) -> Option<Address> {
    let count = u64::try_from(owners.len()).ok().filter(|count| *count > 0)?;
    let low: [u8; 8] = peer.0.0[24..].try_into().ok()?;
    owners.get(usize::try_from(u64::from_be_bytes(low) % count).ok()?).copied()
}

//! The chain as turns may use it: fresh, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coreward_domain::chain::{Peer, Snapshot};
use coreward_domain::condition::ChainHealth;
use coreward_domain::id::PeerId;

use crate::chain_watch::{Health, NetworkHandle};
use crate::identity::PeerIdentity;
use crate::labels::OfferKey;
use crate::turn::Shared;

/// Without a word on the last snapshot for this long, what the chain last said is not acted upon: an endpoint that tells
/// heads and nothing else is as good as silent.
const SILENCE: Duration = Duration::from_secs(15);

/// A network at this moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The snapshot, if it may be acted upon.
    pub snapshot: Option<Arc<Snapshot>>,
    /// How the connection is.
    pub health: ChainHealth,
}

/// What the network says now.
#[must_use]
pub fn of(handle: &NetworkHandle, now: Instant) -> View {
    let snapshot = handle.snapshot();
    let health = word(snapshot.is_some(), &handle.health(), now);
    let may_act = match health {
        ChainHealth::HeadFresh | ChainHealth::EndpointsDisagree | ChainHealth::Reorg => true,
        ChainHealth::HeadStale | ChainHealth::Unknown => false,
    };
    View { snapshot: snapshot.filter(|_| may_act), health }
}

fn word(has_snapshot: bool, health: &Health, now: Instant) -> ChainHealth {
    if !has_snapshot {
        return ChainHealth::Unknown;
    }
    if health.snapshot_age(now).is_none_or(|age| age > SILENCE) {
        return ChainHealth::HeadStale;
    }
    if health.disagree { ChainHealth::EndpointsDisagree } else { ChainHealth::HeadFresh }
}

/// The identities of an offer that are in use.
#[must_use]
pub fn identities(shared: &Shared, offer: &OfferKey) -> Vec<PeerIdentity> {
    let secrets = shared.context.stores.identities.all();
    let read = secrets.iter().filter_map(|secret| PeerIdentity::read(secret));
    read.filter(|identity| identity.offer == *offer && !identity.retired).collect()
}

/// Of those, the ones that the chain lists.
#[must_use]
pub fn registered<'a>(
    snapshot: &'a Snapshot,
    identities: &'a [PeerIdentity],
) -> BTreeMap<PeerId, (&'a PeerIdentity, &'a Peer)> {
    let listed = identities.iter().filter_map(|identity| {
        let peer = snapshot.peers.get(&identity.identity.peer)?.as_ref()?;
        Some((identity.identity.peer, (identity, peer)))
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::nothing_was_read_yet(false, None, ChainHealth::Unknown)]
    #[case::the_last_block_was_just_confirmed(true, Some(1), ChainHealth::HeadFresh)]
    #[case::heads_come_and_nothing_can_be_read(true, Some(16), ChainHealth::HeadStale)]
    fn what_was_read_is_believed_as_long_as_it_is_confirmed(
        #[case] has_snapshot: bool,
        #[case] confirmed: Option<u64>,
        #[case] wanted: ChainHealth,
    ) {
        let now = crate::clock::now() + Duration::from_hours(1);
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
        let health = Health {
            answered_at: Some(now),
            head_at: Some(now),
            confirmed_at: confirmed.and_then(ago),
            ..Health::default()
        };
        assert_eq!(word(has_snapshot, &health, now), wanted);
    }
}

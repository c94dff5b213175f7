//! The chain as turns may use it: fresh, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coreward_domain::chain::{Peer, Snapshot};
use coreward_domain::condition::ChainHealth;
use coreward_domain::id::PeerId;

use crate::chain_watch::NetworkHandle;
use crate::identity::PeerIdentity;
use crate::labels::OfferKey;
use crate::turn::Shared;

/// Without an answer for this long, what the chain last said is not acted upon.
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
    let health = handle.health();
    let silent = health.silence(now).is_none_or(|silence| silence > SILENCE);
    match (handle.snapshot(), silent) {
        (None, _) => View { snapshot: None, health: ChainHealth::Unknown },
        (Some(_), true) => View { snapshot: None, health: ChainHealth::HeadStale },
        (Some(snapshot), false) if health.disagree => {
            View { snapshot: Some(snapshot), health: ChainHealth::EndpointsDisagree }
        }
        (Some(snapshot), false) => {
            View { snapshot: Some(snapshot), health: ChainHealth::HeadFresh }
        }
    }
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

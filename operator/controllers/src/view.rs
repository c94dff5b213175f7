//! The chain as turns may use it: fresh, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use coreward_domain::chain::{Peer, Snapshot};
use coreward_domain::condition::ChainHealth;
use coreward_domain::id::PeerId;

use crate::chain_watch::NetworkHandle;
use crate::identity::PeerIdentity;
use crate::labels::OfferKey;
use crate::turn::Shared;

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
    let (health, stuck) = (handle.health(), handle.network().head_stuck());
    let snapshot = snapshot.filter(|_| health.may_act(now, stuck));
    View { snapshot, health: health.word(now, stuck) }
}

/// The identities of an offer that are in use, in an order that every process finds again.
#[must_use]
pub fn identities(shared: &Shared, offer: &OfferKey) -> Vec<PeerIdentity> {
    let secrets = shared.context.stores.identities.all();
    let read = secrets.iter().filter_map(|secret| PeerIdentity::read(secret));
    let mut own: Vec<_> =
        read.filter(|identity| identity.offer == *offer && !identity.retired).collect();
    own.sort_by(|PeerIdentity { identity: one, .. }, PeerIdentity { identity: other, .. }| {
        (&one.node, one.peer).cmp(&(&other.node, other.peer))
    });
    own
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
pub(crate) mod tests {
    use std::time::Duration;

    use alloy_primitives::{B256, U256};
    use coreward_domain::chain::{Head, Rules};
    use coreward_domain::epoch::{Calendar, Epoch};

    use super::*;

    /// A market of nothing.
    pub(crate) fn snapshot() -> Snapshot {
        Snapshot {
            head: Head { number: 7, hash: B256::ZERO, timestamp: 70, base_fee: 0 },
            calendar: Calendar { init_timestamp: 0, epoch_duration: 60 },
            epoch: Epoch(2),
            rules: Rules {
                min_proofs: 3,
                max_proofs: 9,
                collateral_per_unit: U256::ZERO,
                min_duration: 1,
                max_duration: 9,
                min_units_per_commitment: 1,
                max_units_per_commitment: 9,
                max_failed_ratio: 1,
                slashing_rate: 100_000,
                withdraw_epochs_after_failed: 1,
                vesting_period_duration: 1,
                vesting_period_count: 1,
                min_deal_deposited_epochs: 1,
                max_units_per_provider: 9,
            },
            global_nonce: B256::ZERO,
            difficulty: B256::ZERO,
            reward_pool: U256::ZERO,
            total_success_proofs: 0,
            finalized: 5,
            providers: BTreeMap::new(),
            offers: BTreeMap::new(),
            peers: BTreeMap::new(),
            commitments: BTreeMap::new(),
            deals: BTreeMap::new(),
            gateways: BTreeMap::new(),
            wallets: BTreeMap::new(),
            tokens: BTreeMap::new(),
            datacenters: BTreeMap::new(),
            resources: BTreeMap::new(),
        }
    }

    fn network(head_stuck_seconds: u64) -> crate::config::Network {
        let zero = alloy_primitives::Address::ZERO;
        let text = format!(
            "{{ name: local, chainId: 1, endpoints: [], contracts: {{ diamond: '{zero}', multicall3: '{zero}' }}, \
             finalityBlocks: 2, pollMilliseconds: 300, headStuckSeconds: {head_stuck_seconds} }}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[rstest::rstest]
    #[case::a_new_block(0, 5, ChainHealth::HeadFresh, true)]
    #[case::a_quiet_chain(0, 599, ChainHealth::HeadFresh, true)]
    #[case::a_stuck_node(0, 601, ChainHealth::HeadStale, false)]
    #[case::as_the_network_says(20, 21, ChainHealth::HeadStale, false)]
    fn a_head_that_stands_still_is_for_proofs_only(
        #[case] stuck: u64,
        #[case] since: u64,
        #[case] health: ChainHealth,
        #[case] may_act: bool,
    ) {
        let now = crate::clock::now() + Duration::from_hours(1);
        let (handle, publisher) = NetworkHandle::new(network(stuck));
        publisher.note(|health| {
            health.head_at = now.checked_sub(Duration::from_secs(since));
            health.confirm(true, now);
        });
        publisher.publish(snapshot(), true);
        let view = of(&handle, now);
        assert_eq!((view.health, view.snapshot.is_some()), (health, may_act));
        assert!(handle.last_read(now).is_some(), "proofs go on as long as the node answers");
    }

    #[test]
    fn what_one_of_three_endpoints_tells_is_for_proofs_only() {
        let now = crate::clock::now() + Duration::from_hours(1);
        let (handle, publisher) = NetworkHandle::new(network(0));
        publisher.note(|health| {
            (health.head_at, health.doubted_at) = (Some(now), Some(now));
            health.confirm(false, now);
        });
        publisher.publish(snapshot(), false);
        let view = of(&handle, now);
        assert_eq!((view.health, view.snapshot), (ChainHealth::EndpointsDisagree, None));
        assert!(handle.snapshot().is_none() && handle.fresh_snapshot(now).is_none());
        let read = handle.last_read(now).unwrap();
        assert!(!read.is_believed);
        assert!(handle.last_read(now + Duration::from_secs(31)).is_none());
    }
}

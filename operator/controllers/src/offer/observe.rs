//! What an offer's turn looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::U256;
use coreward_crds::ProviderOffer;
use coreward_domain::chain::{Snapshot, Watchlist};
use coreward_domain::gate::{Flight, Gate};
use coreward_domain::id::{OfferId, PeerId};
use coreward_domain::offer::{Deletion, Identity, Life, Node, Seen};
use coreward_domain::{commitment, payout};
use kube::ResourceExt;

use crate::clock;
use crate::config::ProverMode;
use crate::gateway::publish::publish;
use crate::identity::PeerIdentity;
use crate::labels::OfferKey;
use crate::node::cordon::is_cordoned;
use crate::node::evidence::{Demand, Evidence, is_ready, look};
use crate::offer::claim::{Claims, claims, selects};
use crate::offer::collateral;
use crate::offer::resolve::Resolved;
use crate::outbox;
use crate::turn::{Error, Shared};
use crate::view::{self, View};

/// Wei below which a wallet counts as low: some thousand proofs at one gwei.
const LOW_BALANCE: u64 = 100_000_000_000_000_000;

/// Everything that an offer's turn saw.
#[derive(Debug)]
pub struct Sight {
    /// Which offer.
    pub key: OfferKey,
    /// For the plan of the offer itself.
    pub seen: Seen,
    /// Identities in use.
    pub identities: Vec<PeerIdentity>,
    /// What its nodes show.
    pub nodes: Vec<(String, Evidence)>,
    /// What older offers have already.
    pub claims: Claims,
}

/// What an offer asks of a node.
#[must_use]
pub fn demand(offer: &ProviderOffer, mode: ProverMode) -> Demand {
    let capacity = &offer.spec.capacity;
    Demand { units: capacity.units_per_node, isolation: capacity.core_isolation, mode }
}

/// Looks at the cluster and at the last snapshot. What is on its way is not looked for, nor what holds it back: see [`flights`]
/// and [`crate::gate::gate_of`].
pub fn observe(offer: &ProviderOffer, resolved: &Resolved, shared: &Shared) -> Sight {
    let key = OfferKey::of(offer);
    let context = &shared.context;
    let View { snapshot, health } = view_of(offer, shared);
    let mode = context
        .config
        .network(&offer.spec.network)
        .map(|network| network.prover_mode)
        .unwrap_or_default();
    let demand = demand(offer, mode);
    let stores = &context.stores;
    let (all_nodes, all_offers) = (stores.nodes.all(), stores.offers.all());
    let node_refs: Vec<_> = all_nodes.iter().map(AsRef::as_ref).collect();
    let offer_refs: Vec<_> = all_offers.iter().map(AsRef::as_ref).collect();
    let holds = |other: &ProviderOffer, id: &str| holds(other, id, shared, snapshot.as_deref());
    let claims = claims(offer, &offer_refs, &node_refs, &context.config, &holds);
    let own = all_nodes.iter().filter(|node| selects(offer, node)).map(|node| node.name_any());
    let mut nodes: Vec<_> = own
        .filter(|name| !claims.nodes.contains(name))
        .map(|name| (name.clone(), look(shared, &name)))
        .collect();
    nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
    let identities = view::identities(shared, &key);
    let judged = nodes.iter().map(|(name, evidence)| {
        let (eligibility, units) = evidence.judge(demand);
        let node = stores.nodes.get_cluster(name);
        let cordoned = node.as_deref().is_some_and(is_cordoned);
        let life = node.as_deref().map_or(Life::Unknown, |node| life(shared, node));
        Node { name: name.clone(), eligibility, units, cordoned, life }
    });
    let mut wanted = resolved.wanted.clone();
    if let Some(snapshot) = snapshot.as_deref() {
        let peers: Vec<_> = identities.iter().map(|identity| identity.identity.peer).collect();
        publish((context, offer), snapshot, &peers, &mut wanted.resources);
    }
    let seen = Seen {
        wanted,
        nodes: Some(judged.collect()),
        identities: Some(
            identities.iter().map(|identity| identity.identity.clone()).collect::<Vec<Identity>>(),
        ),
        recorded: recorded(offer),
        units_of_other_offers: snapshot
            .as_deref()
            .and_then(|snapshot| units_of_others(offer, shared, snapshot)),
        flights: Vec::new(),
        taken_by: claims.taken_by.clone(),
        snapshot,
        chain: health,
        gate: Gate::default(),
        failover_after: Duration::from_secs(context.config.operator.failover_seconds),
        low_balance: U256::from(LOW_BALANCE),
    };
    Sight { key, seen, identities, nodes, claims }
}

/// Whether a node's kubelet reports, or for how long this leader has seen it silent, by its own clock.
fn life(shared: &Shared, node: &k8s_openapi::api::core::v1::Node) -> Life {
    let silent = shared.memory.silent(&node.name_any(), is_ready(node), clock::now());
    silent.map_or(Life::Ready, Life::NotReady)
}

/// Whether a peer of this object is in the offer on chain that has this id.
fn holds(offer: &ProviderOffer, id: &str, shared: &Shared, snapshot: Option<&Snapshot>) -> bool {
    let (Some(snapshot), Ok(id)) = (snapshot, id.parse()) else { return false };
    view::identities(shared, &OfferKey::of(offer)).iter().any(|identity| {
        let peer = snapshot.peers.get(&identity.identity.peer).and_then(Option::as_ref);
        peer.is_some_and(|peer| peer.offer == OfferId(id))
    })
}

/// The offer that the object's own status names.
fn recorded(offer: &ProviderOffer) -> Option<OfferId> {
    offer.status.as_ref()?.offer_id.as_ref()?.parse().ok().map(OfferId)
}

/// The network of an offer at this moment.
#[must_use]
pub fn view_of(offer: &ProviderOffer, shared: &Shared) -> View {
    match shared.context.networks.get(&offer.spec.network) {
        Some(handle) => view::of(handle, clock::now()),
        None => View { snapshot: None, health: coreward_domain::condition::ChainHealth::Unknown },
    }
}

/// The block up to which nothing can be undone.
#[must_use]
pub fn finalized(snapshot: Option<&Snapshot>) -> Option<u64> {
    snapshot.map(|snapshot| snapshot.finalized.min(snapshot.head.number))
}

/// Transactions of these accounts that block `shown` does not show; none while no block is known. Where a key cannot be used
/// nothing is sent with it, so nothing need be known.
///
/// # Errors
///
/// [`Error::Outbox`]: what is on its way is unknown, so nothing that could repeat it may be planned.
pub async fn flights(
    shared: &Shared,
    offer: &ProviderOffer,
    accounts: &[alloy_primitives::Address],
    shown: Option<u64>,
) -> Result<Vec<Flight>, Error> {
    let Some(shown) = shown else { return Ok(Vec::new()) };
    let mut flights = Vec::new();
    for account in accounts {
        match shared.context.outbox.in_flight(&offer.spec.network, *account, shown).await {
            Ok(found) => flights.extend(found),
            Err(outbox::Error::Refused { .. }) => {}
            Err(source) => {
                return Err(Error::Outbox { what: account.to_string(), source: Box::new(source) });
            }
        }
    }
    Ok(flights)
}

/// Units of the same provider on chain that other offers of this operator hold; `None` while one of them is not known.
fn units_of_others(offer: &ProviderOffer, shared: &Shared, snapshot: &Snapshot) -> Option<u64> {
    let is_other = |other: &&std::sync::Arc<ProviderOffer>| {
        other.spec.network == offer.spec.network
            && other.spec.provider.address.eq_ignore_ascii_case(&offer.spec.provider.address)
            && OfferKey::of(other) != OfferKey::of(offer)
    };
    let others = shared.context.stores.offers.all();
    let peers = others
        .iter()
        .filter(is_other)
        .flat_map(|other| view::identities(shared, &OfferKey::of(other)));
    peers.map(|identity| units_of(snapshot, identity.identity.peer)).sum()
}

fn units_of(snapshot: &Snapshot, peer: PeerId) -> Option<u64> {
    let units = snapshot.peers.get(&peer)?.as_ref().map_or(0, |peer| peer.units.len());
    u64::try_from(units).ok()
}

impl Sight {
    /// Whether everybody was heard that the offer's status is made from: the chain about all of the list, and the nodes.
    #[must_use]
    pub fn is_heard(&self, list: &Watchlist) -> bool {
        self.seen.snapshot.as_deref().is_some_and(|snapshot| snapshot.shows(list))
            && self.nodes.iter().all(|(_, evidence)| !evidence.is_awaited)
    }

    /// What the commitment of one registered peer is decided from.
    #[must_use]
    pub fn commitment(
        &self,
        identity: &PeerIdentity,
        resolved: &Resolved,
        shared: &Shared,
    ) -> commitment::Seen {
        let peer = identity.identity.peer;
        let snapshot = self.seen.snapshot.as_deref();
        let present = snapshot.and_then(|snapshot| snapshot.peers.get(&peer)?.as_ref()?.commitment);
        let created_final = match (snapshot, present) {
            (Some(snapshot), Some(id)) => {
                shared.memory.commitment_is_final(id, snapshot.head.number, snapshot.finalized)
            }
            _ => false,
        };
        let node =
            self.seen.nodes.iter().flatten().find(|node| node.name == identity.identity.node);
        let eligible =
            node.filter(|node| node.eligibility == coreward_domain::offer::Eligibility::Eligible);
        commitment::Seen {
            peer,
            provider: resolved.wanted.provider,
            policy: resolved.commitment,
            wanted_units: eligible.map(|node| u64::from(node.units)),
            ready: eligible.is_some_and(|node| !node.cordoned),
            ending: resolved.wanted.deletion,
            had_commitment: identity.was_committed,
            created_final,
            collateral_withdrawn: present.map(|id| {
                collateral::is_back(identity, &shared.context.stores.transactions.all(), id)
            }),
            snapshot: self.seen.snapshot.clone(),
            flights: self.seen.flights.clone(),
            gate: self.seen.gate,
        }
    }

    /// What the payouts are decided from.
    #[must_use]
    pub fn payout(
        &self,
        resolved: &Resolved,
        flights: Vec<Flight>,
        shared: &Shared,
    ) -> payout::Seen {
        let peers: BTreeSet<_> =
            self.identities.iter().map(|identity| identity.identity.peer).collect();
        let commitments = self
            .identities
            .iter()
            .flat_map(|identity| identity.identity.commitments.iter().copied());
        let present = |id: &_| {
            let snapshot = self.seen.snapshot.as_deref();
            snapshot.is_some_and(|snapshot| {
                snapshot.peers.values().flatten().any(|peer| peer.commitment == Some(*id))
            })
        };
        let seen = payout::Seen {
            peers,
            past_commitments: commitments.filter(|id| !present(id)).collect(),
            snapshot: self.seen.snapshot.clone(),
            last: BTreeMap::new(),
            policy: resolved.payouts,
            ending: resolved.wanted.deletion == Some(Deletion::Withdraw),
            flights,
            gate: self.seen.gate,
        };
        let last = shared.memory.withdrawals(&payout::sources(&seen));
        payout::Seen { last, ..seen }
    }
}

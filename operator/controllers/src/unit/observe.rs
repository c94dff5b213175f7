//! What the turn of one peer's units looks at.

use std::collections::BTreeSet;
use std::sync::Arc;

use coreward_crds::ProviderOffer;
use coreward_domain::chain::{Seat, Snapshot};
use coreward_domain::deal::{Namespace, plan as deal_plan};
use coreward_domain::gate::Management;
use coreward_domain::id::UnitId;
use coreward_domain::unit::{Elsewhere, Pod as DomainPod, Seen};
use kube::ResourceExt;

use crate::clock;
use crate::deal::observe::{Place, whom_to_serve};
use crate::identity::PeerIdentity;
use crate::labels::{OfferKey, PEER_ID};
use crate::node::cordon::cordon;
use crate::node::evidence::{Demand, is_ready};
use crate::node::{Evidence, look};
use crate::offer::{demand, view_of};
use crate::pods::fact::is_for;
use crate::pods::{Pod, ProverOrder, Surroundings, domain_pod, prover_template};
use crate::turn::{Error, Shared};

/// Everything that the turn of one peer saw.
#[derive(Debug)]
pub struct Sight {
    /// For the plan.
    pub seen: Seen,
    /// What its node shows.
    pub evidence: Evidence,
    /// What its offer asks of a node, and of provers.
    pub demand: Demand,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
}

/// What is asked of a node and of provers, and how far the operator may act.
pub type Asked = (Demand, Management);

/// Looks at one peer.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn observe(
    offer: &ProviderOffer,
    identity: &PeerIdentity,
    shared: &Shared,
) -> Result<Sight, Error> {
    let snapshot = view_of(offer, shared).snapshot;
    let evidence = look(shared, &identity.identity.node);
    let pods = pods(shared, identity);
    let (open_seats, refused_seats) = match snapshot.as_deref() {
        Some(snapshot) => seats(offer, identity, shared, snapshot),
        None => (BTreeSet::new(), BTreeSet::new()),
    };
    let asked = asked(offer, shared);
    let seen = Seen {
        open_seats,
        refused_seats,
        ..peer(asked, identity, shared, (snapshot, &evidence, &pods))?
    };
    Ok(Sight { seen, evidence, demand: asked.0, pods })
}

/// What an offer asks of its peers' pods.
pub fn asked(offer: &ProviderOffer, shared: &Shared) -> Asked {
    let network = shared.context.config.network(&offer.spec.network);
    let demand = demand(offer, network.map(|network| network.prover_mode).unwrap_or_default());
    (demand, management(offer, shared))
}

/// One peer without the seats of its units.
///
/// # Errors
///
/// [`Error::Build`]: a mistake in this program.
pub fn peer(
    (demand, management): Asked,
    identity: &PeerIdentity,
    shared: &Shared,
    (snapshot, evidence, pods): (Option<Arc<Snapshot>>, &Evidence, &[Arc<Pod>]),
) -> Result<Seen, Error> {
    let peer = identity.identity.peer;
    let node = &identity.identity.node;
    let at = surroundings(shared, &shared.context.namespace, (node, evidence), "");
    let unit = UnitId::default();
    let Demand { mode, isolation, .. } = demand;
    let offer_key = &identity.offer;
    let order = ProverOrder { offer: offer_key, peer, unit, mode, isolation, attempt: 0 };
    let now = clock::wall();
    Ok(Seen {
        peer,
        // Without the threads of a core no pod can be made; those that run are kept.
        node: evidence.threads_per_core().map(|_| node.clone()),
        pods: Some(pods.iter().filter_map(|pod| placed(shared, pod, node)).collect()),
        prover_template: prover_template(&at, &order)?,
        open_seats: BTreeSet::new(),
        refused_seats: BTreeSet::new(),
        management,
        cordon: shared.context.stores.nodes.get_cluster(node).map(|node| cordon(&node, now)),
        drain_noted: identity.drained,
        snapshot,
    })
}

/// A pod of a peer that lives on this node.
fn placed(shared: &Shared, pod: &Pod, node: &str) -> Option<DomainPod> {
    let told = domain_pod(pod, clock::wall())?;
    if is_for(pod, node) {
        return Some(told);
    }
    let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let is_heard = shared.context.stores.nodes.get_cluster(on).is_some_and(|node| is_ready(&node));
    let elsewhere = if is_heard { Elsewhere::Heard } else { Elsewhere::Unheard };
    Some(DomainPod { elsewhere: Some(elsewhere), ..told })
}

/// Where a pod of this peer is to stand.
#[must_use]
pub fn surroundings<'a>(
    shared: &'a Shared,
    namespace: &'a str,
    on: (&'a str, &Evidence),
    anchor: &'a str,
) -> Surroundings<'a> {
    let (node, evidence) = on;
    Surroundings {
        config: &shared.context.config,
        namespace,
        anchor,
        node,
        threads_per_core: evidence.threads_per_core().unwrap_or(1),
    }
}

/// Pods of a peer in all namespaces.
pub fn pods(shared: &Shared, identity: &PeerIdentity) -> Vec<Arc<Pod>> {
    let text = identity.identity.peer.to_string();
    let mut pods = shared.context.stores.pods.all();
    pods.retain(|pod| pod.annotations().get(PEER_ID) == Some(&text));
    pods
}

fn management(offer: &ProviderOffer, shared: &Shared) -> Management {
    match offer.spec.management_policy {
        _ if shared.context.config.operator.read_only => Management::ReadOnly,
        coreward_crds::ManagementPolicy::Observe => Management::Observe,
        coreward_crds::ManagementPolicy::Manage if offer.spec.suspend => Management::Suspended,
        coreward_crds::ManagementPolicy::Manage => Management::Manage,
    }
}

/// Seats of the peer that a worker is wanted for and can be made for, and those that are given back.
fn seats(
    offer: &ProviderOffer,
    identity: &PeerIdentity,
    shared: &Shared,
    snapshot: &Snapshot,
) -> (BTreeSet<Seat>, BTreeSet<Seat>) {
    let peer = snapshot.peers.get(&identity.identity.peer).and_then(Option::as_ref);
    let seats: BTreeSet<Seat> =
        peer.iter().flat_map(|peer| peer.units.values()).filter_map(|unit| unit.seat).collect();
    let (mut open, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for deal in seats.iter().map(|seat| seat.deal).collect::<BTreeSet<_>>() {
        let place = Place { offer: OfferKey::of(offer), network: offer.spec.network.clone(), deal };
        let name = place.offer.deal_name(&place.network, deal);
        let mirror = shared.context.stores.deals.get(&place.offer.namespace, &name);
        let sight = whom_to_serve(offer, mirror.as_deref(), place, shared);
        let plan = deal_plan(&sight.seen);
        for seat in seats.iter().filter(|seat| seat.deal == deal) {
            match plan.workers.get(&seat.worker) {
                Some(worker) if !worker.served => refused.insert(*seat),
                Some(_) if sight.seen.namespace == Namespace::Ready => open.insert(*seat),
                Some(_) | None => false,
            };
        }
    }
    (open, refused)
}

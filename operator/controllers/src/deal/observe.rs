//! What a deal's turn looks at; the units' turns look the same way to know which seats are served.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use coreward_crds::{Deal, ProviderOffer};
use coreward_domain::chain::{ResourceClass, Seat, Snapshot};
use coreward_domain::deal::{
    ArtifactFault, Desired, Local, Namespace, Policy, Seen, Subnet, WorkerPod, members,
};
use coreward_domain::gate::{Flight, Gate};
use coreward_domain::id::{OffchainWorkerId, OnchainWorkerId, PeerId};
use coreward_domain::offer::Deletion;
use coreward_wire::{Report, WorkerReport, WorkerStage};
use kube::ResourceExt;

use crate::deal::exit;
use crate::identity::{KeyUse, PeerIdentity, WorkerKey};
use crate::labels::OfferKey;
use crate::node::evidence::look;
use crate::offer::resolve::deletion;
use crate::offer::{flights, view_of};
use crate::pods::template::{WORKER_OVERHEAD_MIB, prover_memory};
use crate::pods::{Pod, decisive_reason, fact, is_ready};
use crate::turn::{Error, Shared};
use crate::view;

/// One deal as one offer serves it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The offer's key.
    pub offer: OfferKey,
    /// The network, by name.
    pub network: String,
    /// The deal.
    pub deal: Address,
}

impl Place {
    /// The namespace of the workers.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.offer.deal_namespace(&self.network, self.deal)
    }
}

/// Everything that a deal's turn saw.
#[derive(Debug)]
pub struct Sight {
    /// Which deal, for which offer.
    pub place: Place,
    /// For the plan.
    pub seen: Seen,
    /// Our identities, by peer.
    pub identities: BTreeMap<PeerId, PeerIdentity>,
    /// Pods of our workers.
    pub pods: Vec<std::sync::Arc<Pod>>,
}

impl Sight {
    /// Whether everybody was heard that the deal's status is made from: the chain about it, and each of its pods.
    #[must_use]
    pub fn is_heard(&self, shared: &Shared) -> bool {
        let deals = self.seen.snapshot.as_deref().map(|snapshot| &snapshot.deals);
        let has_reported = |pod: &std::sync::Arc<Pod>| {
            fact::seat(pod).and_then(|seat| report(shared, pod, seat.worker)).is_some()
        };
        deals.is_some_and(|deals| deals.contains_key(&self.place.deal))
            && self.pods.iter().all(has_reported)
    }
}

/// Looks at one deal.
///
/// # Errors
///
/// [`Error::Outbox`].
pub async fn observe(
    offer: &ProviderOffer,
    mirror: Option<&Deal>,
    place: Place,
    shared: &Shared,
) -> Result<Sight, Error> {
    let owners: BTreeSet<Address> = offer
        .spec
        .peers
        .signers
        .iter()
        .filter_map(|name| shared.context.config.signer(name))
        .map(|signer| signer.address)
        .collect();
    let owners: Vec<_> = owners.into_iter().collect();
    let snapshot = view_of(offer, shared).snapshot;
    let shown = snapshot.as_deref().map(|snapshot| snapshot.head.number);
    let flights = flights(shared, offer, &owners, shown).await?;
    // After it: what somebody else displaced meanwhile is then either still on its way or seen by the gate.
    let gate = crate::gate::gate_of(&shared.context, offer).await;
    Ok(sight(offer, mirror, place, (shared, snapshot, gate, flights)))
}

/// Looks at one deal for those who send nothing: which workers are served does not hang on what is on its way, nor on what may
/// be sent.
pub fn whom_to_serve(
    offer: &ProviderOffer,
    mirror: Option<&Deal>,
    place: Place,
    shared: &Shared,
) -> Sight {
    let snapshot = view_of(offer, shared).snapshot;
    sight(offer, mirror, place, (shared, snapshot, Gate::default(), Vec::new()))
}

type Circumstances<'a> = (&'a Shared, Option<std::sync::Arc<Snapshot>>, Gate, Vec<Flight>);

fn sight(
    offer: &ProviderOffer,
    mirror: Option<&Deal>,
    place: Place,
    at: Circumstances<'_>,
) -> Sight {
    let (shared, snapshot, gate, flights) = at;
    let identities = view::identities(shared, &place.offer);
    let identities: BTreeMap<_, _> =
        identities.into_iter().map(|identity| (identity.identity.peer, identity)).collect();
    let pods = worker_pods(shared, &place);
    let present = snapshot.as_deref();
    let workers = present
        .map(|snapshot| locals(shared, offer, (&place, snapshot, &identities), &pods))
        .unwrap_or_default();
    let gone_since = present.and_then(|snapshot| gone_since(shared, &place, snapshot, &identities));
    let seen = Seen {
        deal: place.deal,
        peers: Some(identities.keys().copied().collect()),
        subnet: present.and_then(|snapshot| subnet(shared, snapshot, &place, &pods)),
        workers,
        policy: Policy {
            exits: exits(shared, &place),
            ..policy(offer, mirror, present.map(|snapshot| snapshot.head.timestamp))
        },
        namespace: namespace(shared, &place.namespace()),
        pods: u32::try_from(pods.len()).ok(),
        isolated: None,
        gone_since,
        flights,
        gate,
        snapshot,
    };
    Sight { place, seen, identities, pods }
}

/// Since which block the chain has listed none of our workers in the deal, as far as we saw.
fn gone_since(
    shared: &Shared,
    place: &Place,
    snapshot: &Snapshot,
    identities: &BTreeMap<PeerId, PeerIdentity>,
) -> Option<u64> {
    let deal = snapshot.deals.get(&place.deal)?;
    let joined = deal.workers.values().any(|worker| identities.contains_key(&worker.peer));
    shared.memory.gone_since(&place.namespace(), joined, snapshot.head.number)
}

fn worker_pods(shared: &Shared, place: &Place) -> Vec<std::sync::Arc<Pod>> {
    let is_ours = |pod: &std::sync::Arc<Pod>| {
        OfferKey::of_labels(pod.as_ref()).as_ref() == Some(&place.offer)
            && fact::seat(pod).is_some_and(|seat| seat.deal == place.deal)
    };
    let mut pods = shared.context.stores.pods.all();
    pods.retain(is_ours);
    pods.sort_by_key(|pod| pod.name_any());
    pods
}

/// How the deal's namespace stands; complete once everything in it was found or made.
fn namespace(shared: &Shared, name: &str) -> Namespace {
    match shared.context.stores.namespaces.get_cluster(name) {
        None => Namespace::Absent,
        Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => {
            Namespace::Terminating
        }
        Some(_) if shared.memory.was_complete(name) => Namespace::Ready,
        Some(_) => Namespace::Incomplete,
    }
}

/// Deals of the same offer that people want left.
fn exits(shared: &Shared, place: &Place) -> BTreeSet<Address> {
    let mirrors = shared.context.stores.deals.all();
    exit::all(mirrors.iter().map(AsRef::as_ref).filter(|mirror: &&Deal| {
        mirror.spec.network == place.network
            && OfferKey::of_labels(*mirror).as_ref() == Some(&place.offer)
    }))
}

fn policy(offer: &ProviderOffer, mirror: Option<&Deal>, now: Option<u64>) -> Policy {
    let intake = &offer.spec.intake;
    let own = mirror.map(|deal| &deal.spec.policy);
    let natural = |number: i64| u64::try_from(number).unwrap_or(0);
    let asked = mirror.and_then(|mirror| exit::requested(mirror, now));
    // A suspended offer goes nowhere, however it is being deleted.
    let is_withdrawn = deletion(offer) == Some(Deletion::Withdraw) && !offer.spec.suspend;
    let desired = match asked {
        _ if is_withdrawn => Desired::Exit { leaves_at: 0 },
        Some(exit) => Desired::Exit { leaves_at: exit::leaves_at(&exit) },
        None => Desired::Serve,
    };
    Policy {
        desired,
        confirmed_exits: exit::confirmed(offer, is_withdrawn),
        exits: BTreeSet::new(),
        deny_owners: intake.deny_owners.iter().filter_map(|owner| owner.parse().ok()).collect(),
        unpaid_grace: natural(
            own.and_then(|policy| policy.unpaid_grace_epochs).unwrap_or(intake.unpaid_grace_epochs),
        ),
        unready_grace: natural(intake.unready_grace_epochs),
    }
}

type Ground<'a> = (&'a Place, &'a Snapshot, &'a BTreeMap<PeerId, PeerIdentity>);

fn locals(
    shared: &Shared,
    offer: &ProviderOffer,
    at: Ground<'_>,
    pods: &[std::sync::Arc<Pod>],
) -> BTreeMap<OnchainWorkerId, Local> {
    let (place, snapshot, identities) = at;
    let Some(deal) = snapshot.deals.get(&place.deal) else { return BTreeMap::new() };
    let ours =
        deal.workers.iter().filter_map(|(id, worker)| Some((*id, identities.get(&worker.peer)?)));
    ours.map(|(id, identity)| {
        let key = key(shared, place, identity, id).map(|key| key.public);
        let pod = pods.iter().find(|pod| {
            fact::seat(pod).is_some_and(|seat| seat.worker == id)
                && fact::is_for(pod, &identity.identity.node)
                && pod.metadata.deletion_timestamp.is_none()
        });
        let pod = pod.map_or(WorkerPod::Missing, |pod| state(shared, pod, id));
        let fits = fits(shared, offer, snapshot, (identity, Seat { deal: place.deal, worker: id }));
        let older_keys = older_keys(shared, place, identity, id);
        (id, Local { key, older_keys, fits, pod })
    })
    .collect()
}

/// The key of one of our workers.
#[must_use]
pub fn key(
    shared: &Shared,
    place: &Place,
    identity: &PeerIdentity,
    worker: OnchainWorkerId,
) -> Option<WorkerKey> {
    generation(shared, place, identity, (worker, identity.identity.moves))
}

/// The keys that the worker had before its peer moved.
fn older_keys(
    shared: &Shared,
    place: &Place,
    identity: &PeerIdentity,
    worker: OnchainWorkerId,
) -> BTreeSet<OffchainWorkerId> {
    let older = (0..identity.identity.moves)
        .filter_map(|moves| generation(shared, place, identity, (worker, moves)));
    older.map(|key| key.public).collect()
}

fn generation(
    shared: &Shared,
    place: &Place,
    identity: &PeerIdentity,
    (worker, generation): (OnchainWorkerId, u32),
) -> Option<WorkerKey> {
    let chain_id = shared.context.config.network(&place.network)?.chain_id;
    Some(identity.worker_key(KeyUse { chain_id, deal: place.deal, worker, generation }))
}

/// The report of a worker pod, if it is about this seat.
#[must_use]
pub fn report(shared: &Shared, pod: &Pod, worker: OnchainWorkerId) -> Option<WorkerReport> {
    match shared.context.hub.report(pod.metadata.uid.as_deref()?)?.report {
        Report::Worker(report) if report.onchain_worker_id == worker.0 => Some(report),
        Report::Worker(_)
        | Report::Prover(_)
        | Report::Node(_)
        | Report::Probe(_)
        | Report::Gateway(_) => None,
    }
}

fn state(shared: &Shared, pod: &Pod, worker: OnchainWorkerId) -> WorkerPod {
    let Some(report) = report(shared, pod, worker) else {
        // Ready in the cluster, and silent to this leader so far: what it is will be reported within a minute.
        return if is_ready(pod) {
            WorkerPod::Unknown
        } else {
            WorkerPod::Starting(decisive_reason(pod))
        };
    };
    let key = OffchainWorkerId(report.offchain_worker_id);
    let failure = report.failure.map(|failure| (fault(failure.fault), failure.message));
    match (report.stage, failure) {
        (WorkerStage::Serving, _) => WorkerPod::Ready(key),
        (_, failure) if report.serving.is_some() => WorkerPod::Rolling { key, failure },
        (WorkerStage::Failed, Some((fault, message))) => WorkerPod::Failed { fault, message },
        (
            WorkerStage::Failed
            | WorkerStage::Waiting
            | WorkerStage::Fetching
            | WorkerStage::Compiling,
            _,
        ) => WorkerPod::Starting(decisive_reason(pod)),
    }
}

/// Whether it answers, be it with the version before the ordered one.
fn is_serving(report: &WorkerReport) -> bool {
    report.stage == WorkerStage::Serving || report.serving.is_some()
}

const fn fault(fault: coreward_wire::ArtifactFault) -> ArtifactFault {
    match fault {
        coreward_wire::ArtifactFault::GatewayUnreachable => ArtifactFault::GatewayUnreachable,
        coreward_wire::ArtifactFault::NotFound => ArtifactFault::NotFound,
        coreward_wire::ArtifactFault::DigestMismatch => ArtifactFault::DigestMismatch,
        coreward_wire::ArtifactFault::TooLarge => ArtifactFault::TooLarge,
        coreward_wire::ArtifactFault::InvalidWasm => ArtifactFault::InvalidWasm,
        coreward_wire::ArtifactFault::CompileLimit => ArtifactFault::CompileLimit,
    }
}

/// MiB that a deal reserves for each of its workers.
#[must_use]
pub fn memory(snapshot: &Snapshot, deal: Address) -> Option<u64> {
    allocated(snapshot, deal, ResourceClass::Ram)
}

/// MiB of storage that a deal reserves for each of its workers; 0 if it asks for none.
#[must_use]
pub fn storage(snapshot: &Snapshot, deal: Address) -> Option<u64> {
    allocated(snapshot, deal, ResourceClass::Storage)
}

fn allocated(snapshot: &Snapshot, deal: Address, class: ResourceClass) -> Option<u64> {
    let resources = snapshot.deals.get(&deal)?.required_resources.values();
    Some(resources.filter(|(of, _)| *of == class).map(|(_, quantity)| quantity).sum())
}

/// Whether a worker's memory fits on its node beside the provers of the peer's other units and its other workers.
fn fits(
    shared: &Shared,
    offer: &ProviderOffer,
    snapshot: &Snapshot,
    of: (&PeerIdentity, Seat),
) -> Option<bool> {
    let (identity, seat) = of;
    let allocatable = look(shared, &identity.identity.node).allocatable?.memory_mib;
    let mode = shared.context.config.network(&offer.spec.network)?.prover_mode;
    let peer = snapshot.peers.get(&identity.identity.peer)?.as_ref()?;
    let provers = peer.units.values().filter(|unit| unit.seat.is_none()).count();
    let seats: BTreeSet<Seat> =
        peer.units.values().filter_map(|unit| unit.seat).filter(|other| *other != seat).collect();
    let others: u64 = seats
        .iter()
        .map(|other| Some(memory(snapshot, other.deal)? + WORKER_OVERHEAD_MIB))
        .sum::<Option<u64>>()?;
    let staked = prover_memory(mode).saturating_mul(u64::try_from(provers).ok()?);
    let wanted = memory(snapshot, seat.deal)? + WORKER_OVERHEAD_MIB;
    Some(staked.saturating_add(others).saturating_add(wanted) <= allocatable)
}

/// What our workers' probes saw, together; `None` before the first.
fn subnet(
    shared: &Shared,
    snapshot: &Snapshot,
    place: &Place,
    pods: &[std::sync::Arc<Pod>],
) -> Option<Subnet> {
    let members = members(snapshot, place.deal)?;
    let reports: Vec<_> = pods
        .iter()
        .filter_map(|pod| report(shared, pod, fact::seat(pod)?.worker))
        .filter(|report| is_serving(report) && report.subnet.members_block > 0)
        .collect();
    if reports.is_empty() || members.is_empty() {
        return None;
    }
    let own = reports.iter().map(|report| report.onchain_worker_id);
    let reached = reports.iter().flat_map(|report| report.subnet.reachable.iter().copied());
    // A worker names others by their seat or by their key: both are unique, and each member has both.
    let seen: BTreeSet<_> = own.chain(reached).collect();
    let reachable = members
        .iter()
        .filter(|member| seen.contains(&member.worker.0) || seen.contains(&member.offchain.0));
    Some(Subnet {
        expected: u32::try_from(members.len()).unwrap_or(u32::MAX),
        reachable: u32::try_from(reachable.count()).unwrap_or(u32::MAX),
    })
}

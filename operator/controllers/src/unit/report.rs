//! What the turn of a peer's units tells: the status of each unit.

use std::sync::Arc;

use coreward_crds::{
    CapacityUnit, CapacityUnitStatus, NameRef, RoleChange, UnitCommitment, UnitEpoch,
    UnitPlacement, UnitRole,
};
use coreward_domain::chain::Snapshot;
use coreward_domain::id::{CommitmentId, PeerId, UnitId};
use coreward_domain::unit::{Plan, PodRole, Role, Running, Seen, UnitReport, account, conditions};
use coreward_wire::{CpuEvidence, Report};

use crate::clock;
use crate::condition::{self, Moment, merge};
use crate::event::Happening;
use crate::identity::PeerIdentity;
use crate::node::evidence::Demand;
use crate::offer::state;
use crate::pods::{Pod, decisive_reason};
use crate::turn::Shared;
use crate::unit::observe::Sight;

/// Everything that a unit's status is made from.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What all turns share.
    pub shared: &'a Shared,
    /// The peer.
    pub identity: &'a PeerIdentity,
    /// The network, by name.
    pub network: &'a str,
    /// What the offer asks of a node.
    pub demand: Demand,
    /// What was seen.
    pub sight: &'a Sight,
    /// What was decided.
    pub plan: &'a Plan,
}

/// What a unit's pod says of itself.
#[derive(Debug, Default)]
struct PodWords {
    cpu: Option<CpuEvidence>,
    building: bool,
    message: String,
}

/// Whether everybody was heard that a unit's status is made from: the chain, the node, and the pod that runs.
#[must_use]
pub fn is_heard(told: Told<'_>, unit: UnitId) -> bool {
    let Sight { seen, evidence, pods, .. } = told.sight;
    let is_read = seen.snapshot.as_deref().is_some_and(|snapshot| {
        matches!(snapshot.peers.get(&seen.peer), Some(Some(peer))
            if peer.commitment.is_none_or(|id| snapshot.commitments.contains_key(&id)))
    });
    let has_reported = running(told.plan, unit).is_none_or(|running| {
        let pod = pods.iter().find(|pod| is_at(pod, &running.pod));
        pod.and_then(|pod| told.shared.context.hub.report(pod.metadata.uid.as_deref()?)).is_some()
    });
    is_read && has_reported && evidence.facts.is_some() && evidence.cpu.is_some()
}

/// Whether a pod has this namespace and name.
pub(super) fn is_at(pod: &Pod, place: &(String, String)) -> bool {
    pod.metadata.namespace.as_ref() == Some(&place.0)
        && pod.metadata.name.as_ref() == Some(&place.1)
}

/// The status of a unit, and the events that go with it.
#[must_use]
pub fn status(
    told: Told<'_>,
    unit: UnitId,
    object: &CapacityUnit,
) -> (CapacityUnitStatus, Vec<(Happening, String)>) {
    let old = object.status.clone().unwrap_or_default();
    let words = words(told, unit);
    let finished = told.shared.memory.finished_epoch(told.network);
    let epoch = finished
        .and_then(|snapshot| finished_epoch(told, unit, snapshot))
        .or_else(|| old.epoch.clone());
    let missed =
        epoch.as_ref().is_some_and(|epoch| epoch.counts_for_proof && epoch.proofs < epoch.required);
    let report = UnitReport {
        unit,
        node: told.sight.evidence.verdict(told.demand),
        exclusive_cores: words.cpu.as_ref().map(|cpu| cpu.whole_cores),
        building: words.building,
        pod_message: words.message,
        refused_proofs: told
            .sight
            .seen
            .snapshot
            .as_deref()
            .map_or(0, |snapshot| told.shared.context.proofs.refused(unit, snapshot.epoch)),
        missed_last_epoch: missed,
        suspended: object.spec.suspend,
        deleting: object.metadata.deletion_timestamp.is_some(),
    };
    let verdicts = conditions(&told.sight.seen, told.plan, &report);
    let moment = Moment { generation: object.metadata.generation.unwrap_or(0), now: clock::wall() };
    let (change, mut events) = role_change(told, unit, &old);
    if let Some(epoch) = epoch.as_ref().filter(|epoch| missed && old.epoch.as_ref() != Some(*epoch))
    {
        events.push((
            Happening::EpochMissed,
            format!("epoch {}: {} of {} proofs", epoch.number, epoch.proofs, epoch.required),
        ));
    }
    let status = CapacityUnitStatus {
        observed_generation: object.metadata.generation,
        conditions: merge(&old.conditions, &condition::UNIT, &verdicts, moment),
        role: Some(running_role(told.plan, unit)),
        wanted_role: told.plan.roles.get(&unit).map(wanted_role).or(old.wanted_role),
        deal_ref: deal_ref(told, unit),
        placement: Some(placement(told, unit, words.cpu, old.placement.as_ref())),
        commitment: commitment(&told.sight.seen)
            .or_else(|| old.commitment.filter(|_| told.sight.seen.snapshot.is_none())),
        epoch,
        last_role_change: change,
    };
    (status, events)
}

fn running(plan: &Plan, unit: UnitId) -> Option<&Running> {
    plan.running.get(&unit)
}

fn running_role(plan: &Plan, unit: UnitId) -> UnitRole {
    match (running(plan, unit).map(|running| &running.role), plan.roles.get(&unit)) {
        (Some(PodRole::Prover(_)), _) => UnitRole::Prover,
        (Some(PodRole::Worker { .. }), _) => UnitRole::Worker,
        (None, Some(Role::Spare)) => UnitRole::Spare,
        (None, _) => UnitRole::None,
    }
}

const fn wanted_role(role: &Role) -> UnitRole {
    match role {
        Role::Prover => UnitRole::Prover,
        Role::Worker(_) => UnitRole::Worker,
        Role::Spare => UnitRole::Spare,
        Role::None => UnitRole::None,
    }
}

fn deal_ref(told: Told<'_>, unit: UnitId) -> Option<NameRef> {
    let Role::Worker(seat) = told.plan.roles.get(&unit)? else { return None };
    Some(NameRef { name: told.identity.offer.deal_name(told.network, seat.deal) })
}

/// Where a unit's pod runs; its CPUs stay as they were told until the same pod tells them anew.
fn placement(
    told: Told<'_>,
    unit: UnitId,
    cpu: Option<CpuEvidence>,
    old: Option<&UnitPlacement>,
) -> UnitPlacement {
    let pod =
        running(told.plan, unit).map(|running| format!("{}/{}", running.pod.0, running.pod.1));
    let same = old.filter(|old| old.pod_name == pod).and_then(|old| old.cpus.clone());
    UnitPlacement {
        node_name: told.identity.identity.node.clone(),
        cpus: cpu.map(|cpu| cpu.cpus).or(same).filter(|_| pod.is_some()),
        pod_name: pod,
    }
}

fn commitment(seen: &Seen) -> Option<UnitCommitment> {
    let snapshot = seen.snapshot.as_deref()?;
    let id = snapshot.peers.get(&seen.peer)?.as_ref()?.commitment?;
    let known = snapshot.commitments.get(&id)?.as_ref()?;
    let count = |epoch: u64| i64::try_from(epoch).unwrap_or(i64::MAX);
    Some(UnitCommitment {
        id: id.to_string(),
        state: state(known.status).to_owned(),
        start_epoch: count(known.start_epoch.0),
        end_epoch: count(known.end_epoch.0),
    })
}

/// The account of the epoch that this snapshot is the last of.
///
/// Proofs of the epoch's last blocks may have come after it was taken. The contract's count of fails is the fact: where it
/// did not grow, no unit of the peer missed the epoch, whatever was last seen of its proofs.
fn finished_epoch(told: Told<'_>, unit: UnitId, snapshot: Arc<Snapshot>) -> Option<UnitEpoch> {
    let peer = told.sight.seen.peer;
    let fails_then = fails(&snapshot, peer)?;
    let fails_now =
        fails(told.sight.seen.snapshot.as_deref()?, peer).filter(|(id, _)| *id == fails_then.0)?;
    let seen = Seen { snapshot: Some(snapshot), pods: None, ..told.sight.seen.clone() };
    let account = account(&seen, unit)?;
    let proofs =
        if fails_now == fails_then { account.proofs.max(account.required) } else { account.proofs };
    Some(UnitEpoch {
        number: i64::try_from(account.epoch.0).unwrap_or(i64::MAX),
        proofs: i64::from(proofs),
        required: i64::from(account.required),
        counts_for_proof: account.required > 0,
    })
}

/// The peer's present commitment and how many fails the contract counts on it; `None` while either is unknown.
fn fails(snapshot: &Snapshot, peer: PeerId) -> Option<(CommitmentId, u64)> {
    let id = snapshot.peers.get(&peer)?.as_ref()?.commitment?;
    Some((id, snapshot.commitments.get(&id)?.as_ref()?.fail_count))
}

/// What the pods of the unit say: the one that runs, or the one that does not come up.
fn words(told: Told<'_>, unit: UnitId) -> PodWords {
    let name = running(told.plan, unit).map(|running| running.pod.clone());
    let own = told.sight.seen.pods.iter().flatten().filter(|pod| pod.role.holds(unit));
    let own: Vec<_> = own.map(|pod| (pod.namespace.clone(), pod.name.clone())).collect();
    let is_own = |pod: &&Arc<Pod>| own.iter().any(|place| is_at(pod, place));
    let mut words = PodWords::default();
    for pod in told.sight.pods.iter().filter(is_own) {
        if let Some(reason) = decisive_reason(pod) {
            words.message = reason;
        }
        let is_running = name.as_ref().is_some_and(|place| is_at(pod, place));
        let report =
            pod.metadata.uid.as_deref().and_then(|uid| told.shared.context.hub.report(uid));
        match report.map(|received| received.report).filter(|_| is_running) {
            Some(Report::Prover(report)) => {
                words.building = report.building;
                if let Some(hindrance) = report.hindrance.filter(|_| words.message.is_empty()) {
                    words.message = hindrance;
                }
                words.cpu = Some(report.cpu);
            }
            Some(Report::Worker(report)) => words.cpu = Some(report.cpu),
            Some(Report::Node(_) | Report::Probe(_) | Report::Gateway(_)) | None => {}
        }
    }
    words
}

/// How long the last change took, once the wanted pod is ready.
fn role_change(
    told: Told<'_>,
    unit: UnitId,
    old: &CapacityUnitStatus,
) -> (Option<RoleChange>, Vec<(Happening, String)>) {
    let kept = || (old.last_role_change.clone(), Vec::new());
    let (Some(wanted), Some(snapshot)) =
        (told.plan.roles.get(&unit).map(wanted_role), &told.sight.seen.snapshot)
    else {
        return kept();
    };
    let now = clock::now();
    let Some(change) = told.shared.memory.role(unit, wanted, (now, snapshot.head.number)) else {
        return kept();
    };
    let block = i64::try_from(change.block).unwrap_or(i64::MAX);
    let is_there = running(told.plan, unit).is_some_and(|running| running.ready)
        && running_role(told.plan, unit) == change.to;
    if !is_there {
        return kept();
    }
    told.shared.memory.role_settled(unit);
    let took = now.saturating_duration_since(change.since);
    told.shared.context.metrics.units.role_change.observe(took.as_secs_f64());
    let milliseconds = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let note =
        format!("from {:?} to {:?} in {milliseconds} ms, block {block}", change.from, change.to);
    (
        Some(RoleChange { from: change.from, to: change.to, milliseconds, block }),
        vec![(Happening::RoleChanged, note)],
    )
}

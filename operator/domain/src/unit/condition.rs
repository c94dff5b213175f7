//! The conditions of a `CapacityUnit`, and its account of the epoch.

use crate::chain::{Commitment, Snapshot};
use crate::condition::{ConditionType, Truth, Verdict};
use crate::gate::Management;
use crate::id::UnitId;
use crate::proof::QUARANTINE;

use super::drain;
use super::plan::commitment;
use super::{EpochAccount, NodeEvidence, Plan, Role, Running, Seen, Why};

/// What is known of one unit besides its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an observation of its own")]
pub struct UnitReport {
    /// The unit.
    pub unit: UnitId,
    /// Evidence about its node.
    pub node: NodeEvidence,
    /// Whether its pod has whole cores of its own, as the pod itself sees it; `None` without a report.
    pub exclusive_cores: Option<bool>,
    /// Whether its prover builds a dataset just now.
    pub building: bool,
    /// Message of the last pod problem, e.g. `Unschedulable: …`; empty if none.
    pub pod_message: String,
    /// Its proofs of this epoch that were refused as no work.
    pub refused_proofs: u32,
    /// Whether the last finished epoch asked for proofs of it and did not get enough.
    pub missed_last_epoch: bool,
    /// Whether the object carries `suspend: true`.
    pub suspended: bool,
    /// Whether the object is being deleted.
    pub deleting: bool,
}

/// The conditions of one unit.
#[must_use]
pub fn conditions(seen: &Seen, plan: &Plan, report: &UnitReport) -> Vec<Verdict> {
    let account = account(seen, report.unit);
    vec![
        ready(seen, plan, report),
        reconciling(plan, report),
        Verdict::new(ConditionType::Stalled, Truth::False, "NotStalled", ""),
        node_eligible(report),
        cores_exclusive(report),
        proving(seen, plan, report, account),
        at_risk(seen, plan, report, account),
        drain::verdict(seen, plan, report.unit),
    ]
}

/// What a unit has to show for the present epoch; `None` while that is not known.
#[must_use]
pub fn account(seen: &Seen, unit: UnitId) -> Option<EpochAccount> {
    let snapshot = seen.snapshot.as_deref()?;
    let on_chain = snapshot.peers.get(&seen.peer)?.as_ref()?.units.get(&unit)?;
    let commitment = commitment(seen)?;
    let is_required = on_chain.seat.is_none()
        && snapshot.epoch >= on_chain.start_epoch.max(commitment.start_epoch);
    let required = if is_required { snapshot.rules.min_proofs } else { 0 };
    Some(EpochAccount { epoch: snapshot.epoch, proofs: *commitment.proofs.get(&unit)?, required })
}

fn running(plan: &Plan, unit: UnitId) -> Option<&Running> {
    plan.running.get(&unit)
}

/// Whether a ready pod does what the chain wants of the unit.
fn does_its_work(plan: &Plan, unit: UnitId) -> bool {
    plan.why.get(&unit) == Some(&Why::Running)
        && running(plan, unit).is_some_and(|running| running.ready)
}

fn ready(seen: &Seen, plan: &Plan, report: &UnitReport) -> Verdict {
    let kind = ConditionType::Ready;
    if report.deleting && !plan.roles.contains_key(&report.unit) && plan.blocked.is_none() {
        return Verdict::new(kind, Truth::False, "Deleting", "the chain does not list this unit");
    }
    let Some(role) = plan.roles.get(&report.unit).filter(|_| plan.blocked.is_none()) else {
        return Verdict::unknown(
            kind,
            "ChainUnknown",
            "what is wanted of this unit could not be read",
        );
    };
    let is_working = does_its_work(plan, report.unit);
    match role {
        Role::Prover if is_working => Verdict::new(kind, Truth::True, "Proving", ""),
        Role::Worker(_) if is_working => Verdict::new(kind, Truth::True, "Serving", ""),
        Role::Spare | Role::None
            if report.suspended || seen.management == Management::Suspended =>
        {
            Verdict::new(kind, Truth::True, "Suspended", "nothing of it is staked")
        }
        Role::Spare | Role::None => {
            Verdict::new(kind, Truth::True, "Idle", "neither committed nor in a deal")
        }
        Role::Prover | Role::Worker(_) => {
            Verdict::new(kind, Truth::False, "Degraded", obstacle(plan, report))
        }
    }
}

/// What keeps the wanted pod from being ready, in words.
fn obstacle(plan: &Plan, report: &UnitReport) -> String {
    let text = match plan.why.get(&report.unit) {
        // The seconds left are not told: the message would change with every turn.
        Some(Why::BackingOff { reason, .. }) => {
            return format!("the last pod ended with {reason}; tried again later");
        }
        Some(Why::WaitingForCore) => "waits for its core to become free",
        Some(Why::WaitingForNamespace) => "waits for the deal's namespace",
        Some(Why::SeatRefused) => "its seat is being given back",
        Some(Why::NodeUnknown) => "its node is not known",
        Some(Why::NodeCordoned) => "its node is cordoned: no worker is begun there",
        Some(Why::NodeDrained) => {
            "its node is drained: nothing is made there until it is uncordoned"
        }
        Some(Why::Starting | Why::Running) => "its pod is not ready yet",
        Some(Why::ChainUnknown | Why::ClusterUnknown | Why::Idle) | None => "nothing runs for it",
    };
    if report.pod_message.is_empty() {
        text.to_owned()
    } else {
        format!("{text}: {}", report.pod_message)
    }
}

fn reconciling(plan: &Plan, report: &UnitReport) -> Verdict {
    let kind = ConditionType::Reconciling;
    if plan.blocked.is_some() {
        return Verdict::unknown(kind, "Unknown", "");
    }
    match plan.why.get(&report.unit) {
        None
        | Some(
            Why::Running | Why::Idle | Why::SeatRefused | Why::NodeCordoned | Why::NodeDrained,
        ) => Verdict::new(kind, Truth::False, "Settled", ""),
        Some(
            Why::ChainUnknown
            | Why::ClusterUnknown
            | Why::NodeUnknown
            | Why::WaitingForCore
            | Why::WaitingForNamespace
            | Why::BackingOff { .. }
            | Why::Starting,
        ) => Verdict::new(kind, Truth::True, "Progressing", obstacle(plan, report)),
    }
}

fn node_eligible(report: &UnitReport) -> Verdict {
    let kind = ConditionType::NodeEligible;
    match report.node {
        NodeEvidence::Verified => Verdict::new(kind, Truth::True, "Verified", ""),
        NodeEvidence::Ineligible(reason) => {
            Verdict::new(kind, Truth::False, reason.reason(), reason.text())
        }
        NodeEvidence::Stale => {
            Verdict::new(kind, Truth::Unknown, "Stale", "its agent has not been heard for minutes")
        }
        NodeEvidence::Unknown => Verdict::unknown(kind, "Stale", "no evidence about the node yet"),
    }
}

fn cores_exclusive(report: &UnitReport) -> Verdict {
    let kind = ConditionType::CoresExclusive;
    match report.exclusive_cores {
        Some(true) => Verdict::new(kind, Truth::True, "Verified", ""),
        Some(false) => {
            Verdict::new(kind, Truth::False, "SharedPool", "its pod shares its cores with others")
        }
        None => Verdict::unknown(kind, "NotScheduled", "no pod has reported its cores"),
    }
}

fn proving(
    seen: &Seen,
    plan: &Plan,
    report: &UnitReport,
    account: Option<EpochAccount>,
) -> Verdict {
    let kind = ConditionType::Proving;
    match plan.roles.get(&report.unit) {
        Some(Role::Worker(_)) => return Verdict::new(kind, Truth::False, "WorkerActive", ""),
        Some(Role::Spare | Role::None) => {
            return Verdict::unknown(kind, "Idle", "neither committed nor in a deal");
        }
        Some(Role::Prover) => {}
        None => return Verdict::unknown(kind, "Unknown", ""),
    }
    let (Some(account), Some(snapshot)) = (account, seen.snapshot.as_deref()) else {
        return Verdict::unknown(kind, "Unknown", "");
    };
    if account.proofs >= snapshot.rules.max_proofs.max(1) {
        return Verdict::new(kind, Truth::True, "TargetReached", "");
    }
    if report.building {
        return Verdict::new(kind, Truth::False, "DatasetBuilding", "");
    }
    if report.refused_proofs >= QUARANTINE {
        let message = format!(
            "{} proofs of epoch {} were refused as no work, so its proofs are sent apart from the others': look at the \
             node's memory and processor",
            report.refused_proofs, account.epoch
        );
        return Verdict::new(kind, Truth::False, "Behind", message);
    }
    let is_behind = account.proofs < account.required && has_passed(snapshot, 2, 4);
    if is_behind || !does_its_work(plan, report.unit) {
        let message = if is_behind { String::new() } else { obstacle(plan, report) };
        return Verdict::new(kind, Truth::False, "Behind", message);
    }
    Verdict::new(kind, Truth::True, "OnTrack", "")
}

/// Whether so many parts of the epoch are over.
fn has_passed(snapshot: &Snapshot, parts: u64, of: u64) -> bool {
    let elapsed = snapshot.calendar.elapsed(snapshot.head.timestamp);
    elapsed.saturating_mul(of) >= snapshot.calendar.epoch_duration.max(1).saturating_mul(parts)
}

fn at_risk(
    seen: &Seen,
    plan: &Plan,
    report: &UnitReport,
    account: Option<EpochAccount>,
) -> Verdict {
    let kind = ConditionType::AtRisk;
    let Some(role) = plan.roles.get(&report.unit) else {
        return Verdict::unknown(kind, "Unknown", "");
    };
    let snapshot = seen.snapshot.as_deref();
    let is_late = snapshot.is_some_and(|snapshot| has_passed(snapshot, 3, 4));
    let lacks = account.filter(|account| account.proofs < account.required);
    if let Some(account) = lacks.filter(|_| is_late) {
        let message =
            format!("epoch {}: {} of {} proofs", account.epoch, account.proofs, account.required);
        return Verdict::new(kind, Truth::True, "EpochWillBeMissed", message);
    }
    let is_staked = *role == Role::Prover;
    if is_staked
        && snapshot
            .zip(commitment(seen))
            .is_some_and(|(snapshot, known)| is_near_failure(snapshot, known))
    {
        return Verdict::new(
            kind,
            Truth::True,
            "CommitmentNearFailure",
            "half of the fails that end it are spent",
        );
    }
    if report.missed_last_epoch {
        return Verdict::new(kind, Truth::True, "EpochMissed", "");
    }
    Verdict::new(kind, Truth::False, "OnTrack", "")
}

/// Whether half of the fails that end a commitment are spent.
fn is_near_failure(snapshot: &Snapshot, commitment: &Commitment) -> bool {
    let limit = snapshot.rules.max_failed_ratio.saturating_mul(commitment.unit_count);
    commitment.fail_count > 0 && commitment.fail_count.saturating_mul(2) >= limit
}

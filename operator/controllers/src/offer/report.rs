//! What an offer's turn tells: status, events, metrics.

use coreward_crds::{
    CommitmentCounts, Condition, OfferSummary, OfferUnits, PastCommitment, PeerStatus,
    PendingChange, PlannedStep, ProviderOffer, ProviderOfferStatus, UnitRole,
};
use coreward_domain::chain::{CommitmentStatus, Snapshot};
use coreward_domain::commitment;
use coreward_domain::condition::{BREAKER, ConditionType, Truth, Verdict};
use coreward_domain::gate::{Management, PlannedCall};
use coreward_domain::id::OfferId;
use coreward_domain::{money, offer as domain, renewal as renewals};
use kube::ResourceExt;

use crate::clock;
use crate::condition::{self, Moment, merge};
use crate::identity;
use crate::labels::OfferKey;
use crate::offer::act::{Done, Plans};
use crate::offer::economics;
use crate::offer::observe::Sight;
use crate::offer::resolve::{Mistake, Resolved};
use crate::turn::Shared;

/// Peers and past commitments that a status lists.
const LISTED: usize = 256;
/// Planned steps that a status lists.
const PLANNED: usize = 32;

/// The status of an offer whose spec cannot be followed. What is staked goes on.
#[must_use]
pub fn of_mistake(offer: &ProviderOffer, mistake: &Mistake, chain: Verdict) -> ProviderOfferStatus {
    let text = mistake.to_string();
    let mut verdicts = vec![
        chain,
        Verdict::new(ConditionType::Stalled, true, "InvalidSpec", text.clone()),
        Verdict::new(ConditionType::Reconciling, false, "Settled", ""),
        Verdict::new(ConditionType::Ready, false, "Degraded", text.clone()),
    ];
    if let Some(reason) = mistake.signers {
        verdicts.push(Verdict::new(ConditionType::SignersAvailable, false, reason, text.clone()));
    }
    let old = offer.status.clone().unwrap_or_default();
    let summary =
        OfferSummary { text: shortened(&text), ..old.summary.clone().unwrap_or_default() };
    ProviderOfferStatus {
        observed_generation: offer.metadata.generation,
        conditions: merge(&old.conditions, &condition::OFFER, &verdicts, moment(offer)),
        summary: Some(summary),
        plan: Vec::new(),
        pending_changes: Vec::new(),
        ..old
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

fn moment(offer: &ProviderOffer) -> Moment {
    Moment { generation: offer.metadata.generation.unwrap_or(0), now: clock::wall() }
}

/// The status of an offer.
#[must_use]
pub fn status(
    shared: &Shared,
    offer: &ProviderOffer,
    told: (&Sight, &Plans, &Done),
    resolved: &Resolved,
) -> ProviderOfferStatus {
    let (sight, plans, done) = told;
    let old = offer.status.clone().unwrap_or_default();
    let verdicts = verdicts(sight, plans, done, &old.conditions);
    let conditions = merge(&old.conditions, &condition::OFFER, &verdicts, moment(offer));
    let common = ProviderOfferStatus {
        observed_generation: offer.metadata.generation,
        conditions,
        pending_changes: plans.offer.pending.iter().take(PLANNED).map(pending).collect(),
        plan: planned(sight, plans),
        ..old
    };
    match sight.seen.snapshot.as_deref() {
        None => common,
        Some(snapshot) => with_chain(common, (shared, offer), (sight, plans, snapshot), resolved),
    }
}

fn verdicts(sight: &Sight, plans: &Plans, done: &Done, old: &[Condition]) -> Vec<Verdict> {
    let whys: Vec<_> = plans.commitments.iter().map(|(_, plan)| plan.why).collect();
    let mut verdicts = domain::conditions(&sight.seen, &plans.offer, &whys);
    let is_stalled = verdicts
        .iter()
        .any(|told| told.kind == ConditionType::Stalled && told.status == Truth::True);
    // What stops the offer itself is told before what stops its renewal.
    if !is_stalled {
        verdicts.extend(breaker(&plans.renewal.why, old));
    }
    if let Some(refused) = &done.sent.refused {
        verdicts.push(Verdict::new(
            ConditionType::Stalled,
            Truth::True,
            "ContractReverted",
            refused.clone(),
        ));
    }
    if !sight.claims.conflict.is_empty() {
        verdicts.push(Verdict::new(
            ConditionType::Stalled,
            Truth::True,
            "Conflict",
            sight.claims.conflict.clone(),
        ));
    }
    verdicts
}

/// The breaker of renewals: open, or as it was while nobody can say.
fn breaker(why: &renewals::Why, old: &[Condition]) -> Option<Verdict> {
    let was_open =
        condition::find(old, ConditionType::Stalled).is_some_and(|told| told.reason == BREAKER);
    let kept = was_open && *why == renewals::Why::Unknown;
    why.verdict().or_else(|| kept.then(|| Verdict::unknown(ConditionType::Stalled, "Unknown", "")))
}

fn pending(change: &domain::PendingChange) -> PendingChange {
    PendingChange {
        field: shortened(&format!("{} ({})", change.field, change.subject)),
        reason: change.reason.reason().to_owned(),
        possible_from_epoch: change.possible_from.map(|epoch| count(epoch.0)),
    }
}

/// What would be done: shown while the operator may not act, so that the plan shown is the plan that would be executed, and
/// while the breaker of renewals is open.
fn planned(sight: &Sight, plans: &Plans) -> Vec<PlannedStep> {
    let stopped = plans.renewal.why.stopped();
    let old = plans.renewal.old.iter().zip(stopped.iter().cycle());
    let renewals = old.map(|((_, pod), words)| renewal(pod, words));
    let is_shown = sight.seen.gate.management != Management::Manage
        || sight.seen.gate.provider_signer == coreward_domain::gate::Signer::Manual;
    let commitments = plans.commitments.iter().flat_map(|(_, plan)| plan.planned.iter());
    let all = plans.offer.planned.iter().chain(commitments).chain(plans.payout.planned.iter());
    let calls = all.filter(|planned| is_shown && planned.hold.is_some()).map(step);
    renewals
        .chain(calls)
        .take(PLANNED)
        .zip(1..)
        .map(|(step, seq)| PlannedStep { seq, ..step })
        .collect()
}

fn renewal(pod: &str, words: &str) -> PlannedStep {
    PlannedStep {
        seq: 0,
        action: "RenewProver".to_owned(),
        function: None,
        value_wei: None,
        why: shortened(&format!("pod {pod} has an old template; {words}")),
    }
}

fn step(planned: &PlannedCall) -> PlannedStep {
    let function = planned.call.function();
    let mut action = function.to_owned();
    if let Some(first) = action.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let value = planned.call.value();
    let hold = planned.hold.map_or("", coreward_domain::gate::Hold::text);
    PlannedStep {
        seq: 0,
        action,
        function: Some(function.to_owned()),
        value_wei: (!value.is_zero()).then(|| value.to_string()),
        why: shortened(&format!("{}; {hold}", planned.why)),
    }
}

fn with_chain(
    common: ProviderOfferStatus,
    (shared, offer): (&Shared, &ProviderOffer),
    (sight, plans, snapshot): (&Sight, &Plans, &Snapshot),
    resolved: &Resolved,
) -> ProviderOfferStatus {
    let units = units(shared, &sight.key);
    let offer_id = plans.offer.offer.map(|id| id.to_string()).or_else(|| common.offer_id.clone());
    ProviderOfferStatus {
        epoch: Some(count(snapshot.epoch.0)),
        summary: Some(OfferSummary {
            offer: plans.offer.offer.map(abbreviated).unwrap_or_default(),
            text: text(&units),
        }),
        peers: peers(sight, snapshot),
        past_commitments: past(sight, snapshot),
        commitments: Some(commitments(plans, snapshot)),
        economics: Some(economics::of((shared, offer), (sight, snapshot), resolved)),
        units: Some(units),
        offer_id,
        ..common
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn length(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

fn abbreviated(id: OfferId) -> String {
    let text = id.to_string();
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

fn text(units: &OfferUnits) -> String {
    let noun = if units.total == 1 { "unit" } else { "units" };
    format!("{} {noun}, {} at risk", units.total, units.at_risk)
}

/// Units as their own objects tell.
fn units(shared: &Shared, key: &OfferKey) -> OfferUnits {
    let mut counts = OfferUnits::default();
    for unit in shared.context.stores.units.all() {
        if unit.namespace().as_deref() != Some(&key.namespace)
            || unit.spec.offer_ref.name != key.name
        {
            continue;
        }
        let status = unit.status.clone().unwrap_or_default();
        let ready = is_true(&status.conditions, ConditionType::Ready);
        counts.total += 1;
        counts.at_risk += i64::from(is_true(&status.conditions, ConditionType::AtRisk));
        match status.wanted_role.unwrap_or_default() {
            UnitRole::Prover if ready => counts.proving += 1,
            UnitRole::Worker if ready => counts.serving += 1,
            UnitRole::Prover | UnitRole::Worker => counts.blocked += 1,
            UnitRole::Spare | UnitRole::None => counts.spare += 1,
        }
    }
    counts
}

pub(super) fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    condition::find(conditions, kind)
        .is_some_and(|condition| condition.status == coreward_crds::ConditionStatus::True)
}

fn peers(sight: &Sight, snapshot: &Snapshot) -> Vec<PeerStatus> {
    let listed = sight.identities.iter().take(LISTED).map(|identity| {
        let peer = snapshot.peers.get(&identity.identity.peer).and_then(Option::as_ref);
        let commitment = peer.and_then(|peer| peer.commitment);
        let known =
            commitment.and_then(|id| snapshot.commitments.get(&id)).and_then(Option::as_ref);
        let state = match (peer, known) {
            (None, _) => "Unregistered",
            (Some(_), None) => "Uncommitted",
            (Some(_), Some(known)) => state(known.status),
        };
        PeerStatus {
            node: identity.identity.node.clone(),
            peer_id: identity::text(identity.identity.peer),
            units: peer.map_or(0, |peer| length(peer.units.len())),
            commitment: commitment.map(|id| id.to_string()),
            state: state.to_owned(),
        }
    });
    listed.collect()
}

/// The contract's word for a commitment's state.
#[must_use]
pub const fn state(status: CommitmentStatus) -> &'static str {
    match status {
        CommitmentStatus::Inactive => "Inactive",
        CommitmentStatus::Active => "Active",
        CommitmentStatus::WaitDelegation => "WaitDelegation",
        CommitmentStatus::WaitStart => "WaitStart",
        CommitmentStatus::Failed => "Failed",
        CommitmentStatus::Removed => "Removed",
    }
}

fn past(sight: &Sight, snapshot: &Snapshot) -> Vec<PastCommitment> {
    let all = sight
        .identities
        .iter()
        .flat_map(|identity| identity.identity.commitments.iter().map(move |id| (identity, *id)));
    let past = all.filter_map(|(identity, id)| {
        let peer = snapshot.peers.get(&identity.identity.peer)?.as_ref()?;
        let known = snapshot.commitments.get(&id)?.as_ref()?;
        (peer.commitment != Some(id)).then(|| PastCommitment {
            id: id.to_string(),
            peer_id: identity::text(identity.identity.peer),
            unclaimed: money::flt(known.total_rewards),
        })
    });
    past.take(LISTED).collect()
}

fn commitments(plans: &Plans, snapshot: &Snapshot) -> CommitmentCounts {
    let mut counts = CommitmentCounts::default();
    for (_, plan) in &plans.commitments {
        let known =
            plan.commitment.and_then(|id| snapshot.commitments.get(&id)).and_then(Option::as_ref);
        match known.map(|known| known.status) {
            Some(CommitmentStatus::Active) => counts.active += 1,
            Some(CommitmentStatus::WaitDelegation | CommitmentStatus::WaitStart) => {
                counts.pending += 1;
            }
            Some(CommitmentStatus::Failed) => counts.failed += 1,
            Some(CommitmentStatus::Inactive | CommitmentStatus::Removed) | None => {}
        }
        let end = known
            .filter(|known| known.status == CommitmentStatus::Active)
            .map(|known| count(known.end_epoch.0));
        counts.next_end_epoch = [counts.next_end_epoch, end].into_iter().flatten().min();
    }
    counts
}

/// Whether a commitment's why is told as an event, and how.
#[must_use]
pub const fn happening(why: &commitment::Why) -> Option<crate::event::Happening> {
    use crate::event::Happening;
    match why {
        commitment::Why::Active => Some(Happening::CommitmentActivated),
        commitment::Why::Expiring { .. } => Some(Happening::CommitmentExpiring),
        commitment::Why::Failed { .. } => Some(Happening::CommitmentFailed),
        commitment::Why::ChainUnknown
        | commitment::Why::NotRegistered
        | commitment::Why::Off
        | commitment::Why::LeftToHuman
        | commitment::Why::Ending
        | commitment::Why::NotReady
        | commitment::Why::UnitsChanging
        | commitment::Why::UnitInDeal
        | commitment::Why::NotWhitelisted
        | commitment::Why::DurationOutOfRange { .. }
        | commitment::Why::UnitsOutOfRange { .. }
        | commitment::Why::CollateralMissing
        | commitment::Why::Creating
        | commitment::Why::WaitingForFinality
        | commitment::Why::Funding
        | commitment::Why::WaitDelegation
        | commitment::Why::Replacing
        | commitment::Why::WaitStart
        | commitment::Why::WorkersLeaving
        | commitment::Why::Closing
        | commitment::Why::WaitingForReceipt
        | commitment::Why::Held(_) => None,
    }
}

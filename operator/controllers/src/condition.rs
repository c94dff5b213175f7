//! Verdicts of the plans become conditions, with transition times; the only place that writes conditions.

use coreward_crds::{Condition, ConditionStatus};
use coreward_domain::condition::{ConditionType, Truth, Verdict};
use jiff::Timestamp;

/// Types of an offer's conditions.
pub const OFFER: [ConditionType; 8] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::ChainSynced,
    ConditionType::OfferInSync,
    ConditionType::CommitmentsHealthy,
    ConditionType::SignersAvailable,
    ConditionType::FundsSufficient,
];

/// Types of a unit's conditions.
pub const UNIT: [ConditionType; 8] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::NodeEligible,
    ConditionType::CoresExclusive,
    ConditionType::Proving,
    ConditionType::AtRisk,
    ConditionType::Draining,
];

/// Types of a deal's conditions.
pub const DEAL: [ConditionType; 9] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::Funded,
    ConditionType::WorkersActivated,
    ConditionType::ArtifactAvailable,
    ConditionType::SubnetJoined,
    ConditionType::Isolated,
    ConditionType::Exiting,
];

/// Longest message of a condition, bytes; the schema takes 4096.
const MESSAGE_LIMIT: usize = 1024;

/// When and of what conditions are made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Generation of the object that was looked at.
    pub generation: i64,
    /// Now, for transitions.
    pub now: Timestamp,
}

/// The conditions to write: one of each type, in the order of `types`; a later verdict on the same type replaces an
/// earlier one, a type without verdict keeps what it was, or is `Unknown`.
#[must_use]
pub fn merge(
    old: &[Condition],
    types: &[ConditionType],
    verdicts: &[Verdict],
    moment: Moment,
) -> Vec<Condition> {
    types
        .iter()
        .map(|kind| {
            let before = old.iter().find(|condition| condition.type_ == kind.name());
            let verdict = verdicts.iter().rev().find(|verdict| verdict.kind == *kind);
            one(*kind, before, verdict, moment)
        })
        .collect()
}

fn one(
    kind: ConditionType,
    before: Option<&Condition>,
    verdict: Option<&Verdict>,
    moment: Moment,
) -> Condition {
    let kept = before.filter(|before| before.status != ConditionStatus::Unknown);
    let condition = match (verdict, before) {
        (None, Some(before)) => before.clone(),
        (None, None) => fresh(kind, Truth::Unknown, "Unknown", "", moment),
        (Some(verdict), _)
            if verdict.keep_last && verdict.status == Truth::Unknown && kept.is_some() =>
        {
            kept.cloned().unwrap_or_else(|| {
                fresh(kind, verdict.status, verdict.reason, &verdict.message, moment)
            })
        }
        (Some(verdict), _) => fresh(kind, verdict.status, verdict.reason, &verdict.message, moment),
    };
    let since = before
        .filter(|before| before.status == condition.status)
        .map(|before| &before.last_transition_time);
    Condition {
        observed_generation: moment.generation,
        last_transition_time: since.cloned().unwrap_or_else(|| time(moment.now)),
        ..condition
    }
}

fn fresh(
    kind: ConditionType,
    truth: Truth,
    reason: &str,
    message: &str,
    moment: Moment,
) -> Condition {
    let status = match truth {
        Truth::True => ConditionStatus::True,
        Truth::False => ConditionStatus::False,
        Truth::Unknown => ConditionStatus::Unknown,
    };
    Condition {
        type_: kind.name().to_owned(),
        status,
        observed_generation: moment.generation,
        last_transition_time: time(moment.now),
        reason: reason.to_owned(),
        message: shortened(message),
    }
}

/// Cuts a text that comes from outside to what a condition takes.
fn shortened(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_LIMIT);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

/// Whole seconds, RFC 3339.
fn time(now: Timestamp) -> String {
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

/// The condition of a type.
#[must_use]
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64) -> Moment {
        Moment { generation: 3, now: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn all_types_exist_as_unknown_from_the_start() {
        let conditions = merge(&[], &OFFER, &[], moment(1));
        assert_eq!(conditions.len(), OFFER.len());
        assert!(conditions.iter().all(|condition| condition.status == ConditionStatus::Unknown));
        assert!(conditions.iter().all(|condition| condition.observed_generation == 3));
    }

    #[test]
    fn the_time_moves_with_the_status_only() {
        let ready = |reason| vec![Verdict::new(ConditionType::Ready, true, reason, "")];
        let first = merge(&[], &[ConditionType::Ready], &ready("Proving"), moment(1));
        let second = merge(&first, &[ConditionType::Ready], &ready("Serving"), moment(9));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!(second[0].reason, "Serving");
        let not = vec![Verdict::new(ConditionType::Ready, false, "Degraded", "")];
        assert_ne!(
            merge(&second, &[ConditionType::Ready], &not, moment(9))[0].last_transition_time,
            second[0].last_transition_time
        );
    }

    #[test]
    fn ready_outlives_an_outage() {
        let known = merge(
            &[],
            &[ConditionType::Ready],
            &[Verdict::new(ConditionType::Ready, true, "Serving", "")],
            moment(1),
        );
        let unknown = vec![Verdict::unknown(ConditionType::Ready, "ChainUnknown", "")];
        assert_eq!(merge(&known, &[ConditionType::Ready], &unknown, moment(9)), known);
    }

    #[test]
    fn a_later_verdict_wins() {
        let verdicts = [
            Verdict::new(ConditionType::Stalled, false, "NotStalled", ""),
            Verdict::new(ConditionType::Stalled, true, "InvalidSpec", "spec.network: unknown"),
        ];
        assert_eq!(
            merge(&[], &[ConditionType::Stalled], &verdicts, moment(1))[0].reason,
            "InvalidSpec"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert!(shortened(&"ä".repeat(2000)).len() <= MESSAGE_LIMIT);
    }
}

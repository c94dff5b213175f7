//! What the owner of an object is told; one recorder, shared, so that repeats are folded.

use coreward_crds::Condition;
use coreward_domain::condition::{BREAKER, ConditionType};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use sha2::{Digest, Sha256};

use crate::condition;

/// Longest note that the API server takes, bytes.
const NOTE_LIMIT: usize = 1000;

/// What happened; the names are the reasons that people filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// The chain lists the offer.
    OfferRegistered,
    /// A transaction that changes the offer was handed in.
    OfferUpdated,
    /// A price was changed.
    PriceChanged,
    /// A commitment was asked for.
    CommitmentCreated,
    /// A commitment works.
    CommitmentActivated,
    /// A commitment was finished.
    CommitmentFinished,
    /// Collateral was deposited.
    CollateralDeposited,
    /// Another pod runs for a unit.
    RoleChanged,
    /// The chain gave a seat in a deal.
    DealMatched,
    /// A worker's activation was handed in.
    WorkerActivated,
    /// All members were reached.
    SubnetJoined,
    /// Our last worker left a deal.
    DealExited,
    /// Rewards were asked for.
    RewardsWithdrawn,
    /// Heads stay away.
    ChainHeadStale,
    /// Endpoints contradict each other.
    EndpointsDisagree,
    /// The contract refused.
    TransactionReverted,
    /// A transaction that is not ours used a signer's key.
    ForeignSignerDetected,
    /// The day's gas budget is used up.
    GasBudgetExhausted,
    /// A change that would reach many at once was stopped.
    MassChangeBreakerOpen,
    /// A wallet runs low.
    LowFunds,
    /// An epoch may be missed.
    EpochAtRisk,
    /// An epoch was missed.
    EpochMissed,
    /// A commitment ends soon.
    CommitmentExpiring,
    /// A commitment failed.
    CommitmentFailed,
    /// A deal runs out of money.
    DealUnderfunded,
    /// A deal's owner is denied.
    OwnerDenied,
    /// An artifact does not run.
    ArtifactRejected,
    /// Members were not reached.
    SubnetUnreachable,
    /// A node cannot carry units.
    NodeNotEligible,
    /// A deletion waits for what is staked.
    DeletionBlocked,
    /// A pod ended, or cannot start.
    PodFailed,
    /// A peer that another tool registered was taken over.
    Adopted,
    /// A peer lives on a spare node from now on, since its own is away.
    PeerMoved,
    /// A unit's node was cordoned.
    DrainStarted,
    /// Nothing of a unit is left on its cordoned node.
    DrainCompleted,
    /// A worker keeps its cordoned node from being drained.
    DrainBlocked,
}

impl Happening {
    /// The event's reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::OfferRegistered => "OfferRegistered",
            Self::OfferUpdated => "OfferUpdated",
            Self::PriceChanged => "PriceChanged",
            Self::CommitmentCreated => "CommitmentCreated",
            Self::CommitmentActivated => "CommitmentActivated",
            Self::CommitmentFinished => "CommitmentFinished",
            Self::CollateralDeposited => "CollateralDeposited",
            Self::RoleChanged => "RoleChanged",
            Self::DealMatched => "DealMatched",
            Self::WorkerActivated => "WorkerActivated",
            Self::SubnetJoined => "SubnetJoined",
            Self::DealExited => "DealExited",
            Self::RewardsWithdrawn => "RewardsWithdrawn",
            Self::ChainHeadStale => "ChainHeadStale",
            Self::EndpointsDisagree => "EndpointsDisagree",
            Self::TransactionReverted => "TransactionReverted",
            Self::ForeignSignerDetected => "ForeignSignerDetected",
            Self::GasBudgetExhausted => "GasBudgetExhausted",
            Self::MassChangeBreakerOpen => "MassChangeBreakerOpen",
            Self::LowFunds => "LowFunds",
            Self::EpochAtRisk => "EpochAtRisk",
            Self::EpochMissed => "EpochMissed",
            Self::CommitmentExpiring => "CommitmentExpiring",
            Self::CommitmentFailed => "CommitmentFailed",
            Self::DealUnderfunded => "DealUnderfunded",
            Self::OwnerDenied => "OwnerDenied",
            Self::ArtifactRejected => "ArtifactRejected",
            Self::SubnetUnreachable => "SubnetUnreachable",
            Self::NodeNotEligible => "NodeNotEligible",
            Self::DeletionBlocked => "DeletionBlocked",
            Self::PodFailed => "PodFailed",
            Self::Adopted => "Adopted",
            Self::PeerMoved => "PeerMoved",
            Self::DrainStarted => "DrainStarted",
            Self::DrainCompleted => "DrainCompleted",
            Self::DrainBlocked => "DrainBlocked",
        }
    }

    /// Whether a person should look.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        matches!(
            self,
            Self::ChainHeadStale
                | Self::EndpointsDisagree
                | Self::TransactionReverted
                | Self::ForeignSignerDetected
                | Self::GasBudgetExhausted
                | Self::MassChangeBreakerOpen
                | Self::LowFunds
                | Self::EpochAtRisk
                | Self::EpochMissed
                | Self::CommitmentExpiring
                | Self::CommitmentFailed
                | Self::DealUnderfunded
                | Self::OwnerDenied
                | Self::ArtifactRejected
                | Self::SubnetUnreachable
                | Self::NodeNotEligible
                | Self::DeletionBlocked
                | Self::PodFailed
                | Self::DrainBlocked
        )
    }

    /// Whether the conditions of an object say already that it is so; `false` where no condition tells.
    #[must_use]
    pub fn stands_in(self, conditions: &[Condition]) -> bool {
        let Some((kind, reasons)) = self.told_by() else { return false };
        condition::find(conditions, kind)
            .is_some_and(|told| reasons.contains(&told.reason.as_str()))
    }

    /// The condition that tells the same for as long as it is so, and its reasons.
    const fn told_by(self) -> Option<(ConditionType, &'static [&'static str])> {
        use ConditionType as Kind;
        Some(match self {
            Self::ChainHeadStale => (Kind::ChainSynced, &["HeadStale"]),
            Self::EndpointsDisagree => (Kind::ChainSynced, &["EndpointsDisagree"]),
            Self::ForeignSignerDetected => (Kind::Stalled, &["ForeignSigner"]),
            Self::GasBudgetExhausted => (Kind::Stalled, &["GasBudgetExhausted"]),
            Self::MassChangeBreakerOpen => (Kind::Stalled, &[BREAKER]),
            Self::TransactionReverted => (Kind::Stalled, &["ContractReverted"]),
            Self::CommitmentActivated => (Kind::CommitmentsHealthy, &["AllActive", "Expiring"]),
            Self::CommitmentExpiring => (Kind::CommitmentsHealthy, &["Expiring"]),
            Self::CommitmentFailed => (Kind::CommitmentsHealthy, &["Failed"]),
            Self::DeletionBlocked => (Kind::Ready, &["Deleting"]),
            Self::SubnetJoined => (Kind::SubnetJoined, &["Reachable"]),
            Self::SubnetUnreachable => (Kind::SubnetJoined, &["PartiallyReachable", "Unreachable"]),
            Self::OwnerDenied => (Kind::Exiting, &["Denied"]),
            Self::EpochAtRisk => (Kind::AtRisk, &["EpochWillBeMissed"]),
            Self::PodFailed => (Kind::Ready, &["Degraded"]),
            Self::DrainStarted => (Kind::Draining, &["NodeCordoned", "Requested"]),
            Self::OfferRegistered
            | Self::OfferUpdated
            | Self::PriceChanged
            | Self::CommitmentCreated
            | Self::CommitmentFinished
            | Self::CollateralDeposited
            | Self::RoleChanged
            | Self::DealMatched
            | Self::WorkerActivated
            | Self::DealExited
            | Self::RewardsWithdrawn
            | Self::LowFunds
            | Self::EpochMissed
            | Self::DealUnderfunded
            | Self::ArtifactRejected
            | Self::NodeNotEligible
            | Self::Adopted
            | Self::PeerMoved
            | Self::DrainCompleted
            | Self::DrainBlocked => return None,
        })
    }
}

/// The recorder.
#[derive(Clone)]
pub struct Events(Recorder);

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Events")
    }
}

impl Events {
    /// A recorder that speaks for this replica.
    #[must_use]
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter {
            controller: "coreward-operator".to_owned(),
            instance: Some(identity.to_owned()),
        };
        Self(Recorder::new(client, reporter))
    }

    /// Tells the owner of an object. An event that cannot be written is only logged: nothing depends on it.
    pub async fn tell<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        what: Happening,
        note: &str,
    ) {
        let mut end = note.len().min(NOTE_LIMIT);
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        let event = Event {
            type_: if what.is_warning() { EventType::Warning } else { EventType::Normal },
            reason: what.reason().to_owned(),
            note: Some(note[..end].to_owned()),
            action: action(what, note),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(event.reason = what.reason(), error = %coreward_telemetry::causes(&error), "an event was not written");
        }
    }
}

/// What the recorder folds repeats by, besides object and reason: with the same action the second of two pods that failed
/// would only be counted, under the words about the first.
fn action(what: Happening, note: &str) -> String {
    format!("{}-{}", what.reason(), hex::encode(&Sha256::digest(note)[..4]))
}

#[cfg(test)]
mod tests {
    use coreward_crds::ConditionStatus;

    use super::*;

    fn told(kind: ConditionType, reason: &str) -> Condition {
        Condition {
            type_: kind.name().to_owned(),
            status: ConditionStatus::True,
            observed_generation: 1,
            last_transition_time: String::new(),
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn only_the_same_words_are_a_repeat() {
        let failed = |note| action(Happening::PodFailed, note);
        assert_eq!(failed("pod a ended: Evicted"), failed("pod a ended: Evicted"));
        assert_ne!(failed("pod a ended: Evicted"), failed("pod b ended: Evicted"));
    }

    #[rstest::rstest]
    #[case::it_was_so(
        Happening::ChainHeadStale,
        told(ConditionType::ChainSynced, "HeadStale"),
        true
    )]
    #[case::it_is_new(
        Happening::ChainHeadStale,
        told(ConditionType::ChainSynced, "HeadFresh"),
        false
    )]
    #[case::another_told(Happening::SubnetJoined, told(ConditionType::Ready, "Serving"), false)]
    #[case::no_condition_tells(
        Happening::DealMatched,
        told(ConditionType::Ready, "Serving"),
        false
    )]
    fn an_event_repeats_what_a_condition_tells(
        #[case] what: Happening,
        #[case] condition: Condition,
        #[case] stands: bool,
    ) {
        assert_eq!(what.stands_in(&[condition]), stands);
    }
}

//! Conditions as data: what the controllers write to status without deciding anything.

/// The reason of `Stalled` while a change that would reach many at once is stopped.
pub const BREAKER: &str = "MassChangeBreaker";

/// Types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// All kinds.
    Ready,
    /// All kinds; the spec converges.
    Reconciling,
    /// All kinds; only a human helps.
    Stalled,
    /// Offer.
    ChainSynced,
    /// Offer.
    OfferInSync,
    /// Offer.
    CommitmentsHealthy,
    /// Offer.
    SignersAvailable,
    /// Offer.
    FundsSufficient,
    /// Unit.
    NodeEligible,
    /// Unit.
    CoresExclusive,
    /// Unit.
    Proving,
    /// Unit; abnormal when true.
    AtRisk,
    /// Unit; abnormal when true.
    Draining,
    /// Deal.
    Funded,
    /// Deal.
    WorkersActivated,
    /// Deal.
    ArtifactAvailable,
    /// Deal.
    SubnetJoined,
    /// Deal.
    Isolated,
    /// Deal; abnormal when true.
    Exiting,
}

impl ConditionType {
    /// The `type` field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::ChainSynced => "ChainSynced",
            Self::OfferInSync => "OfferInSync",
            Self::CommitmentsHealthy => "CommitmentsHealthy",
            Self::SignersAvailable => "SignersAvailable",
            Self::FundsSufficient => "FundsSufficient",
            Self::NodeEligible => "NodeEligible",
            Self::CoresExclusive => "CoresExclusive",
            Self::Proving => "Proving",
            Self::AtRisk => "AtRisk",
            Self::Draining => "Draining",
            Self::Funded => "Funded",
            Self::WorkersActivated => "WorkersActivated",
            Self::ArtifactAvailable => "ArtifactAvailable",
            Self::SubnetJoined => "SubnetJoined",
            Self::Isolated => "Isolated",
            Self::Exiting => "Exiting",
        }
    }
}

/// Values of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so; for `Ready` only on positive evidence.
    False,
    /// Not known.
    Unknown,
}

impl Truth {
    /// The `status` field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// A condition to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its type.
    pub kind: ConditionType,
    /// Its value.
    pub status: Truth,
    /// A word of the closed list of the kind.
    pub reason: &'static str,
    /// One sentence; may be empty.
    pub message: String,
    /// Whether an earlier `True` or `False` stays when `status` is `Unknown`: `Ready` outlives a bounded outage.
    pub keep_last: bool,
}

impl Verdict {
    /// A verdict that replaces whatever stood there.
    #[must_use]
    pub fn new(
        kind: ConditionType,
        status: impl Into<Truth>,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, status: status.into(), reason, message: message.into(), keep_last: false }
    }

    /// A verdict of `Unknown` that leaves an earlier known value in place.
    #[must_use]
    pub fn unknown(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: Truth::Unknown, reason, message: message.into(), keep_last: true }
    }
}

/// What is known of the connection to the chain; made by whoever follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainHealth {
    /// Heads arrive and the endpoints agree.
    HeadFresh,
    /// No head, or no new one, for longer than allowed; no snapshot may be used but for proofs.
    HeadStale,
    /// Endpoints give different blocks at one height, or too few of them answer to be believed.
    EndpointsDisagree,
    /// A block was replaced; the snapshot is of the new branch.
    Reorg,
    /// Nothing heard yet.
    #[default]
    Unknown,
}

impl ChainHealth {
    /// The reason of `ChainSynced`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::HeadFresh => "HeadFresh",
            Self::HeadStale => "HeadStale",
            Self::EndpointsDisagree => "EndpointsDisagree",
            Self::Reorg => "Reorg",
            Self::Unknown => "Unknown",
        }
    }

    /// The value of `ChainSynced`.
    #[must_use]
    pub const fn truth(self) -> Truth {
        match self {
            Self::HeadFresh | Self::Reorg => Truth::True,
            Self::HeadStale | Self::EndpointsDisagree => Truth::False,
            Self::Unknown => Truth::Unknown,
        }
    }
}

//! The nodes that an offer names, and why one cannot carry units.

use super::Life;

/// A node that the offer's selector names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it can carry units.
    pub eligibility: Eligibility,
    /// Units that it shall carry.
    pub units: u32,
    /// Whether its people keep what is new away from it.
    pub cordoned: bool,
    /// Whether its kubelet reports.
    pub life: Life,
}

/// Whether a node can carry units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// Verified.
    Eligible,
    /// Positively not; the reason word of `NodeEligible`.
    Ineligible(IneligibleReason),
    /// Evidence is being gathered; the first registration waits for it. Whoever gathers bounds this.
    Pending,
    /// No evidence: nothing follows, nothing waits.
    Unknown,
}

/// Why a node cannot carry units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IneligibleReason {
    /// The kubelet gives no exclusive cores.
    CpuPolicyNotStatic,
    /// Cores may be shared between pods by threads.
    FullCoresNotEnforced,
    /// Threads per core are not what a unit needs.
    SmtMismatch,
    /// Huge pages are off.
    HugePagesMissing,
    /// Less memory than the units need.
    TooLittleMemory,
    /// Fewer cores than the units need.
    TooFewCores,
}

impl IneligibleReason {
    /// The reason of `NodeEligible`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::CpuPolicyNotStatic => "CpuPolicyNotStatic",
            Self::FullCoresNotEnforced => "FullCoresNotEnforced",
            Self::SmtMismatch => "SmtMismatch",
            Self::HugePagesMissing => "HugePagesMissing",
            Self::TooLittleMemory => "TooLittleMemory",
            Self::TooFewCores => "TooFewCores",
        }
    }

    /// What is wrong, and what helps.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::CpuPolicyNotStatic => {
                "its kubelet gives no exclusive cores: set cpuManagerPolicy static, or spec.capacity.coreIsolation Preferred"
            }
            Self::FullCoresNotEnforced => {
                "its kubelet splits cores between pods: set full-pcpus-only, or spec.capacity.coreIsolation Preferred"
            }
            Self::SmtMismatch => {
                "its cores have more than two threads, and a unit is one core of two"
            }
            Self::HugePagesMissing => "its huge pages are off: reserve some",
            Self::TooLittleMemory => {
                "its memory is too little for the units: lower spec.capacity.unitsPerNode"
            }
            Self::TooFewCores => {
                "it has fewer free cores than units: lower spec.capacity.unitsPerNode, or write Auto"
            }
        }
    }
}

/// Why no node can carry a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoNode {
    /// None has the labels, or those that have belong to an older offer.
    NoneSelected,
    /// One that has the labels does not fit.
    Unfit {
        /// The first of them.
        node: String,
        /// Why not.
        reason: IneligibleReason,
    },
    /// One that has the labels is cordoned.
    Cordoned {
        /// The first of them.
        node: String,
    },
    /// Nothing is known of those that have the labels.
    Unheard,
}

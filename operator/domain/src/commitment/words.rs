//! The commitment's why, for conditions.

use super::Why;
use crate::gate::Hold;

impl Why {
    /// The reason of `CommitmentsHealthy` for this peer.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ChainUnknown => "Unknown",
            Self::NotWhitelisted => "NotWhitelisted",
            Self::Failed { .. } => "Failed",
            Self::Expiring { .. } | Self::WorkersLeaving | Self::Closing => "Expiring",
            Self::WaitStart => "WaitStart",
            Self::Active | Self::Off => "AllActive",
            Self::NotRegistered
            | Self::LeftToHuman
            | Self::Ending
            | Self::NotReady
            | Self::UnitsChanging
            | Self::UnitInDeal
            | Self::DurationOutOfRange { .. }
            | Self::UnitsOutOfRange { .. }
            | Self::CollateralMissing
            | Self::Creating
            | Self::WaitingForFinality
            | Self::Funding
            | Self::WaitDelegation
            | Self::Replacing
            | Self::WaitingForReceipt
            | Self::Held(_) => "WaitDelegation",
        }
    }

    /// In words.
    #[must_use]
    pub fn text(&self) -> String {
        let text = match self {
            Self::ChainUnknown => "the commitment could not be read",
            Self::NotRegistered => "the peer is not on chain yet",
            Self::Off => "spec.commitment.mode is Off",
            Self::LeftToHuman => "the next commitment is left to a human",
            Self::Ending => "the offer is being deleted",
            Self::NotReady => "the node or the peer's key is not confirmed",
            Self::UnitsChanging => "units are still being added",
            Self::UnitInDeal => "a unit is in a deal, and pledging it would corrupt the commitment",
            Self::NotWhitelisted => {
                "the market does not let this provider make commitments: its owner must approve spec.provider.address"
            }
            Self::DurationOutOfRange { minimum, maximum } => {
                return format!(
                    "spec.commitment.durationEpochs: the market takes {minimum} to {maximum}"
                );
            }
            Self::UnitsOutOfRange { minimum, maximum } => {
                return format!(
                    "spec.capacity.unitsPerNode: the market takes {minimum} to {maximum} units of a peer"
                );
            }
            Self::CollateralMissing => {
                "the provider's wallet does not hold the collateral: send FLT to spec.provider.address"
            }
            Self::Creating => "the commitment is being made",
            Self::WaitingForFinality => "the commitment is made and not yet final",
            Self::Funding => "the collateral is being paid",
            Self::WaitDelegation => "waits for its delegator",
            Self::Replacing => "the commitment is taken back and made again",
            Self::WaitStart => "works from the next epoch",
            Self::Active => "works",
            Self::Expiring { end } => return format!("ends with epoch {end}"),
            Self::WorkersLeaving => "the commitment is over, and its workers must leave first",
            Self::Closing => "the commitment is over and being wound up",
            Self::Failed { until } => {
                return format!("failed; its collateral is locked until epoch {until}");
            }
            Self::WaitingForReceipt => "a transaction is on its way",
            Self::Held(hold) => hold.text(),
        };
        text.to_owned()
    }

    /// The reason of `Reconciling`, where the commitment moves to what the spec wants.
    #[must_use]
    pub const fn converges(&self) -> Option<&'static str> {
        match self {
            Self::NotRegistered
            | Self::NotReady
            | Self::UnitsChanging
            | Self::Creating
            | Self::Funding
            | Self::Replacing
            | Self::Closing
            | Self::WorkersLeaving => Some("Progressing"),
            Self::WaitingForReceipt | Self::Held(Hold::EarlierCall) => Some("WaitingForReceipt"),
            Self::WaitingForFinality => Some("WaitingForFinality"),
            Self::WaitStart | Self::Held(Hold::Epoch) => Some("WaitingForEpoch"),
            Self::ChainUnknown
            | Self::Off
            | Self::LeftToHuman
            | Self::Ending
            | Self::UnitInDeal
            | Self::NotWhitelisted
            | Self::DurationOutOfRange { .. }
            | Self::UnitsOutOfRange { .. }
            | Self::CollateralMissing
            | Self::WaitDelegation
            | Self::Active
            | Self::Expiring { .. }
            | Self::Failed { .. }
            | Self::Held(_) => None,
        }
    }

    /// The reason of `Stalled`, where only a human helps.
    #[must_use]
    pub const fn stalls(&self) -> Option<&'static str> {
        match self {
            Self::DurationOutOfRange { .. } | Self::UnitsOutOfRange { .. } => Some("InvalidSpec"),
            Self::Held(hold) => hold.stalls(),
            Self::ChainUnknown
            | Self::NotRegistered
            | Self::Off
            | Self::LeftToHuman
            | Self::Ending
            | Self::NotReady
            | Self::UnitsChanging
            | Self::UnitInDeal
            | Self::NotWhitelisted
            | Self::CollateralMissing
            | Self::Creating
            | Self::WaitingForFinality
            | Self::Funding
            | Self::WaitDelegation
            | Self::Replacing
            | Self::WaitStart
            | Self::Active
            | Self::Expiring { .. }
            | Self::WorkersLeaving
            | Self::Closing
            | Self::Failed { .. }
            | Self::WaitingForReceipt => None,
        }
    }
}

//! The chain's enumerations by name.

use super::error::{Error, Result};

/// The computed status of a capacity commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitmentStatus {
    /// Ran to its end.
    Inactive,
    /// Its units owe proofs.
    Active,
    /// Nobody has staked yet.
    WaitDelegation,
    /// Staked; starts with the next epoch.
    WaitStart,
    /// Too many epochs without proofs.
    Failed,
    /// Finished.
    Removed,
}

impl TryFrom<u8> for CommitmentStatus {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self> {
        Ok(match number {
            0 => Self::Inactive,
            1 => Self::Active,
            2 => Self::WaitDelegation,
            3 => Self::WaitStart,
            4 => Self::Failed,
            5 => Self::Removed,
            _ => {
                return Err(Error::Text {
                    what: "status of a commitment",
                    text: number.to_string(),
                });
            }
        })
    }
}

/// The computed status of a deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DealStatus {
    /// Its paid epochs are over.
    InsufficientFunds,
    /// Workers can be matched and are paid.
    Active,
    /// Stopped.
    Ended,
    /// First-generation deals only.
    NotEnoughWorkers,
    /// Still paid, but too little is left for a match.
    SmallBalance,
}

impl TryFrom<u8> for DealStatus {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self> {
        Ok(match number {
            0 => Self::InsufficientFunds,
            1 => Self::Active,
            2 => Self::Ended,
            3 => Self::NotEnoughWorkers,
            4 => Self::SmallBalance,
            _ => return Err(Error::Text { what: "status of a deal", text: number.to_string() }),
        })
    }
}

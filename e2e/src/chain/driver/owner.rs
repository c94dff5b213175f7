//! The owner of the contracts, who is also the price oracle.

use alloy::primitives::{Address, B256, U256};

use super::{
    super::{
        abi::{BalanceKeeper, Diamond},
        deploy::{COORDINATOR, OWNER},
        error::Result,
    },
    Driver,
};

/// A constant of the capacity rules that the owner may set, in the contract's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CapacityConstant {
    /// Shortest commitment, epochs.
    MinDuration = 0,
    /// Longest commitment, epochs.
    MaxDuration = 1,
    /// USD of collateral per unit, in 1e-7.
    UsdCollateralPerUnit = 4,
    /// Slashed share per failed unit and epoch, in 1e-7.
    SlashingRate = 5,
    /// Epochs between a failure and the return of the collateral.
    WithdrawEpochsAfterFailed = 6,
    /// Fails per unit that make a commitment fail.
    MaxFailedRatio = 7,
    /// Proofs owed per unit and epoch; in force from the next epoch if this one has proofs already.
    MinProofsPerEpoch = 11,
    /// Proofs beyond which further ones are ignored.
    MaxProofsPerEpoch = 12,
}

impl Driver {
    /// Sets the difficulty, in force from the next epoch.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn set_difficulty(&self, difficulty: B256) -> Result<()> {
        self.call(OWNER, &Diamond::setDifficultyCall { difficulty }).await.map(drop)
    }

    /// Sets the price of FLT (USD in 1e-7): new commitments ask other collateral, and the reward pool moves a step.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn set_flt_price(&self, price: U256) -> Result<()> {
        self.call(OWNER, &Diamond::setFLTPriceCall { fltPrice: price }).await.map(drop)
    }

    /// Sets a constant of the capacity rules.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn set_capacity_constant(
        &self,
        constant: CapacityConstant,
        value: u64,
    ) -> Result<()> {
        let call =
            Diamond::setCapacityConstantCall { constantType: constant as u8, v: U256::from(value) };
        self.call(OWNER, &call).await.map(drop)
    }

    /// Freezes an account of the payment token, or lets it go: a frozen provider can neither withdraw nor leave.
    ///
    /// # Errors
    /// As [`super::Node::send`].
    pub async fn set_frozen(&self, user: Address, frozen: bool) -> Result<()> {
        let keeper = self.contracts.balance_keeper;
        if frozen {
            let call = BalanceKeeper::freezeAccountCall { user };
            self.node.send(COORDINATOR, keeper, &call, U256::ZERO).await.map(drop)
        } else {
            let call = BalanceKeeper::unfreezeAccountCall { user };
            self.node.send(COORDINATOR, keeper, &call, U256::ZERO).await.map(drop)
        }
    }
}

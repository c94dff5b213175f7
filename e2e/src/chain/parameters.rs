//! What a marketplace is created with.

use alloy::primitives::{B256, U256, b256};
use serde::{Deserialize, Serialize};

/// The values that the diamond's constructor takes; amounts of FLT in wei, USD in 1e-7, durations in epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Seconds of an epoch.
    pub epoch_duration: u64,
    /// Epochs that a new deal must pay in advance.
    pub min_deposited_epochs: u64,
    /// Epochs between two matches of a deal.
    pub min_rematching_epochs: u64,
    /// USD per FLT.
    pub flt_price: u64,
    /// Seconds of a slot of the price history; never below the epoch, or a long jump of the clock makes `setFLTPrice`
    /// fill more slots than a block's gas allows.
    pub flt_price_update_period: u64,
    /// USD of collateral per unit.
    pub usd_collateral_per_unit: u64,
    /// USD that a unit should earn per epoch.
    pub usd_target_revenue_per_epoch: u64,
    /// Shortest commitment.
    pub min_duration: u64,
    /// Longest commitment.
    pub max_duration: u64,
    /// Lower bound of an epoch's reward pool.
    pub min_reward_per_epoch: U256,
    /// Upper bound of an epoch's reward pool.
    pub max_reward_per_epoch: U256,
    /// Epochs of a vesting step.
    pub vesting_period_duration: u64,
    /// Steps of vesting.
    pub vesting_period_count: u64,
    /// Slashed share of the collateral per failed unit and epoch, in 1e-7.
    pub slashing_rate: u64,
    /// Proofs that a unit owes per epoch.
    pub min_proofs_per_epoch: u64,
    /// Proofs beyond which a unit's further ones are ignored.
    pub max_proofs_per_epoch: u64,
    /// Epochs between a failure and the return of the collateral.
    pub withdraw_epochs_after_failed: u64,
    /// Fails per unit that make a commitment fail.
    pub max_failed_ratio: u64,
    /// Whether only listed providers may commit.
    pub whitelist: bool,
    /// Largest hash that is a proof.
    pub difficulty: B256,
    /// The first epoch's reward pool.
    pub init_reward_pool: U256,
    /// The first epoch's global nonce.
    pub init_global_nonce: B256,
    /// What the diamond can pay rewards from.
    pub reward_balance: U256,
}

impl Parameters {
    /// The package's own values for a local chain; with these the addresses are those of its `local` network.
    #[must_use]
    pub fn of_the_package() -> Self {
        Self {
            epoch_duration: 15,
            min_deposited_epochs: 2,
            min_rematching_epochs: 2,
            flt_price: 10_000_000,
            flt_price_update_period: 5,
            usd_collateral_per_unit: 1_000_000,
            usd_target_revenue_per_epoch: 3_000_000,
            min_duration: 10,
            max_duration: 9_000_000,
            min_reward_per_epoch: flt(100),
            max_reward_per_epoch: flt(200),
            vesting_period_duration: 3,
            vesting_period_count: 6,
            slashing_rate: 100_000,
            min_proofs_per_epoch: 2,
            max_proofs_per_epoch: 5,
            withdraw_epochs_after_failed: 2,
            max_failed_ratio: 10,
            whitelist: false,
            difficulty: b256!("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
            init_reward_pool: flt(100),
            init_global_nonce: b256!(
                "76889c92f61b9c5df216e048df56eb8f4eb02f172ab0d5b04edb9190ab9c9eec"
            ),
            reward_balance: flt(10_000),
        }
    }

    /// For the stories: epochs so long that only the driver ends one, a difficulty that a light-mode prover meets with
    /// every fourth hash, and vesting over two epochs.
    #[must_use]
    pub fn for_stories() -> Self {
        Self {
            epoch_duration: 3_600,
            flt_price_update_period: 3_600,
            min_rematching_epochs: 0,
            min_duration: 1,
            vesting_period_duration: 1,
            vesting_period_count: 2,
            difficulty: b256!("3fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
            reward_balance: flt(100_000),
            ..Self::of_the_package()
        }
    }
}

/// `amount` FLT in wei.
#[must_use]
pub fn flt(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10).pow(U256::from(18))
}

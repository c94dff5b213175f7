//! How proofs are put together, and when an extra one pays.

use alloy_primitives::U256;

use crate::chain::Snapshot;

use super::Seen;

/// Gas of a unit's first proof of an epoch, rounded up. Source: measured on the contracts, 100 to 120 k.
pub(super) const FIRST_PROOF_GAS: u64 = 120_000;

/// Gas of each further proof of a unit, rounded up. Source: measured on the contracts, 46.5 k.
pub(super) const FURTHER_PROOF_GAS: u64 = 50_000;

/// Whether one more proof earns more than its gas costs, with the margin.
pub(super) fn is_worth_gas(seen: &Seen, snapshot: &Snapshot) -> bool {
    let proofs = U256::from(snapshot.total_success_proofs).saturating_add(U256::ONE);
    let reward = snapshot.reward_pool / proofs;
    let gas = U256::from(FURTHER_PROOF_GAS).saturating_mul(U256::from(snapshot.head.base_fee));
    let percent = U256::from(100_u64.saturating_add(u64::from(seen.safety_margin_percent)));
    reward.saturating_mul(U256::from(100)) > gas.saturating_mul(percent)
}

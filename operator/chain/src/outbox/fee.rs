//! What a transaction may cost.

use coreward_domain::call::Call;

/// How fees are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// Wei per gas for the block's maker.
    pub priority: u128,
    /// Highest wei per gas, all included; never holds back proofs and exits.
    pub cap: Option<u128>,
    /// Blocks that an attempt may wait before a dearer one takes its place.
    pub patience_blocks: u64,
}

impl Default for FeePolicy {
    fn default() -> Self {
        Self { priority: 100_000_000, cap: None, patience_blocks: 10 }
    }
}

/// The fees of an attempt, wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) max: u128,
    pub(crate) priority: u128,
}

impl FeePolicy {
    /// Fees of a first attempt: twice the base fee carries it through six full blocks in a row (1.125^6 = 2.03).
    ///
    /// `Err` is the cap that the base fee is above.
    pub(crate) fn first(&self, base_fee: u128, call: &Call) -> Result<Fees, u128> {
        let max = base_fee.saturating_mul(2).saturating_add(self.priority);
        match self.cap {
            Some(cap) if max > cap && !is_urgent(call) => {
                if base_fee.saturating_add(1) > cap {
                    return Err(cap);
                }
                Ok(Fees { max: cap, priority: self.priority.min(cap - base_fee) })
            }
            Some(_) | None => Ok(Fees { max, priority: self.priority }),
        }
    }

    /// Fees that nodes take in place of `old`: an eighth more of both, or what the base fee asks by now. `None`: the cap
    /// forbids it.
    pub(crate) fn dearer(&self, old: Fees, base_fee: u128, call: &Call) -> Option<Fees> {
        let asked = base_fee.saturating_mul(2).saturating_add(self.priority);
        let priority = an_eighth_more(old.priority).max(self.priority);
        let max = an_eighth_more(old.max).max(asked).max(priority);
        match self.cap {
            Some(cap) if max > cap && !is_urgent(call) => None,
            Some(_) | None => Some(Fees { max, priority }),
        }
    }
}

/// 12.5 % more, rounded up: the least that nodes accept is 10 %.
const fn an_eighth_more(fee: u128) -> u128 {
    fee.saturating_add(fee.div_ceil(8)).saturating_add(1)
}

/// Calls whose delay costs more than any fee: proofs keep the stake, exits end a loss.
const fn is_urgent(call: &Call) -> bool {
    match call {
        Call::SubmitProofs { .. } | Call::RemoveWorker { .. } => true,
        Call::SetProviderInfo { .. }
        | Call::RegisterOffer { .. }
        | Call::AddPeers { .. }
        | Call::AddUnits { .. }
        | Call::ChangePrice { .. }
        | Call::SetDatacenter { .. }
        | Call::ChangePaymentToken { .. }
        | Call::RegisterPeerResource { .. }
        | Call::ChangeResourceDetails { .. }
        | Call::ChangeResourceSupply { .. }
        | Call::CreateCommitment { .. }
        | Call::RemoveCommitment { .. }
        | Call::DepositCollateral { .. }
        | Call::ActivateWorker { .. }
        | Call::WithdrawDealRewards { .. }
        | Call::WithdrawCommitmentRewards { .. }
        | Call::WithdrawCollateral { .. }
        | Call::RemoveUnitsFromCommitment { .. }
        | Call::FinishCommitment { .. }
        | Call::RemoveUnit { .. }
        | Call::RemovePeerResource { .. }
        | Call::RemovePeer { .. }
        | Call::RemoveOffer { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use coreward_domain::id::{CommitmentId, PeerId};

    use super::*;

    const CAPPED: FeePolicy = FeePolicy { priority: 10, cap: Some(1_500), patience_blocks: 3 };

    fn finish() -> Call {
        Call::FinishCommitment { commitment: CommitmentId::default() }
    }

    fn proofs() -> Call {
        Call::SubmitProofs {
            peer: PeerId::default(),
            epoch: coreward_domain::epoch::Epoch(1),
            proofs: Vec::new(),
        }
    }

    #[rstest::rstest]
    #[case::room_below_the_cap(500, finish(), Ok(Fees { max: 1_010, priority: 10 }))]
    #[case::less_room(1_000, finish(), Ok(Fees { max: 1_500, priority: 10 }))]
    #[case::hardly_room(1_495, finish(), Ok(Fees { max: 1_500, priority: 5 }))]
    #[case::no_room(1_500, finish(), Err(1_500))]
    #[case::proofs_pay_what_it_costs(1_500, proofs(), Ok(Fees { max: 3_010, priority: 10 }))]
    fn a_first_attempt_stays_below_the_cap(
        #[case] base_fee: u128,
        #[case] call: Call,
        #[case] fees: Result<Fees, u128>,
    ) {
        assert_eq!(CAPPED.first(base_fee, &call), fees);
    }

    #[rstest::rstest]
    #[case::an_eighth_more(100, finish(), Some(Fees { max: 1_137, priority: 13 }))]
    #[case::what_the_base_fee_asks(700, finish(), Some(Fees { max: 1_410, priority: 13 }))]
    #[case::not_beyond_the_cap(800, finish(), None)]
    #[case::proofs_beyond_the_cap(800, proofs(), Some(Fees { max: 1_610, priority: 13 }))]
    fn a_dearer_attempt_is_one_that_nodes_take(
        #[case] base_fee: u128,
        #[case] call: Call,
        #[case] fees: Option<Fees>,
    ) {
        assert_eq!(CAPPED.dearer(Fees { max: 1_009, priority: 10 }, base_fee, &call), fees);
    }
}

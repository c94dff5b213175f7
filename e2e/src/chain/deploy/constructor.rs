//! The diamond's constructor arguments.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, FixedBytes, U256},
    sol,
    sol_types::SolValue,
};

use super::super::{
    error::{Error, Result},
    packages::Artifact,
    parameters::Parameters,
};

sol! {
    struct CapacityConstants {
        uint256 fltPrice; uint256 fltPriceUpdatePeriod; uint256 usdCollateralPerUnit; uint256 usdTargetRevenuePerEpoch;
        uint256 minDuration; uint256 maxDuration; uint256 minCUPerCommitment; uint256 maxCUPerCommitment;
        uint256 minRewardPerEpoch; uint256 maxRewardPerEpoch; uint256 vestingPeriodDuration; uint256 vestingPeriodCount;
        uint256 slashingRate; uint256 minProofsPerEpoch; uint256 maxProofsPerEpoch; uint256 withdrawEpochsAfterFailed;
        uint256 maxFailedRatio; bytes32 difficulty; uint256 initRewardPool; address randomXProxy; address oracle;
        address wfltAddress;
    }
    struct CoreParameters { uint256 epochDuration; address dealImpl; address dealV2Impl; bool isWhitelistEnabled; CapacityConstants capacity; }
    struct CapacityParameters { bytes32 initGlobalNonce; }
    struct GlobalConstants { uint256 minDealDepositedEpochs; uint256 minDealRematchingEpochs; uint256 minProtocolVersion; uint256 maxProtocolVersion; uint256 maxUnitCountPerProvider; }
    struct FacetCut { address facetAddress; uint8 action; bytes4[] selectors; }
}

/// The facets in the order of the initial cut.
const CUT: [&str; 11] = [
    "CoreFacet",
    "OfferFacet",
    "MarketFacet",
    "OfferV2Facet",
    "MarketV2Facet",
    "CapacityFacet",
    "DealFactoryFacet",
    "DiamondLoupeFacet",
    "OwnershipFacet",
    "MulticallFacet",
    "ViewerFacet",
];
/// Functions of facets that the deployment does not cut in: another facet has them, or nobody shall.
const LEFT_OUT: [(&str, &str); 4] = [
    ("CoreFacet", "owner"),
    ("CoreFacet", "transferOwnership"),
    ("CoreFacet", "renounceOwnership"),
    ("OfferV2Facet", "registerResource"),
];
const MIN_UNITS_PER_COMMITMENT: u64 = 1;
const MAX_UNITS_PER_COMMITMENT: u64 = 9_000;
const MIN_PROTOCOL_VERSION: u64 = 1;
const MAX_PROTOCOL_VERSION: u64 = 2;
const MAX_UNITS_PER_PROVIDER: u64 = 60_000;

/// What the arguments are made of.
pub(super) struct Parts<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) cut_facet: Address,
    pub(super) deal: Address,
    pub(super) deal_v2: Address,
    pub(super) randomx: Address,
    pub(super) oracle: Address,
    pub(super) wflt: Address,
    pub(super) cut: Vec<FacetCut>,
}

/// Which function of the diamond is answered by which facet.
pub(super) fn cut(
    facets: &BTreeMap<&str, Address>,
    artifacts: &BTreeMap<String, Artifact>,
) -> Result<Vec<FacetCut>> {
    CUT.iter()
        .map(|name| {
            let absent = || Error::Absent((*name).to_owned());
            let artifact = artifacts.get(*name).ok_or_else(absent)?;
            let selectors: Vec<FixedBytes<4>> = artifact
                .abi
                .functions()
                .filter(|function| !LEFT_OUT.contains(&(*name, function.name.as_str())))
                .map(alloy::json_abi::Function::selector)
                .collect();
            let facet = *facets.get(name).ok_or_else(absent)?;
            Ok(FacetCut { facetAddress: facet, action: 0, selectors })
        })
        .collect()
}

/// The encoded arguments.
pub(super) fn arguments(parts: &Parts<'_>) -> Vec<u8> {
    let it = parts.parameters;
    let core = CoreParameters {
        epochDuration: U256::from(it.epoch_duration),
        dealImpl: parts.deal,
        dealV2Impl: parts.deal_v2,
        isWhitelistEnabled: it.whitelist,
        capacity: capacity(parts),
    };
    let global = GlobalConstants {
        minDealDepositedEpochs: U256::from(it.min_deposited_epochs),
        minDealRematchingEpochs: U256::from(it.min_rematching_epochs),
        minProtocolVersion: U256::from(MIN_PROTOCOL_VERSION),
        maxProtocolVersion: U256::from(MAX_PROTOCOL_VERSION),
        maxUnitCountPerProvider: U256::from(MAX_UNITS_PER_PROVIDER),
    };
    let nonce = CapacityParameters { initGlobalNonce: it.init_global_nonce };
    (parts.cut_facet, core, nonce, global, parts.cut.clone()).abi_encode_params()
}

fn capacity(parts: &Parts<'_>) -> CapacityConstants {
    let it = parts.parameters;
    CapacityConstants {
        fltPrice: U256::from(it.flt_price),
        fltPriceUpdatePeriod: U256::from(it.flt_price_update_period),
        usdCollateralPerUnit: U256::from(it.usd_collateral_per_unit),
        usdTargetRevenuePerEpoch: U256::from(it.usd_target_revenue_per_epoch),
        minDuration: U256::from(it.min_duration),
        maxDuration: U256::from(it.max_duration),
        minCUPerCommitment: U256::from(MIN_UNITS_PER_COMMITMENT),
        maxCUPerCommitment: U256::from(MAX_UNITS_PER_COMMITMENT),
        minRewardPerEpoch: it.min_reward_per_epoch,
        maxRewardPerEpoch: it.max_reward_per_epoch,
        vestingPeriodDuration: U256::from(it.vesting_period_duration),
        vestingPeriodCount: U256::from(it.vesting_period_count),
        slashingRate: U256::from(it.slashing_rate),
        minProofsPerEpoch: U256::from(it.min_proofs_per_epoch),
        maxProofsPerEpoch: U256::from(it.max_proofs_per_epoch),
        withdrawEpochsAfterFailed: U256::from(it.withdraw_epochs_after_failed),
        maxFailedRatio: U256::from(it.max_failed_ratio),
        difficulty: it.difficulty,
        initRewardPool: it.init_reward_pool,
        randomXProxy: parts.randomx,
        oracle: parts.oracle,
        wfltAddress: parts.wflt,
    }
}

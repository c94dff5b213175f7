//! The contracts' interface as far as we speak it: version 2 of the market.

use alloy::sol;

sol! {
    /// The one address that does nearly everything.
    #[derive(Debug, PartialEq, Eq)]
    interface Diamond {
        struct Cid { bytes4 prefixes; bytes32 hash; }
        struct ProviderInfo { string name; Cid metadata; uint256 unitCount; }
        struct BaseOffer {
            address provider; address paymentToken; uint256 peerCount; uint256 minProtocolVersion; uint256 maxProtocolVersion;
        }
        struct ComputePeer { bytes32 offerId; bytes32 commitmentId; uint256 unitCount; address owner; }
        struct UnitView { bytes32 id; address deal; uint256 startEpoch; bytes32 onchainWorkerId; }
        struct ResourcePrice { uint8 ty; bytes32 resourceId; uint256 price; }
        struct PriceView { bytes32 resourceId; uint8 ty; string metadata; uint256 price; }
        struct OfferView { bytes32 offerId; address provider; address paymentToken; PriceView[] prices; }
        struct PeerResource { bytes32 resourceId; uint256 supply; string details; }
        struct PeerResourceView {
            bytes32 resourceId; uint8 ty; string metadata; string details; uint256 availableSupply; uint256 maxSupply;
        }
        struct PeerView {
            bytes32 offerId; bytes32 peerId; bytes32 commitmentId; UnitView[] units; PeerResourceView[] resources;
        }
        struct NewPeer { bytes32 peerId; address owner; PeerResource[] resources; bytes32[] unitIds; }
        struct ResourceView { bytes32 id; uint8 ty; string metadata; }
        struct Datacenter {
            bytes32 id; string countryCode; string cityCode; uint256 index; uint256 tier; string[] certifications;
        }
        struct Commitment {
            uint8 status; bytes32 peerId; uint256 collateralPerUnit; uint256 unitCount; uint256 startEpoch; uint256 endEpoch;
            uint256 rewardDelegatorRate; address delegator; uint256 totalFailCount; uint256 failedEpoch; uint256 exitedUnitCount;
        }
        struct Rewards { uint256 ccRewards; uint256 dealStakerRewards; }
        struct RewardInfo { uint256 minProofsPerEpoch; uint256 maxProofsPerEpoch; uint256 totalSuccessProofs; }
        struct Constants1 {
            uint256 fltPrice; uint256 fltCollateralPerUnit; uint256 usdCollateralPerUnit; uint256 usdTargetRevenuePerEpoch;
            uint256 minDuration; uint256 maxDuration; uint256 minRewardPerEpoch; uint256 maxRewardPerEpoch;
            uint256 vestingPeriodDuration; uint256 vestingPeriodCount; uint256 slashingRate; uint256 minProofsPerEpoch;
            uint256 maxProofsPerEpoch; uint256 withdrawEpochsAfterFailed; uint256 maxFailedRatio;
        }
        struct Constants2 {
            uint256 epochDuration; uint256 minDealRematchingEpoch; uint256 minDealDepositedEpoch; uint256 minCUPerCommitment;
            uint256 maxCUPerCommitment; uint256 precision; uint256 initTimestamp; bytes32 difficulty;
        }
        struct Constants { Constants1 constants1; Constants2 constants2; }

        function setProviderInfo(string name, Cid metadata) external;
        function registerMarketOfferV2(
            address paymentToken, ResourcePrice[] prices, NewPeer[] peers, bytes32 datacenterId
        ) external returns (bytes32);
        function addComputePeersV2(bytes32 offerId, NewPeer[] peers) external;
        function addComputeUnitsV2(bytes32 peerId, bytes32[] unitIds, PeerResource resource) external;
        function changeResourcePriceV2(bytes32 offerId, bytes32 resourceId, uint256 newPrice) external;
        function setOfferDatacenter(bytes32 offerId, bytes32 datacenterId) external;
        function changePaymentToken(bytes32 offerId, address newPaymentToken) external;
        function registerPeerResource(bytes32 peerId, PeerResource resource) external;
        function changeResourceDetails(bytes32 peerId, bytes32 resourceId, string details) external;
        function changeResourceMaxSupplyV2(bytes32 peerId, bytes32 resourceId, uint256 newMaxSupply) external;
        function createCommitment(
            bytes32 peerId, uint256 duration, address delegator, uint256 rewardDelegationRate
        ) external returns (bytes32);
        function removeCommitment(bytes32 commitmentId) external;
        function depositCollateral(bytes32[] commitmentIds) external payable;
        function submitProofs(bytes32[] unitIds, bytes32[] localUnitNonces, bytes32[] resultHashes) external;
        function withdrawReward(bytes32 commitmentId) external;
        function withdrawCollateral(bytes32 commitmentId) external;
        function removeCUFromCC(bytes32 commitmentId, bytes32[] unitIds) external;
        function finishCommitment(bytes32 commitmentId) external;
        function removeComputeUnitV2(bytes32 unitId, bytes32 associatedResourceId) external;
        function removePeerResource(bytes32 peerId, bytes32 resourceId) external;
        function removeComputePeerV2(bytes32 peerId) external;
        function removeOfferV2(bytes32 offerId) external;

        function getAllConstants() external view returns (Constants);
        function maxUnitCountPerProvider() external view returns (uint256);
        function getGlobalNonce() external view returns (bytes32);
        function difficulty() external view returns (bytes32);
        function getRewardPool(uint256 epoch) external view returns (uint256);
        function getRewardInfo(uint256 epoch) external view returns (RewardInfo);
        function isPaymentTokenAllowed(address paymentToken) external view returns (bool);
        function getProviderInfo(address provider) external view returns (ProviderInfo);
        function isApproved(address account) external view returns (bool);
        function getOfferV2(bytes32 offerId) external view returns (OfferView);
        function getBaseOffer(bytes32 offerId) external view returns (BaseOffer);
        function getOfferDatacenter(bytes32 offerId) external view returns (bytes32);
        function getPeerV2(bytes32 peerId) external view returns (PeerView);
        function getComputePeer(bytes32 peerId) external view returns (ComputePeer);
        function getDatacenters() external view returns (Datacenter[]);
        function getResources() external view returns (ResourceView[]);
        function getCommitment(bytes32 commitmentId) external view returns (Commitment);
        function getProofCounts(bytes32 commitmentId) external view returns (bytes32[] unitIds, uint256[] counts);
        function getUnitExitStatuses(bytes32 commitmentId) external view returns (bytes32[] unitIds, bool[] isExited);
        function unlockedRewards(bytes32 commitmentId) external view returns (Rewards);
        function totalRewards(bytes32 commitmentId) external view returns (Rewards);
        function withdrawnRewards(bytes32 commitmentId) external view returns (Rewards);

        event MarketOfferRegistered(
            address indexed provider, bytes32 offerId, uint256 minPricePerCuPerEpoch, address paymentToken, Cid[] effectors,
            uint256 minProtocolVersion, uint256 maxProtocolVersion
        );
        event PeerCreated(bytes32 indexed offerId, bytes32 peerId, address owner);
        event CommitmentCreated(
            bytes32 indexed peerId, bytes32 commitmentId, uint256 duration, address delegator, uint256 rewardDelegationRate,
            uint256 fltCollateralPerUnit
        );
        event CommitmentFinished(bytes32 indexed commitmentId);
        event CollateralDeposited(bytes32 indexed commitmentId, address indexed stakerAddress, uint256 totalCollateral);
        event CollateralWithdrawn(bytes32 commitmentId, uint256 amountWithdrawn, uint256 amountSlashed);
        event ProofSubmitted(bytes32 indexed commitmentId, bytes32 indexed unitId, bytes32 localUnitNonce);
        event ProofsConfirmed(bytes32 indexed peerId, bytes32[] unitIds, bool[] confirmed);
        event RewardWithdrawn(bytes32 indexed commitmentId, uint256 providerReward, uint256 dealStakerRewardsAmount);
        event WorkerActivatedV2(bytes32 indexed peerId, address deal, bytes32 onchainWorkerId, bytes32 offchainWorkerId);
    }
}

sol! {
    /// The contract of one deal.
    #[derive(Debug, PartialEq, Eq)]
    interface DealV2 {
        struct AppCid { bytes4 prefixes; bytes32 hash; }
        struct Requirement { bytes32 resourceId; uint8 ty; uint256 quantity; }
        struct DealWorker { bytes32 offchainId; bytes32 onchainId; bytes32 peerId; address provider; uint256 joinedEpoch; }
        struct DealRewards { uint256 providerReward; uint256 stakerReward; }

        function activateWorker(bytes32 onchainWorkerId, bytes32 offchainWorkerId) external;
        function removeWorker(bytes32 onchainWorkerId) external;
        function withdrawRewards(bytes32 onchainWorkerId) external;

        function getStatus() external view returns (uint8);
        function owner() external view returns (address);
        function appCID() external view returns (AppCid);
        function paymentToken() external view returns (address);
        function pricePerEpoch() external view returns (uint256);
        function getMaxPaidEpoch() external view returns (uint256);
        function getFreeBalance() external view returns (uint256);
        function targetWorkers() external view returns (uint256);
        function requiredResources() external view returns (Requirement[]);
        function getWorkerIds() external view returns (bytes32[]);
        function getWorker(bytes32 onchainWorkerId) external view returns (DealWorker);
        function getRewardAmount(bytes32 onchainWorkerId) external view returns (DealRewards);

        event WorkerRemoved(bytes32 indexed peerId, bytes32 onchainId);
        event RewardWithdrawn(bytes32 onchainWorkerId, uint256 providerReward, uint256 stakerReward);
    }
}

sol! {
    /// Many views in one call.
    #[derive(Debug, PartialEq, Eq)]
    interface Multicall3 {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Outcome { bool success; bytes returnData; }

        function aggregate3(Call3[] calls) external payable returns (Outcome[] returnData);
        function getEthBalance(address addr) external view returns (uint256 balance);
    }
}

sol! {
    /// What the contracts say when they refuse, besides text.
    #[derive(Debug, PartialEq, Eq)]
    interface Refusals {
        error Error(string reason);
        error Panic(uint256 code);
        error CapacityCommitmentIsNotActive(uint8 status);
        error InvalidCCStatus(uint8 status);
        error ReentrancyGuardReentrantCall();
        error SafeERC20FailedOperation(address token);
        error AddressEmptyCode(address target);
        error FailedCall();
        error OwnableInvalidOwner(address owner);
        error OwnableUnauthorizedAccount(address account);
    }
}

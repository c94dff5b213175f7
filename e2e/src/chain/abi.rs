//! The marketplace contracts' interface as the stories use it, typed out from the fact sheet.
//!
//! The product has its own; a story must not judge it with its own definitions.
#![expect(
    clippy::too_many_arguments,
    reason = "events have as many fields as the contracts give them"
)]

use alloy::sol;

sol! {
    #![sol(extra_derives(Debug, PartialEq, Eq))]

    struct CIDV1 { bytes4 prefixes; bytes32 hash; }

    struct ProviderInfo { string name; CIDV1 metadata; uint256 unitCount; }
    struct ResourcePrice { uint8 ty; bytes32 resourceId; uint256 price; }
    struct PeerResource { bytes32 resourceId; uint256 supply; string details; }
    struct NewPeer { bytes32 peerId; address owner; PeerResource[] resources; bytes32[] unitIds; }
    struct ResourceDescription { uint8 ty; string metadata; }
    struct NewDatacenter { string countryCode; string cityCode; uint256 index; uint256 tier; string[] certifications; }
    struct ResourceRequirement { bytes32 resourceId; uint8 ty; uint256 quantity; }

    struct PriceView { bytes32 resourceId; uint8 ty; string metadata; uint256 price; }
    struct OfferView { bytes32 offerId; address provider; address paymentToken; PriceView[] prices; }
    struct UnitView { bytes32 id; address deal; uint256 startEpoch; bytes32 onchainWorkerId; }
    struct PeerResourceView { bytes32 resourceId; uint8 ty; string metadata; string details; uint256 availableSupply; uint256 maxSupply; }
    struct PeerView { bytes32 offerId; bytes32 peerId; bytes32 commitmentId; UnitView[] unitIds; PeerResourceView[] resources; }
    struct ComputePeer { bytes32 offerId; bytes32 commitmentId; uint256 unitCount; address owner; }
    struct CommitmentView { uint8 status; bytes32 peerId; uint256 collateralPerUnit; uint256 unitCount; uint256 startEpoch; uint256 endEpoch; uint256 rewardDelegatorRate; address delegator; uint256 totalFailCount; uint256 failedEpoch; uint256 exitedUnitCount; }
    struct RewardsView { uint256 ccRewards; uint256 dealStakerRewards; }
    struct EpochRewardInfo { uint256 minProofsPerEpoch; uint256 maxProofsPerEpoch; uint256 totalSuccessProofs; }
    struct Allocation { bytes32 resourceId; uint8 ty; string metadata; string details; uint256 quantity; }
    struct WorkerData { address deal; bytes32 peerId; bytes32 offchainWorkerId; uint256[3] reserved; bytes32[] unitIds; Allocation[] resources; }
    struct Seat { bytes32 offchainId; bytes32 onchainId; bytes32 peerId; address provider; uint256 joinedEpoch; }
    struct DealRewards { uint256 providerReward; uint256 stakerReward; }

    interface Diamond {
        function currentEpoch() external view returns (uint256);
        function initTimestamp() external view returns (uint256);
        function epochDuration() external view returns (uint256);
        function epochTimestamp(uint256 epoch) external view returns (uint256);
        function difficulty() external view returns (bytes32);
        function getGlobalNonce() external view returns (bytes32);
        function randomXProxy() external view returns (address);
        function owner() external view returns (address);
        function vodopad() external view returns (address);
        function oracle() external view returns (address);
        function balanceKeeper() external view returns (address);
        function fltPrice() external view returns (uint256);
        function fltCollateralPerUnit() external view returns (uint256);
        function minProofsPerEpoch() external view returns (uint256);
        function slashingRate() external view returns (uint256);
        function maxProofsPerEpoch() external view returns (uint256);
        function minDealRematchingEpochs() external view returns (uint256);
        function getRewardBalance() external view returns (uint256);
        function getRewardPool(uint256 epoch) external view returns (uint256);
        function getRewardInfo(uint256 epoch) external view returns (EpochRewardInfo memory);

        function setVodopad(address vodopad) external;
        function setBalanceKeeper(address balanceKeeper) external;
        function addPaymentTokenToWhitelist(address paymentToken) external;
        function registerResources(ResourceDescription[] memory resources) external returns (bytes32[] memory);
        function createDatacenters(NewDatacenter[] memory datacenters) external returns (bytes32[] memory);
        function setDifficulty(bytes32 difficulty) external;
        function setFLTPrice(uint256 fltPrice) external;
        function setOracle(address oracle) external;
        function setConstant(uint8 constantType, uint256 v) external;
        function setCapacityConstant(uint8 constantType, uint256 v) external;
        function grantAccess(address account) external;
        function revokeAccess(address account) external;
        function multicall(bytes[] memory data) external returns (bytes[] memory);

        function setProviderInfo(string memory name, CIDV1 memory metadata) external;
        function getProviderInfo(address provider) external view returns (ProviderInfo memory);
        function registerMarketOfferV2(address paymentToken, ResourcePrice[] memory resourcePrices, NewPeer[] memory peers, bytes32 datacenterId) external returns (bytes32);
        function changeResourcePriceV2(bytes32 offerId, bytes32 resourceId, uint256 newPrice) external;
        function addComputePeersV2(bytes32 offerId, NewPeer[] memory peers) external;
        function addComputeUnitsV2(bytes32 peerId, bytes32[] memory unitIds, PeerResource memory resource) external;
        function registerPeerResource(bytes32 peerId, PeerResource memory resource) external;
        function removePeerResource(bytes32 peerId, bytes32 resourceId) external;
        function removeComputeUnitV2(bytes32 unitId, bytes32 associatedResourceId) external;
        function removeComputePeerV2(bytes32 peerId) external;
        function removeOfferV2(bytes32 offerId) external;
        function getOfferV2(bytes32 offerId) external view returns (OfferView memory);
        function getOffersV2() external view returns (OfferView[] memory);
        function getOfferDatacenter(bytes32 offerId) external view returns (bytes32);
        function getPeerV2(bytes32 peerId) external view returns (PeerView memory);
        function getPeersV2(bytes32 offerId) external view returns (PeerView[] memory);
        function getComputePeer(bytes32 peerId) external view returns (ComputePeer memory);

        function createCommitment(bytes32 peerId, uint256 duration, address delegator, uint256 rewardDelegationRate) external returns (bytes32);
        function removeCommitment(bytes32 commitmentId) external;
        function depositCollateral(bytes32[] memory commitmentIds) external payable;
        function submitProofs(bytes32[] memory unitIds, bytes32[] memory localUnitNonces, bytes32[] memory resultHashes) external;
        function withdrawReward(bytes32 commitmentId) external;
        function withdrawCollateral(bytes32 commitmentId) external;
        function removeCUFromCC(bytes32 commitmentId, bytes32[] memory unitIds) external;
        function finishCommitment(bytes32 commitmentId) external;
        function getStatus(bytes32 commitmentId) external view returns (uint8);
        function getCommitment(bytes32 commitmentId) external view returns (CommitmentView memory);
        function getProofCounts(bytes32 commitmentId) external view returns (bytes32[] memory unitIds, uint256[] memory counts);
        function getUnitExitStatuses(bytes32 commitmentId) external view returns (bytes32[] memory unitIds, bool[] memory isExited);
        function totalRewards(bytes32 commitmentId) external view returns (RewardsView memory);
        function unlockedRewards(bytes32 commitmentId) external view returns (RewardsView memory);
        function withdrawnRewards(bytes32 commitmentId) external view returns (RewardsView memory);

        function deployDealV2(CIDV1 memory appCID, address paymentToken, uint256 depositAmount, uint256 targetWorkers, ResourceRequirement[] memory resources, uint256 pricePerEpoch, uint256 maxWorkersPerProvider, uint8 providersAccessType, address[] memory providersAccessList, uint256 protocolVersion, address owner) external returns (address);
        function fundDealV2(address deal, uint256 targetMaxPaidEpoch) external;
        function matchDealV2(address deal, bytes32[] memory peerIds, bytes32[][] memory computeUnitIds) external;
        function hasDeal(address deal) external view returns (bool);
        function getWorkerData(bytes32 onchainWorkerId) external view returns (WorkerData memory);

        event MarketOfferRegistered(address indexed provider, bytes32 offerId, uint256 minPricePerCuPerEpoch, address paymentToken, CIDV1[] effectors, uint256 minProtocolVersion, uint256 maxProtocolVersion);
        event CommitmentCreated(bytes32 indexed peerId, bytes32 commitmentId, uint256 duration, address delegator, uint256 rewardDelegationRate, uint256 fltCollateralPerUnit);
        event CommitmentActivated(bytes32 indexed peerId, bytes32 indexed commitmentId, uint256 startEpoch, uint256 endEpoch, bytes32[] unitIds);
        event CommitmentFailed(bytes32 indexed commitmentId, uint256 failedEpoch);
        event ProofSubmitted(bytes32 indexed commitmentId, bytes32 indexed unitId, bytes32 localUnitNonce);
        event ProofsConfirmed(bytes32 indexed peerId, bytes32[] unitIds, bool[] confirmed);
        event RewardWithdrawn(bytes32 indexed commitmentId, uint256 providerReward, uint256 dealStakerRewardsAmount);
        event CollateralWithdrawn(bytes32 commitmentId, uint256 amountWithdrawn, uint256 amountSlashed);
        event UnitActivated(bytes32 indexed commitmentId, bytes32 indexed unitId, uint256 startEpoch);
        event UnitDeactivated(bytes32 indexed commitmentId, bytes32 indexed unitId);
        event DealCreatedV2(address indexed owner, address deal, uint256 createdAtEpoch, address paymentToken, uint256 targetWorkers, ResourceRequirement[] resources, uint256 pricePerEpoch, uint256 maxWorkersPerProvider, CIDV1 appCID, uint8 providersAccessType_, address[] providersAccessList_, uint256 protocolVersion_);
        event WorkerCreatedV2(bytes32 indexed peerId, address deal, bytes32 onchainWorkerId, bytes32[] cuIds, CIDV1 appCID, Allocation[] resources);
        event WorkerActivatedV2(bytes32 indexed peerId, address deal, bytes32 onchainWorkerId, bytes32 offchainWorkerId);
        event WorkerRemovedV2(bytes32 indexed peerId, address deal, bytes32 onchainWorkerId, bytes32[] cuIds, Allocation[] resources);
    }

    interface Deal {
        function activateWorker(bytes32 onchainWorkerId, bytes32 offchainWorkerId) external;
        function removeWorker(bytes32 onchainWorkerId) external;
        function withdrawRewards(bytes32 onchainWorkerId) external;
        function stop() external;
        function setAppCID(CIDV1 memory appCID) external;
        function appCID() external view returns (CIDV1 memory);
        function owner() external view returns (address);
        function getStatus() external view returns (uint8);
        function getWorkerIds() external view returns (bytes32[] memory);
        function getWorker(bytes32 onchainWorkerId) external view returns (Seat memory);
        function getWorkerCount() external view returns (uint256);
        function getActivatedWorkerCount() external view returns (uint256);
        function getMaxPaidEpoch() external view returns (uint256);
        function getFreeBalance() external view returns (uint256);
        function getRewardAmount(bytes32 onchainWorkerId) external view returns (DealRewards memory);
        function pricePerEpoch() external view returns (uint256);
        function targetWorkers() external view returns (uint256);

        event RewardWithdrawn(bytes32 onchainWorkerId, uint256 providerReward, uint256 stakerReward);
    }

    interface BalanceKeeper {
        function initialize(address diamond) external;
        function setCoordinator(address coordinator) external;
        function coordinator() external view returns (address);
        function poolTopUp(address token, uint256 amount) external;
        function userTopUp(address token, address user, uint256 amount, string memory topUpId) external;
        function getFreeBalance(address token, address user) external view returns (uint256);
        function poolBalance(address token) external view returns (uint256);
        function freezeAccount(address user) external;
        function unfreezeAccount(address user) external;
    }

    interface Token {
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }

    interface Refusals {
        error CapacityCommitmentIsNotActive(uint8 status);
        error InvalidCCStatus(uint8 status);
        error OwnableUnauthorizedAccount(address account);
    }
}

//! What a transaction is for, without how: by this a second one to the same end is found.

use crate::epoch::Epoch;
use crate::id::{
    CommitmentId, DealAddress, OffchainWorkerId, OfferId, OnchainWorkerId, PeerId, ResourceId,
    UnitId,
};

use super::Call;

/// A call without the arguments that only say how (a price, a text, an amount).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    ProviderInfo,
    Peers(Vec<PeerId>),
    Units(PeerId),
    Price(OfferId, ResourceId),
    Datacenter(OfferId),
    PaymentToken(OfferId),
    Resource(PeerId, ResourceId),
    Details(PeerId, ResourceId),
    Supply(PeerId, ResourceId),
    Pledge(PeerId),
    TakeBack(CommitmentId),
    Collateral(CommitmentId),
    Proofs(PeerId, Epoch),
    Key(DealAddress, OnchainWorkerId, OffchainWorkerId),
    Leave(DealAddress, OnchainWorkerId),
    Pay(DealAddress, OnchainWorkerId),
    Reward(CommitmentId),
    CollateralBack(CommitmentId),
    UnitsOut(CommitmentId),
    Finish(CommitmentId),
    NoUnit(UnitId),
    NoResource(PeerId, ResourceId),
    NoPeer(PeerId),
    NoOffer(OfferId),
}

impl Purpose {
    fn of(call: &Call) -> Self {
        match call {
            Call::SetProviderInfo { .. } => Self::ProviderInfo,
            Call::RegisterOffer { peers, .. } | Call::AddPeers { peers, .. } => {
                Self::Peers(peers.iter().map(|peer| peer.peer).collect())
            }
            Call::AddUnits { peer, .. } => Self::Units(*peer),
            Call::ChangePrice { offer, resource, .. } => Self::Price(*offer, *resource),
            Call::SetDatacenter { offer, .. } => Self::Datacenter(*offer),
            Call::ChangePaymentToken { offer, .. } => Self::PaymentToken(*offer),
            Call::RegisterPeerResource { peer, resource } => {
                Self::Resource(*peer, resource.resource)
            }
            Call::ChangeResourceDetails { peer, resource, .. } => Self::Details(*peer, *resource),
            Call::ChangeResourceSupply { peer, resource, .. } => Self::Supply(*peer, *resource),
            Call::CreateCommitment { peer, .. } => Self::Pledge(*peer),
            Call::RemoveCommitment { commitment } => Self::TakeBack(*commitment),
            Call::DepositCollateral { commitment, .. } => Self::Collateral(*commitment),
            Call::SubmitProofs { peer, epoch, .. } => Self::Proofs(*peer, *epoch),
            Call::ActivateWorker { deal, worker, offchain } => Self::Key(*deal, *worker, *offchain),
            Call::RemoveWorker { deal, worker } => Self::Leave(*deal, *worker),
            Call::WithdrawDealRewards { deal, worker, .. } => Self::Pay(*deal, *worker),
            Call::WithdrawCommitmentRewards { commitment, .. } => Self::Reward(*commitment),
            Call::WithdrawCollateral { commitment } => Self::CollateralBack(*commitment),
            Call::RemoveUnitsFromCommitment { commitment, .. } => Self::UnitsOut(*commitment),
            Call::FinishCommitment { commitment } => Self::Finish(*commitment),
            Call::RemoveUnit { unit, .. } => Self::NoUnit(*unit),
            Call::RemovePeerResource { peer, resource } => Self::NoResource(*peer, *resource),
            Call::RemovePeer { peer } => Self::NoPeer(*peer),
            Call::RemoveOffer { offer } => Self::NoOffer(*offer),
        }
    }
}

impl Call {
    /// The commitment that it funds, draws from or ends.
    #[must_use]
    pub fn commitment(&self) -> Option<CommitmentId> {
        if let Purpose::TakeBack(id)
        | Purpose::Collateral(id)
        | Purpose::Reward(id)
        | Purpose::CollateralBack(id)
        | Purpose::UnitsOut(id)
        | Purpose::Finish(id) = Purpose::of(self)
        {
            Some(id)
        } else {
            None
        }
    }

    /// Whether this transaction, once mined, does what `other` is for, so that sending both would be one too many.
    #[must_use]
    pub fn has_purpose_of(&self, other: &Self) -> bool {
        match (Purpose::of(self), Purpose::of(other)) {
            (Purpose::Peers(mine), Purpose::Peers(theirs)) => {
                mine.iter().any(|peer| theirs.contains(peer))
            }
            (mine, theirs) => mine == theirs,
        }
    }
}

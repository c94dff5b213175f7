//! Why a contract refused, as a type.

use core::fmt;

use alloy::hex;
use alloy::sol_types::SolInterface;

use crate::abi::Refusals;

/// The end of a call that a contract turned back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revert {
    /// A text whose meaning we know.
    Known(Refusal),
    /// A text that we do not know; still the contract's own word.
    Text(String),
    /// The commitment is not Active but in this state.
    CommitmentNotActive(u8),
    /// The commitment is in this state, which the call does not allow.
    CommitmentStatus(u8),
    /// One of the other errors in the contracts' interface, by name.
    Named(&'static str),
    /// A broken assertion in the contract; by Solidity's number.
    Panic(u64),
    /// An error that our interface does not have: its selector. Somebody else's contract, or a newer one.
    Foreign([u8; 4]),
    /// No data: out of gas, no contract there, or a broken node. Nothing follows from it.
    Unknown,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// Texts of the contracts that something follows from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The contract's words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    /// No such peer.
    PeerMissing = "Peer doesn't exist",
    /// No such commitment, or it was removed before its deposit.
    CommitmentMissing = "Capacity commitment doesn't exist",
    /// No such offer.
    OfferMissing = "Offer: offer doesn't exist",
    /// No such worker, or it was removed.
    WorkerMissing = "Worker not found",
    /// The provider has no name on chain yet.
    ProviderMissing = "Provider doesn't exist",
    /// A hash above the target, or of another epoch; the whole batch is refused.
    ProofTooBig = "Proof is bigger than difficulty",
    /// A unit was matched meanwhile; the whole batch is refused.
    UnitInDeal = "Compute unit is in deal",
    /// Before the start epoch.
    CommitmentNotStarted = "Capacity commitment is not started",
    /// Signed with another key than the peer's owner.
    NotPeerOwner = "Only compute peer owner can submit proof",
    /// Units of two peers in one batch.
    UnitsOfOtherPeers = "All units should belong to the same peer",
    /// The peer has a commitment already.
    PeerCommitted = "Peer already has commitment",
    /// The peer's commitment forbids it.
    PeerHasCommitment = "Peer has commitment",
    /// The id was taken by somebody else.
    PeerElsewhere = "Peer already exists in another offer",
    /// Leftovers of a removed peer.
    ResourceRegistered = "peer resource was already registered",
    /// A resource was taken away under a running worker.
    ResourceMissing = "peer does not have this resource",
    /// The deposit is too small.
    CollateralTooSmall = "Not enough collateral sent",
    /// The deposit is too large.
    CollateralTooLarge = "Excessive value",
    /// The deal cannot pay for another worker, or has ended.
    DealUnderfunded = "Deal: totalBalance overflow when billing",
    /// The provider is barred from its money.
    Frozen = "User is permanently frozen",
}

impl Refusal {
    /// Whether a contract's text says this; the library that says it may put its own name and a colon first.
    fn is_in(self, text: &str) -> bool {
        text.strip_suffix(self.text()).is_some_and(|name| name.is_empty() || name.ends_with(": "))
    }

    /// Whether it says that a thing does not exist.
    #[must_use]
    pub const fn is_absence(self) -> bool {
        matches!(
            self,
            Self::PeerMissing
                | Self::CommitmentMissing
                | Self::OfferMissing
                | Self::WorkerMissing
                | Self::ProviderMissing
        )
    }
}

impl Revert {
    /// Reads what the contract returned.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        let Some(selector) = data.first_chunk::<4>() else { return Self::Unknown };
        match Refusals::RefusalsErrors::abi_decode(data) {
            Ok(error) => Self::from_error(error),
            Err(_) => Self::Foreign(*selector),
        }
    }

    fn from_error(error: Refusals::RefusalsErrors) -> Self {
        use Refusals::RefusalsErrors as Errors;
        match error {
            Errors::Error(error) => Self::from_text(error.reason),
            Errors::Panic(panic) => Self::Panic(u64::try_from(panic.code).unwrap_or(u64::MAX)),
            Errors::CapacityCommitmentIsNotActive(error) => Self::CommitmentNotActive(error.status),
            Errors::InvalidCCStatus(error) => Self::CommitmentStatus(error.status),
            Errors::ReentrancyGuardReentrantCall(_) => Self::Named("ReentrancyGuardReentrantCall"),
            Errors::SafeERC20FailedOperation(_) => Self::Named("SafeERC20FailedOperation"),
            Errors::AddressEmptyCode(_) => Self::Named("AddressEmptyCode"),
            Errors::FailedCall(_) => Self::Named("FailedCall"),
            Errors::OwnableInvalidOwner(_) => Self::Named("OwnableInvalidOwner"),
            Errors::OwnableUnauthorizedAccount(_) => Self::Named("OwnableUnauthorizedAccount"),
        }
    }

    fn from_text(text: String) -> Self {
        Refusal::ALL
            .iter()
            .find(|known| known.is_in(&text))
            .map_or(Self::Text(text), |known| Self::Known(*known))
    }

    /// Whether something may follow from it; an unknown end and an error of somebody else's contract are no facts.
    #[must_use]
    pub const fn is_fact(&self) -> bool {
        !matches!(self, Self::Unknown | Self::Foreign(_))
    }

    /// Whether it says that the thing asked for does not exist.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Known(refusal) if refusal.is_absence())
    }

    /// One word for conditions and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Known(_) | Self::Text(_) | Self::Named(_) | Self::Panic(_) => "ContractReverted",
            Self::CommitmentNotActive(_) | Self::CommitmentStatus(_) => "CommitmentStatus",
            Self::Foreign(_) | Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(refusal) => formatter.write_str(refusal.text()),
            Self::Text(text) => formatter.write_str(text),
            Self::CommitmentNotActive(status) => {
                write!(formatter, "commitment is not active, status {status}")
            }
            Self::CommitmentStatus(status) => write!(formatter, "commitment has status {status}"),
            Self::Named(name) => formatter.write_str(name),
            Self::Panic(code) => write!(formatter, "contract panicked with code 0x{code:02x}"),
            Self::Foreign(selector) => {
                write!(formatter, "unknown error 0x{}", hex::encode(selector))
            }
            Self::Unknown => formatter.write_str("reverted without data"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{U256, hex};
    use alloy::sol_types::SolError;

    use super::*;

    fn text(reason: &str) -> Vec<u8> {
        Refusals::Error { reason: reason.to_owned() }.abi_encode()
    }

    #[rstest::rstest]
    #[case::a_known_text(text("Compute unit is in deal"), Revert::Known(Refusal::UnitInDeal), true)]
    #[case::a_known_text_of_a_library(
        text("BalanceKeeper: User is permanently frozen"),
        Revert::Known(Refusal::Frozen),
        true
    )]
    #[case::a_text_that_only_ends_alike(text("No Peer has commitment"), Revert::Text("No Peer has commitment".to_owned()), true)]
    #[case::another_text(text("something new"), Revert::Text("something new".to_owned()), true)]
    #[case::a_custom_error(hex!("0852c7200000000000000000000000000000000000000000000000000000000000000004").to_vec(), Revert::CommitmentNotActive(4), true)]
    #[case::another_status(hex!("b16acd3f0000000000000000000000000000000000000000000000000000000000000001").to_vec(), Revert::CommitmentStatus(1), true)]
    #[case::a_panic(Refusals::Panic { code: U256::from(0x11) }.abi_encode(), Revert::Panic(0x11), true)]
    #[case::a_foreign_error(hex!("12345678").to_vec(), Revert::Foreign([0x12, 0x34, 0x56, 0x78]), false)]
    #[case::nothing(Vec::new(), Revert::Unknown, false)]
    #[case::a_stub(vec![8, 0xc3], Revert::Unknown, false)]
    #[case::a_cut_text(text("Compute unit is in deal")[..40].to_vec(), Revert::Foreign([8, 0xc3, 0x79, 0xa0]), false)]
    fn a_refusal_is_a_fact_only_if_it_reads(
        #[case] data: Vec<u8>,
        #[case] revert: Revert,
        #[case] is_fact: bool,
    ) {
        let decoded = Revert::decode(&data);
        assert_eq!((decoded.is_fact(), decoded), (is_fact, revert));
    }

    #[test]
    fn only_texts_of_absence_are_absences() {
        let absent: Vec<&str> = Refusal::ALL
            .iter()
            .filter(|known| known.is_absence())
            .map(|known| known.text())
            .collect();
        let wanted = [
            "Peer doesn't exist",
            "Capacity commitment doesn't exist",
            "Offer: offer doesn't exist",
            "Worker not found",
            "Provider doesn't exist",
        ];
        assert_eq!(absent, wanted);
    }
}

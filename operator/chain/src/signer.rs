//! Keys: what they may sign, and how.

use core::fmt;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TxSignerSync;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use coreward_domain::call::KeyRole;
use futures::future::BoxFuture;

use crate::abi::{DealV2, Diamond};

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// In a Secret of this cluster.
    Secret,
    /// Behind a signing service.
    Remote,
    /// In a cloud's key store.
    Kms,
    /// With a person: nothing is signed by us.
    Manual,
}

/// A transaction to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// The chain.
    pub chain_id: u64,
    /// The account's nonce.
    pub nonce: u64,
    /// Receiver.
    pub to: Address,
    /// Calldata.
    pub input: Bytes,
    /// Wei.
    pub value: U256,
    /// Gas.
    pub gas_limit: u64,
    /// Wei per gas, all included.
    pub max_fee_per_gas: u128,
    /// Wei per gas for the block's maker.
    pub max_priority_fee_per_gas: u128,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What is sent.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key's text is not 32 bytes of hex.
    #[error("private key is not 32 bytes of hex")]
    Malformed,
    /// The key is of another address than configured.
    #[error("private key is of {found}, not of {wanted}")]
    WrongAddress {
        /// The key's address.
        found: Address,
        /// The configured address.
        wanted: Address,
    },
    /// The allow-list forbids it.
    #[error("key {address} may not call 0x{} on {to}", alloy::hex::encode(selector))]
    NotAllowed {
        /// The key's address.
        address: Address,
        /// The receiver.
        to: Address,
        /// First four bytes of the calldata; zero if it has fewer.
        selector: [u8; 4],
    },
    /// The key's keeper gave no signature.
    #[error("sign as {address}")]
    Unavailable {
        /// The key's address.
        address: Address,
        /// What went wrong.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

/// A key that signs transactions.
pub trait Signer: Send + Sync + fmt::Debug {
    /// Its account.
    fn address(&self) -> Address;

    /// Where it lives.
    fn kind(&self) -> Kind;

    /// Signs.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: try again later.
    fn sign<'a>(&'a self, transaction: &'a Unsigned) -> BoxFuture<'a, Result<Signed, Error>>;
}

/// A key held in memory, out of a Secret.
pub struct Secret(PrivateKeySigner);

impl Secret {
    /// Takes a key in hex, with or without `0x`; it must be of the account that the configuration names.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], [`Error::WrongAddress`]: a person must put the right key there.
    pub fn new(private_key: &str, address: Address) -> Result<Self, Error> {
        let key: PrivateKeySigner = private_key.trim().parse().map_err(|_| Error::Malformed)?;
        if key.address() != address {
            return Err(Error::WrongAddress { found: key.address(), wanted: address });
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Secret").field(&self.0.address()).finish()
    }
}

impl Signer for Secret {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn kind(&self) -> Kind {
        Kind::Secret
    }

    fn sign<'a>(&'a self, transaction: &'a Unsigned) -> BoxFuture<'a, Result<Signed, Error>> {
        Box::pin(async move {
            let mut body = transaction.body();
            let signature = self.0.sign_transaction_sync(&mut body).map_err(|error| {
                Error::Unavailable { address: self.address(), source: Box::new(error) }
            })?;
            let envelope = TxEnvelope::from(body.into_signed(signature));
            Ok(Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
        })
    }
}

impl Unsigned {
    fn body(&self) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            to: TxKind::Call(self.to),
            value: self.value,
            input: self.input.clone(),
            ..TxEip1559::default()
        }
    }
}

/// A contract that we call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contract {
    Diamond,
    Deal,
}

/// Every function that is ever signed, with the key that may.
const FUNCTIONS: &[(Contract, [u8; 4], KeyRole)] = &[
    (Contract::Diamond, Diamond::submitProofsCall::SELECTOR, KeyRole::Peer),
    (Contract::Deal, DealV2::activateWorkerCall::SELECTOR, KeyRole::Peer),
    (Contract::Deal, DealV2::removeWorkerCall::SELECTOR, KeyRole::Peer),
    (Contract::Deal, DealV2::withdrawRewardsCall::SELECTOR, KeyRole::Peer),
    (Contract::Diamond, Diamond::setProviderInfoCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::registerMarketOfferV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::addComputePeersV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::addComputeUnitsV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::changeResourcePriceV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::setOfferDatacenterCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::changePaymentTokenCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::registerPeerResourceCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::changeResourceDetailsCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::changeResourceMaxSupplyV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::createCommitmentCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::removeCommitmentCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::depositCollateralCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::withdrawRewardCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::withdrawCollateralCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::removeCUFromCCCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::finishCommitmentCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::removeComputeUnitV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::removePeerResourceCall::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::removeComputePeerV2Call::SELECTOR, KeyRole::Provider),
    (Contract::Diamond, Diamond::removeOfferV2Call::SELECTOR, KeyRole::Provider),
];

/// A key together with what it may sign; the only way to a signature.
#[derive(Debug)]
pub struct Permitted {
    signer: Box<dyn Signer>,
    roles: Vec<KeyRole>,
    diamond: Address,
}

impl Permitted {
    /// Lets a key sign the calls of these roles, on this diamond and its deals.
    #[must_use]
    pub fn new(signer: Box<dyn Signer>, roles: Vec<KeyRole>, diamond: Address) -> Self {
        Self { signer, roles, diamond }
    }

    /// The key's account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Where the key lives.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.signer.kind()
    }

    /// Whether the key may sign calls of this role.
    #[must_use]
    pub fn has_role(&self, role: KeyRole) -> bool {
        self.roles.contains(&role)
    }

    /// Checks the allow-list, then signs.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`] before the key is touched; else the signer's.
    pub async fn sign(&self, transaction: &Unsigned) -> Result<Signed, Error> {
        if !self.allows(transaction) {
            let selector = transaction.input.first_chunk().copied().unwrap_or_default();
            return Err(Error::NotAllowed {
                address: self.address(),
                to: transaction.to,
                selector,
            });
        }
        self.signer.sign(transaction).await
    }

    fn allows(&self, transaction: &Unsigned) -> bool {
        let to_itself = transaction.to == self.address();
        if to_itself {
            return transaction.input.is_empty() && transaction.value.is_zero();
        }
        let contract =
            if transaction.to == self.diamond { Contract::Diamond } else { Contract::Deal };
        let Some(selector) = transaction.input.first_chunk::<4>() else { return false };
        let pays =
            *selector == Diamond::depositCollateralCall::SELECTOR && contract == Contract::Diamond;
        if !transaction.value.is_zero() && !pays {
            return false;
        }
        FUNCTIONS.iter().any(|(kind, function, role)| {
            *kind == contract && function == selector && self.has_role(*role)
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy::consensus::Transaction;
    use alloy::primitives::{B256, address};
    use coreward_domain::call::{Call, Proof};
    use coreward_domain::epoch::Epoch;
    use coreward_domain::id::{CommitmentId, OfferId, OnchainWorkerId, PeerId, UnitId};

    use super::*;
    use crate::encode::encode;

    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ACCOUNT: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    const DIAMOND: Address = address!("00000000000000000000000000000000000000d1");
    const DEAL: Address = address!("00000000000000000000000000000000000000d2");

    fn permitted(role: KeyRole) -> Permitted {
        Permitted::new(Box::new(Secret::new(KEY, ACCOUNT).unwrap()), vec![role], DIAMOND)
    }

    fn unsigned(to: Address, input: Bytes, value: U256) -> Unsigned {
        Unsigned {
            chain_id: 31337,
            nonce: 3,
            to,
            input,
            value,
            gas_limit: 100_000,
            max_fee_per_gas: 20,
            max_priority_fee_per_gas: 2,
        }
    }

    fn of(call: &Call) -> Unsigned {
        let encoded = encode(call, DIAMOND);
        unsigned(encoded.to, encoded.input, encoded.value)
    }

    fn proofs() -> Call {
        let proof =
            Proof { unit: UnitId::default(), local_nonce: B256::ZERO, result_hash: B256::ZERO };
        Call::SubmitProofs { peer: PeerId::default(), epoch: Epoch(1), proofs: vec![proof] }
    }

    fn leave() -> Call {
        Call::RemoveWorker { deal: DEAL, worker: OnchainWorkerId::default() }
    }

    fn deposit() -> Call {
        Call::DepositCollateral { commitment: CommitmentId::default(), value: U256::from(9) }
    }

    fn remove_offer() -> Call {
        Call::RemoveOffer { offer: OfferId::default() }
    }

    #[rstest::rstest]
    #[case::the_peer_key_proves(KeyRole::Peer, of(&proofs()), true)]
    #[case::the_peer_key_leaves(KeyRole::Peer, of(&leave()), true)]
    #[case::the_peer_key_pledges_nothing(KeyRole::Peer, of(&deposit()), false)]
    #[case::the_provider_key_pledges(KeyRole::Provider, of(&deposit()), true)]
    #[case::the_provider_key_proves_nothing(KeyRole::Provider, of(&proofs()), false)]
    #[case::the_provider_key_takes_its_offer_off(KeyRole::Provider, of(&remove_offer()), true)]
    #[case::the_peer_key_takes_no_offer_off(KeyRole::Peer, of(&remove_offer()), false)]
    #[case::a_deal_function_is_not_for_the_diamond(
        KeyRole::Peer, Unsigned { to: DIAMOND, ..of(&leave()) }, false
    )]
    #[case::a_diamond_function_is_not_for_a_deal(KeyRole::Peer, Unsigned { to: DEAL, ..of(&proofs()) }, false)]
    #[case::money_goes_with_a_deposit_only(KeyRole::Peer, Unsigned { value: U256::ONE, ..of(&leave()) }, false)]
    #[case::an_empty_transfer_to_itself(
        KeyRole::Peer,
        unsigned(ACCOUNT, Bytes::new(), U256::ZERO),
        true
    )]
    #[case::a_transfer_to_another(
        KeyRole::Provider,
        unsigned(DEAL, Bytes::new(), U256::ONE),
        false
    )]
    #[tokio::test]
    async fn only_what_the_role_allows_is_signed(
        #[case] role: KeyRole,
        #[case] transaction: Unsigned,
        #[case] allowed: bool,
    ) {
        let signed = permitted(role).sign(&transaction).await;
        assert_eq!(signed.is_ok(), allowed, "{signed:?}");
    }

    #[tokio::test]
    async fn what_is_signed_reads_back() {
        let transaction = of(&proofs());
        let signed = permitted(KeyRole::Peer).sign(&transaction).await.unwrap();
        let envelope = crate::node::envelope(&signed.raw).unwrap();
        assert_eq!(*envelope.tx_hash(), signed.hash);
        assert_eq!(
            (envelope.nonce(), envelope.to(), envelope.chain_id()),
            (3, Some(DIAMOND), Some(31337))
        );
        assert_eq!(envelope.input(), &transaction.input);
    }

    #[test]
    fn a_key_of_another_account_is_refused_and_never_shown() {
        let error = Secret::new(KEY, DEAL).unwrap_err();
        assert!(matches!(error, Error::WrongAddress { found: ACCOUNT, .. }), "{error:?}");
        assert!(matches!(Secret::new("0x12", ACCOUNT), Err(Error::Malformed)));
        let shown = format!("{:?}", permitted(KeyRole::Peer));
        assert!(!shown.contains("ac0974be"), "{shown}");
    }
}

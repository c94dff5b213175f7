//! Accounts of the people in a story.

use alloy::{
    primitives::{Address, B256},
    signers::local::PrivateKeySigner,
};
use sha2::{Digest, Sha256};

use super::error::{Error, Result};

/// A key and its address. The node signs for every address by itself; the key is for the product's Secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The address.
    pub address: Address,
    key: B256,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.address)
    }
}

impl Account {
    /// The account of `role` in `story`: the same words give the same account, so that a failure can be looked at again.
    ///
    /// # Errors
    /// [`Error::Text`] for the one hash in 2^128 that is no key.
    pub fn of(story: &str, role: &str) -> Result<Self> {
        let text = format!("{story}/{role}");
        let key = B256::from_slice(&Sha256::digest(&text));
        let signer = PrivateKeySigner::from_bytes(&key)
            .map_err(|_| Error::Text { what: "source of a private key", text })?;
        Ok(Self { address: signer.address(), key })
    }

    /// The private key as 0x-hex, as a Secret of a signer holds it.
    #[must_use]
    pub fn private_key(&self) -> String {
        self.key.to_string()
    }
}

//! A contract's refusal in words.

use alloy::{
    primitives::hex,
    sol_types::{Revert, SolError, SolInterface},
};

use super::abi::Refusals;

/// The text of `Error(string)`, a custom error of the contracts, or the bare data in hex.
#[must_use]
pub(super) fn reason(data: &[u8]) -> String {
    if data.is_empty() {
        return "no revert data".to_owned();
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return revert.reason().to_owned();
    }
    match Refusals::RefusalsErrors::abi_decode(data) {
        Ok(Refusals::RefusalsErrors::CapacityCommitmentIsNotActive(error)) => {
            format!("CapacityCommitmentIsNotActive({})", error.status)
        }
        Ok(Refusals::RefusalsErrors::InvalidCCStatus(error)) => {
            format!("InvalidCCStatus({})", error.status)
        }
        Ok(Refusals::RefusalsErrors::OwnableUnauthorizedAccount(error)) => {
            format!("OwnableUnauthorizedAccount({})", error.account)
        }
        Err(_) => hex::encode_prefixed(data),
    }
}

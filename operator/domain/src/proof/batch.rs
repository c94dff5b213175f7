//! How proofs are put together, and when an extra one pays.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, U256};

use crate::call::{Call, Proof};
use crate::chain::Snapshot;
use crate::id::UnitId;

use super::{Fate, Found, Limits, Seen};

/// Gas of a unit's first proof of an epoch, rounded up. Source: measured on the contracts, 100 to 120 k.
const FIRST_PROOF_GAS: u64 = 120_000;

/// Gas of each further proof of a unit, rounded up. Source: measured on the contracts, 46.5 k.
const FURTHER_PROOF_GAS: u64 = 50_000;

/// Gas of a transaction before its first proof: 21 k intrinsic, the rest for the commitment's own snapshot.
const BASE_GAS: u64 = 150_000;

/// Bytes of call data before the first proof: selector, three offsets, three lengths, and the envelope.
const BASE_BYTES: u64 = 4 + 6 * 32 + 256;

/// Bytes of call data per proof: unit, local nonce, result.
const PROOF_BYTES: u64 = 3 * 32;

/// Whether one more proof earns more than its gas costs, with the margin.
pub(super) fn is_worth_gas(seen: &Seen, snapshot: &Snapshot) -> bool {
    let proofs = U256::from(snapshot.total_success_proofs).saturating_add(U256::ONE);
    let reward = snapshot.reward_pool / proofs;
    let gas = U256::from(FURTHER_PROOF_GAS).saturating_mul(U256::from(snapshot.head.base_fee));
    let percent = U256::from(100_u64.saturating_add(u64::from(seen.safety_margin_percent)));
    reward.saturating_mul(U256::from(100)) > gas.saturating_mul(percent)
}

/// Proofs of one unit that could be sent now.
#[derive(Clone, Debug, Default)]
pub(super) struct Stock {
    /// Accepted by the chain in this epoch.
    pub(super) on_chain: u32,
    /// Whether the epoch asks for its minimum; one that just came back from a deal may prove and need not.
    pub(super) is_required: bool,
    /// Found, and neither settled nor refused; in a fixed order.
    pub(super) open: Vec<Proof>,
}

impl Stock {
    /// How many of the open ones the minimum still needs.
    fn needed(&self, minimum: u32) -> usize {
        if !self.is_required {
            return 0;
        }
        size(minimum.saturating_sub(self.on_chain)).min(self.open.len())
    }

    /// How many of the open ones the contract still takes.
    fn takable(&self, maximum: u32) -> usize {
        size(maximum.saturating_sub(self.on_chain)).min(self.open.len())
    }

    /// Whether it has found all that the contract takes.
    pub(super) fn is_full(&self, maximum: u32) -> bool {
        self.open.len() >= size(maximum.saturating_sub(self.on_chain))
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Puts found proofs of this epoch into the stocks of the units that the chain takes proofs of.
pub(super) fn fill(
    mut stocks: BTreeMap<UnitId, Stock>,
    seen: &Seen,
    snapshot: &Snapshot,
) -> BTreeMap<UnitId, Stock> {
    let mut taken = sent(seen, snapshot);
    for found in &seen.pool {
        let is_current =
            found.epoch == snapshot.epoch && found.global_nonce == snapshot.global_nonce;
        if !is_current || found.fate != Fate::Open || !taken.insert((found.unit, found.local_nonce))
        {
            continue;
        }
        if let Some(stock) = stocks.get_mut(&found.unit) {
            let Found { unit, local_nonce, result_hash, .. } = *found;
            stock.open.push(Proof { unit, local_nonce, result_hash });
        }
    }
    for stock in stocks.values_mut() {
        stock.open.sort_unstable();
    }
    stocks
}

/// Proofs of this epoch that are in a transaction already, mined or not: a repeated one costs gas for nothing.
fn sent(seen: &Seen, snapshot: &Snapshot) -> BTreeSet<(UnitId, B256)> {
    let batches = seen.flights.iter().filter_map(|flight| {
        if let Call::SubmitProofs { epoch, proofs, .. } = &flight.call {
            return (*epoch == snapshot.epoch).then_some(proofs);
        }
        None
    });
    batches.flatten().map(|proof| (proof.unit, proof.local_nonce)).collect()
}

/// A transaction's worth of proofs.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) proofs: Vec<Proof>,
    gas_left: u64,
    bytes_left: u64,
}

impl Batch {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            proofs: Vec::new(),
            gas_left: limits.gas.saturating_sub(BASE_GAS),
            bytes_left: limits.bytes.saturating_sub(BASE_BYTES),
        }
    }

    /// Takes what each unit's minimum still needs.
    pub(super) fn take_minimum(&mut self, stocks: &BTreeMap<UnitId, Stock>, minimum: u32) {
        for stock in stocks.values() {
            let needed = stock.needed(minimum);
            self.take(stock, &stock.open[..needed], true);
        }
    }

    /// Takes what lies between the minimum and what the contract takes.
    pub(super) fn take_extra(
        &mut self,
        stocks: &BTreeMap<UnitId, Stock>,
        minimum: u32,
        maximum: u32,
    ) {
        for stock in stocks.values() {
            let (from, to) = (stock.needed(minimum), stock.takable(maximum));
            // An extra proof counts only if the unit reaches its minimum, by this very batch at the latest.
            let reaches = size(stock.on_chain.min(minimum)).saturating_add(to) >= size(minimum);
            if reaches && from < to {
                self.take(stock, &stock.open[from..to], from == 0);
            }
        }
    }

    fn take(&mut self, stock: &Stock, proofs: &[Proof], is_first_slice: bool) {
        for (index, proof) in proofs.iter().enumerate() {
            let is_first = is_first_slice && index == 0 && stock.on_chain == 0;
            let gas = if is_first { FIRST_PROOF_GAS } else { FURTHER_PROOF_GAS };
            let (Some(gas_left), Some(bytes_left)) =
                (self.gas_left.checked_sub(gas), self.bytes_left.checked_sub(PROOF_BYTES))
            else {
                // Full is full: nothing of less use slips in behind.
                self.gas_left = 0;
                return;
            };
            (self.gas_left, self.bytes_left) = (gas_left, bytes_left);
            self.proofs.push(*proof);
        }
    }
}

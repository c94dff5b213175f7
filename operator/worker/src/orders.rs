//! What the operator ordered last, as all parts of the worker see it.

use std::sync::Arc;

use alloy_primitives::{B256, U256};
use coreward_wire::{Assignment, Duty, Member, WorkerDuty};
use ed25519_dalek::SigningKey;
use tokio::sync::watch;

/// The last order; never empty.
pub(crate) type Orders = watch::Receiver<Arc<WorkerDuty>>;

/// Takes the order out of an assignment; `None` if it is for another kind of pod.
pub(crate) fn of_worker(assignment: &Assignment) -> Option<WorkerDuty> {
    match &assignment.duty {
        Duty::Worker(duty) => Some(duty.as_ref().clone()),
        Duty::Prover(_) | Duty::Node(_) | Duty::Gateway(_) | Duty::Probe => None,
    }
}

/// Whether two orders are for one worker with one key; a process serves one in its life.
pub(crate) fn same_worker(one: &WorkerDuty, other: &WorkerDuty) -> bool {
    one.deal == other.deal
        && one.onchain_worker_id == other.onchain_worker_id
        && one.key_seed == other.key_seed
}

/// The id in decimal, as host names and headers have it.
pub(crate) fn decimal(id: B256) -> String {
    U256::from_be_bytes(id.0).to_string()
}

/// The worker's overlay key: its `offchainWorkerId`.
pub(crate) fn own_key(duty: &WorkerDuty) -> [u8; 32] {
    SigningKey::from_bytes(&duty.key_seed.0.0).verifying_key().to_bytes()
}

/// The member with this key.
pub(crate) fn member_by_key<'duty>(
    duty: &'duty WorkerDuty,
    key: &[u8; 32],
) -> Option<&'duty Member> {
    duty.members.iter().find(|member| member.offchain_worker_id.0 == *key)
}

/// The member with this id on chain.
pub(crate) fn member_by_id(duty: &WorkerDuty, id: B256) -> Option<&Member> {
    duty.members.iter().find(|member| member.onchain_worker_id == id)
}

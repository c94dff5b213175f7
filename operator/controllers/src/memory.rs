//! What turns remember from each other and may lose: after a restart it is seen anew, later and never wrongly.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use coreward_crds::UnitRole;
use coreward_domain::chain::Snapshot;
use coreward_domain::deal::Member;
use coreward_domain::id::{CommitmentId, OnchainWorkerId, UnitId};
use coreward_domain::payout::Source;

/// A change of a unit's role that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What ran before.
    pub from: UnitRole,
    /// What is wanted.
    pub to: UnitRole,
    /// When the chain's wish was seen.
    pub since: Instant,
    /// In which block.
    pub block: u64,
}

/// The memory. Every entry is bounded by what exists on chain or in the cluster.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    commitments: HashMap<CommitmentId, u64>,
    members: HashMap<(String, Address), (BTreeSet<Member>, u64)>,
    matches: HashMap<(String, OnchainWorkerId), (Instant, u64)>,
    epochs: HashMap<String, Epochs>,
    withdrawals: HashMap<Source, u64>,
    roles: HashMap<UnitId, (UnitRole, Option<Change>)>,
    children: HashMap<String, (String, Instant)>,
    waiting: HashMap<String, Instant>,
    silent: HashMap<String, Instant>,
    gone: HashMap<String, u64>,
    told: HashSet<(String, &'static str)>,
    renewed: BTreeSet<String>,
}

#[derive(Debug)]
struct Epochs {
    last: Arc<Snapshot>,
    finished: Option<Arc<Snapshot>>,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a commitment that block `head` shows, and says whether a block that showed it is final.
    pub fn commitment_is_final(&self, id: CommitmentId, head: u64, finalized: u64) -> bool {
        self.with(|inner| *inner.commitments.entry(id).or_insert(head) <= finalized)
    }

    /// The block since which a deal has had exactly these members, as far as we saw.
    pub fn members_since(
        &self,
        network: &str,
        deal: Address,
        members: &BTreeSet<Member>,
        head: u64,
    ) -> u64 {
        self.with(|inner| {
            let entry = inner
                .members
                .entry((network.to_owned(), deal))
                .or_insert_with(|| (members.clone(), head));
            if entry.0 != *members {
                *entry = (members.clone(), head);
            }
            entry.1
        })
    }

    /// When and in which block a seat was first seen.
    pub fn matched(
        &self,
        network: &str,
        worker: OnchainWorkerId,
        now: (Instant, u64),
    ) -> (Instant, u64) {
        self.with(|inner| *inner.matches.entry((network.to_owned(), worker)).or_insert(now))
    }

    /// Takes note of a snapshot; the last one of each epoch is kept for the epoch's account.
    pub fn note(&self, network: &str, snapshot: &Arc<Snapshot>) {
        self.with(|inner| match inner.epochs.get_mut(network) {
            None => {
                let epochs = Epochs { last: Arc::clone(snapshot), finished: None };
                inner.epochs.insert(network.to_owned(), epochs);
            }
            Some(epochs) => {
                if snapshot.epoch > epochs.last.epoch {
                    epochs.finished = Some(Arc::clone(&epochs.last));
                }
                epochs.last = Arc::clone(snapshot);
            }
        });
    }

    /// The last snapshot of the last finished epoch.
    pub fn finished_epoch(&self, network: &str) -> Option<Arc<Snapshot>> {
        self.with(|inner| inner.epochs.get(network)?.finished.clone())
    }

    /// Notes a withdrawal at this block timestamp.
    pub fn withdrew(&self, source: Source, timestamp: u64) {
        self.with(|inner| inner.withdrawals.insert(source, timestamp));
    }

    /// Block timestamps of the last withdrawals.
    pub fn withdrawals(&self) -> std::collections::BTreeMap<Source, u64> {
        self.with(|inner| inner.withdrawals.iter().map(|(source, at)| (*source, *at)).collect())
    }

    /// Follows a unit's wanted role; says the change that is under way.
    pub fn role(&self, unit: UnitId, wanted: UnitRole, at: (Instant, u64)) -> Option<Change> {
        self.with(|inner| {
            let entry = inner.roles.entry(unit).or_insert((wanted, None));
            if entry.0 != wanted {
                *entry =
                    (wanted, Some(Change { from: entry.0, to: wanted, since: at.0, block: at.1 }));
            }
            entry.1
        })
    }

    /// The change of a unit's role is over and told.
    pub fn role_settled(&self, unit: UnitId) {
        self.with(|inner| {
            if let Some(entry) = inner.roles.get_mut(&unit) {
                entry.1 = None;
            }
        });
    }

    /// Whether what stands around a deal's workers must be looked at again: its description changed, or that was long ago.
    pub fn is_due(&self, what: &str, hash: &str, now: Instant, every: Duration) -> bool {
        self.with(|inner| {
            inner.children.get(what).is_none_or(|(before, at)| {
                before != hash || now.saturating_duration_since(*at) >= every
            })
        })
    }

    /// Notes that it was looked at.
    pub fn looked(&self, what: &str, hash: &str, now: Instant) {
        self.with(|inner| inner.children.insert(what.to_owned(), (hash.to_owned(), now)));
    }

    /// Whether it was ever found complete.
    pub fn was_complete(&self, what: &str) -> bool {
        self.with(|inner| inner.children.contains_key(what))
    }

    /// Forgets what was noted about a thing that is gone.
    pub fn forget(&self, what: &str) {
        self.with(|inner| {
            inner.children.remove(what);
        });
    }

    /// How long a thing has been waited for.
    pub fn waited(&self, what: &str, now: Instant) -> Duration {
        self.with(|inner| {
            now.saturating_duration_since(*inner.waiting.entry(what.to_owned()).or_insert(now))
        })
    }

    /// For how long a node has been silent without a word between; `None` while it is not.
    pub fn silent(&self, node: &str, is_ready: bool, now: Instant) -> Option<Duration> {
        self.with(|inner| {
            if is_ready {
                inner.silent.remove(node);
                return None;
            }
            let since = *inner.silent.entry(node.to_owned()).or_insert(now);
            Some(now.saturating_duration_since(since))
        })
    }

    /// Since which block the chain has listed nothing of ours in a deal; `None` while it lists something.
    pub fn gone_since(&self, namespace: &str, joined: bool, head: u64) -> Option<u64> {
        self.with(|inner| {
            if joined {
                inner.gone.remove(namespace);
                None
            } else {
                Some(*inner.gone.entry(namespace.to_owned()).or_insert(head))
            }
        })
    }

    /// Notes that a pod is being deleted for its old template; `present` are the UIDs of all pods.
    pub fn renewed(&self, uid: &str, present: &BTreeSet<String>) {
        self.with(|inner| {
            inner.renewed.retain(|uid| present.contains(uid));
            inner.renewed.insert(uid.to_owned());
        });
    }

    /// The deletion was refused.
    pub fn not_renewed(&self, uid: &str) {
        self.with(|inner| inner.renewed.remove(uid));
    }

    /// Whether it was handed in.
    pub fn is_renewed(&self, uid: &str) -> bool {
        self.with(|inner| inner.renewed.contains(uid))
    }

    /// Whether this is to be told of an object now: once until [`Memory::untold`].
    pub fn tell_once(&self, object: &str, what: &'static str) -> bool {
        self.with(|inner| inner.told.insert((object.to_owned(), what)))
    }

    /// It no longer holds; the next time is told again.
    pub fn untold(&self, object: &str, what: &'static str) {
        self.with(|inner| inner.told.remove(&(object.to_owned(), what)));
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::clock;

    #[test]
    fn a_commitment_is_final_once_a_block_that_showed_it_is() {
        let memory = Memory::default();
        let id = CommitmentId(B256::repeat_byte(1));
        assert!(!memory.commitment_is_final(id, 10, 8));
        assert!(!memory.commitment_is_final(id, 11, 9));
        assert!(memory.commitment_is_final(id, 12, 10));
    }

    #[test]
    fn members_keep_their_block_until_they_change() {
        let memory = Memory::default();
        let none = BTreeSet::new();
        assert_eq!(memory.members_since("local", Address::ZERO, &none, 5), 5);
        assert_eq!(memory.members_since("local", Address::ZERO, &none, 6), 5);
        let member =
            Member { worker: OnchainWorkerId(B256::ZERO), offchain: B256::repeat_byte(1).into() };
        assert_eq!(memory.members_since("local", Address::ZERO, &BTreeSet::from([member]), 7), 7);
    }

    #[test]
    fn a_role_changes_when_the_wish_does() {
        let memory = Memory::default();
        let (unit, now) = (UnitId(B256::ZERO), clock::now());
        assert_eq!(memory.role(unit, UnitRole::Prover, (now, 1)), None);
        let change = memory.role(unit, UnitRole::Worker, (now, 2)).unwrap();
        assert_eq!((change.from, change.to, change.block), (UnitRole::Prover, UnitRole::Worker, 2));
        assert_eq!(memory.role(unit, UnitRole::Worker, (now, 3)), Some(change));
        memory.role_settled(unit);
        assert_eq!(memory.role(unit, UnitRole::Worker, (now, 4)), None);
    }

    #[test]
    fn what_is_told_once_is_not_told_twice() {
        let memory = Memory::default();
        assert!(memory.tell_once("a", "x"));
        assert!(!memory.tell_once("a", "x"));
        memory.untold("a", "x");
        assert!(memory.tell_once("a", "x"));
    }
}

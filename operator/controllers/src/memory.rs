//! What turns remember from each other and may lose: after a restart it is seen anew, later and never wrongly.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use coreward_crds::UnitRole;
use coreward_domain::chain::Snapshot;
use coreward_domain::deal::Member;
use coreward_domain::id::{CommitmentId, OnchainWorkerId, UnitId};
use coreward_domain::payout::Source;

use crate::clock;
use crate::fading::Fading;

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

/// The memory. What exists is asked for at every turn; what nobody asks for fades, and is seen anew if it comes back.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    commitments: Fading<CommitmentId, u64>,
    members: Fading<(String, Address), (BTreeSet<Member>, u64)>,
    matches: Fading<(String, OnchainWorkerId), (Instant, u64)>,
    /// By network; these are configured.
    epochs: HashMap<String, Epochs>,
    withdrawals: Fading<Source, u64>,
    /// Since when each withdrawal is due, by offer.
    due: Fading<String, BTreeMap<Source, Instant>>,
    roles: Fading<UnitId, (UnitRole, Option<Change>)>,
    children: Fading<String, (String, Instant)>,
    waiting: Fading<String, Instant>,
    silent: Fading<String, Instant>,
    gone: Fading<String, u64>,
    told: Fading<(String, &'static str), ()>,
    /// By UID; those of pods that are gone leave with the next.
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
        self.with(|inner| *inner.commitments.get_or_insert(id, clock::now(), || head) <= finalized)
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
            let key = (network.to_owned(), deal);
            let first = || (members.clone(), head);
            let entry = inner.members.get_or_insert(key, clock::now(), first);
            if entry.0 != *members {
                *entry = (members.clone(), head);
            }
            entry.1
        })
    }

    /// The members that a deal had when it was last asked since when it has had them.
    pub fn last_members(&self, network: &str, deal: Address) -> Option<BTreeSet<Member>> {
        let key = (network.to_owned(), deal);
        self.with(|inner| Some(inner.members.get(&key, clock::now())?.0.clone()))
    }

    /// When and in which block a seat was first seen.
    pub fn matched(
        &self,
        network: &str,
        worker: OnchainWorkerId,
        now: (Instant, u64),
    ) -> (Instant, u64) {
        self.with(|inner| *inner.matches.get_or_insert((network.to_owned(), worker), now.0, || now))
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
        self.with(|inner| inner.withdrawals.insert(source, clock::now(), timestamp));
    }

    /// Block timestamps of the last withdrawals from these sources.
    pub fn withdrawals(&self, sources: &BTreeSet<Source>) -> BTreeMap<Source, u64> {
        let now = clock::now();
        self.with(|inner| {
            let last = |source: &Source| Some((*source, *inner.withdrawals.get(source, now)?));
            sources.iter().filter_map(last).collect()
        })
    }

    /// Notes all withdrawals of an offer that are due now; one that no longer is was made, or is not wanted.
    pub fn withdrawals_due(&self, offer: &str, sources: &BTreeSet<Source>, now: Instant) {
        self.with(|inner| {
            let due = inner.due.get_or_insert(offer.to_owned(), now, BTreeMap::new);
            due.retain(|source, _| sources.contains(source));
            for source in sources {
                due.entry(*source).or_insert(now);
            }
        });
    }

    /// For how long the oldest withdrawal of an offer has been due, zero if none is; `None` before the first note.
    pub fn withdrawal_waiting(&self, offer: &str, now: Instant) -> Option<Duration> {
        self.with(|inner| {
            let oldest = inner.due.get(offer, now)?.values().min().copied();
            Some(oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
        })
    }

    /// Follows a unit's wanted role; says the change that is under way.
    pub fn role(&self, unit: UnitId, wanted: UnitRole, at: (Instant, u64)) -> Option<Change> {
        self.with(|inner| {
            let entry = inner.roles.get_or_insert(unit, at.0, || (wanted, None));
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
            if let Some(entry) = inner.roles.get(&unit, clock::now()) {
                entry.1 = None;
            }
        });
    }

    /// Whether what stands around a deal's workers must be looked at again: its description changed, or that was long ago.
    pub fn is_due(&self, what: &str, hash: &str, now: Instant, every: Duration) -> bool {
        self.with(|inner| {
            inner.children.get(what, now).is_none_or(|(before, at)| {
                before != hash || now.saturating_duration_since(*at) >= every
            })
        })
    }

    /// Notes that it was looked at.
    pub fn looked(&self, what: &str, hash: &str, now: Instant) {
        self.with(|inner| inner.children.insert(what.to_owned(), now, (hash.to_owned(), now)));
    }

    /// Whether it was ever found complete.
    pub fn was_complete(&self, what: &str) -> bool {
        self.with(|inner| inner.children.get(what, clock::now()).is_some())
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
            now.saturating_duration_since(*inner.waiting.get_or_insert(
                what.to_owned(),
                now,
                || now,
            ))
        })
    }

    /// For how long a node has been silent without a word between; `None` while it is not.
    pub fn silent(&self, node: &str, is_ready: bool, now: Instant) -> Option<Duration> {
        self.with(|inner| {
            if is_ready {
                inner.silent.remove(node);
                return None;
            }
            let since = *inner.silent.get_or_insert(node.to_owned(), now, || now);
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
                Some(*inner.gone.get_or_insert(namespace.to_owned(), clock::now(), || head))
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
        let key = (object.to_owned(), what);
        self.with(|inner| inner.told.insert(key, clock::now(), ()).is_none())
    }

    /// It no longer holds; the next time is told again.
    pub fn untold(&self, object: &str, what: &'static str) {
        self.with(|inner| inner.told.remove(&(object.to_owned(), what)));
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};

    use super::*;

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
    fn a_withdrawal_waits_from_when_it_was_first_due_until_it_is_not() {
        let (memory, begun) = (Memory::default(), clock::now());
        let [one, other] =
            [1, 2].map(|byte| Source::Commitment(CommitmentId(B256::repeat_byte(byte))));
        let after = |seconds| begun + Duration::from_secs(seconds);
        let waiting = |seconds| memory.withdrawal_waiting("o", after(seconds));
        assert_eq!(waiting(0), None, "nothing is known before the first turn");
        memory.withdrawals_due("o", &BTreeSet::new(), begun);
        assert_eq!(waiting(5), Some(Duration::ZERO));
        memory.withdrawals_due("o", &BTreeSet::from([one]), after(10));
        memory.withdrawals_due("o", &BTreeSet::from([one, other]), after(20));
        assert_eq!(waiting(30), Some(Duration::from_secs(20)));
        memory.withdrawals_due("o", &BTreeSet::from([other]), after(30));
        assert_eq!(waiting(30), Some(Duration::from_secs(10)));
        memory.withdrawals_due("o", &BTreeSet::new(), after(40));
        memory.withdrawals_due("o", &BTreeSet::from([one]), after(50));
        assert_eq!(waiting(60), Some(Duration::from_secs(10)));
    }

    #[test]
    fn what_is_told_once_is_not_told_twice() {
        let memory = Memory::default();
        assert!(memory.tell_once("a", "x"));
        assert!(!memory.tell_once("a", "x"));
        memory.untold("a", "x");
        assert!(memory.tell_once("a", "x"));
    }

    /// Whatever is noted of a deal, its worker, its unit, its commitment, its node.
    fn note_all(memory: &Memory, number: u64, head: u64) {
        let (now, bytes) = (clock::now(), B256::from(U256::from(number)));
        let (name, deal) = (number.to_string(), Address::from_word(bytes));
        let (worker, commitment) = (OnchainWorkerId(bytes), CommitmentId(bytes));
        memory.commitment_is_final(commitment, head, 0);
        memory.members_since("local", deal, &BTreeSet::new(), head);
        memory.matched("local", worker, (now, head));
        memory.withdrew(Source::Worker(deal, worker), head);
        memory.role(UnitId(bytes), UnitRole::Worker, (now, head));
        memory.looked(&name, "hash", now);
        memory.waited(&name, now);
        memory.silent(&name, false, now);
        memory.gone_since(&name, false, head);
        memory.tell_once(&name, "Reason");
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_deals_come_and_go_and_one_that_stays_is_remembered() {
        const LIVING: u64 = u64::MAX;
        let (memory, begun) = (Memory::default(), clock::now());
        note_all(&memory, LIVING, 5);
        for number in 0..10_000 {
            tokio::time::advance(Duration::from_mins(1)).await;
            note_all(&memory, number, 6);
            if number % 60 == 0 {
                let now = clock::now();
                let (bytes, name) = (B256::from(U256::from(LIVING)), LIVING.to_string());
                let (worker, deal) = (OnchainWorkerId(bytes), Address::from_word(bytes));
                let source = Source::Worker(deal, worker);
                assert!(memory.commitment_is_final(CommitmentId(bytes), 6, 5));
                assert_eq!(memory.members_since("local", deal, &BTreeSet::new(), 6), 5);
                assert_eq!(memory.matched("local", worker, (now, 6)), (begun, 5));
                let last = memory.withdrawals(&BTreeSet::from([source]));
                assert_eq!(last, BTreeMap::from([(source, 5)]));
                assert_eq!(memory.role(UnitId(bytes), UnitRole::Worker, (now, 6)), None);
                assert!(memory.was_complete(&name));
                assert_eq!(memory.waited(&name, now), now - begun);
                assert_eq!(memory.silent(&name, false, now), Some(now - begun));
                assert_eq!(memory.gone_since(&name, false, 6), Some(5));
                assert!(!memory.tell_once(&name, "Reason"));
            }
        }
        let sizes = memory.with(|inner| {
            [
                inner.commitments.len(),
                inner.members.len(),
                inner.matches.len(),
                inner.withdrawals.len(),
                inner.roles.len(),
                inner.children.len(),
                inner.waiting.len(),
                inner.silent.len(),
                inner.gone.len(),
                inner.told.len(),
            ]
        });
        assert!(sizes.iter().all(|size| *size < 2_000), "{sizes:?}");
    }
}

//! From what the chain owes us to what is withdrawn.

use std::collections::BTreeSet;

use alloy_primitives::U256;

use crate::call::Call;
use crate::chain::{Deal, DealStatus, Snapshot, Worker};
use crate::gate::{Draft, Urgency};
use crate::id::{CommitmentId, OnchainWorkerId};

use super::{Plan, Seen, Source, Step, Why};

/// Decides what is withdrawn.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    let Some(snapshot) = seen.snapshot.as_deref() else {
        return Plan {
            steps: Vec::new(),
            planned: Vec::new(),
            retired: BTreeSet::new(),
            why: Why::ChainUnknown,
        };
    };
    let mut draft = Draft::new(&seen.gate, &seen.flights, snapshot);
    for (id, present) in commitments(seen, snapshot) {
        commitment(&mut draft, seen, snapshot, (id, present));
    }
    workers(&mut draft, seen, snapshot);
    let why = match (draft.has_sends(), draft.all_held(), draft.waits_for_flight()) {
        (true, ..) => Why::Withdrawing,
        (false, Some(hold), _) => Why::Held(hold),
        (false, None, true) => Why::WaitingForReceipt,
        (false, None, false) => Why::NothingDue,
    };
    let (sends, planned) = draft.finish();
    Plan {
        steps: sends.into_iter().map(Step::Send).collect(),
        planned,
        retired: retired(seen, snapshot),
        why,
    }
}

/// Whatever the offer may draw from, whether that is due or not.
#[must_use]
pub fn sources(seen: &Seen) -> BTreeSet<Source> {
    let Some(snapshot) = seen.snapshot.as_deref() else { return BTreeSet::new() };
    let commitments = commitments(seen, snapshot).into_iter();
    let commitments = commitments.map(|(id, _)| Source::Commitment(id));
    let workers = snapshot.deals.iter().flat_map(|(deal, known)| {
        own_workers(seen, known).map(|(worker, _)| Source::Worker(*deal, *worker))
    });
    commitments.chain(workers).collect()
}

/// Sources of which a withdrawal is wanted that no block shows: planned, held or on its way. `None` while the chain is unknown.
#[must_use]
pub fn due(seen: &Seen, plan: &Plan) -> Option<BTreeSet<Source>> {
    let head = seen.snapshot.as_deref()?.head.number;
    let own = sources(seen);
    let flying = seen.flights.iter().filter(|flight| flight.is_open_at(head));
    let calls = plan.planned.iter().map(|planned| &planned.call);
    let wanted = calls.chain(flying.map(|flight| &flight.call)).filter_map(Source::of);
    Some(wanted.filter(|source| own.contains(source)).collect())
}

/// All commitments that may hold rewards, and whether each is a peer's present one.
fn commitments(seen: &Seen, snapshot: &Snapshot) -> BTreeSet<(CommitmentId, bool)> {
    let present: BTreeSet<_> = present(seen, snapshot).collect();
    let past =
        seen.past_commitments.iter().filter(|id| !present.contains(id)).map(|id| (*id, false));
    past.chain(present.iter().map(|id| (*id, true))).collect()
}

/// Whether every peer was read, so that a commitment that none of them names is past indeed.
fn are_peers_known(seen: &Seen, snapshot: &Snapshot) -> bool {
    seen.peers.iter().all(|peer| snapshot.peers.contains_key(peer))
}

fn present(seen: &Seen, snapshot: &Snapshot) -> impl Iterator<Item = CommitmentId> {
    seen.peers.iter().filter_map(|peer| snapshot.peers.get(peer)?.as_ref()?.commitment)
}

fn commitment(
    draft: &mut Draft<'_>,
    seen: &Seen,
    snapshot: &Snapshot,
    (id, is_present): (CommitmentId, bool),
) {
    let Some(Some(known)) = snapshot.commitments.get(&id) else { return };
    let has_ended = !is_present && are_peers_known(seen, snapshot);
    let is_last = has_ended && known.total_rewards <= known.unlocked_rewards;
    // The last of a past commitment is fetched however little it is: nothing will be added to it.
    let is_enough = is_last || known.unlocked_rewards >= seen.policy.minimum_reward;
    let is_due = (is_last && seen.ending) || is_due(seen, snapshot, Source::Commitment(id));
    if known.unlocked_rewards > U256::ZERO && is_enough && is_due {
        let call =
            Call::WithdrawCommitmentRewards { commitment: id, unlocked: known.unlocked_rewards };
        draft.want(call, Urgency::Duty, "proof rewards are unlocked");
    }
}

fn workers(draft: &mut Draft<'_>, seen: &Seen, snapshot: &Snapshot) {
    // Leaving pays. Beside leaving a stopped deal a withdrawal would find no worker; in an unpaid epoch the contract would count
    // that epoch as the last paid, and who is to leave after a grace would stay longer for nothing. What is sent in the last paid
    // epoch may be mined in the next.
    let pays =
        |deal: &&Deal| deal.status != DealStatus::Ended && snapshot.epoch < deal.max_paid_epoch;
    for (deal, known) in snapshot.deals.iter().filter(|(_, known)| pays(known)) {
        for (worker, ours) in own_workers(seen, known) {
            let source = Source::Worker(*deal, *worker);
            let is_enough = ours.reward > U256::ZERO && ours.reward >= seen.policy.minimum_pay;
            if ours.is_activated() && is_enough && is_due(seen, snapshot, source) {
                let call = Call::WithdrawDealRewards {
                    deal: *deal,
                    worker: *worker,
                    claimable: ours.reward,
                };
                draft.want(call, Urgency::Duty, "a worker's pay can be claimed");
            }
        }
    }
}

fn own_workers<'a>(
    seen: &'a Seen,
    deal: &'a Deal,
) -> impl Iterator<Item = (&'a OnchainWorkerId, &'a Worker)> {
    deal.workers.iter().filter(|(_, worker)| seen.peers.contains(&worker.peer))
}

/// Whether the interval since the last withdrawal is over, by chain time.
fn is_due(seen: &Seen, snapshot: &Snapshot, source: Source) -> bool {
    let elapsed = seen.last.get(&source).map(|last| snapshot.head.timestamp.saturating_sub(*last));
    elapsed.is_none_or(|elapsed| elapsed >= seen.policy.interval_seconds)
}

/// Past commitments of which the chain says that nothing is left, and which no reorg can fill again.
fn retired(seen: &Seen, snapshot: &Snapshot) -> BTreeSet<CommitmentId> {
    if !are_peers_known(seen, snapshot) {
        return BTreeSet::new();
    }
    let present: BTreeSet<_> = present(seen, snapshot).collect();
    let is_empty = |id: &&CommitmentId| match snapshot.commitments.get(*id) {
        Some(Some(known)) => {
            known.total_rewards.is_zero()
                && known.unlocked_rewards.is_zero()
                && !present.contains(*id)
        }
        // Taken back before it was funded.
        Some(None) => true,
        None => false,
    };
    let is_settled = |id: &&CommitmentId| {
        !seen.flights.iter().any(|flight| flight.call.commitment() == Some(**id))
    };
    seen.past_commitments.iter().filter(is_empty).filter(is_settled).copied().collect()
}

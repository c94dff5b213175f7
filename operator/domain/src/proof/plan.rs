//! From found proofs and the chain's counts to one batch.

use std::collections::BTreeMap;

use crate::call::Call;
use crate::chain::{Commitment, CommitmentStatus, Peer, Snapshot};
use crate::gate::{Draft, Urgency};
use crate::id::UnitId;

use super::batch::{self, Batch, Stock};
use super::{Fate, Plan, Seen, Step, Target, Why};

/// Share of an epoch, as its divisor, at whose end no proof is sent: a batch mined in the next epoch is refused whole.
const END_SHARE: u64 = 100;

/// Blocks that a transaction may need from here into the chain.
const BLOCKS_TO_INCLUSION: u64 = 2;

/// Decides which proofs of a peer are sent: the minimum of every unit as soon as it is found, more in company.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    let Some(snapshot) = seen.snapshot.as_deref() else {
        return Plan::idle(Vec::new(), Why::ChainUnknown);
    };
    let mut steps = acknowledgements(seen, snapshot);
    let (peer, commitment) = match pledge(seen, snapshot) {
        Ok(pledge) => pledge,
        Err(why) => return Plan::idle(steps, why),
    };
    if seen.stop_confirmed {
        return Plan::idle(steps, Why::StopConfirmed);
    }
    if is_ending(seen, snapshot) {
        return Plan::idle(steps, Why::EpochEnding);
    }
    let draft = || Draft::new(&seen.gate, &seen.flights, snapshot);
    let flies = |call: &Call| matches!(call, Call::SubmitProofs { peer, epoch, .. } if *peer == seen.peer && *epoch == snapshot.epoch);
    if draft().open().any(flies) {
        return Plan::idle(steps, Why::WaitingForReceipt);
    }
    let mut stocks = batch::fill(empty_stocks(peer, commitment, snapshot), seen, snapshot);
    let apart: BTreeMap<_, _> =
        stocks.extract_if(.., |unit, _| seen.quarantined.contains(unit)).collect();
    let (mut sends, mut planned, mut why) = send(seen, snapshot, draft(), &stocks);
    for (unit, stock) in apart {
        if !planned.is_empty() {
            break;
        }
        let alone = send(seen, snapshot, draft(), &BTreeMap::from([(unit, stock)]));
        if !alone.1.is_empty() {
            (sends, planned, why) = alone;
        }
    }
    steps.extend(sends.into_iter().map(Step::Send));
    Plan { steps, planned, why }
}

impl Plan {
    const fn idle(steps: Vec<Step>, why: Why) -> Self {
        Self { steps, planned: Vec::new(), why }
    }
}

/// What provers may delete.
fn acknowledgements(seen: &Seen, snapshot: &Snapshot) -> Vec<Step> {
    if !seen.is_believed {
        return Vec::new();
    }
    let over = seen.pool.iter().filter_map(|found| {
        let is_past = found.epoch < snapshot.epoch;
        (is_past || found.fate != Fate::Open).then_some(Step::Acknowledge {
            unit: found.unit,
            local_nonce: found.local_nonce,
            stale: is_past && found.fate == Fate::Open,
        })
    });
    over.collect()
}

/// The peer and its commitment, if the commitment takes proofs at this block.
fn pledge<'seen>(
    seen: &Seen,
    snapshot: &'seen Snapshot,
) -> Result<(&'seen Peer, &'seen Commitment), Why> {
    let peer = snapshot
        .peers
        .get(&seen.peer)
        .ok_or(Why::ChainUnknown)?
        .as_ref()
        .ok_or(Why::NotRegistered)?;
    let id = peer.commitment.ok_or(Why::NotActive)?;
    let commitment =
        snapshot.commitments.get(&id).and_then(Option::as_ref).ok_or(Why::ChainUnknown)?;
    let has_started = snapshot.epoch >= commitment.start_epoch;
    if commitment.status == CommitmentStatus::Active && has_started {
        Ok((peer, commitment))
    } else {
        Err(Why::NotActive)
    }
}

/// The units that the chain takes proofs of; one whose count is missing is unknown, and left out.
fn empty_stocks(
    peer: &Peer,
    commitment: &Commitment,
    snapshot: &Snapshot,
) -> BTreeMap<UnitId, Stock> {
    let idle = peer.units.iter().filter(|(_, unit)| unit.seat.is_none());
    let stock = |(unit, known): (&UnitId, &crate::chain::Unit)| {
        let on_chain = *commitment.proofs.get(unit)?;
        let is_required = snapshot.epoch >= known.start_epoch;
        Some((*unit, Stock { on_chain, is_required, open: Vec::new() }))
    };
    idle.filter_map(stock).collect()
}

/// Whether a batch sent now might be mined in the next epoch.
fn is_ending(seen: &Seen, snapshot: &Snapshot) -> bool {
    let duration = snapshot.calendar.epoch_duration.max(1);
    let wanted =
        BLOCKS_TO_INCLUSION.saturating_mul(seen.block_seconds.max(1)).max(duration / END_SHARE);
    // Where blocks are as long as half an epoch, keeping the whole margin would mean never to prove.
    let margin = wanted.min(duration / 2);
    let remaining = snapshot
        .calendar
        .remaining(snapshot.head.timestamp)
        .saturating_sub(seen.seconds_since_head);
    remaining <= margin
}

type Sends = (Vec<Call>, Vec<crate::gate::PlannedCall>, Why);

/// One batch: what minimums need, and extra proofs where they are due.
fn send(
    seen: &Seen,
    snapshot: &Snapshot,
    mut draft: Draft<'_>,
    stocks: &BTreeMap<UnitId, Stock>,
) -> Sends {
    let rules = &snapshot.rules;
    let (minimum, maximum) = (rules.min_proofs, rules.max_proofs.max(rules.min_proofs));
    let mut batch = Batch::new(&seen.limits);
    batch.take_minimum(stocks, minimum);
    let needed = batch.proofs.len();
    let may_add = needed == 0 || draft.allows(Urgency::Duty);
    if may_add && wants_extra(seen, snapshot) && is_due(snapshot, stocks, maximum) {
        batch.take_extra(stocks, minimum, maximum);
    }
    if batch.proofs.is_empty() {
        let collects = |stock: &Stock| !stock.open.is_empty() && stock.on_chain < maximum;
        let has_open = wants_extra(seen, snapshot) && stocks.values().any(collects);
        return (
            Vec::new(),
            Vec::new(),
            if has_open { Why::Collecting } else { Why::NothingToSend },
        );
    }
    let call = Call::SubmitProofs { peer: seen.peer, epoch: snapshot.epoch, proofs: batch.proofs };
    if needed > 0 {
        draft.want(call, Urgency::MinimumProof, "units lack their minimum of this epoch");
    } else {
        draft.want(call, Urgency::Duty, "further proofs of this epoch are worth their gas");
    }
    let why = match draft.all_held() {
        Some(hold) => Why::Held(hold),
        None if needed > 0 => Why::SendingMinimum,
        None => Why::SendingExtra,
    };
    let (sends, planned) = draft.finish();
    (sends, planned, why)
}

/// Whether proofs beyond the minimum are wanted at all.
fn wants_extra(seen: &Seen, snapshot: &Snapshot) -> bool {
    match seen.target {
        Target::Minimum => false,
        Target::Maximum => true,
        Target::Auto => batch::is_worth_gas(seen, snapshot),
    }
}

/// Whether extra proofs go now: late in the epoch, or when every unit has all that the contract takes.
fn is_due(snapshot: &Snapshot, stocks: &BTreeMap<UnitId, Stock>, maximum: u32) -> bool {
    let duration = snapshot.calendar.epoch_duration.max(1);
    let is_late = snapshot.calendar.elapsed(snapshot.head.timestamp) >= duration / 4 * 3;
    is_late || stocks.values().any(|stock| !stock.open.is_empty() && stock.is_full(maximum))
}

//! The end of a commitment: units out, collateral back, the peer free for the next one.

use crate::call::Call;
use crate::chain::{Commitment, CommitmentStatus};
use crate::gate::{Draft, Hold, Urgency};
use crate::id::CommitmentId;

use super::plan::View;
use super::{UNITS_PER_EXIT, Why};

/// Winds up a commitment that is completed or failed.
pub(super) fn close(
    draft: &mut Draft<'_>,
    view: &View<'_>,
    id: CommitmentId,
    commitment: &Commitment,
) -> Why {
    let has_failed = commitment.status == CommitmentStatus::Failed;
    let until = commitment.failed_epoch.after(view.snapshot.rules.withdraw_epochs_after_failed);
    let is_cool = !has_failed || view.snapshot.epoch >= until;
    let exiting: Vec<_> =
        view.peer.units.keys().copied().filter(|unit| !commitment.exited.contains(unit)).collect();
    let free: Vec<_> = exiting
        .iter()
        .copied()
        .filter(|unit| view.peer.units.get(unit).is_some_and(|unit| unit.seat.is_none()))
        .take(UNITS_PER_EXIT)
        .collect();
    let is_blocked_by_deal = view.has_seat();

    if is_cool
        && (has_failed || is_blocked_by_deal)
        && view.seen.collateral_withdrawn == Some(false)
    {
        let call = Call::WithdrawCollateral { commitment: id };
        draft.want(call, Urgency::Exit, "the commitment is over, and its collateral is free");
    }
    if !free.is_empty() {
        let call = Call::RemoveUnitsFromCommitment { commitment: id, units: free };
        draft.want(call, Urgency::Exit, "the commitment is over, and its units must leave it");
    }
    finish(draft, id, exiting.is_empty(), is_cool, until);
    if has_failed {
        Why::Failed { until }
    } else if is_blocked_by_deal {
        Why::WorkersLeaving
    } else {
        Why::Closing
    }
}

fn finish(
    draft: &mut Draft<'_>,
    id: CommitmentId,
    all_left: bool,
    is_cool: bool,
    until: crate::epoch::Epoch,
) {
    let call = Call::FinishCommitment { commitment: id };
    let why = "the commitment is over, and the peer must be free for the next one";
    if !all_left {
        draft.want_later(call, why, Hold::EarlierCall, None);
    } else if is_cool {
        draft.want(call, Urgency::Exit, why);
    } else {
        draft.want_later(call, why, Hold::Epoch, Some(until));
    }
}

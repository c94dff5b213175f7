//! From what the commitment's turn saw to what it does.

use alloy_primitives::{Address, U256};

use crate::call::Call;
use crate::chain::{Commitment, CommitmentStatus, Peer, Snapshot};
use crate::gate::{Draft, Hold, Urgency};
use crate::id::CommitmentId;
use crate::offer::Deletion;

use super::{Collateral, Mode, Plan, Renewal, SMALLEST_RATE, Seen, Step, Why, end};

/// What the turn can work with, all of it known.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'seen> {
    pub(super) seen: &'seen Seen,
    pub(super) snapshot: &'seen Snapshot,
    pub(super) peer: &'seen Peer,
}

impl View<'_> {
    pub(super) fn has_seat(&self) -> bool {
        self.peer.units.values().any(|unit| unit.seat.is_some())
    }
}

/// Decides what becomes of a peer's commitment.
#[must_use]
pub fn plan(seen: &Seen) -> Plan {
    let Some(snapshot) = seen.snapshot.as_deref() else {
        return Plan::idle(None, Why::ChainUnknown);
    };
    let Some(peer) = snapshot.peers.get(&seen.peer) else {
        return Plan::idle(None, Why::ChainUnknown);
    };
    let Some(peer) = peer else {
        return Plan::idle(None, Why::NotRegistered);
    };
    let view = View { seen, snapshot, peer };
    let mut draft = Draft::new(&seen.gate, &seen.flights, snapshot);
    let why = match peer.commitment {
        None => create(&mut draft, &view),
        Some(id) => match snapshot.commitments.get(&id) {
            Some(Some(commitment)) => keep(&mut draft, &view, id, commitment),
            Some(None) | None => Why::ChainUnknown,
        },
    };
    Plan::of(draft, peer.commitment, why)
}

impl Plan {
    const fn idle(commitment: Option<CommitmentId>, why: Why) -> Self {
        Self { steps: Vec::new(), planned: Vec::new(), commitment, why }
    }

    fn of(draft: Draft<'_>, commitment: Option<CommitmentId>, why: Why) -> Self {
        let why = match (why, draft.all_held()) {
            // Failure and coming end are told whatever holds the way out.
            (
                Why::Failed { .. }
                | Why::WaitingForFinality
                | Why::CollateralMissing
                | Why::LeftToHuman,
                _,
            ) => why,
            (_, Some(hold)) => Why::Held(hold),
            (Why::Creating | Why::Funding | Why::Replacing | Why::Closing, None)
                if !draft.has_sends() && draft.waits_for_flight() =>
            {
                Why::WaitingForReceipt
            }
            _ => why,
        };
        let (sends, planned) = draft.finish();
        Self { steps: sends.into_iter().map(Step::Send).collect(), planned, commitment, why }
    }
}

/// The delegator and rate that the spec means.
fn terms(seen: &Seen) -> (Address, u64) {
    match seen.policy.collateral {
        Collateral::Provider => (seen.provider, SMALLEST_RATE),
        Collateral::Delegator { delegator, rate } => (delegator, rate.max(1)),
    }
}

/// Makes a commitment where there is none.
fn create(draft: &mut Draft<'_>, view: &View<'_>) -> Why {
    if let Some(why) = blocked(draft, view) {
        return why;
    }
    let seen = view.seen;
    let (delegator, delegation_rate) = terms(seen);
    let call = Call::CreateCommitment {
        peer: seen.peer,
        duration: seen.policy.duration,
        delegator,
        delegation_rate,
    };
    let why = "the peer's units are not pledged";
    if seen.policy.mode == Mode::Manual {
        draft.want_later(call, why, Hold::Manual, None);
        return Why::LeftToHuman;
    }
    let collateral = collateral(view.snapshot.rules.collateral_per_unit, view.peer.units.len());
    if seen.policy.collateral == Collateral::Provider && !can_pay(view, collateral) {
        draft.want_later(call, why, Hold::Funds, None);
        return Why::CollateralMissing;
    }
    draft.want(call, Urgency::Intent, why);
    Why::Creating
}

/// Why a commitment cannot be made now.
fn blocked(draft: &Draft<'_>, view: &View<'_>) -> Option<Why> {
    let (seen, rules) = (view.seen, &view.snapshot.rules);
    if seen.policy.mode == Mode::Off {
        return Some(Why::Off);
    }
    if seen.ending.is_some() {
        return Some(Why::Ending);
    }
    if seen.had_commitment && seen.policy.renewal == Renewal::Manual {
        return Some(Why::LeftToHuman);
    }
    let Some(provider) = view.snapshot.providers.get(&seen.provider) else {
        return Some(Why::ChainUnknown);
    };
    if !provider.approved {
        return Some(Why::NotWhitelisted);
    }
    if view.has_seat() {
        return Some(Why::UnitInDeal);
    }
    let units = count(view.peer.units.len());
    let adds_units =
        draft.open().any(|call| matches!(call, Call::AddUnits { peer, .. } if *peer == seen.peer));
    if adds_units || seen.wanted_units.is_none_or(|wanted| units < wanted) {
        return Some(Why::UnitsChanging);
    }
    if !(rules.min_units_per_commitment.max(1)..=rules.max_units_per_commitment).contains(&units) {
        let (minimum, maximum) = (rules.min_units_per_commitment, rules.max_units_per_commitment);
        return Some(Why::UnitsOutOfRange { minimum, maximum });
    }
    if !(rules.min_duration..=rules.max_duration).contains(&seen.policy.duration) {
        return Some(Why::DurationOutOfRange {
            minimum: rules.min_duration,
            maximum: rules.max_duration,
        });
    }
    (!seen.ready).then_some(Why::NotReady)
}

/// What becomes of a commitment that there is.
fn keep(draft: &mut Draft<'_>, view: &View<'_>, id: CommitmentId, commitment: &Commitment) -> Why {
    match commitment.status {
        CommitmentStatus::WaitDelegation => fund(draft, view, id, commitment),
        CommitmentStatus::WaitStart => Why::WaitStart,
        CommitmentStatus::Active => {
            let left = commitment.end_epoch.since(view.snapshot.epoch);
            if left <= view.seen.policy.expiry_notice {
                Why::Expiring { end: commitment.end_epoch }
            } else {
                Why::Active
            }
        }
        CommitmentStatus::Inactive | CommitmentStatus::Failed => {
            end::close(draft, view, id, commitment)
        }
        // The peer would name none: two answers that contradict each other are no knowledge.
        CommitmentStatus::Removed => Why::ChainUnknown,
    }
}

/// Pays for a commitment that was made, or takes it back.
fn fund(draft: &mut Draft<'_>, view: &View<'_>, id: CommitmentId, commitment: &Commitment) -> Why {
    let seen = view.seen;
    let unwanted = unwanted(view, commitment);
    if seen.policy.mode == Mode::Manual && seen.ending != Some(Deletion::Withdraw) {
        return Why::WaitDelegation;
    }
    let deposit = Call::DepositCollateral {
        commitment: id,
        value: collateral(commitment.collateral_per_unit, view.peer.units.len()),
    };
    if let Some(why) = unwanted {
        let pays = |call: &Call| matches!(call, Call::DepositCollateral { commitment, .. } if *commitment == id);
        let call = Call::RemoveCommitment { commitment: id };
        if draft.open().any(pays) {
            draft.want_later(call, why, Hold::EarlierCall, None);
        } else {
            draft.want(call, Urgency::Intent, why);
        }
        return Why::Replacing;
    }
    if seen.policy.collateral != Collateral::Provider {
        return Why::WaitDelegation;
    }
    let why = "the commitment waits for its collateral";
    let Call::DepositCollateral { value, .. } = deposit else { return Why::WaitDelegation };
    if !seen.created_final {
        draft.want_later(deposit, why, Hold::Finality, None);
        return Why::WaitingForFinality;
    }
    if !seen.ready {
        return Why::NotReady;
    }
    if !draft.is_in_flight(&deposit) && !can_pay(view, value) {
        draft.want_later(deposit, why, Hold::Funds, None);
        return Why::CollateralMissing;
    }
    draft.want(deposit, Urgency::Intent, why);
    Why::Funding
}

/// Why an unfunded commitment is taken back.
fn unwanted(view: &View<'_>, commitment: &Commitment) -> Option<&'static str> {
    let seen = view.seen;
    if seen.ending.is_some() || seen.policy.mode == Mode::Off {
        return Some("no commitment is wanted any more");
    }
    if view.has_seat() {
        return Some("a unit is in a deal, and pledging it would corrupt the commitment");
    }
    if (commitment.delegator, commitment.delegation_rate) != terms(seen) {
        return Some("the spec names another delegator or rate");
    }
    (commitment.unit_count != count(view.peer.units.len()))
        .then_some("the peer has another number of units")
}

fn collateral(per_unit: U256, units: usize) -> U256 {
    per_unit.saturating_mul(U256::from(units))
}

/// Whether the provider's wallet is known to hold `amount`.
fn can_pay(view: &View<'_>, amount: U256) -> bool {
    view.snapshot.wallets.get(&view.seen.provider).is_some_and(|balance| *balance >= amount)
}

fn count(units: usize) -> u64 {
    u64::try_from(units).unwrap_or(u64::MAX)
}

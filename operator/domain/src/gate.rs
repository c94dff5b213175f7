//! What may be sent now: management mode, signers, gas, and what is already on its way.

use alloy_primitives::U256;

use crate::call::{Call, KeyRole};
use crate::chain::Snapshot;
use crate::epoch::Epoch;

/// A transaction of ours that has not come to its final end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// What it is for.
    pub call: Call,
    /// The block that holds it; `None` while it is in no block.
    pub included: Option<u64>,
}

impl Flight {
    /// Whether a snapshot of block `head` cannot show its effect yet.
    #[must_use]
    pub fn is_open_at(&self, head: u64) -> bool {
        self.included.is_none_or(|block| block > head)
    }
}

/// How far the operator may act for an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Management {
    /// Everything that the plan says.
    Manage,
    /// No change of intent; proofs, workers and payouts go on.
    Suspended,
    /// Nothing but the minimum proofs of what is staked.
    #[default]
    Observe,
    /// As `Observe`, set for the whole operator.
    ReadOnly,
}

/// What is lost when a transaction waits; the more, the less may hold it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Makes the chain agree with the spec: registration, prices, commitments.
    Intent,
    /// Fulfils what was agreed: activation, proofs beyond the minimum, payouts.
    Duty,
    /// Leaves a deal or a commitment.
    Exit,
    /// Without it a staked unit misses its epoch.
    MinimumProof,
}

/// Why a planned transaction is not sent in this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// `managementPolicy: Observe`.
    Observe,
    /// The operator is read-only.
    ReadOnly,
    /// `suspend: true`.
    Suspended,
    /// The spec says that a human does this.
    Manual,
    /// The signer is of type Manual: a human signs.
    AwaitingSignature,
    /// The signer does not answer, holds another key, or refuses.
    SignerUnavailable,
    /// Today's gas budget is used up.
    GasBudget,
    /// The base fee is above `maxFeeGwei`.
    MaxFee,
    /// An earlier transaction must be seen on chain first.
    EarlierCall,
    /// An earlier transaction must be final first.
    Finality,
    /// The chain takes it from an epoch that has not come; see [`PlannedCall::blocked_until`].
    Epoch,
    /// The account cannot pay for it.
    Funds,
    /// Somebody else has used the signing key: nothing new is begun until a human has looked.
    ForeignSigner,
    /// Something contradicts what we know; a human must look.
    Conflict,
}

impl Hold {
    /// The hold in words, for the `why` of a planned entry.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Observe => "managementPolicy is Observe",
            Self::ReadOnly => "the operator is read-only",
            Self::Suspended => "the offer is suspended",
            Self::Manual => "left to a human by the spec",
            Self::AwaitingSignature => "waits for a signature by hand",
            Self::SignerUnavailable => "the signer is not available",
            Self::GasBudget => {
                "today's gas budget is used up (spec.gas.dailyBudget): it begins anew at midnight UTC"
            }
            Self::MaxFee => "the base fee is above maxFeeGwei",
            Self::EarlierCall => "waits for an earlier transaction",
            Self::Finality => "waits for finality of an earlier transaction",
            Self::Epoch => "waits for a later epoch",
            Self::Funds => "the account holds too little",
            Self::ForeignSigner => {
                "a transaction that is not ours used the signer's key: see `kubectl get ctx` for the Displaced one, and delete it once the key is ours alone"
            }
            Self::Conflict => "contradicts what is known",
        }
    }
}

impl Hold {
    /// The reason of `Stalled`, where only a human ends the hold against the spec's will.
    #[must_use]
    pub const fn stalls(self) -> Option<&'static str> {
        match self {
            Self::SignerUnavailable => Some("SignerRefused"),
            Self::GasBudget | Self::MaxFee => Some("GasBudgetExhausted"),
            Self::ForeignSigner => Some("ForeignSigner"),
            Self::Conflict => Some("Conflict"),
            Self::Observe
            | Self::ReadOnly
            | Self::Suspended
            | Self::Manual
            | Self::AwaitingSignature
            | Self::EarlierCall
            | Self::Finality
            | Self::Epoch
            | Self::Funds => None,
        }
    }
}

/// What is known of a signer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// Signs.
    Reachable,
    /// Signs, and so does somebody else: a transaction that is not ours took a nonce.
    Shared,
    /// A human signs.
    Manual,
    /// Does not answer.
    Unreachable,
    /// Holds another key than the spec's address.
    WrongAddress,
    /// May not be used from this namespace or for this role.
    NotAllowed,
    /// Not tried yet.
    #[default]
    Unknown,
}

/// Limits on what may be spent on gas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gas {
    /// Wei per gas; `None` is no limit.
    pub max_fee: Option<u128>,
    /// Wei per day; `None` is no limit.
    pub daily_budget: Option<U256>,
    /// Wei spent in the day's window so far.
    pub spent_today: U256,
}

impl Gas {
    /// Whether the day's budget is used up.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.daily_budget.is_some_and(|budget| self.spent_today >= budget)
    }
}

/// Everything that decides whether a planned transaction is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// How far the operator may act.
    pub management: Management,
    /// The provider's key.
    pub provider_signer: Signer,
    /// The peers' key.
    pub peer_signer: Signer,
    /// Limits on gas.
    pub gas: Gas,
}

impl Gate {
    /// What holds a transaction of this role and urgency back; `None` lets it go.
    #[must_use]
    pub fn hold(&self, role: KeyRole, urgency: Urgency, base_fee: u128) -> Option<Hold> {
        self.hold_by_management(urgency)
            .or_else(|| self.hold_by_signer(role, urgency))
            .or_else(|| self.hold_by_gas(urgency, base_fee))
    }

    fn hold_by_management(&self, urgency: Urgency) -> Option<Hold> {
        if urgency == Urgency::MinimumProof {
            return None;
        }
        match self.management {
            Management::Manage => None,
            Management::Suspended => (urgency == Urgency::Intent).then_some(Hold::Suspended),
            Management::Observe => Some(Hold::Observe),
            Management::ReadOnly => Some(Hold::ReadOnly),
        }
    }

    fn hold_by_signer(&self, role: KeyRole, urgency: Urgency) -> Option<Hold> {
        let signer = match role {
            KeyRole::Provider => self.provider_signer,
            KeyRole::Peer => self.peer_signer,
        };
        match signer {
            Signer::Reachable => None,
            Signer::Shared => (urgency == Urgency::Intent).then_some(Hold::ForeignSigner),
            Signer::Manual => Some(Hold::AwaitingSignature),
            Signer::Unreachable | Signer::WrongAddress | Signer::NotAllowed | Signer::Unknown => {
                Some(Hold::SignerUnavailable)
            }
        }
    }

    fn hold_by_gas(&self, urgency: Urgency, base_fee: u128) -> Option<Hold> {
        if matches!(urgency, Urgency::Exit | Urgency::MinimumProof) {
            return None;
        }
        if self.gas.is_spent() {
            return Some(Hold::GasBudget);
        }
        self.gas.max_fee.is_some_and(|limit| base_fee > limit).then_some(Hold::MaxFee)
    }
}

/// One transaction of a plan, sent in this turn or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCall {
    /// The transaction.
    pub call: Call,
    /// Why it is wanted, in words.
    pub why: &'static str,
    /// Why it is not sent in this turn; `None` when the plan's steps send it.
    pub hold: Option<Hold>,
    /// The first epoch in which the chain takes it, where that is known.
    pub blocked_until: Option<Epoch>,
}

/// Collects the transactions of one plan: drops what is on its way already, marks what is held.
#[derive(Clone, Debug)]
pub(crate) struct Draft<'seen> {
    gate: &'seen Gate,
    flights: &'seen [Flight],
    head: u64,
    base_fee: u128,
    planned: Vec<PlannedCall>,
    in_flight: bool,
}

impl<'seen> Draft<'seen> {
    pub(crate) fn new(gate: &'seen Gate, flights: &'seen [Flight], snapshot: &Snapshot) -> Self {
        Self {
            gate,
            flights,
            head: snapshot.head.number,
            base_fee: snapshot.head.base_fee,
            planned: Vec::new(),
            in_flight: false,
        }
    }

    /// Wants a transaction now; answers with what holds it back, if anything does.
    pub(crate) fn want(&mut self, call: Call, urgency: Urgency, why: &'static str) -> Option<Hold> {
        let hold = self.gate.hold(call.key_role(), urgency, self.base_fee);
        let is_new = self.push(PlannedCall { call, why, hold, blocked_until: None });
        hold.filter(|_| is_new)
    }

    /// Wants a transaction that something besides the gate holds back.
    pub(crate) fn want_later(
        &mut self,
        call: Call,
        why: &'static str,
        hold: Hold,
        until: Option<Epoch>,
    ) {
        self.push(PlannedCall { call, why, hold: Some(hold), blocked_until: until });
    }

    fn push(&mut self, planned: PlannedCall) -> bool {
        let is_new = !self.is_in_flight(&planned.call);
        if is_new {
            self.planned.push(planned);
        } else {
            self.in_flight = true;
        }
        is_new
    }

    /// Whether a transaction to the same end is on its way, its effect not yet in the snapshot.
    pub(crate) fn is_in_flight(&self, call: &Call) -> bool {
        self.open().any(|flying| flying.has_purpose_of(call))
    }

    /// Transactions whose effect the snapshot cannot show yet.
    pub(crate) fn open(&self) -> impl Iterator<Item = &'seen Call> + use<'seen> {
        let head = self.head;
        self.flights.iter().filter(move |flight| flight.is_open_at(head)).map(|flight| &flight.call)
    }

    /// Notes that what is wanted is on its way in another shape.
    pub(crate) const fn note_flight(&mut self) {
        self.in_flight = true;
    }

    /// Whether the gate lets calls of the peers' key with this urgency go.
    pub(crate) fn allows(&self, urgency: Urgency) -> bool {
        self.gate.hold(KeyRole::Peer, urgency, self.base_fee).is_none()
    }

    /// Whether something is to be sent.
    pub(crate) fn has_sends(&self) -> bool {
        self.planned.iter().any(|planned| planned.hold.is_none())
    }

    /// Whether something wanted is on its way.
    pub(crate) const fn waits_for_flight(&self) -> bool {
        self.in_flight
    }

    /// Why nothing can be sent, if transactions are wanted and all of them are held.
    pub(crate) fn all_held(&self) -> Option<Hold> {
        let mut holds = self.planned.iter().map(|planned| planned.hold);
        let first = holds.next()??;
        holds.all(|hold| hold.is_some()).then_some(first)
    }

    /// The transactions to send, then all that were wanted.
    pub(crate) fn finish(self) -> (Vec<Call>, Vec<PlannedCall>) {
        let sends = self
            .planned
            .iter()
            .filter(|planned| planned.hold.is_none())
            .map(|planned| planned.call.clone())
            .collect();
        (sends, self.planned)
    }
}

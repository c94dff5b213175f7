//! Proofs, and the money that they earn.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Registry};

use super::{opts, registered};

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofResult {
    /// The contract took it.
    Accepted,
    /// The contract flagged it as wrong or superfluous.
    Refused,
    /// Its epoch ended before it was sent.
    Stale,
}

impl ProofResult {
    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Stale => "stale",
        }
    }
}

/// Proofs; an `offer` is `namespace/name`.
#[derive(Clone, Debug)]
pub struct ProofMetrics {
    total: IntCounterVec,
    required: IntGaugeVec,
}

impl ProofMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            total: registered(
                registry,
                IntCounterVec::new(
                    opts("proofs_total", "Proofs, by what became of them"),
                    &["offer", "result"],
                ),
            )?,
            required: registered(
                registry,
                IntGaugeVec::new(
                    opts("proofs_required", "Proofs that a unit needs in an epoch"),
                    &["network"],
                ),
            )?,
        })
    }

    /// Counts proofs that ended in one way.
    pub fn ended(&self, offer: &str, result: ProofResult, count: u64) {
        self.total.with_label_values(&[offer, result.name()]).inc_by(count);
    }

    /// Notes how many proofs a unit needs in an epoch.
    pub fn require(&self, network: &str, minimum: u32) {
        self.required.with_label_values(&[network]).set(i64::from(minimum));
    }
}

/// Where a reward comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewardSource {
    /// Capacity commitments.
    Commitment,
    /// Deals.
    Deal,
}

impl RewardSource {
    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commitment => "commitment",
            Self::Deal => "deal",
        }
    }
}

/// Rewards, collateral, wallets; amounts in whole tokens.
#[derive(Clone, Debug)]
pub struct MoneyMetrics {
    /// Collateral that a missed epoch could cost, by offer and token.
    pub collateral_at_risk: GaugeVec,
    /// Earned so far, by offer, token and source.
    pub earned: GaugeVec,
    /// Withdrawn so far, by offer and token.
    pub withdrawn: GaugeVec,
    /// Collateral lost to missed epochs so far, by offer and token.
    pub slashed: GaugeVec,
    /// Balance of an account, by signer and token.
    pub wallet_balance: GaugeVec,
    /// How long an account's balance lasts at the last day's cost of gas, by signer.
    pub wallet_runway: GaugeVec,
    /// Seconds for which this leader has seen the oldest withdrawal that is due, by offer.
    pub withdrawal_waiting: IntGaugeVec,
}

impl MoneyMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            collateral_at_risk: registered(
                registry,
                GaugeVec::new(
                    opts("collateral_at_risk", "Collateral of units that may fail"),
                    &["offer", "token"],
                ),
            )?,
            earned: registered(
                registry,
                GaugeVec::new(
                    opts("earned_total", "Tokens earned so far"),
                    &["offer", "token", "source"],
                ),
            )?,
            withdrawn: registered(
                registry,
                GaugeVec::new(
                    opts("withdrawn_total", "Tokens withdrawn so far"),
                    &["offer", "token"],
                ),
            )?,
            slashed: registered(
                registry,
                GaugeVec::new(
                    opts("slashed_total", "Collateral lost to missed epochs so far"),
                    &["offer", "token"],
                ),
            )?,
            wallet_runway: registered(
                registry,
                GaugeVec::new(
                    opts(
                        "wallet_runway_seconds",
                        "How long an account's balance lasts at the last day's cost of gas",
                    ),
                    &["signer"],
                ),
            )?,
            withdrawal_waiting: registered(
                registry,
                IntGaugeVec::new(
                    opts(
                        "withdrawal_waiting_seconds",
                        "How long this leader has seen the oldest withdrawal that is due",
                    ),
                    &["offer"],
                ),
            )?,
            wallet_balance: registered(
                registry,
                GaugeVec::new(
                    opts("wallet_balance", "Balance of an account"),
                    &["signer", "token"],
                ),
            )?,
        })
    }
}

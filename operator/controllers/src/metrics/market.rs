//! Units, commitments, deals and workers.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Registry};

use super::{opts, registered};

/// Seconds: from a swap on one machine to one that waits for an image.
const SWAP_BUCKETS: &[f64] =
    &[0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0];

/// Units and commitments.
#[derive(Clone, Debug)]
pub struct UnitMetrics {
    /// Units, by offer and role.
    pub units: IntGaugeVec,
    /// Epochs that a unit missed, by offer.
    pub epochs_missed: IntCounterVec,
    /// The next end of a commitment, by offer.
    pub commitment_end: IntGaugeVec,
    /// Seconds between two roles of a unit.
    pub role_change: Histogram,
    /// Objects of ours that nobody wants, by kind.
    pub orphans: IntGaugeVec,
    /// 1 while the breaker of mass change is open, by kind.
    pub breaker_open: IntGaugeVec,
    /// What an offer has taken on and is not over, by offer and kind.
    pub obligations: IntGaugeVec,
    /// Units that objects and pods tell different things of, by what is wrong.
    pub inventory_mismatches: IntGaugeVec,
}

impl UnitMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            units: registered(
                registry,
                IntGaugeVec::new(opts("units", "Compute units"), &["offer", "role"]),
            )?,
            epochs_missed: registered(
                registry,
                IntCounterVec::new(
                    opts("epochs_missed_total", "Epochs that a unit missed"),
                    &["offer"],
                ),
            )?,
            commitment_end: registered(
                registry,
                IntGaugeVec::new(
                    opts("commitment_end_epoch", "Next end of a commitment"),
                    &["offer"],
                ),
            )?,
            role_change: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new("role_change_seconds", "Time between two roles of a unit")
                        .buckets(SWAP_BUCKETS.to_vec()),
                ),
            )?,
            orphans: registered(
                registry,
                IntGaugeVec::new(opts("orphans", "Objects of ours that nobody wants"), &["kind"]),
            )?,
            breaker_open: registered(
                registry,
                IntGaugeVec::new(
                    opts("breaker_open", "Whether a mass change was stopped"),
                    &["kind"],
                ),
            )?,
            obligations: registered(
                registry,
                IntGaugeVec::new(
                    opts("obligations_open", "Commitments and workers of deals that are not over"),
                    &["offer", "kind"],
                ),
            )?,
            inventory_mismatches: registered(
                registry,
                IntGaugeVec::new(
                    opts("inventory_mismatches", "Units that do not fit objects and pods"),
                    &["kind"],
                ),
            )?,
        })
    }
}

/// Deals and their workers.
#[derive(Clone, Debug)]
pub struct DealMetrics {
    /// Deals, by offer and state.
    pub deals: IntGaugeVec,
    /// Epochs that a deal is funded for, by deal.
    pub runway: IntGaugeVec,
    /// Seconds from a match on chain to a worker that answers.
    pub match_to_ready: Histogram,
    /// Members of a subnet, by deal and state.
    pub subnet_members: IntGaugeVec,
}

impl DealMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            deals: registered(
                registry,
                IntGaugeVec::new(opts("deals", "Deals"), &["offer", "state"]),
            )?,
            runway: registered(
                registry,
                IntGaugeVec::new(
                    opts("deal_runway_epochs", "Epochs that a deal is funded for"),
                    &["deal"],
                ),
            )?,
            match_to_ready: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "match_to_ready_seconds",
                        "Time from a match to a worker that answers",
                    )
                    .buckets(SWAP_BUCKETS.to_vec()),
                ),
            )?,
            subnet_members: registered(
                registry,
                IntGaugeVec::new(opts("subnet_members", "Members of a subnet"), &["deal", "state"]),
            )?,
        })
    }
}

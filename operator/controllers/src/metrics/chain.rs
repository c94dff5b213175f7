//! Networks, their clock, and what was sent.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Registry};

use super::{opts, registered};

/// Networks and their clock.
#[derive(Clone, Debug)]
pub struct ChainMetrics {
    /// Seconds since an endpoint showed a new head, by endpoint.
    pub head_age: GaugeVec,
    /// Requests, by endpoint and code.
    pub requests: IntCounterVec,
    /// The epoch of the last snapshot, by network.
    pub epoch: IntGaugeVec,
    /// Seconds of chain time left in it at the last snapshot, by network.
    pub epoch_remaining: IntGaugeVec,
    /// Seconds that the last snapshot took, by network.
    pub snapshot_seconds: GaugeVec,
}

impl ChainMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            head_age: registered(
                registry,
                GaugeVec::new(
                    opts("chain_head_age_seconds", "Time since a new head was seen"),
                    &["endpoint"],
                ),
            )?,
            requests: registered(
                registry,
                IntCounterVec::new(
                    opts("chain_requests_total", "Requests to RPC endpoints"),
                    &["endpoint", "code"],
                ),
            )?,
            epoch: registered(
                registry,
                IntGaugeVec::new(opts("epoch_current", "Epoch of the last snapshot"), &["network"]),
            )?,
            epoch_remaining: registered(
                registry,
                IntGaugeVec::new(
                    opts("epoch_remaining_seconds", "Chain time left in the epoch"),
                    &["network"],
                ),
            )?,
            snapshot_seconds: registered(
                registry,
                GaugeVec::new(
                    opts("chain_snapshot_seconds", "Time that the last snapshot took"),
                    &["network"],
                ),
            )?,
        })
    }
}

/// What was signed and sent; a `signer` is a name from the configuration.
#[derive(Clone, Debug)]
pub struct TransactionMetrics {
    /// Not final yet, by signer.
    pub in_flight: IntGaugeVec,
    /// Seconds that the oldest one that is in no block waits, 0 without one; by signer.
    pub waiting: IntGaugeVec,
    /// Ended, by function and result.
    pub total: IntCounterVec,
    /// Coins spent on gas, by signer.
    pub gas_spent: prometheus::CounterVec,
    /// 1 while the key can be used, by signer.
    pub signer_up: IntGaugeVec,
}

impl TransactionMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            in_flight: registered(
                registry,
                IntGaugeVec::new(
                    opts("transactions_in_flight", "Transactions that are not final"),
                    &["signer"],
                ),
            )?,
            waiting: registered(
                registry,
                IntGaugeVec::new(
                    opts(
                        "transaction_waiting_seconds",
                        "Age of the oldest transaction that is in no block",
                    ),
                    &["signer"],
                ),
            )?,
            total: registered(
                registry,
                IntCounterVec::new(
                    opts("transactions_total", "Transactions that ended"),
                    &["function", "result"],
                ),
            )?,
            gas_spent: registered(
                registry,
                prometheus::CounterVec::new(
                    opts("gas_spent_total", "Native coins spent on gas"),
                    &["signer"],
                ),
            )?,
            signer_up: registered(
                registry,
                IntGaugeVec::new(opts("signer_up", "Whether the key can be used"), &["signer"]),
            )?,
        })
    }
}

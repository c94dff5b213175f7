//! What is counted of the key-value store.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// The key-value store's metrics; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    bytes: IntGauge,
    refusals: IntCounterVec,
}

impl StoreMetrics {
    /// # Errors
    ///
    /// [`prometheus::Error`] if a name is taken: a mistake in our wiring.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let bytes = IntGauge::new(
            "worker_keyvalue_bytes",
            "Bytes that the key-value store counts: keys, values, and 64 for each key",
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "worker_keyvalue_refusals_total",
                "Calls to the key-value store that met a bound, by bound",
            ),
            &["bound"],
        )?;
        registry.register(Box::new(bytes.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        Ok(Self { bytes, refusals })
    }

    pub(crate) fn holds(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn refused(&self, bound: &str) {
        self.refusals.with_label_values(&[bound]).inc();
    }
}

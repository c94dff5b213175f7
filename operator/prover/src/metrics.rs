//! The prover's series.

use alloy_primitives::B256;
use coreward_telemetry::Metrics;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts};

/// Handles of all series; each is registered once at start.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    hashes: IntCounterVec,
    pub(crate) hash_rate: Gauge,
    pub(crate) found: IntCounter,
    pub(crate) acknowledged: IntCounter,
    pub(crate) stale: IntCounter,
    pub(crate) kept: IntGauge,
    pub(crate) epoch: IntGauge,
    pub(crate) volume_failures: IntCounter,
    pub(crate) post_failures: IntCounter,
}

impl Series {
    pub(crate) fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            metrics.registry().register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            metrics.registry().register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let hashes = IntCounterVec::new(
            Opts::new("hashes_total", "Hashes computed for the assigned unit"),
            &["unit"],
        )?;
        metrics.registry().register(Box::new(hashes.clone()))?;
        let hash_rate =
            Gauge::new("hash_rate_hertz", "Hashes per second over the last minute of hashing")?;
        metrics.registry().register(Box::new(hash_rate.clone()))?;
        Ok(Self {
            hashes,
            hash_rate,
            found: counter("proofs_found_total", "Proofs found")?,
            acknowledged: counter(
                "proofs_acknowledged_total",
                "Proofs that the operator has done with",
            )?,
            stale: counter("proofs_stale_total", "Proofs dropped because their epoch was over")?,
            kept: gauge("proofs_kept", "Proofs not yet acknowledged")?,
            epoch: gauge("puzzle_epoch", "Epoch of the puzzle being worked on; 0 when none")?,
            volume_failures: counter(
                "volume_failures_total",
                "Writes of proofs that the volume refused",
            )?,
            post_failures: counter(
                "post_failures_total",
                "Posts of proofs that the operator did not take",
            )?,
        })
    }

    /// The unit is this pod's one: the label has one value in a process.
    pub(crate) fn hashed(&self, unit: B256, count: u64) {
        self.hashes.with_label_values(&[unit.to_string()]).inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_read_only_what_is_shown() {
        let metrics = Metrics::new("prover", "0").unwrap();
        Series::register(&metrics).unwrap();
        let page = metrics.page().unwrap();
        let rules = include_str!("../../../charts/coreward/alerts.yaml");
        let group = rules.split("- name: ").find(|group| group.starts_with("coreward-prover"));
        let prefix = format!("{}_", coreward_telemetry::PREFIX);
        let mut read = 0;
        for text in group.unwrap().split(prefix.as_str()).skip(1) {
            let end = text.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            let name = &text[..end.unwrap_or(text.len())];
            assert!(page.contains(&format!("# TYPE {prefix}{name} ")), "{prefix}{name}: {page}");
            read += 1;
        }
        assert!(read > 0, "no name was found in the rules");
    }
}

//! The prover's series.

use core::time::Duration;

use alloy_primitives::B256;
use coreward_telemetry::Metrics;
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use crate::rate::{Rate, WINDOWS};
use crate::readiness::Hindrance;

/// Handles of all series; each is registered once at start.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    hashes: IntCounterVec,
    hash_rate: GaugeVec,
    not_ready: IntGaugeVec,
    pub(crate) idle_seconds: Counter,
    thread_seconds: CounterVec,
    pub(crate) dataset_made: IntGauge,
    pub(crate) dataset_wanted: IntGauge,
    pub(crate) huge_bytes: IntGauge,
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
        let counter = |name, help| added(metrics, IntCounter::new(name, help)?);
        let gauge = |name, help| added(metrics, IntGauge::new(name, help)?);
        let hashes = Opts::new("hashes_total", "Hashes computed for the assigned unit");
        let rate = Opts::new("hash_rate_hertz", "Hashes per second over so much time of hashing");
        let spent =
            Opts::new("thread_seconds_total", "Seconds of the hashing threads, by what they did");
        let not_ready =
            Opts::new("not_ready", "1 for what keeps the prover from being Ready, 0 for all else");
        let idle = Counter::new(
            "idle_seconds_total",
            "Seconds without hashing because all proofs of use were found",
        )?;
        Ok(Self {
            hashes: added(metrics, IntCounterVec::new(hashes, &["unit"])?)?,
            hash_rate: added(metrics, GaugeVec::new(rate, &["window"])?)?,
            thread_seconds: added(metrics, CounterVec::new(spent, &["doing"])?)?,
            not_ready: added(metrics, IntGaugeVec::new(not_ready, &["reason"])?)?,
            idle_seconds: added(metrics, idle)?,
            dataset_made: gauge("dataset_items_made", "Items of the dataset that are made")?,
            dataset_wanted: gauge(
                "dataset_items_wanted",
                "Items that the dataset has when it is whole; 0 in light mode",
            )?,
            huge_bytes: gauge(
                "dataset_huge_page_bytes",
                "Bytes of the dataset that the kernel keeps in huge pages",
            )?,
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
                "Writes of proofs that the volume refused, and files on it that cannot be read",
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

    /// The rate over each window.
    pub(crate) fn hashes_at(&self, rate: &Rate) {
        for (name, window) in WINDOWS {
            self.hash_rate.with_label_values(&[name]).set(rate.over(window).unwrap_or_default());
        }
    }

    /// How long the hashing threads have hashed, and done all else, since the start.
    pub(crate) fn spent(&self, (hashing, between): (Duration, Duration)) {
        for (doing, time) in [("hashing", hashing), ("other", between)] {
            let counter = self.thread_seconds.with_label_values(&[doing]);
            counter.inc_by((time.as_secs_f64() - counter.get()).max(0.0));
        }
    }

    /// What keeps the prover from being ready.
    pub(crate) fn hindered(&self, hindrance: Option<Hindrance>) {
        for each in Hindrance::ALL {
            self.not_ready
                .with_label_values(&[each.reason()])
                .set(i64::from(hindrance == Some(each)));
        }
    }
}

/// Puts a series on the page.
fn added<C: Collector + Clone + 'static>(metrics: &Metrics, series: C) -> prometheus::Result<C> {
    metrics.registry().register(Box::new(series.clone()))?;
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_read_only_what_is_shown() {
        let metrics = Metrics::new("prover", "0").unwrap();
        let series = Series::register(&metrics).unwrap();
        series.hashes_at(&Rate::default());
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
    #[test]
    fn all_that_is_shown_is_listed() {
        let metrics = Metrics::new("prover", "0").unwrap();
        let series = Series::register(&metrics).unwrap();
        series.hashed(B256::ZERO, 1);
        series.hashes_at(&Rate::default());
        series.spent((Duration::ZERO, Duration::ZERO));
        series.hindered(None);
        let page = metrics.page().unwrap();
        let prefix = format!("# TYPE {}_", coreward_telemetry::PREFIX);
        let names = page.lines().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next());
        let names: Vec<&str> = names.collect();
        assert_eq!(
            names,
            [
                "build_info",
                "dataset_huge_page_bytes",
                "dataset_items_made",
                "dataset_items_wanted",
                "hash_rate_hertz",
                "hashes_total",
                "idle_seconds_total",
                "not_ready",
                "post_failures_total",
                "proofs_acknowledged_total",
                "proofs_found_total",
                "proofs_kept",
                "proofs_stale_total",
                "puzzle_epoch",
                "thread_seconds_total",
                "volume_failures_total",
            ]
        );
    }
}

//! The metrics of one process.

use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder};

/// What every series of ours begins with; the registry adds it, names are written without.
pub const PREFIX: &str = "coreward";

/// The registry of one process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// An empty registry with `coreward_build_info{component, version} 1`.
    ///
    /// # Errors
    ///
    /// [`prometheus::Error`] if a name is not valid: a mistake in our wiring.
    pub fn new(component: &str, version: &str) -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some(PREFIX.to_owned()), None)?;
        let opts = Opts::new("build_info", "Constant 1; the labels say what runs");
        let build = IntGaugeVec::new(opts, &["component", "version"])?;
        build.with_label_values(&[component, version]).set(1);
        registry.register(Box::new(build))?;
        Ok(Self { registry })
    }

    /// Where to register series, each named without the prefix.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All series in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// [`prometheus::Error`] if a family cannot be written, such as one without a series.
    pub fn page(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;

    use super::*;

    #[test]
    fn every_series_carries_the_prefix() {
        let metrics = Metrics::new("prover", "0.1.0").unwrap();
        let stale = IntCounter::new("proofs_stale_total", "Proofs dropped").unwrap();
        metrics.registry().register(Box::new(stale.clone())).unwrap();
        stale.inc();
        let page = metrics.page().unwrap();
        assert!(
            page.contains("coreward_build_info{component=\"prover\",version=\"0.1.0\"} 1\n"),
            "{page}"
        );
        assert!(page.contains("coreward_proofs_stale_total 1\n"), "{page}");
    }
}

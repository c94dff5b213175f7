//! The agent's series.

use coreward_telemetry::Metrics;
use coreward_wire::ArtifactFault;
use prometheus::{IntCounterVec, IntGauge, Opts};

/// Handles of all series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    fetches: IntCounterVec,
    pub(crate) cached_bytes: IntGauge,
}

/// How a request for an artifact was answered from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Cached,
    Fetched,
    Failed(ArtifactFault),
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Fetched => "fetched",
            Self::Failed(ArtifactFault::GatewayUnreachable) => "gateway_unreachable",
            Self::Failed(ArtifactFault::NotFound) => "not_found",
            Self::Failed(ArtifactFault::DigestMismatch) => "digest_mismatch",
            Self::Failed(ArtifactFault::TooLarge) => "too_large",
            Self::Failed(ArtifactFault::InvalidWasm) => "invalid",
            Self::Failed(ArtifactFault::CompileLimit) => "compile_limit",
        }
    }
}

impl Series {
    pub(crate) fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        let opts = Opts::new(
            "artifact_fetches_total",
            "Artifacts asked for, by how it ended; one that is shared counts once",
        );
        let fetches = IntCounterVec::new(opts, &["ending"])?;
        metrics.registry().register(Box::new(fetches.clone()))?;
        let cached_bytes =
            IntGauge::new("artifact_cache_bytes", "Bytes of artifacts kept on the volume")?;
        metrics.registry().register(Box::new(cached_bytes.clone()))?;
        Ok(Self { fetches, cached_bytes })
    }

    pub(crate) fn ended(&self, ending: Ending) {
        self.fetches.with_label_values(&[ending.name()]).inc();
    }
}

//! The gateway's series.

use coreward_overlay::gateway::{Ending, Figures, Refusal};
use coreward_telemetry::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Handles of all series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    connections: IntGauge,
    reservations: IntGauge,
    circuits: IntGauge,
    opened: IntCounter,
    ended: IntCounterVec,
    refused: IntCounterVec,
    guests: IntGauge,
}

impl Series {
    pub(crate) fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        let ended = Opts::new("gateway_circuits_ended_total", "Circuits that ended, by how");
        let refused = Opts::new(
            "gateway_refusals_total",
            "Connections, reservations and circuits that were refused, by why",
        );
        let series = Self {
            connections: IntGauge::new("gateway_connections", "Connections that stand")?,
            reservations: IntGauge::new(
                "gateway_reservations",
                "Workers that are reachable through this gateway",
            )?,
            circuits: IntGauge::new("gateway_circuits", "Circuits that stand")?,
            opened: IntCounter::new("gateway_circuits_opened_total", "Circuits that were opened")?,
            ended: IntCounterVec::new(ended, &["ending"])?,
            refused: IntCounterVec::new(refused, &["reason"])?,
            guests: IntGauge::new("gateway_members", "Keys that the gateway relays for")?,
        };
        let registry = metrics.registry();
        registry.register(Box::new(series.connections.clone()))?;
        registry.register(Box::new(series.reservations.clone()))?;
        registry.register(Box::new(series.circuits.clone()))?;
        registry.register(Box::new(series.opened.clone()))?;
        registry.register(Box::new(series.ended.clone()))?;
        registry.register(Box::new(series.refused.clone()))?;
        registry.register(Box::new(series.guests.clone()))?;
        series.show(&Figures::default());
        Ok(series)
    }

    pub(crate) fn guests_are(&self, count: usize) {
        self.guests.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Shows the figures as they change, until `stop`.
    pub(crate) async fn follow(
        self,
        mut figures: watch::Receiver<Figures>,
        stop: CancellationToken,
    ) {
        stop.run_until_cancelled(async {
            while figures.changed().await.is_ok() {
                let now = figures.borrow_and_update().clone();
                self.show(&now);
            }
        })
        .await;
    }

    fn show(&self, figures: &Figures) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.connections.set(gauge(figures.connections));
        self.reservations.set(i64::try_from(figures.reservations()).unwrap_or(i64::MAX));
        self.circuits.set(gauge(figures.circuits()));
        raise(&self.opened, figures.circuits_opened);
        for ending in Ending::ALL {
            raise(&self.ended.with_label_values(&[ending.name()]), figures.endings(ending));
        }
        for reason in Refusal::ALL {
            raise(&self.refused.with_label_values(&[reason.name()]), figures.refusals(reason));
        }
    }
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

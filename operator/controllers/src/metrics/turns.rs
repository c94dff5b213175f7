//! Turns of the control loops.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Registry};

use super::{opts, registered};

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was to be done.
    Settled,
    /// Something was done.
    Acted,
    /// It stopped at an error and will be tried again.
    Failed,
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Acted => "acted",
            Self::Failed => "failed",
        }
    }
}

/// Turns of the control loops, by controller and ending.
#[derive(Clone, Debug)]
pub struct Turns {
    total: IntCounterVec,
    seconds: HistogramVec,
}

impl Turns {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            total: registered(
                registry,
                IntCounterVec::new(
                    opts("turns_total", "Turns of a control loop that ended"),
                    &["controller", "ending"],
                ),
            )?,
            seconds: registered(
                registry,
                HistogramVec::new(
                    HistogramOpts::new("turn_seconds", "Time of one turn"),
                    &["controller"],
                ),
            )?,
        })
    }

    /// Counts a turn; `controller` is the loop's name, one of a closed list in this crate.
    pub fn ended(&self, controller: &'static str, ending: Ending, took: Duration) {
        self.total.with_label_values(&[controller, ending.name()]).inc();
        self.seconds.with_label_values(&[controller]).observe(took.as_secs_f64());
    }
}

//! What the gateway says of itself, and when.

use core::time::Duration;
use std::sync::Arc;

use coreward_link::{BackOff, Link};
use coreward_telemetry::causes;
use coreward_wire::{Assignment, GatewayReport, Report};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often it is told to a leader that knows it already.
const EACH: Duration = Duration::from_mins(1);

/// How long to leave an operator alone that refuses a report for good.
const REFUSED: Duration = Duration::from_secs(30);

/// The last assignment heard.
pub(crate) type Heard = watch::Receiver<Option<Arc<Assignment>>>;

/// Tells the operator each minute until `stop`; sooner to a new leader, and while it is not taken.
pub(crate) async fn tell(
    link: Link,
    report: GatewayReport,
    mut heard: Heard,
    stop: CancellationToken,
) {
    let report = Report::Gateway(report);
    let telling = async {
        let mut pauses = BackOff::new();
        loop {
            let leader = heard.borrow().as_ref().map(|heard| heard.leader.clone());
            match link.post_report(&report).await {
                Ok(()) => {
                    pauses.succeeded();
                    let differs = |heard: &Option<Arc<Assignment>>| {
                        heard.as_ref().is_some_and(|heard| Some(&heard.leader) != leader.as_ref())
                    };
                    drop(timeout(EACH, heard.wait_for(differs)).await);
                }
                Err(error) => {
                    if pauses.failures().is_multiple_of(20) {
                        warn!(error = %causes(&error), post.failures = pauses.failures(), "the gateway's report is not taken by the operator");
                    }
                    sleep(pauses.pause(error.retry().unwrap_or(REFUSED))).await;
                }
            }
        }
    };
    stop.run_until_cancelled(telling).await;
}

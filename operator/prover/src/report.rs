//! What the prover says of itself, and when.

use core::time::Duration;

use coreward_link::{BackOff, Link};
use coreward_telemetry::causes;
use coreward_wire::{ProverReport, Report};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A report is sent at least this often; the operator takes silence beyond two of them for an outage.
const AT_LEAST: Duration = Duration::from_mins(1);

/// And never more often than this, however fast things change, but for whether it works and whom it is told.
const AT_MOST: Duration = Duration::from_secs(1);

/// How long to leave an operator alone that refuses a report for good.
const REFUSED: Duration = Duration::from_secs(30);

/// A report and the operator replica that it is for: a new leader knows of none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Addressed {
    pub(crate) leader: String,
    pub(crate) report: ProverReport,
}

/// Sends the report whenever something but the rate changed, or the leader did, and each minute, until `stop`.
pub(crate) async fn send_reports(
    link: Link,
    mut reports: watch::Receiver<Option<Addressed>>,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(async {
        let (mut pauses, mut sent) = (BackOff::new(), None::<Addressed>);
        loop {
            let differs = |now: &Option<Addressed>| {
                now.as_ref().is_some_and(|now| sent.as_ref().is_none_or(|sent| !says_the_same(sent, now)))
            };
            if let Ok(Err(_closed)) = tokio::time::timeout(AT_LEAST, reports.wait_for(differs)).await {
                return;
            }
            let Some(report) = reports.borrow().clone() else { continue };
            match link.post_report(&Report::Prover(report.report.clone())).await {
                Ok(()) => {
                    pauses.succeeded();
                    let turns = |now: &Option<Addressed>| now.as_ref().is_some_and(|now| now.urgent() != report.urgent());
                    // All else waits for its second.
                    drop(tokio::time::timeout(AT_MOST, reports.wait_for(turns)).await);
                    sent = Some(report);
                }
                Err(error) => {
                    if pauses.failures().is_multiple_of(20) {
                        warn!(error = %causes(&error), post.failures = pauses.failures(), "the report is not taken by the operator");
                    }
                    sent = None;
                    sleep(pauses.pause(error.retry().unwrap_or(REFUSED))).await;
                }
            }
        }
    })
    .await;
}

impl Addressed {
    /// What is worth telling at once.
    fn urgent(&self) -> (&str, bool) {
        (&self.leader, self.report.ready)
    }
}

/// The rate moves all the time; it goes along with what else changes, and each minute.
fn says_the_same(sent: &Addressed, now: &Addressed) -> bool {
    let rate = sent.report.hash_rate;
    sent.leader == now.leader
        && ProverReport { hash_rate: rate, ..now.report.clone() } == sent.report
}

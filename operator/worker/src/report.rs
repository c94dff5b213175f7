//! What the operator is told: on every change, and once in a while.

use core::time::Duration;

use coreward_link::Link;
use coreward_link::cpu::CpuFiles;
use coreward_telemetry::causes;
use coreward_wire::{CpuEvidence, Report, SubnetReport, WorkerReport};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::orders::{self, Orders};
use crate::release::Progress;

/// From one report to the next when nothing changes.
const CALM: Duration = Duration::from_secs(30);
/// The first pause before a report that did not arrive is sent again; doubled up to `CALM`.
const AGAIN: Duration = Duration::from_millis(500);

/// All that a report is made of.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) link: Link,
    pub(crate) orders: Orders,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) subnet: watch::Receiver<SubnetReport>,
    pub(crate) overlay_port: u16,
}

impl Reporter {
    /// Reports until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.report_for_ever()).await;
    }

    async fn report_for_ever(&mut self) {
        let mut pause = AGAIN;
        loop {
            let report = Report::Worker(self.report());
            let wait = match self.link.post_report(&report).await {
                Ok(()) => {
                    pause = AGAIN;
                    CALM
                }
                Err(error) => {
                    tracing::warn!(error = %causes(&error), "a report did not reach the operator");
                    pause = (pause * 2).min(CALM);
                    pause
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                Ok(()) = self.progress.changed() => {}
                Ok(()) = self.subnet.changed() => {}
            }
        }
    }

    fn report(&mut self) -> WorkerReport {
        let Progress { cid, stage, serving, failure } = self.progress.borrow_and_update().clone();
        let duty = self.orders.borrow();
        WorkerReport {
            onchain_worker_id: duty.onchain_worker_id,
            offchain_worker_id: orders::own_key(&duty).into(),
            cid,
            stage,
            serving,
            failure,
            cpu: evidence(),
            overlay_port: self.overlay_port,
            subnet: self.subnet.borrow_and_update().clone(),
        }
    }
}

fn evidence() -> CpuEvidence {
    CpuFiles::of_this_machine().evidence().unwrap_or_else(|error| {
        tracing::warn!(error = %causes(&error), "the kernel does not tell which CPUs are ours");
        CpuEvidence::default()
    })
}

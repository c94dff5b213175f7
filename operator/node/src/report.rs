//! What the agent says of its node, and when.

use core::time::Duration;
use std::sync::Arc;

use coreward_link::{BackOff, Link};
use coreward_telemetry::{Liveness, Readiness, causes};
use coreward_wire::{Assignment, NodeReport, Report};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::facts::NodeFiles;
use crate::server::Heard;

/// How often the facts are read and told.
const EACH: Duration = Duration::from_mins(1);

/// How long to leave an operator alone that refuses a report for good.
const REFUSED: Duration = Duration::from_secs(30);

/// What the reports are made from.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) link: Link,
    pub(crate) files: NodeFiles,
    pub(crate) artifact_url: String,
    /// A new leader knows of no report: it is told at once.
    pub(crate) heard: Heard,
    /// True once the operator has taken a report.
    pub(crate) told: Readiness,
    pub(crate) turns: Liveness,
}

impl Reporter {
    /// Reads and tells the facts each minute until `stop`; sooner to a new leader, and while they are not taken.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            let (mut pauses, mut last) = (BackOff::new(), None);
            loop {
                self.turns.tick();
                let leader = self.leader();
                match self.turn(&mut pauses, &mut last).await {
                    Ok(()) => {
                        let differs = |heard: &Option<Arc<Assignment>>| {
                            heard
                                .as_ref()
                                .is_some_and(|heard| Some(&heard.leader) != leader.as_ref())
                        };
                        drop(timeout(EACH, self.heard.wait_for(differs)).await);
                    }
                    Err(pause) => sleep(pause).await,
                }
            }
        })
        .await;
    }

    fn leader(&self) -> Option<String> {
        self.heard.borrow().as_ref().map(|heard| heard.leader.clone())
    }

    /// Reads and tells once; after a failure, the pause before the next try.
    async fn turn(
        &self,
        pauses: &mut BackOff,
        last: &mut Option<NodeReport>,
    ) -> Result<(), Duration> {
        let files = self.files.clone();
        let facts = match spawn_blocking(move || files.read()).await {
            Ok(Ok(facts)) => facts,
            Ok(Err(error)) => {
                error!(error = %causes(&error), "the node's facts cannot be read; the node gets no units");
                return Err(EACH);
            }
            Err(_panicked) => return Err(EACH),
        };
        let report = NodeReport { facts, artifact_url: self.artifact_url.clone() };
        match self.link.post_report(&Report::Node(report.clone())).await {
            Ok(()) => {
                pauses.succeeded();
                self.told.set(true);
                if last.as_ref() != Some(&report) {
                    let facts = &report.facts;
                    info!(
                        node.cores = facts.cores,
                        node.threads_per_core = facts.threads_per_core,
                        node.memory_mib = facts.memory_mib,
                        node.cpu_model = facts.cpu_model,
                        node.numa_nodes = facts.numa_nodes,
                        node.transparent_huge_pages = facts.transparent_huge_pages,
                        "told the operator of {} cores with {} threads each and {} MiB",
                        facts.cores,
                        facts.threads_per_core,
                        facts.memory_mib
                    );
                    *last = Some(report);
                }
                Ok(())
            }
            Err(error) => {
                if pauses.failures().is_multiple_of(20) {
                    warn!(error = %causes(&error), post.failures = pauses.failures(), "the node's report is not taken by the operator");
                }
                Err(pauses.pause(error.retry().unwrap_or(REFUSED)))
            }
        }
    }
}

//! The long poll, and the last assignment kept on the pod's volume.

use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coreward_telemetry::causes;
use coreward_wire::Assignment;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::back_off::BackOff;
use crate::client::Link;
use crate::durable;
use crate::error::LinkError;

/// The pause before the next poll when there was nothing new: an operator that does not hold its polls is not flooded.
const BETWEEN_POLLS: Duration = Duration::from_millis(50);

/// How long to wait before a call that was refused for good is tried again all the same: an upgrade may help.
const REFUSED: Duration = Duration::from_secs(30);

/// The last assignment on the pod's volume. It may hold a worker's key seed: the file is readable by us alone.
#[derive(Clone, Debug)]
pub struct AssignmentFile {
    path: PathBuf,
}

impl AssignmentFile {
    /// `assignment.json` in the pod's state directory.
    #[must_use]
    pub fn in_directory(state: &Path) -> Self {
        Self { path: state.join("assignment.json") }
    }

    /// What was kept; `None` if nothing was, or it cannot be read: the operator will tell again.
    fn load(&self) -> Option<Assignment> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(file.path = %self.path.display(), error = %error, "the last assignment cannot be read; it is asked for again");
                return None;
            }
        };
        // The error of the parser may quote the text, which may hold a seed: it is not logged.
        let kept = serde_json::from_slice(&bytes).ok();
        if kept.is_none() {
            warn!(file.path = %self.path.display(), "the last assignment is not whole; it is asked for again");
        }
        kept
    }

    async fn keep(&self, assignment: &Assignment) {
        let Ok(bytes) = serde_json::to_vec(assignment) else { return };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || durable::replace(&path, &bytes)).await;
        if let Ok(Err(error)) = written {
            warn!(file.path = %self.path.display(), error = %error, "the assignment could not be kept; a restart will need the operator");
        }
    }
}

/// The long poll; [`Assignments::run`] must be driven for the receiver to hear anything.
#[derive(Debug)]
pub struct Assignments {
    link: Link,
    file: Option<AssignmentFile>,
    sender: watch::Sender<Option<Arc<Assignment>>>,
}

impl Link {
    /// A receiver of assignments, and the task that feeds it; it starts with what `file` holds.
    #[must_use]
    pub fn assignments(
        &self,
        file: Option<AssignmentFile>,
    ) -> (watch::Receiver<Option<Arc<Assignment>>>, Assignments) {
        let last = file.as_ref().and_then(AssignmentFile::load).map(Arc::new);
        if let Some(last) = &last {
            info!(
                assignment.revision = last.revision,
                "goes on with the assignment kept from before the restart"
            );
        }
        let (sender, receiver) = watch::channel(last);
        (receiver, Assignments { link: self.clone(), file, sender })
    }
}

impl Assignments {
    /// Polls until `stop`. While the operator is away the last assignment stands.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.poll_for_ever()).await;
    }

    async fn poll_for_ever(&self) {
        let mut pauses = BackOff::new();
        // What was kept may be of an operator that no longer is: the first poll asks for the truth.
        let mut seen: Option<String> = None;
        loop {
            let pause = match self.link.poll(seen.as_deref()).await {
                Ok(answer) => {
                    if pauses.failures() > 0 {
                        info!(poll.failures = pauses.failures(), "the operator answers again");
                    }
                    pauses.succeeded();
                    match answer {
                        Some(assignment) => {
                            seen = Some(assignment.revision.clone());
                            self.give(assignment).await;
                            continue;
                        }
                        None => BETWEEN_POLLS,
                    }
                }
                Err(error) => self.pause_after(&error, &mut pauses),
            };
            sleep(pause).await;
        }
    }

    async fn give(&self, assignment: Assignment) {
        let is_new = self.sender.borrow().as_deref() != Some(&assignment);
        if !is_new {
            return;
        }
        if let Some(file) = &self.file {
            file.keep(&assignment).await;
        }
        self.sender.send_replace(Some(Arc::new(assignment)));
    }

    fn pause_after(&self, error: &LinkError, pauses: &mut BackOff) -> Duration {
        // One line when it goes away and one a minute or so: twenty pauses of three seconds.
        if pauses.failures().is_multiple_of(20) {
            let has_assignment = self.sender.borrow().is_some();
            warn!(
                error = %causes(error), poll.failures = pauses.failures(), assignment.known = has_assignment,
                "the operator cannot be asked for the assignment; the last one stands"
            );
        }
        pauses.pause(error.retry().unwrap_or(REFUSED))
    }
}

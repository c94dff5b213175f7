//! The long poll, and the last assignment kept on the pod's volume.

use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coreward_telemetry::causes;
use coreward_wire::{Assignment, Duty};
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

    /// What was kept, with the time since taken off what it says is left; `None` if nothing was, or it cannot be read: the
    /// operator will tell again.
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
        let kept: Option<Assignment> = serde_json::from_slice(&bytes).ok();
        if kept.is_none() {
            warn!(file.path = %self.path.display(), "the last assignment is not whole; it is asked for again");
        }
        kept.map(|assignment| aged(assignment, self.age()))
    }

    /// How long ago it was written; a file of the future, after the clock was set back, counts as new.
    fn age(&self) -> Duration {
        let written = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        written.and_then(|written| written.elapsed().ok()).unwrap_or_default()
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

/// An assignment as it stands `age` later.
fn aged(mut assignment: Assignment, age: Duration) -> Assignment {
    if let Duty::Prover(duty) = &mut assignment.duty
        && let Some(puzzle) = &mut duty.puzzle
    {
        puzzle.remaining_seconds = puzzle.remaining_seconds.saturating_sub(age.as_secs());
    }
    assignment
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
        // Given before it is kept: a slow volume must not hold up a new epoch. A restart in between asks the operator anew.
        self.sender.send_replace(Some(Arc::new(assignment.clone())));
        if let Some(file) = &self.file {
            file.keep(&assignment).await;
        }
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

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coreward_wire::{ProofTarget, ProverDuty, Puzzle};
    use rstest::rstest;

    use super::*;

    fn told(remaining_seconds: u64) -> Assignment {
        let target = ProofTarget { minimum: 1, useful: 2, on_chain: 0 };
        let (global_nonce, difficulty) = (B256::ZERO, B256::ZERO);
        let puzzle = Puzzle { epoch: 7, global_nonce, difficulty, target, remaining_seconds };
        let (unit_id, acknowledged) = (B256::ZERO, Vec::new());
        let duty = ProverDuty { unit_id, puzzle: Some(puzzle), acknowledged };
        Assignment { revision: "1".to_owned(), leader: "a".to_owned(), duty: Duty::Prover(duty) }
    }

    #[rstest]
    #[case::kept_just_now(0, 100)]
    #[case::less_than_a_second_ago(999, 100)]
    #[case::a_while_ago(40_000, 60)]
    #[case::before_the_epoch_ended(100_000, 0)]
    #[case::long_ago(1_000_000, 0)]
    fn the_time_since_it_was_kept_is_not_left_of_the_epoch(
        #[case] milliseconds: u64,
        #[case] left: u64,
    ) {
        assert_eq!(aged(told(100), Duration::from_millis(milliseconds)), told(left));
    }

    #[test]
    fn the_age_is_that_of_the_file() {
        let state = tempfile::tempdir().unwrap();
        let kept = AssignmentFile::in_directory(state.path());
        fs::write(&kept.path, serde_json::to_vec(&told(361_000)).unwrap()).unwrap();
        let file = fs::File::options().write(true).open(&kept.path).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - Duration::from_hours(100)).unwrap();
        let Some(Duty::Prover(duty)) = kept.load().map(|assignment| assignment.duty) else {
            unreachable!("a prover's duty was kept")
        };
        assert!(duty.puzzle.unwrap().remaining_seconds <= 1_000);

        file.set_modified(written + Duration::from_hours(100)).unwrap();
        assert_eq!(kept.load(), Some(told(361_000)), "the clock was set back");
    }
}

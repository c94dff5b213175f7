//! An orderly end: a signal cancels one token, tasks see it and end, and the process waits for them, but not for ever.

use core::future::Future;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// The signals could not be listened to.
#[derive(Debug, thiserror::Error)]
#[error("listen to SIGTERM and SIGINT")]
pub struct SignalError {
    source: io::Error,
}

/// Whether all tasks ended in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// They did.
    Clean,
    /// Some were still at work; the process ends all the same.
    TimedOut,
}

/// The process's task set and the token that ends it; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    /// What the process says of its end: 128 and the signal's number, as shells do.
    code: Arc<AtomicU8>,
}

impl Shutdown {
    /// A task set that only [`Shutdown::stop`] and the end of a task of [`Shutdown::spawn_vital`] cancel.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A task set that SIGTERM and SIGINT cancel too; call it within a runtime.
    ///
    /// # Errors
    ///
    /// [`SignalError`] if the runtime cannot listen to signals.
    pub fn on_signals() -> Result<Self, SignalError> {
        let shutdown = Self::new();
        let listen = |kind| signal(kind).map_err(|source| SignalError { source });
        let (mut terminate, mut interrupt) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let (token, code) = (shutdown.token(), Arc::clone(&shutdown.code));
        shutdown.spawn(async move {
            let (kind, name) = tokio::select! {
                _ = terminate.recv() => (SignalKind::terminate(), "SIGTERM"),
                _ = interrupt.recv() => (SignalKind::interrupt(), "SIGINT"),
                () = token.cancelled() => return,
            };
            info!(process.signal = name, "stops on {name}");
            code.store(
                u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX),
                Ordering::Relaxed,
            );
            token.cancel();
        });
        Ok(shutdown)
    }

    /// Cancelled when the process is to end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Tells all tasks to end.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Runs a task that the drain waits for; its end ends nothing else.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Runs a task that the process cannot do without: when it ends, or panics, all others are told to end.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token();
        let guard = token.clone().drop_guard();
        self.tasks.spawn(async move {
            let _ends_all = guard;
            task.await;
            if !token.is_cancelled() {
                warn!(task.name = name, "the process stops because its task {name} ended");
            }
        });
    }

    /// The code that a unit's pod ends with: success, or 128 and the number of the signal that ended it. The kubelet tells why it
    /// put a pod out only if the pod did not end well.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code.load(Ordering::Relaxed))
    }

    /// Waits for the token, then at most `drain` for the tasks.
    pub async fn finished(&self, drain: Duration) -> Drained {
        self.token.cancelled().await;
        self.tasks.close();
        match tokio::time::timeout(drain, self.tasks.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_elapsed) => {
                warn!(
                    drain.seconds = drain.as_secs(),
                    "tasks were still at work when their time to end was over"
                );
                Drained::TimedOut
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use super::*;

    #[tokio::test]
    async fn tasks_that_see_the_token_end_cleanly() {
        let shutdown = Shutdown::new();
        shutdown.spawn(shutdown.token().cancelled_owned());
        shutdown.stop();
        assert_eq!(shutdown.finished(Duration::from_secs(10)).await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_vital_task_takes_the_others_along() {
        let shutdown = Shutdown::new();
        shutdown.spawn(shutdown.token().cancelled_owned());
        shutdown.spawn_vital("vital", async {});
        assert_eq!(shutdown.finished(Duration::from_secs(10)).await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_left_behind() {
        let shutdown = Shutdown::new();
        shutdown.spawn(pending());
        shutdown.stop();
        assert_eq!(shutdown.finished(Duration::ZERO).await, Drained::TimedOut);
    }
}

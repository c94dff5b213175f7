//! The CPU time of one request: summed over the polls of its work, by the clock of the thread that polls.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The work used more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuchCpu;

/// Drives `work` as long as it has used no more than `limit`; gives what it used, too.
///
/// Looks when `work` gives way, so it is stopped late by as long as it runs without that.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> (Result<T, TooMuchCpu>, Duration) {
    let mut work = pin!(work);
    let mut used = Duration::ZERO;
    poll_fn(|context| {
        let before = now();
        let polled = work.as_mut().poll(context);
        used += now().saturating_sub(before);
        match polled {
            Poll::Ready(output) => Poll::Ready((Ok(output), used)),
            Poll::Pending if used > limit => Poll::Ready((Err(TooMuchCpu), used)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// CPU time of this thread since its start; time that others had the core does not count.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use core::hint::black_box;

    use tokio::task::yield_now;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn work_that_computes_for_ever_is_stopped_when_it_gives_way() {
        let endless = async {
            loop {
                black_box((0..10_000_u64).sum::<u64>());
                yield_now().await;
            }
        };
        let (ended, used): (Result<(), _>, _) = within(LIMIT, endless).await;
        assert_eq!(ended, Err(TooMuchCpu));
        assert!(used > LIMIT, "{used:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_waits_uses_nothing() {
        let waits = async { tokio::time::sleep(LIMIT * 100).await };
        assert_eq!(within(LIMIT, waits).await.0, Ok(()));
    }
}

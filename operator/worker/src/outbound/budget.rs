//! How much a component may ask of others: connections open at once and bytes of bodies, for each instance and for all.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use coreward_wire::RequestLimits;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime_wasi_http::Error;

use crate::body::Body;
use crate::metrics::{Metrics, Route};

/// Connections and requests to others that all instances of a worker may have open.
const OPEN: usize = 256;
/// Bytes a second of all instances together, in the long run.
const BYTES_PER_SECOND: f64 = 128.0 * 1024.0 * 1024.0;
/// Bytes that they may have at once after a silence.
const BURST: f64 = 8.0 * BYTES_PER_SECOND;

/// What all instances of a worker may ask of others.
#[derive(Debug)]
pub(crate) struct Shared {
    open: Arc<Semaphore>,
    bytes: Mutex<Bucket>,
    metrics: Metrics,
}

/// Bytes that fill up with time.
#[derive(Debug)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    fn take(&mut self, bytes: f64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + elapsed * BYTES_PER_SECOND).min(BURST);
        self.since = now;
        let granted = bytes <= self.left;
        if granted {
            self.left -= bytes;
        }
        granted
    }
}

impl Shared {
    pub(crate) fn new(metrics: Metrics) -> Arc<Self> {
        let bytes = Mutex::new(Bucket { left: BURST, since: Instant::now() });
        Arc::new(Self { open: Arc::new(Semaphore::new(OPEN)), bytes, metrics })
    }
}

/// What one instance may ask of others; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    open: Arc<Semaphore>,
    left: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

/// The right to one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    _of_instance: OwnedSemaphorePermit,
    _of_worker: OwnedSemaphorePermit,
}

impl Allowance {
    pub(super) fn of(limits: &RequestLimits, shared: &Arc<Shared>) -> Self {
        let open = usize::try_from(limits.connections).unwrap_or(OPEN).min(OPEN);
        Self {
            open: Arc::new(Semaphore::new(open)),
            left: Arc::new(AtomicU64::new(limits.outbound_bytes)),
            shared: Arc::clone(shared),
        }
    }

    /// Whether nobody else has a part of it: no connection, and no body on its way.
    pub(super) fn is_at_rest(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }

    /// # Errors
    ///
    /// [`Error::ConnectionLimitReached`] if the instance, or all of them, have as many open as they may.
    pub(super) fn open(&self) -> Result<Opened, Error> {
        let take = |places: &Arc<Semaphore>| {
            Arc::clone(places).try_acquire_owned().map_err(|_| {
                self.shared.metrics.sent(Route::OverConnections);
                Error::ConnectionLimitReached
            })
        };
        Ok(Opened { _of_instance: take(&self.open)?, _of_worker: take(&self.shared.open)? })
    }

    /// The body of a request, which fails where it passes what may be sent.
    pub(super) fn sending(&self, body: Body) -> Body {
        self.count(body, None, Error::HttpRequestBodySize)
    }

    /// The body of an answer, which fails where it passes what may be received; its connection is open as long.
    pub(super) fn receiving(&self, body: Body, opened: Opened) -> Body {
        self.count(body, Some(opened), Error::HttpResponseBodySize)
    }

    fn count(&self, body: Body, opened: Option<Opened>, over: Over) -> Body {
        Counted { body, allowance: self.clone(), over, _opened: opened }.boxed_unsync()
    }

    fn take(&self, bytes: usize) -> bool {
        let subtract = |left: u64| left.checked_sub(bytes as u64);
        let of_instance =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract).is_ok();
        let mut bucket = self.shared.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        // Frames are far smaller than what a double counts exactly.
        #[expect(clippy::cast_precision_loss, reason = "the length of a frame in memory")]
        let granted = of_instance && bucket.take(bytes as f64, Instant::now());
        if !granted {
            self.shared.metrics.sent(Route::OverBytes);
        }
        granted
    }
}

/// The error for too many bytes in one direction.
type Over = fn(Option<u64>) -> Error;

struct Counted {
    body: Body,
    allowance: Allowance,
    over: Over,
    _opened: Option<Opened>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame)))
                if !self.allowance.take(frame.data_ref().map_or(0, Bytes::len)) =>
            {
                Poll::Ready(Some(Err((self.over)(None))))
            }
            Poll::Ready(_) | Poll::Pending => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use prometheus::Registry;

    use super::*;
    use crate::body::full;

    fn shared() -> Arc<Shared> {
        Shared::new(Metrics::register(&Registry::new()).unwrap())
    }

    fn limits(connections: u32, outbound_bytes: u64) -> RequestLimits {
        RequestLimits { connections, outbound_bytes, ..RequestLimits::default() }
    }

    #[test]
    fn an_instance_and_all_together_have_so_many_connections() {
        let shared = shared();
        let instance = Allowance::of(&limits(2, 0), &shared);
        let held = [instance.open().unwrap(), instance.open().unwrap()];
        assert!(matches!(instance.open(), Err(Error::ConnectionLimitReached)));
        let others = Allowance::of(&limits(u32::MAX, 0), &shared);
        let rest: Vec<_> = core::iter::from_fn(|| others.open().ok()).collect();
        assert_eq!(rest.len(), OPEN - 2);
        drop(held);
        assert!(instance.open().is_ok());
    }

    #[tokio::test]
    async fn an_instance_has_so_many_bytes_both_ways() {
        let instance = Allowance::of(&limits(1, 10), &shared());
        let opened = instance.open().unwrap();
        let sent = instance.sending(full("12345")).collect().await.unwrap();
        assert_eq!(sent.to_bytes(), "12345");
        let received = instance.receiving(full("123456"), opened).collect().await;
        assert!(matches!(received, Err(Error::HttpResponseBodySize(None))));
        assert!(instance.open().is_ok(), "the connection is gone with its body");
        let sent = instance.sending(full("123456")).collect().await;
        assert!(matches!(sent, Err(Error::HttpRequestBodySize(None))));
    }

    #[test]
    fn it_is_at_rest_when_no_connection_and_no_body_is_open() {
        let instance = Allowance::of(&limits(1, 10), &shared());
        assert!(instance.is_at_rest());
        let answer = instance.receiving(full("123"), instance.open().unwrap());
        assert!(!instance.is_at_rest());
        drop(answer);
        let body = instance.sending(full("123"));
        assert!(!instance.is_at_rest());
        drop(body);
        assert!(instance.is_at_rest());
    }

    #[test]
    fn all_instances_have_so_many_bytes_a_second() {
        let now = Instant::now();
        let mut bucket = Bucket { left: BURST, since: now };
        assert!(bucket.take(BURST, now));
        assert!(!bucket.take(1.0, now));
        let later = now + Duration::from_secs(1);
        assert!(!bucket.take(BYTES_PER_SECOND + 1.0, later));
        assert!(bucket.take(BYTES_PER_SECOND, later));
    }
}

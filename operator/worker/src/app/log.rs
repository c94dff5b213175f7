//! What a component prints: lines of the pod's log, at a bounded rate.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::metrics::Metrics;

/// Lines per second that are logged in the long run.
const LINES_PER_SECOND: f64 = 100.0;
/// Lines that may come at once after a silence.
const BURST: f64 = 1000.0;
/// Bytes of one line; a longer one is cut into several.
const LINE_BYTES: usize = 4096;
/// Bytes that a component may write in one call.
const WRITE_BYTES: usize = 64 << 10;

/// The log of one worker's component, shared by its instances.
#[derive(Clone, Debug)]
pub(crate) struct GuestLog(Arc<Book>);

#[derive(Debug)]
struct Book {
    deal: Address,
    worker: String,
    rate: Mutex<Rate>,
    metrics: Metrics,
}

/// A bucket of lines that fills with time.
#[derive(Debug)]
struct Rate {
    left: f64,
    since: Instant,
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + elapsed * LINES_PER_SECOND).min(BURST);
        self.since = now;
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

/// Which of its two outputs a component wrote to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output {
    Stdout,
    Stderr,
}

impl GuestLog {
    /// The log of this worker.
    pub(crate) fn new(deal: Address, worker: String, metrics: Metrics) -> Self {
        let rate = Mutex::new(Rate { left: BURST, since: Instant::now() });
        Self(Arc::new(Book { deal, worker, rate, metrics }))
    }

    /// One of the two outputs of one instance, which works for `request`.
    pub(crate) fn output(&self, output: Output, request: &Arc<AtomicU64>) -> GuestOutput {
        GuestOutput { log: self.clone(), output, request: Arc::clone(request) }
    }

    fn line(&self, output: Output, request: u64, line: &[u8]) {
        let Book { deal, worker, rate, metrics } = &*self.0;
        if !rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            metrics.log_line_dropped();
            return;
        }
        let message = String::from_utf8_lossy(line);
        match output {
            Output::Stdout => {
                tracing::info!(target: "guest", { deal.address = %deal, worker.id = %worker, request.id = request, guest.output = "stdout" }, "{message}");
            }
            Output::Stderr => {
                tracing::warn!(target: "guest", { deal.address = %deal, worker.id = %worker, request.id = request, guest.output = "stderr" }, "{message}");
            }
        }
    }
}

/// One output of one instance.
#[derive(Clone, Debug)]
pub(crate) struct GuestOutput {
    log: GuestLog,
    output: Output,
    request: Arc<AtomicU64>,
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { to: self.clone(), begun: Vec::new() })
    }
}

/// A stream that cuts what it gets into lines.
struct Lines {
    to: GuestOutput,
    begun: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        if !self.begun.is_empty() {
            let GuestOutput { log, output, request } = &self.to;
            log.line(*output, request.load(Ordering::Relaxed), &self.begun);
            self.begun.clear();
        }
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ => self.begun.push(byte),
            }
            if self.begun.len() >= LINE_BYTES {
                self.end_line();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use alloy_primitives::Address;
    use bytes::Bytes;
    use prometheus::Registry;
    use tokio::time::Instant;
    use tracing_subscriber::fmt;
    use wasmtime_wasi::cli::StdoutStream as _;

    use super::{AtomicU64, BURST, GuestLog, LINE_BYTES, Ordering, Output, Rate};
    use crate::metrics::Metrics;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log has after a component wrote `pieces` to its standard error.
    fn logged(pieces: &[&'static [u8]]) -> Vec<String> {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            fmt().with_writer(move || writer.clone()).with_ansi(false).without_time().finish();
        tracing::subscriber::with_default(subscriber, || {
            let metrics = Metrics::register(&Registry::new()).unwrap();
            let log = GuestLog::new(Address::ZERO, "7".to_owned(), metrics);
            let request = Arc::new(AtomicU64::new(0));
            let mut stream = log.output(Output::Stderr, &request).p2_stream();
            for (at, piece) in (1..).zip(pieces) {
                request.store(at, Ordering::Relaxed);
                stream.write(Bytes::from_static(piece)).unwrap();
            }
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_line_in_pieces_is_one_line_with_its_worker_and_the_request_that_ended_it() {
        let lines = logged(&[b"one and", b" the same\r\n\n", b"two"]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("guest: one and the same deal.address=0x0000"), "{lines:?}");
        assert!(lines[0].contains("request.id=2"), "{lines:?}");
        assert!(lines[1].contains("two") && lines[1].contains("worker.id=7"), "{lines:?}");
        assert!(lines[1].contains("request.id=3"), "{lines:?}");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        assert_eq!(logged(&[&[b'x'; 2 * LINE_BYTES + 1]]).len(), 3);
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_after_the_burst() {
        let start = Instant::now();
        let mut rate = Rate { left: BURST, since: start };
        let granted = (0..5000).filter(|_| rate.take(start)).count();
        assert_eq!(granted, 1000);
        let granted = (0..5000).filter(|_| rate.take(start + Duration::from_secs(2))).count();
        assert_eq!(granted, 200);
    }
}

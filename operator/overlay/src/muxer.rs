//! yamux with windows that are bounded together, and an end that waits for nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures::future::{Ready, ready as now};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use yamux::{Connection, ConnectionError, Mode, Stream};

/// Streams on one connection, of both sides; the connection of who opens more is ended.
pub(crate) const STREAMS_PER_CONNECTION: usize = 256;
/// What a stream may hold unread. It never grows: js-libp2p sends frames as large as its window, and larger ones than
/// 1 MiB are refused.
pub(crate) const WINDOW: usize = yamux::DEFAULT_CREDIT as usize;
/// Bytes in one frame; with its head it fits into one Noise message.
const FRAME: usize = 48 * 1024;

/// Sets up yamux on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yamux;

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<T> for Yamux {
    type Output = Muxer<T>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<T>, Infallible>>;

    fn upgrade_inbound(self, socket: T, _: Self::Info) -> Self::Future {
        now(Ok(Muxer::new(socket, Mode::Server)))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<T> for Yamux {
    type Output = Muxer<T>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<T>, Infallible>>;

    fn upgrade_outbound(self, socket: T, _: Self::Info) -> Self::Future {
        now(Ok(Muxer::new(socket, Mode::Client)))
    }
}

/// A connection of many streams.
pub(crate) struct Muxer<T> {
    connection: Connection<T>,
    /// Streams that nobody has taken yet; they count among `STREAMS_PER_CONNECTION`.
    untaken: VecDeque<Substream>,
    taker: Option<Waker>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Muxer<T> {
    fn new(socket: T, mode: Mode) -> Self {
        let mut config = yamux::Config::default();
        config
            .set_max_num_streams(STREAMS_PER_CONNECTION)
            .set_max_connection_receive_window(Some(STREAMS_PER_CONNECTION * WINDOW))
            .set_split_send_size(FRAME);
        Self {
            connection: Connection::new(socket, config, mode),
            untaken: VecDeque::new(),
            taker: None,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Substream, ConnectionError>> {
        let next = ready!(self.connection.poll_next_inbound(context));
        Poll::Ready(next.unwrap_or(Err(ConnectionError::Closed)).map(Substream::new))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<T> {
    type Substream = Substream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Substream, ConnectionError>> {
        if let Some(stream) = self.untaken.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(context);
        if next.is_pending() {
            self.taker = Some(context.waker().clone());
        }
        next
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Substream, ConnectionError>> {
        self.connection.poll_new_outbound(context).map_ok(Substream::new)
    }

    /// Says what the socket takes at once and no more: whoever is closed out may have stopped reading.
    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        match self.connection.poll_close(context) {
            Poll::Ready(closed) => Poll::Ready(closed),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        // All streams live by this; it must go on while nobody takes the new ones.
        let stream = ready!(self.poll_next(context))?;
        self.untaken.push_back(stream);
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A stream; where the other side has reset it, reading fails, so that a cut answer never passes for a whole one.
pub(crate) struct Substream {
    stream: Stream,
    is_ended_by_us: bool,
}

impl Substream {
    fn new(stream: Stream) -> Self {
        Self { stream, is_ended_by_us: false }
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let is_reset = read == 0 && !buffer.is_empty() && self.stream.is_closed();
        if is_reset && !self.is_ended_by_us {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_ended_by_us = true;
        Pin::new(&mut self.stream).poll_close(context)
    }
}

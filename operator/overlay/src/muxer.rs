//! yamux with windows that are bounded together, and an end that waits for nobody.

use std::convert::Infallible;
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::{Ready, ready as now};
use futures::{AsyncRead, AsyncWrite, FutureExt as _};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use tokio::sync::{mpsc, oneshot};
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

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<T> for Yamux {
    type Output = Muxer;
    type Error = Infallible;
    type Future = Ready<Result<Muxer, Infallible>>;

    fn upgrade_inbound(self, socket: T, _: Self::Info) -> Self::Future {
        now(Ok(Muxer::new(socket, Mode::Server)))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<T> for Yamux {
    type Output = Muxer;
    type Error = Infallible;
    type Future = Ready<Result<Muxer, Infallible>>;

    fn upgrade_outbound(self, socket: T, _: Self::Info) -> Self::Future {
        now(Ok(Muxer::new(socket, Mode::Client)))
    }
}

/// A connection of many streams. They live by a task of the connection's own: whatever comes for a stream wakes that task
/// and the stream's reader, and not all the behaviours that a connection has.
pub(crate) struct Muxer {
    /// Closing it ends the connection.
    asks: mpsc::Sender<oneshot::Sender<Opened>>,
    asked: Option<oneshot::Receiver<Opened>>,
    untaken: mpsc::Receiver<Stream>,
    ended: oneshot::Receiver<ConnectionError>,
}

type Opened = Result<Stream, ConnectionError>;

impl Muxer {
    fn new(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, mode: Mode) -> Self {
        let mut config = yamux::Config::default();
        config
            .set_max_num_streams(STREAMS_PER_CONNECTION)
            .set_max_connection_receive_window(Some(STREAMS_PER_CONNECTION * WINDOW))
            .set_split_send_size(FRAME);
        let connection = Connection::new(socket, config, mode);
        let (asks, asked) = mpsc::channel(1);
        let (taken, untaken) = mpsc::channel(STREAMS_PER_CONNECTION);
        let (end, ended) = oneshot::channel();
        let carrier = Carrier { connection, asked, asking: None, taken };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with this value, which closes what it listens to"
        )]
        tokio::spawn(async move { drop(end.send(carrier.await)) });
        Self { asks, asked: None, untaken, ended }
    }
}

impl StreamMuxer for Muxer {
    type Substream = Substream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Substream, ConnectionError>> {
        match ready!(self.untaken.poll_recv(context)) {
            Some(stream) => Poll::Ready(Ok(Substream::new(stream))),
            // Why it ended is told by `poll`.
            None => Poll::Pending,
        }
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Substream, ConnectionError>> {
        let this = &mut *self;
        if this.asked.is_none() {
            let (ask, asked) = oneshot::channel();
            // The one place is free: the answer to the last ask has come.
            this.asks.try_send(ask).map_err(|_| ConnectionError::Closed)?;
            this.asked = Some(asked);
        }
        let Some(asked) = &mut this.asked else { return Poll::Pending };
        let opened = ready!(asked.poll_unpin(context));
        this.asked = None;
        Poll::Ready(opened.unwrap_or(Err(ConnectionError::Closed)).map(Substream::new))
    }

    /// Lets the connection go: it says what the socket takes at once and no more, for whoever is closed out may have
    /// stopped reading.
    fn poll_close(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.asks = mpsc::channel(1).0;
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        let ended = ready!(self.ended.poll_unpin(context));
        Poll::Ready(Err(ended.unwrap_or(ConnectionError::Closed)))
    }
}

/// What a connection's task does: carries bytes until either side ends the connection.
struct Carrier<T> {
    connection: Connection<T>,
    asked: mpsc::Receiver<oneshot::Sender<Opened>>,
    asking: Option<oneshot::Sender<Opened>>,
    taken: mpsc::Sender<Stream>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Carrier<T> {
    /// Opens what is asked for; ready when nobody can ask any more.
    fn poll_asked(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.asking.is_none() {
                self.asking = ready!(self.asked.poll_recv(context));
            }
            if self.asking.is_none() {
                return Poll::Ready(());
            }
            let opened = ready!(self.connection.poll_new_outbound(context));
            if let Some(ask) = self.asking.take() {
                drop(ask.send(opened));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Carrier<T> {
    type Output = ConnectionError;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ConnectionError> {
        if self.poll_asked(context).is_ready() {
            let _said = self.connection.poll_close(context);
            return Poll::Ready(ConnectionError::Closed);
        }
        loop {
            let next = ready!(self.connection.poll_next_inbound(context));
            match next.unwrap_or(Err(ConnectionError::Closed)) {
                // There is no room where the other side has reset what nobody has taken yet: this one is reset, too.
                Ok(stream) => drop(self.taken.try_send(stream)),
                Err(ended) => return Poll::Ready(ended),
            }
        }
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

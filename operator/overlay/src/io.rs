//! A stream as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead as _, AsyncWrite as _};
use hyper::rt::{Read, ReadBufCursor, Write};
use libp2p::Stream;

/// What is read at first, and at most, in one piece.
const SMALL_PIECE: usize = 1024;
pub(crate) const LARGE_PIECE: usize = 16 * 1024;

/// A stream. It reads by a buffer of its own, since hyper's has room for thousands of bytes, and would be cleared for each of
/// the few that most messages have.
pub(crate) struct Io {
    stream: Stream,
    piece: Vec<u8>,
}

impl Io {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, piece: vec![0; SMALL_PIECE] }
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let length = this.piece.len().min(cursor.remaining());
        let room = this.piece.get_mut(..length).unwrap_or_default();
        let read = ready!(Pin::new(&mut this.stream).poll_read(context, room))?;
        cursor.put_slice(this.piece.get(..read).unwrap_or_default());
        if read == this.piece.len() && read < LARGE_PIECE {
            this.piece.resize(2 * read, 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

//! A stream that records when something is read and written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// The status line of hyper for a head that does not fit into its buffer, and the one for a path that does not: of the same
/// length, so that it does not matter how much of it is written at once.
const HEAD_TOO_LONG: &[u8; 46] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n";
const PATH_TOO_LONG: &[u8; 46] = b"HTTP/1.1 414 URI Too Long                   \r\n";

/// A stream that records when something is read and written. If the client closes its half while an answer is due, the end
/// of the stream is reported only after the answer was written.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// The bytes of the first line of a head, and whether it has ended.
    line: usize,
    has_line_ended: bool,
    max_line: usize,
}

impl<S> Watched<S> {
    /// A request line of more than `max_line` bytes that hyper refuses as a head is refused as a path.
    pub(super) fn new(stream: S, activity: Arc<Activity>, max_line: usize) -> Self {
        Watched {
            stream,
            activity,
            line: 0,
            has_line_ended: false,
            max_line,
        }
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let was_reading_head = self.activity.is_reading_head();
        self.activity.has_read(bytes.len());
        let is_reading_head = self.activity.is_reading_head();
        if !(was_reading_head && is_reading_head) {
            (self.line, self.has_line_ended) = (0, false);
        }
        if is_reading_head && !self.has_line_ended {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.line += end.unwrap_or(bytes.len());
            self.has_line_ended = end.is_some();
        }
    }

    /// The answer to a path that is too long, if that is what hyper writes.
    fn instead_of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let rest = bytes.strip_prefix(HEAD_TOO_LONG)?;
        (self.line > self.max_line).then(|| [PATH_TOO_LONG, rest].concat())
    }

    fn written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(n_bytes)) = written {
            self.activity.has_written(*n_bytes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.activity.is_half_closed() {
            return self.activity.poll_answered(context).map(Ok);
        }
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let n_bytes = buffer.filled().len() - before;
        if n_bytes > 0 {
            self.has_read(&buffer.filled()[before..]);
        } else if matches!(read, Poll::Ready(Ok(()))) && room > 0 && self.activity.half_close() {
            return self.activity.poll_answered(context).map(Ok);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let instead = self.instead_of(bytes);
        let bytes = instead.as_deref().unwrap_or(bytes);
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let instead = slices.first().and_then(|first| self.instead_of(first));
        let written = match &instead {
            Some(bytes) => Pin::new(&mut self.stream).poll_write(context, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.activity.has_flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

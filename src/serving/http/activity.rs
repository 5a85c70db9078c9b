//! What connections are doing, so that the slow ones can be closed without a timer for every request.
//!
//! A connection writes down what it is doing and since which tick of its server's clock; the accepting task looks at
//! all of them once a tick. A request costs a few relaxed stores and no clock is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body as AnyBody, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts ticks; shared by the connections of a server.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU32);

impl Clock {
    pub(super) fn advance(&self) -> u32 {
        self.0.fetch_add(1, Relaxed).wrapping_add(1)
    }

    pub(super) fn now(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// How long is waited for a client, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) tick: Duration,
    head: u32,
    idle: u32,
}

impl Patience {
    pub(super) fn new(head: Duration, idle: Duration) -> Self {
        let tick = (head.min(idle) / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        // One more: the first tick may come right after the connection.
        let ticks = |time: Duration| {
            let ticks = time.as_nanos().div_ceil(tick.as_nanos()) + 1;
            u32::try_from(ticks).unwrap_or(u32::MAX)
        };
        Patience {
            tick,
            head: ticks(head),
            idle: ticks(idle),
        }
    }
}

/// The head of a request is awaited or half there.
const HEAD: u8 = 0;
/// Nothing is asked.
const IDLE: u8 = 1;
/// A request is being answered.
const BUSY: u8 = 2;

/// What a connection is doing. Stores race with the sweep harmlessly: a tick is short against the limits.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<Clock>,
    phase: AtomicU8,
    since: AtomicU32,
    in_flight: AtomicU32,
    /// HTTP/2 has frames of its own between requests.
    multiplexed: AtomicBool,
}

impl Activity {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Activity {
            since: AtomicU32::new(clock.now()),
            clock,
            phase: AtomicU8::new(HEAD),
            in_flight: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    pub(super) fn set_multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
        self.set(IDLE);
    }

    fn set(&self, phase: u8) {
        self.since.store(self.clock.now(), Relaxed);
        self.phase.store(phase, Relaxed);
    }

    /// Whether the client has kept the server waiting for too long.
    pub(super) fn is_overdue(&self, now: u32, patience: Patience) -> bool {
        let waited = now.wrapping_sub(self.since.load(Relaxed));
        match self.phase.load(Relaxed) {
            HEAD => waited >= patience.head,
            IDLE => waited >= patience.idle,
            _ => false,
        }
    }

    /// How long nothing has been asked, in ticks. A head that is half there does not count as asking for long.
    pub(super) fn idle_for(&self, now: u32) -> Option<u32> {
        let waited = now.wrapping_sub(self.since.load(Relaxed));
        match self.phase.load(Relaxed) {
            IDLE => Some(waited),
            HEAD => (waited > 1).then_some(waited),
            _ => None,
        }
    }

    /// A request came; it is over when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.phase.store(BUSY, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn has_read(&self) {
        if self.phase.load(Relaxed) == IDLE && !self.multiplexed.load(Relaxed) {
            self.set(HEAD);
        }
    }

    fn has_written(&self) {
        if self.phase.load(Relaxed) == IDLE {
            self.since.store(self.clock.now(), Relaxed);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.0.set(IDLE);
        }
    }
}

/// The body of an answer. The request is over when it is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    body: Payload,
    _request: InFlight,
}

/// What an answer is made of: mostly all of it, without a box.
#[derive(Debug)]
pub(super) enum Payload {
    Whole(Bytes),
    Any(AnyBody),
}

impl Answering {
    pub(super) fn new(body: Payload, request: InFlight) -> Self {
        Answering {
            body,
            _request: request,
        }
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Payload::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Payload::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Payload::Any(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Payload::Whole(bytes) => bytes.is_empty(),
            Payload::Any(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Payload::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Any(body) => body.size_hint(),
        }
    }
}

/// A stream that writes down when something comes and goes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.has_read();
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.activity.has_written();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if written.is_ready() {
            self.activity.has_written();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

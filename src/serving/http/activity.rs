//! What connections are doing, so that the slow ones can be closed without a timer for every request.
//!
//! A connection writes down what it is doing and since which tick of its server's clock; the accepting task looks at
//! all of them once a tick. A request costs a few relaxed stores and no clock is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
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
/// A request is being answered: the server is awaited.
const BUSY: u8 = 2;
/// Answers are there and not taken yet: the client is awaited.
const WRITING: u8 = 3;

/// The requests of a connection are counted in one number: in its upper half those whose answer is there.
const ANSWERING: u64 = 1;
const ANSWERED: u64 = 1 << 32;

/// The least that is written at once to a client of HTTP/2 that takes its answers: answers to pings are less.
const PROGRESS: usize = 1 << 10;

/// What a connection is doing. Stores race with the sweep harmlessly: a tick is short against the limits.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<Clock>,
    phase: AtomicU8,
    since: AtomicU32,
    requests: AtomicU64,
    /// HTTP/2 has frames of its own between requests.
    multiplexed: AtomicBool,
}

impl Activity {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Activity {
            since: AtomicU32::new(clock.now()),
            clock,
            phase: AtomicU8::new(HEAD),
            requests: AtomicU64::new(0),
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
            IDLE | WRITING => waited >= patience.idle,
            _ => false,
        }
    }

    /// How long nothing has been asked, in ticks. A head that is half there does not count as asking for long.
    pub(super) fn idle_for(&self, now: u32) -> Option<u32> {
        let waited = now.wrapping_sub(self.since.load(Relaxed));
        match self.phase.load(Relaxed) {
            IDLE => Some(waited),
            HEAD | WRITING => (waited > 1).then_some(waited),
            _ => None,
        }
    }

    /// A request came; it is over when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(ANSWERING, Relaxed);
        self.phase.store(BUSY, Relaxed);
        InFlight {
            activity: Arc::clone(self),
            is_answered: false,
        }
    }

    /// What the connection does, after its requests are what they are.
    fn settle(&self, requests: u64) {
        if requests == 0 {
            self.set(IDLE);
        } else if requests.is_multiple_of(ANSWERED) {
            self.set(WRITING);
        }
    }

    fn has_read(&self) {
        if self.phase.load(Relaxed) == IDLE && !self.multiplexed.load(Relaxed) {
            self.set(HEAD);
        }
    }

    fn has_written(&self, written: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(n_bytes)) = written else {
            return;
        };
        let is_waiting = matches!(self.phase.load(Relaxed), IDLE | WRITING);
        if is_waiting && (*n_bytes >= PROGRESS || !self.multiplexed.load(Relaxed)) {
            self.since.store(self.clock.now(), Relaxed);
        }
    }
}

/// A request that has been read and whose answer is not written yet.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    is_answered: bool,
}

impl InFlight {
    /// Whether it is the client that is waited for, and no longer the server.
    fn set_answered(&mut self, is_answered: bool) {
        let activity = &self.activity;
        match (self.is_answered, is_answered) {
            (false, true) => {
                let change = ANSWERED - ANSWERING;
                activity.settle(activity.requests.fetch_add(change, Relaxed) + change);
            }
            (true, false) => {
                let change = ANSWERED - ANSWERING;
                activity.requests.fetch_sub(change, Relaxed);
                activity.phase.store(BUSY, Relaxed);
            }
            // A further part of the answer was taken.
            (true, true) => activity.settle(activity.requests.load(Relaxed)),
            (false, false) => {}
        }
        self.is_answered = is_answered;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let one = if self.is_answered {
            ANSWERED
        } else {
            ANSWERING
        };
        let before = self.activity.requests.fetch_sub(one, Relaxed);
        self.activity.settle(before - one);
    }
}

/// The body of an answer. The request is over when it is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    body: Payload,
    request: InFlight,
}

/// What an answer is made of: mostly all of it, without a box.
#[derive(Debug)]
pub(super) enum Payload {
    Whole(Bytes),
    Any(AnyBody),
}

impl Answering {
    pub(super) fn new(body: Payload, mut request: InFlight) -> Self {
        request.set_answered(true);
        Answering { body, request }
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
            Payload::Any(body) => {
                let polled = Pin::new(body).poll_frame(context);
                self.request.set_answered(polled.is_ready());
                polled
            }
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
        self.activity.has_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.has_written(&written);
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

//! The activity of connections, so that slow ones can be closed without a timer for every request.
//!
//! A connection writes down what it is doing and since which tick of its server's clock; the accepting task looks at
//! all of them once a tick. A request costs a few relaxed stores and no clock is read.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;

use crate::serving::requests::Client;

/// A client that ends its half of a connection within this time of asking waits for its answer. One that ends it later
/// has left.
const HALF_CLOSE: Duration = Duration::from_secs(1);

/// Counts ticks; shared by the connections of a server.
#[derive(Debug)]
pub(super) struct Clock {
    ticks: AtomicU32,
    half_close: u32,
}

impl Clock {
    pub(super) fn new(patience: Patience) -> Self {
        Clock {
            ticks: AtomicU32::new(0),
            half_close: patience.ticks(HALF_CLOSE),
        }
    }

    pub(super) fn advance(&self) -> u32 {
        self.ticks.fetch_add(1, Relaxed).wrapping_add(1)
    }

    pub(super) fn now(&self) -> u32 {
        self.ticks.load(Relaxed)
    }
}

/// The times that clients may take, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) tick: Duration,
    head: u32,
    idle: u32,
}

impl Patience {
    pub(super) fn new(head: Duration, idle: Duration) -> Self {
        let tick = (head.min(idle) / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut patience = Patience {
            tick,
            head: 0,
            idle: 0,
        };
        patience.head = patience.ticks(head);
        patience.idle = patience.ticks(idle);
        patience
    }

    fn ticks(self, time: Duration) -> u32 {
        // One more: the first tick may come right after the connection.
        let ticks = time.as_nanos().div_ceil(self.tick.as_nanos()) + 1;
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

/// The head of a request is awaited or half there.
const HEAD: u8 = 0;
/// No request is active.
const IDLE: u8 = 1;
/// A request is being answered: the server is awaited.
const BUSY: u8 = 2;
/// The body of a request is half there: the client is awaited.
const READING: u8 = 3;
/// Answers are ready and not taken yet: the client is awaited.
const WRITING: u8 = 4;

/// The requests of a connection are counted in one number: those that the server works on, those without a body yet,
/// and those with an answer.
const WORKING: u64 = 1;
const AWAITED: u64 = 1 << 21;
const ANSWERED: u64 = 1 << 42;
const COUNT: u64 = AWAITED - 1;

/// The least that is written at once to a client of HTTP/2 that takes its answers: answers to pings are less.
const PROGRESS: usize = 1 << 10;

/// The bytes that a client of HTTP/2 begins with: the preface, and the head of its settings.
const OPENING: usize = 24 + 9;

/// The ticks that an idle client of HTTP/2 has for closing after it was asked to.
const NOTICE: u32 = 5;

/// The decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stay,
    /// The connection is asked to close after its requests.
    Go,
    Close,
}

/// The activity of a connection. Stores race with the sweep harmlessly: a tick is short against the limits.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<Clock>,
    phase: AtomicU8,
    /// The start of the phase, or the time of the client's last progress.
    since: AtomicU32,
    /// The time since which the client is awaited, whatever its progress.
    awaited_since: AtomicU32,
    requests: AtomicU64,
    /// The client, with the bytes of its answers that are not written.
    client: Arc<Client>,
    /// The time since which there have been such bytes, and the last time that some of them were written.
    unread_since: AtomicU32,
    taken_at: AtomicU32,
    /// The bytes of bodies and answers that are held for it.
    n_held: AtomicUsize,
    /// HTTP/2 has frames of its own between requests.
    multiplexed: AtomicBool,
    /// The bytes of HTTP/2's opening that have come.
    n_opening: AtomicUsize,
    half_closed: AtomicBool,
    /// True if a request has arrived since the last complete flush to the client: HTTP/1 buffers answers.
    unflushed: AtomicBool,
    /// Waits for the last answer to a client that has closed its half.
    reader: AtomicWaker,
}

impl Activity {
    pub(super) fn new(clock: Arc<Clock>, max_unread: usize) -> Self {
        let now = clock.now();
        Activity {
            clock,
            phase: AtomicU8::new(HEAD),
            since: AtomicU32::new(now),
            awaited_since: AtomicU32::new(now),
            requests: AtomicU64::new(0),
            client: Arc::new(Client::new(max_unread)),
            unread_since: AtomicU32::new(now),
            taken_at: AtomicU32::new(now),
            n_held: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            n_opening: AtomicUsize::new(0),
            half_closed: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    pub(super) fn set_multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    fn set(&self, phase: u8) {
        let now = self.clock.now();
        let before = self.phase.swap(phase, Relaxed);
        self.since.store(now, Relaxed);
        if before < READING {
            self.awaited_since.store(now, Relaxed);
        }
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn waited(&self, now: u32) -> u32 {
        now.wrapping_sub(self.since.load(Relaxed))
    }

    /// The time since a time that was noted, if there are answers that the client has not read.
    fn unread(&self, since: &AtomicU32, now: u32) -> Option<u32> {
        let is_unread = self.client.n_unread() > 0;
        is_unread.then(|| now.wrapping_sub(since.load(Relaxed)))
    }

    /// Decides whether the client has kept the server waiting for too long. One whose answers are not read may ask for
    /// more, and is waited for all the same.
    pub(super) fn verdict(&self, now: u32, patience: Patience) -> Verdict {
        let untaken = self.unread(&self.taken_at, now);
        if untaken.is_some_and(|untaken| untaken >= patience.idle) {
            return Verdict::Close;
        }
        let waited = self.waited(now);
        let limit = match self.phase.load(Relaxed) {
            HEAD => patience.head,
            IDLE if self.is_multiplexed() => {
                return match waited.checked_sub(patience.idle) {
                    None => Verdict::Stay,
                    Some(more) if more < NOTICE => Verdict::Go,
                    Some(_) => Verdict::Close,
                };
            }
            IDLE | WRITING => patience.idle,
            _ => return Verdict::Stay,
        };
        match waited >= limit {
            true => Verdict::Close,
            false => Verdict::Stay,
        }
    }

    /// The priority with which it is closed for another, if it can be: first idle connections, then heads and then bodies
    /// and answers that are half there for more than a tick; of these the longest.
    pub(super) fn makes_room(&self, now: u32) -> Option<(u8, u32)> {
        let waited = self.waited(now);
        match self.phase.load(Relaxed) {
            IDLE => Some((2, waited)),
            HEAD => (waited > 1).then_some((1, waited)),
            READING | WRITING => (waited > 1).then_some((0, waited)),
            _ => {
                let untaken = self.unread(&self.taken_at, now);
                untaken
                    .filter(|untaken| *untaken > 1)
                    .map(|untaken| (0, untaken))
            }
        }
    }

    /// The bytes held for a client that has been awaited for more than a tick, whatever it did meanwhile.
    pub(super) fn burden(&self, now: u32) -> Option<usize> {
        let is_awaited = self.phase.load(Relaxed) >= READING;
        let awaited = is_awaited.then(|| now.wrapping_sub(self.awaited_since.load(Relaxed)));
        let waited = awaited.max(self.unread(&self.unread_since, now))?;
        let n_held = self.n_held.load(Relaxed);
        (waited > 1 && n_held > 0).then_some(n_held)
    }

    /// Holds more bytes for it; returns their number.
    pub(super) fn hold(&self, n_bytes: usize) -> usize {
        self.n_held.fetch_add(n_bytes, Relaxed) + n_bytes
    }

    pub(super) fn release(&self, n_bytes: usize) {
        self.n_held.fetch_sub(n_bytes, Relaxed);
    }

    /// Counts a request until the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(WORKING, Relaxed);
        self.unflushed.store(true, Relaxed);
        self.set(BUSY);
        InFlight {
            activity: Arc::clone(self),
            is_answered: false,
        }
    }

    /// Marks the body of a request as awaited until the returned guard is dropped.
    pub(super) fn read(self: &Arc<Self>) -> Reading {
        self.change(WORKING, AWAITED);
        Reading(Arc::clone(self))
    }

    /// Counts a part of an answer as unwritten until the returned guard is dropped.
    pub(super) fn write(self: &Arc<Self>, n_bytes: usize) -> Unwritten {
        if self.client.has_answer(n_bytes) {
            let now = self.clock.now();
            self.unread_since.store(now, Relaxed);
            self.taken_at.store(now, Relaxed);
        }
        Unwritten {
            activity: Arc::clone(self),
            n_bytes,
        }
    }

    fn change(&self, from: u64, to: u64) {
        let change = to.wrapping_sub(from);
        let before = self.requests.fetch_add(change, Relaxed);
        self.settle(before.wrapping_add(change));
    }

    /// Updates the phase of the connection from its requests.
    fn settle(&self, requests: u64) {
        let phase = if requests & COUNT > 0 {
            BUSY
        } else if requests & (COUNT * AWAITED) > 0 {
            READING
        } else if requests > 0 || self.client.n_unread() > 0 {
            WRITING
        } else {
            IDLE
        };
        if phase != self.phase.load(Relaxed) {
            self.set(phase);
            if phase == IDLE && self.is_half_closed() {
                self.reader.wake();
            }
        }
    }

    /// A further part of an answer was taken.
    fn progress(&self) {
        self.since.store(self.clock.now(), Relaxed);
    }

    pub(super) fn has_read(&self, n_bytes: usize) {
        match (self.phase.load(Relaxed), self.is_multiplexed()) {
            (IDLE, false) => self.set(HEAD),
            // HTTP/2 is set up once its opening has arrived, with or without a request.
            (HEAD, true) => {
                let before = self.n_opening.fetch_add(n_bytes, Relaxed);
                if before + n_bytes >= OPENING {
                    self.set(IDLE);
                }
            }
            _ => {}
        }
    }

    pub(super) fn has_written(&self, n_bytes: usize) {
        if n_bytes >= PROGRESS || !self.is_multiplexed() {
            self.taken_at.store(self.clock.now(), Relaxed);
            if matches!(self.phase.load(Relaxed), IDLE | WRITING) {
                self.progress();
            }
        }
    }

    /// Returns `true` if an answer is pending, or not yet written.
    fn is_answering(&self) -> bool {
        self.requests.load(Relaxed) > 0 || self.client.n_unread() > 0
    }

    /// Returns `true` if the client has something to wait for: an answer, or the part of one that is still buffered.
    fn owes(&self) -> bool {
        self.is_answering() || self.unflushed.load(Relaxed)
    }

    /// Notes that all data written so far was flushed to the client.
    pub(super) fn has_flushed(&self) {
        if !self.is_answering() && self.unflushed.swap(false, Relaxed) && self.is_half_closed() {
            self.reader.wake();
        }
    }

    /// Handles the end of the client's half of the connection; returns `true` if the client waits for an answer.
    pub(super) fn half_close(&self) -> bool {
        let waits = !self.is_multiplexed()
            && self.owes()
            && self.waited(self.clock.now()) <= self.clock.half_close;
        if waits {
            self.half_closed.store(true, Relaxed);
        }
        waits
    }

    /// Waits for the last answer to a client that sends nothing more: ready once it is written.
    pub(super) fn poll_answered(&self, context: &Context<'_>) -> Poll<()> {
        self.reader.register(context.waker());
        match self.owes() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Returns `true` if the head of a request is being read.
    pub(super) fn is_reading_head(&self) -> bool {
        self.phase.load(Relaxed) == HEAD
    }

    /// Returns `true` if the client has closed its half and waits.
    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Relaxed)
    }
}

/// The body of a request that is half there.
#[derive(Debug)]
pub(super) struct Reading(Arc<Activity>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.change(AWAITED, WORKING);
    }
}

/// A part of an answer that is not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    activity: Arc<Activity>,
    n_bytes: usize,
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.taken_at.store(activity.clock.now(), Relaxed);
        if activity.client.has_read(self.n_bytes) {
            activity.settle(activity.requests.load(Relaxed));
        }
    }
}

/// A request that has been read and whose answer is not all there.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    is_answered: bool,
}

impl InFlight {
    pub(super) fn connection(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Sets whether the client is awaited, and no longer the server.
    pub(super) fn set_answered(&mut self, is_answered: bool) {
        match (self.is_answered, is_answered) {
            (false, true) => self.activity.change(WORKING, ANSWERED),
            (true, false) => self.activity.change(ANSWERED, WORKING),
            (true, true) => self.activity.progress(),
            (false, false) => {}
        }
        self.is_answered = is_answered;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let one = if self.is_answered { ANSWERED } else { WORKING };
        self.activity.change(one, 0);
    }
}

#[cfg(test)]
mod tests;

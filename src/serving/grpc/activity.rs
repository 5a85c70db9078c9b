//! What connections are doing, so that those on which nothing is called can be closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Counts ticks; shared by the connections of a server.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU32);

impl Clock {
    pub(super) fn advance(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The calls that are open on a connection. A call costs a few relaxed stores and no clock is read.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<Clock>,
    in_flight: AtomicU32,
    since: AtomicU32,
    is_set_up: AtomicBool,
}

impl Activity {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Activity {
            since: AtomicU32::new(clock.0.load(Relaxed)),
            clock,
            in_flight: AtomicU32::new(0),
            is_set_up: AtomicBool::new(false),
        }
    }

    /// The client has said what HTTP/2 begins with.
    pub(super) fn set_up(&self) {
        self.is_set_up.store(true, Relaxed);
    }

    pub(super) fn is_set_up(&self) -> bool {
        self.is_set_up.load(Relaxed)
    }

    /// How many ticks ago the last call ended; none while there is one.
    pub(super) fn idle_for(&self) -> Option<u32> {
        let waited = self.clock.0.load(Relaxed);
        let waited = waited.wrapping_sub(self.since.load(Relaxed));
        (self.in_flight.load(Relaxed) == 0).then_some(waited)
    }

    /// A call came; it is over when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A call that is open.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.since.store(self.0.clock.0.load(Relaxed), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

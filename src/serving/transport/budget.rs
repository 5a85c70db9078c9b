//! The bytes that a port holds for its clients: bodies until they are answered, answers until they are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

use super::activity::Activity;

/// The limit of buffered bytes, and their number.
#[derive(Debug)]
pub(in crate::serving) struct Budget {
    max_bytes: usize,
    n_bytes: AtomicUsize,
    /// The budget is exceeded: a connection that keeps the port waiting has to be closed.
    pressed: Notify,
}

impl Budget {
    pub(in crate::serving) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Budget {
            max_bytes,
            n_bytes: AtomicUsize::new(0),
            pressed: Notify::new(),
        })
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns when there are too many.
    pub(super) async fn pressed(&self) {
        self.pressed.notified().await;
    }

    /// Nothing yet, on behalf of a connection if it is one of the port's own.
    pub(super) fn nothing(self: &Arc<Self>, owner: Option<Arc<Activity>>) -> Held {
        Held {
            budget: Arc::clone(self),
            owner,
            n_bytes: 0,
        }
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    owner: Option<Arc<Activity>>,
    n_bytes: usize,
}

impl Held {
    /// Holds more; returns `true` if there was room. It is held in either case.
    pub(super) fn add(&mut self, n_bytes: usize) -> bool {
        self.n_bytes += n_bytes;
        if let Some(owner) = &self.owner {
            owner.hold(n_bytes);
        }
        let before = self.budget.n_bytes.fetch_add(n_bytes, Relaxed);
        let fits = before.saturating_add(n_bytes) <= self.budget.max_bytes;
        if !fits {
            self.budget.pressed.notify_one();
        }
        fits
    }

    /// Lets go of all of it.
    pub(super) fn release(&mut self) {
        let n_bytes = std::mem::take(&mut self.n_bytes);
        if n_bytes > 0 {
            self.budget.n_bytes.fetch_sub(n_bytes, Relaxed);
            if let Some(owner) = &self.owner {
                owner.release(n_bytes);
            }
        }
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

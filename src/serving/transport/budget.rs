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
    /// The budget is nearly used: a connection that keeps the port waiting has to be closed.
    pressed: Notify,
}

/// A connection that holds no more than this is not refused: answers to a few rows have room beside any that nobody reads.
const SMALL: usize = 16 << 10;

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

    /// The most bytes of answers that a client may leave unread and still get turns of a model.
    pub(super) fn max_unread(&self) -> usize {
        (self.max_bytes / 16).min(8 << 20)
    }

    /// Returns when the last eighth of the budget is used: what others have not read leaves that to those who read.
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
        let owned = match &self.owner {
            Some(owner) => owner.hold(n_bytes),
            None => self.n_bytes,
        };
        let Budget {
            max_bytes, pressed, ..
        } = &*self.budget;
        let before = self.budget.n_bytes.fetch_add(n_bytes, Relaxed);
        let all = before.saturating_add(n_bytes);
        if all > max_bytes - max_bytes / 8 {
            pressed.notify_one();
        }
        all <= *max_bytes || owned <= SMALL
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

//! The client of a request, as far as admission has to know it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// The client on one connection, and the bytes of answers that it has not read.
#[derive(Debug)]
pub(crate) struct Client {
    id: u64,
    n_unread: AtomicUsize,
    /// A client with more unread bytes than this does not get a model's turn.
    max_unread: usize,
    has_read: Notify,
}

impl Client {
    pub(in crate::serving) fn new(max_unread: usize) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(Client::IN_PROCESS + 1);
        Client {
            id: IDS.fetch_add(1, Relaxed),
            n_unread: AtomicUsize::new(0),
            max_unread,
            has_read: Notify::new(),
        }
    }

    /// The id of the application itself.
    pub(super) const IN_PROCESS: u64 = 0;

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(in crate::serving) fn n_unread(&self) -> usize {
        self.n_unread.load(Relaxed)
    }

    /// Notes bytes that are ready for it; returns `true` if it had read all before.
    pub(in crate::serving) fn has_answer(&self, n_bytes: usize) -> bool {
        self.n_unread.fetch_add(n_bytes, Relaxed) == 0
    }

    /// Notes bytes that were written to it, or given up; returns `true` if they were the last.
    pub(in crate::serving) fn has_read(&self, n_bytes: usize) -> bool {
        let before = self.n_unread.fetch_sub(n_bytes, Relaxed);
        let left = before.saturating_sub(n_bytes);
        if before > self.max_unread && left <= self.max_unread {
            self.has_read.notify_waiters();
        }
        left == 0
    }

    pub(super) fn is_reading(&self) -> bool {
        self.n_unread() <= self.max_unread
    }

    /// Waits until the client has read enough of its answers.
    pub(super) async fn reading(&self) {
        loop {
            let mut has_read = pin!(self.has_read.notified());
            has_read.as_mut().enable();
            if self.is_reading() {
                return;
            }
            has_read.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_client_that_does_not_read_waits_until_it_does() {
        let client = Client::new(10);
        let mut context = Context::from_waker(Waker::noop());
        assert!(client.has_answer(8));
        assert!(pin!(client.reading()).poll(&mut context).is_ready());
        assert!(!client.has_answer(8));
        let mut waiting = pin!(client.reading());
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        assert!(!client.has_read(8));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(()));
        assert!(client.has_read(8));
        assert_ne!(client.id(), Client::new(10).id());
    }
}

//! How many requests of a model are answered at a time, and how many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::stop::late;
use crate::error::{Error, ErrorKind, Result};
use prometheus_client::metrics::gauge::Gauge;

/// The door of a model: requests are let in in the order in which they came.
#[derive(Debug)]
pub(super) struct Admission {
    max_concurrency: usize,
    max_queue: usize,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    gauge: Gauge,
}

/// Which step of a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first: it is turned away if too many wait.
    First,
    /// A later one: what was begun is finished.
    Next,
}

/// The right to compute, until it is dropped.
pub(super) type Permit = OwnedSemaphorePermit;

/// A request that waits is counted as long as this lives.
struct Waiting<'a>(&'a Admission);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}

impl Admission {
    /// The door by a model's limits; the gauge shows how many wait.
    pub(super) fn new(limits: &Limits, gauge: Gauge) -> Self {
        Admission {
            max_concurrency: limits.max_concurrency(),
            max_queue: limits.max_queue(),
            permits: Arc::new(Semaphore::new(limits.max_concurrency())),
            waiting: AtomicUsize::new(0),
            gauge,
        }
    }

    /// Lets a request in if that is possible without waiting.
    pub(super) fn try_enter(&self) -> Option<Permit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Waits to be let in, for as long as it takes.
    pub(super) async fn enter(permits: Arc<Semaphore>) -> Option<Permit> {
        permits.acquire_owned().await.ok()
    }

    /// What lets in.
    pub(super) fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }

    /// How many wait.
    pub(super) fn n_waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many are let in at a time.
    pub(super) fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// Lets a request in, or has it wait for its turn until its deadline.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if too many wait; [`ErrorKind::DeadlineExceeded`].
    pub(super) async fn wait(
        &self,
        model: &str,
        deadline: Option<Instant>,
        turn: Turn,
    ) -> Result<Permit> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        if turn == Turn::First && waiting >= self.max_queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "model `{model}` is busy: {} requests are being answered and {} wait",
                    self.max_concurrency, self.max_queue
                ),
            ));
        }
        self.gauge.inc();
        let _waiting = Waiting(self);
        let permit = by(deadline, Self::enter(self.permits())).await;
        permit
            .ok_or_else(|| late(model))?
            .ok_or_else(|| Error::internal(format!("the door of model `{model}` is closed")))
    }
}

/// Waits for a future until a deadline; `None` where that passes first.
pub(super) async fn by<F: Future + Send>(
    deadline: Option<Instant>,
    future: F,
) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), future).await.ok(),
        None => Some(future.await),
    }
}

//! Admission of a model's requests: how many are answered at a time, and how many are queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::stop::deadline_exceeded;
use crate::error::{Error, ErrorKind, Result};
use prometheus_client::metrics::gauge::Gauge;

/// The admission of a model: requests are admitted in the order of their arrival.
#[derive(Debug)]
pub(super) struct Admission {
    max_concurrency: usize,
    max_queue: usize,
    permits: Arc<Semaphore>,
    /// Permits that heavy requests need in addition: one less, so that they never hold every permit.
    heavy: Arc<Semaphore>,
    heavy_waiting: AtomicUsize,
    waiting: AtomicUsize,
    gauge: Gauge,
}

/// The step of a request that needs a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first: it is refused if too many are queued.
    First,
    /// A later one: a request that has begun is never refused.
    Next,
}

/// The weight of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Light,
    /// A request slow enough to starve others: it leaves them a permit, and half of the queue.
    Heavy,
}

/// The permission to compute, until it is dropped.
pub(super) type Permit = OwnedSemaphorePermit;

/// The permits of a request, by its weight.
#[derive(Debug)]
pub(super) struct Entered {
    _permit: Permit,
    _heavy: Option<Permit>,
}

/// Counts a queued request as long as it lives.
struct Waiting<'a> {
    admission: &'a Admission,
    weight: Weight,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission
            .waiting_of(self.weight)
            .fetch_sub(1, Ordering::Relaxed);
        self.admission.gauge.dec();
    }
}

impl Admission {
    /// The admission by a model's limits; the gauge shows how many requests are queued.
    pub(super) fn new(limits: &Limits, gauge: Gauge) -> Self {
        Admission {
            max_concurrency: limits.max_concurrency,
            max_queue: limits.max_queue,
            permits: Arc::new(Semaphore::new(limits.max_concurrency)),
            heavy: Arc::new(Semaphore::new((limits.max_concurrency - 1).max(1))),
            heavy_waiting: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            gauge,
        }
    }

    /// Admits a request if that is possible without waiting.
    pub(super) fn try_enter(&self) -> Option<Permit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Waits for a permit, for as long as it takes.
    pub(super) async fn enter(permits: Arc<Semaphore>) -> Option<Permit> {
        permits.acquire_owned().await.ok()
    }

    /// The permits.
    pub(super) fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }

    /// The number of queued requests.
    pub(super) fn n_waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + self.heavy_waiting.load(Ordering::Relaxed)
    }

    fn waiting_of(&self, weight: Weight) -> &AtomicUsize {
        match weight {
            Weight::Light => &self.waiting,
            Weight::Heavy => &self.heavy_waiting,
        }
    }

    /// The most requests that are computed at a time.
    pub(super) fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// Admits a request, or queues it until its deadline.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if too many wait; [`ErrorKind::DeadlineExceeded`].
    pub(super) async fn wait(
        &self,
        model: &str,
        deadline: Option<Instant>,
        turn: Turn,
        weight: Weight,
    ) -> Result<Entered> {
        if let Some(entered) = self.try_enter_as(weight) {
            return Ok(entered);
        }
        let (others, before) = match weight {
            Weight::Light => {
                let heavy = self.heavy_waiting.load(Ordering::Relaxed);
                (heavy, self.waiting.fetch_add(1, Ordering::Relaxed))
            }
            // Light requests may fill the whole queue, heavy ones half of it.
            Weight::Heavy => (
                self.max_queue / 2,
                self.heavy_waiting.fetch_add(1, Ordering::Relaxed),
            ),
        };
        if turn == Turn::First && others + before >= self.max_queue {
            self.waiting_of(weight).fetch_sub(1, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "model `{model}` is at capacity: {} requests are computed and {} queued",
                    self.max_concurrency,
                    self.n_waiting()
                ),
            ));
        }
        self.gauge.inc();
        let _waiting = Waiting {
            admission: self,
            weight,
        };
        let closed = || Error::internal(format!("model `{model}` no longer accepts requests"));
        let entering = async {
            let heavy = match weight {
                Weight::Light => None,
                Weight::Heavy => Some(Self::enter(Arc::clone(&self.heavy)).await?),
            };
            Some(Entered {
                _permit: Self::enter(self.permits()).await?,
                _heavy: heavy,
            })
        };
        let entered = by_deadline(deadline, entering).await;
        entered
            .ok_or_else(|| deadline_exceeded(model))?
            .ok_or_else(closed)
    }

    fn try_enter_as(&self, weight: Weight) -> Option<Entered> {
        let heavy = match weight {
            Weight::Light => None,
            Weight::Heavy => Some(Arc::clone(&self.heavy).try_acquire_owned().ok()?),
        };
        Some(Entered {
            _permit: self.try_enter()?,
            _heavy: heavy,
        })
    }
}

/// Waits for a future until a deadline; `None` where that passes first.
pub(super) async fn by_deadline<F: Future + Send>(
    deadline: Option<Instant>,
    future: F,
) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), future).await.ok(),
        None => Some(future.await),
    }
}

//! Admission of a model's requests: how many are answered at a time, and how many are queued.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::line::Line;
use super::stop::deadline_exceeded;
use crate::error::{Error, ErrorKind, Result};
use prometheus_client::metrics::gauge::Gauge;

/// The admission of a model: requests are admitted in the order of their arrival.
#[derive(Debug)]
pub(super) struct Admission {
    max_concurrency: usize,
    permits: Arc<Semaphore>,
    /// Permits that heavy requests need in addition: one less, so that they never hold every permit.
    heavy: Arc<Semaphore>,
    line: Line,
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

impl Admission {
    /// The admission by a model's limits; the gauge shows how many requests are queued.
    pub(super) fn new(limits: &Limits, gauge: Gauge) -> Self {
        Admission {
            max_concurrency: limits.max_concurrency,
            permits: Arc::new(Semaphore::new(limits.max_concurrency)),
            heavy: Arc::new(Semaphore::new((limits.max_concurrency - 1).max(1))),
            line: Line::new(limits.max_queue, gauge),
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
        self.line.n_waiting()
    }

    /// The most requests that are computed at a time.
    pub(super) fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// Admits a request of a client, or queues it until its deadline.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if too many wait; [`ErrorKind::DeadlineExceeded`].
    pub(super) async fn wait(
        &self,
        model: &str,
        deadline: Option<Instant>,
        turn: Turn,
        weight: Weight,
        client: u64,
    ) -> Result<Entered> {
        if let Some(entered) = self.try_enter_as(weight) {
            return Ok(entered);
        }
        let full = || {
            Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "model `{model}` is at capacity: {} requests are computed and {} queued",
                    self.max_concurrency,
                    self.n_waiting()
                ),
            )
        };
        let mut place = match turn {
            Turn::First => self.line.join(weight, client).ok_or_else(full)?,
            Turn::Next => self.line.stay(weight, client),
        };
        let closed = || Error::internal(format!("model `{model}` no longer accepts requests"));
        let entering = async {
            tokio::select! {
                biased;
                entered = self.enter_as(weight) => entered.ok_or_else(closed),
                () = place.lost() => Err(full()),
            }
        };
        let entered = by_deadline(deadline, entering).await;
        entered.ok_or_else(|| deadline_exceeded(model))?
    }

    async fn enter_as(&self, weight: Weight) -> Option<Entered> {
        let heavy = match weight {
            Weight::Light => None,
            Weight::Heavy => Some(Self::enter(Arc::clone(&self.heavy)).await?),
        };
        Some(Entered {
            _permit: Self::enter(self.permits()).await?,
            _heavy: heavy,
        })
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

//! Rows of several requests in one call of a model.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::Batching;
use super::admission::{Admission, Permit};
use super::runtime::{ModelRuntime, VersionRuntime};
use super::statistics::Parts;
use super::stop::{Stop, deadline_exceeded};
use super::work::panicked;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Features;
use crate::model::{Prediction, Servable};
use crate::serving::Predictor;

/// The features of a request that waits for a batch. They were made from its own rows alone, so nothing of the one
/// request's rows can fail another.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) features: Features,
    pub(super) predictor: Predictor,
    pub(super) stop: Stop,
    pub(super) queued: Instant,
    /// The time that reading the rows took.
    pub(super) input: Duration,
    pub(super) reply: oneshot::Sender<Result<Answered>>,
}

/// The result of a batch for one of its requests.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) prediction: Prediction,
    pub(super) queue: Duration,
    pub(super) infer: Duration,
}

/// The queue of a version, and the threads that empty it.
#[derive(Debug)]
pub(super) struct Batcher {
    max_rows: usize,
    max_delay: Duration,
    max_enqueued: usize,
    max_runners: usize,
    state: Mutex<State>,
    arrived: Condvar,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    n_rows: usize,
    runners: usize,
}

impl Batcher {
    pub(super) fn new(batching: &Batching, max_concurrency: usize, gauge: Gauge) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Batcher {
            max_rows: batching.max_batch_size,
            max_delay: batching.max_delay,
            max_enqueued: batching.max_enqueued,
            max_runners: cores.min(max_concurrency),
            state: Mutex::default(),
            arrived: Condvar::new(),
            gauge,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of queued requests.
    pub(super) fn n_waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Fails if the queue is at capacity.
    pub(super) fn check(&self, model: &str) -> Result<()> {
        self.check_locked(&mut self.lock(), model)
    }

    fn check_locked(&self, state: &mut State, model: &str) -> Result<()> {
        if state.queue.len() >= self.max_enqueued {
            self.drop_stopped(state, model);
        }
        if state.queue.len() >= self.max_enqueued {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "model `{model}` is at capacity: {} requests are queued for a batch",
                    self.max_enqueued
                ),
            ));
        }
        Ok(())
    }

    /// Makes room by removing the items that nobody waits for.
    fn drop_stopped(&self, state: &mut State, model: &str) {
        let now = Instant::now();
        let is_stopped = |item: &Item| item.stop.is_stopped_at(|| now);
        if !state.queue.iter().any(is_stopped) {
            return;
        }
        let queue = std::mem::take(&mut state.queue);
        let n_before = queue.len();
        state.queue = still_wanted(queue, model);
        state.n_rows = state.queue.iter().map(|item| item.features.n_rows()).sum();
        self.gauge.dec_by((n_before - state.queue.len()) as i64);
    }

    /// Queues a request for a batch. Returns `true` if a thread must be started with [`Batcher::run`].
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if the queue is at capacity.
    pub(super) fn enqueue(&self, item: Item, model: &str) -> Result<bool> {
        let mut state = self.lock();
        self.check_locked(&mut state, model)?;
        state.n_rows += item.features.n_rows();
        state.queue.push_back(item);
        self.gauge.inc();
        let start = state.runners < self.max_runners;
        state.runners += usize::from(start);
        let full = state.n_rows >= self.max_rows;
        drop(state);
        if full && !self.max_delay.is_zero() {
            self.arrived.notify_all();
        }
        Ok(start)
    }

    /// Notes that a thread could not be started. If no other is running, the queued requests fail.
    pub(super) fn not_started(&self) {
        let mut state = self.lock();
        state.runners -= 1;
        if state.runners == 0 {
            // Each of them learns from its dropped sender.
            self.gauge.dec_by(state.queue.len() as i64);
            state.queue.clear();
            state.n_rows = 0;
        }
    }

    /// Computes batches until no request waits.
    pub(super) fn run(&self, model: &ModelRuntime, version: &VersionRuntime) {
        let mut runner = Runner {
            batcher: self,
            has_ended: false,
        };
        loop {
            if !self.wait_for_rows() {
                runner.has_ended = true;
                return;
            }
            // Requests gather while the model's limit is reached, too.
            let Some(permit) = wait_for_permit(&model.admission) else {
                return;
            };
            let batch = self.take();
            if !batch.is_empty() {
                compute(still_wanted(batch, &model.name), model, version);
            }
            drop(permit);
        }
    }

    /// Waits until the next batch may begin; `false`, and the thread counts as ended, if there is nothing to do.
    fn wait_for_rows(&self) -> bool {
        let mut state = self.lock();
        loop {
            let Some(first) = state.queue.front() else {
                state.runners -= 1;
                return false;
            };
            let waited = first.queued.elapsed();
            if state.n_rows >= self.max_rows || waited >= self.max_delay {
                return true;
            }
            let rest = self.max_delay - waited;
            let woken = self.arrived.wait_timeout(state, rest);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the next batch: the waiting requests, in order, as many as fit, all of one loaded model.
    fn take(&self) -> Vec<Item> {
        let mut state = self.lock();
        let mut batch: Vec<Item> = Vec::new();
        let mut n_rows = 0;
        while let Some(item) = state.queue.front() {
            let rows = item.features.n_rows();
            let same = batch.first().is_none_or(|first| {
                std::ptr::eq(first.predictor.servable(), item.predictor.servable())
            });
            if !same || !batch.is_empty() && n_rows + rows > self.max_rows {
                break;
            }
            n_rows += rows;
            batch.extend(state.queue.pop_front());
        }
        state.n_rows -= n_rows;
        self.gauge.dec_by(batch.len() as i64);
        batch
    }
}

/// A thread that computes batches. Where it ends otherwise than for want of work, it does not count any longer.
struct Runner<'a> {
    batcher: &'a Batcher,
    has_ended: bool,
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.batcher.not_started();
        }
    }
}

/// Rejects the requests of a batch that no client waits for.
fn still_wanted<C>(items: C, model: &str) -> C
where
    C: IntoIterator<Item = Item> + Default + Extend<Item>,
{
    let (gone, wanted): (C, C) = items.into_iter().partition(|item| item.stop.is_stopped());
    for item in gone {
        let _ = item.reply.send(Err(deadline_exceeded(model)));
    }
    wanted
}

/// Computes a batch. If it fails, each of its requests is tried alone, so that only those that are at fault fail.
fn compute(batch: Vec<Item>, model: &ModelRuntime, version: &VersionRuntime) {
    let Some(first) = batch.first() else { return };
    let taken = Instant::now();
    let predictor = first.predictor.clone();
    let all: Result<Prediction> = match batch.as_slice() {
        [only] => call(&predictor, &only.features, only.input, model, version),
        several => {
            let parts: Vec<&Features> = several.iter().map(|item| &item.features).collect();
            let input = several.iter().map(|item| item.input).sum();
            Features::concat(&parts)
                .and_then(|features| call(&predictor, &features, input, model, version))
        }
    };
    let infer = taken.elapsed();
    let answered = |item: &Item, prediction| Answered {
        prediction,
        queue: taken.saturating_duration_since(item.queued),
        infer,
    };
    match all {
        Ok(prediction) => {
            let mut start = 0;
            for item in batch {
                let end = start + item.features.n_rows();
                let answer = answered(&item, prediction.of_rows(start..end));
                start = end;
                let _ = item.reply.send(Ok(answer));
            }
        }
        Err(error) => {
            let batch = match <[Item; 1]>::try_from(batch) {
                Ok([only]) => {
                    let _ = only.reply.send(Err(error));
                    return;
                }
                Err(several) => several,
            };
            tracing::debug!(model = %model.name, ?error, "a batch failed, its requests are tried alone");
            for item in batch {
                let own = item
                    .stop
                    .check(&model.name)
                    .and_then(|()| call(&predictor, &item.features, item.input, model, version));
                let answer = own.map(|prediction| Answered {
                    infer: taken.elapsed(),
                    ..answered(&item, prediction)
                });
                let _ = item.reply.send(answer);
            }
        }
    }
}

/// Calls a model, whatever it does.
fn call(
    predictor: &Predictor,
    features: &Features,
    input: Duration,
    model: &ModelRuntime,
    version: &VersionRuntime,
) -> Result<Prediction> {
    let servable: &Servable = predictor.servable();
    let begun = Instant::now();
    let prediction = catch_unwind(AssertUnwindSafe(|| servable.answer(features)))
        .unwrap_or_else(|_| Err(panicked(&model.name)));
    let infer = begun.elapsed();
    version.called(features.n_rows(), infer);
    if prediction.is_ok() {
        let parts = Parts {
            input,
            infer,
            ..Parts::default()
        };
        version.statistics.executed(features.n_rows(), &parts);
    }
    prediction
}

fn wait_for_permit(admission: &Admission) -> Option<Permit> {
    if let Some(permit) = admission.try_enter() {
        return Some(permit);
    }
    block_on(Admission::enter(admission.permits()))
}

/// Waits for a future on this thread. It is for futures that need no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_does_not_count_any_longer() {
        let batcher = Batcher::new(&Batching::default(), 1, Gauge::default());
        batcher.lock().runners = 1;
        let panics = catch_unwind(AssertUnwindSafe(|| {
            let _runner = Runner {
                batcher: &batcher,
                has_ended: false,
            };
            panic!("a test's panic");
        }));
        assert!(panics.is_err());
        assert_eq!(batcher.lock().runners, 0);
    }
}

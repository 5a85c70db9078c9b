//! Answering requests of all protocols.
//!
//! ```text
//! route ─▶ quick? ─ yes ─▶ read, predict, reply on the thread that took the request
//!             └──── no ──▶ read ─▶ worth a batch? ─ yes ─▶ wait for a batch ─▶ reply
//!                                        └─ no ─▶ wait for the model's turn ─▶ predict, reply on an inference thread
//! ```
//!
//! Architecture invariant: a client that does not read its answers waits for no turn and holds none, and where a queue is
//! full, it is shared between the clients. Held by `tests/clients.rs`.
//!
//! Architecture invariant: nothing that a model does holds the threads of the async runtime, or the requests of
//! another model. A request expected to be quick was measured to be; one that hangs admits no more; the rest runs on
//! threads under the model's own limit. Held by `tests/isolation.rs`.
//!
//! Architecture invariant: the path of a quick request takes no lock that another request could hold for long, and
//! performs no lookup by labels: its counters are held by the version.

mod admission;
mod answer;
mod batcher;
mod batching;
mod builder;
mod client;
mod exchange;
mod inline;
mod limits;
mod line;
mod loading;
mod observer;
mod protocol;
mod refusals;
mod runtime;
mod shadow;
mod speed;
mod statistics;
mod stop;
#[cfg(test)]
mod tests;
mod threads;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

pub use self::batching::Batching;
pub use self::builder::ServerCoreBuilder;
pub(crate) use self::client::Client;
pub(crate) use self::exchange::Exchange;
use self::exchange::InProcessExchange;
use self::inline::HeldThreads;
pub use self::limits::Limits;
use self::loading::Loading;
pub use self::observer::{Observation, Observer, ShadowObservation};
pub(crate) use self::protocol::Protocol;
use self::refusals::Refusals;
use self::runtime::{ModelRuntime, Runtimes, Settings};
use self::threads::Threads;
use super::Manager;
use super::lifecycle::VersionChoice;
use super::metrics::{Code, LaneMetrics, Metrics, Retired};
use super::protocol::ModelStatistics;
use crate::error::Result;
use crate::model::Prediction;

/// The core that all protocols share: it finds the model, keeps the limits, batches, predicts, counts and observes.
///
/// Cheap to clone. HTTP and gRPC servers of one application share one; an application that answers within its process
/// and wants limits and batching uses one without them:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch};
/// use fourfold::model::Loaders;
/// use fourfold::serving::http::Limits;
/// use fourfold::serving::{Manager, ModelRepository, ServerCore};
///
/// # let models = tempfile::tempdir()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// let manager = Manager::open(ModelRepository::at(models.path()), Loaders::default())?;
/// let core = ServerCore::builder(Arc::new(manager))
///     .limits(Limits::default().timeout(Duration::from_millis(250)))
///     .model_limits("flights", Limits::default().max_concurrency(2).max_queue(16))
///     .build()?;
///
/// let column: ArrayRef = Arc::new(Float64Array::from(vec![1400.0, 200.0]));
/// let rows = RecordBatch::try_from_iter([("distance", column)])?;
/// let answered = runtime.block_on(core.predict("flights", None, rows));
/// # assert_eq!(answered.unwrap_err().kind(), fourfold::ErrorKind::NotFound);
/// println!("{}", core.metrics().encode());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerCore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    manager: Arc<Manager>,
    observers: Vec<Arc<dyn Observer>>,
    metrics: Metrics,
    settings: Settings,
    inline_below: Duration,
    runtimes: Runtimes,
    /// Metrics of requests for unknown models, by protocol.
    unknown: [OnceLock<LaneMetrics>; Protocol::ALL.len()],
    threads: Threads,
    held_threads: HeldThreads,
    refusals: Refusals,
    /// True if a model that is not loaded is loaded on request.
    is_lazy: bool,
    loading: Loading,
    draining: AtomicBool,
}

impl Inner {
    /// Drops the state of versions that will not answer again.
    fn retire(&self) {
        self.runtimes.retire(&self.metrics, &self.manager);
    }

    /// Counts a request for an unknown model.
    fn count_unknown(&self, protocol: Protocol, code: Code, took: Duration) {
        let lane = &self.unknown[protocol as usize];
        let make = || {
            let stays = Retired::default();
            self.metrics.of_lane("", None, protocol.name(), &stays)
        };
        lane.get_or_init(make).observe(code, took);
    }
}

/// A request, without its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call<'a> {
    /// The model's name.
    pub(crate) model: &'a str,
    /// The choice of version.
    pub(crate) version: VersionChoice<'a>,
    /// The client; none for a call within the process.
    pub(crate) client: Option<&'a Arc<Client>>,
    /// The protocol of the request.
    pub(crate) protocol: Protocol,
    /// The key for traffic that is split by key.
    pub(crate) routing_key: Option<&'a str>,
    /// The request's id, for logs.
    pub(crate) id: Option<&'a str>,
    /// The deadline of the client.
    pub(crate) deadline: Option<Instant>,
    /// The size of the request's body, or another measure of its size if all requests of the protocol have that: what
    /// was measured of requests of this size says how long this one will take.
    pub(crate) n_bytes: usize,
}

impl ServerCore {
    /// A core with the defaults.
    #[must_use]
    pub fn new(manager: Arc<Manager>) -> Self {
        ServerCoreBuilder::new(manager).build_unchecked()
    }

    /// A builder with limits, batching and observers.
    pub fn builder(manager: Arc<Manager>) -> ServerCoreBuilder {
        ServerCoreBuilder::new(manager)
    }

    /// The manager of the served models.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        &self.inner.manager
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The limits of a model, whether it exists or not.
    pub(in crate::serving) fn limits(&self, model: &str) -> &Limits {
        self.inner.settings.limits(model)
    }

    /// Answers rows under the limits of the model, counted and observed as a request over the network is. It runs on a
    /// tokio runtime with its time driver enabled. Dropping the future stops the work.
    ///
    /// # Errors
    /// As [`Manager::get`] and [`Servable::predict`](crate::model::Servable::predict);
    /// [`ErrorKind::ResourceExhausted`](crate::ErrorKind::ResourceExhausted) if too many requests of the model wait,
    /// [`ErrorKind::DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) if its time is over, see [`Limits`];
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there are more rows than its limits allow.
    pub async fn predict<'v>(
        &self,
        model: &str,
        version: impl Into<VersionChoice<'v>> + Send,
        rows: RecordBatch,
    ) -> Result<Prediction> {
        let call = Call {
            model,
            version: version.into(),
            n_bytes: rows.num_rows(),
            ..Call::default()
        };
        self.answer(call, InProcessExchange(rows)).await
    }

    /// Statistics of versions: of all models or one, of all its versions or one. Versions that have not been asked
    /// have zeros; versions that no longer answer are not there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if a model or version that is named does not answer.
    pub fn statistics(
        &self,
        model: Option<&str>,
        version: Option<u64>,
    ) -> Result<Vec<ModelStatistics>> {
        if let Some(model) = model {
            // The reason why it does not answer, if it does not.
            self.inner.manager.get(model, version)?;
        }
        let mut all = Vec::new();
        for state in self.inner.manager.states() {
            if model.is_some_and(|model| model != state.name) {
                continue;
            }
            let versions = state.versions.iter().filter(|state| state.is_available());
            let versions = versions.map(|state| state.version);
            for number in versions.filter(|number| version.is_none_or(|only| only == *number)) {
                let known = self.inner.runtimes.version(&state.name, number);
                all.push(match known {
                    Some(known) => known.statistics.snapshot(&state.name, number),
                    None => statistics::Statistics::default().snapshot(&state.name, number),
                });
            }
        }
        Ok(all)
    }

    /// The delay after which a client may retry that was refused with
    /// [`ErrorKind::ResourceExhausted`](crate::ErrorKind::ResourceExhausted): about the time that waiting requests
    /// take; at least a second, at most a minute.
    #[must_use]
    pub fn retry_after(&self, model: &str) -> Duration {
        let model = self.inner.runtimes.model(model);
        let waiting = model.map_or(Duration::ZERO, |model| model.expected_wait());
        let seconds = waiting.as_secs_f64().ceil().clamp(1.0, 60.0);
        Duration::from_secs_f64(seconds)
    }

    /// Waits before a client is refused for lack of capacity. The first are refused at once; with thousands a second,
    /// each is refused up to a second late, so that clients that retry at once leave the processor to answers.
    pub(crate) async fn pace_refusal(&self) {
        let delay = self.inner.refusals.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Announces that the server is about to stop, so that load balancers send no more requests: health checks fail
    /// from now on. Requests that arrive anyway are answered.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Returns `true` if [`ServerCore::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }
}

impl From<Arc<Manager>> for ServerCore {
    fn from(manager: Arc<Manager>) -> Self {
        ServerCore::new(manager)
    }
}

//! Comparison of served data with training data.

mod gauges;
mod options;
mod report;
#[cfg(test)]
mod tests;
mod watcher;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::options::DriftOptions;
pub use self::report::{DriftMeasure, DriftReport};
use self::watcher::Watcher;
use super::queue::{Queue, Size};
use super::record::Record;
use super::sampling::Sampling;
use crate::error::Result;
use crate::serving::requests::{Observation, Observer};

/// Compares served data with the data that the model was trained and evaluated on, by windows of rows and time.
///
/// For each version of each model it keeps [statistics](crate::statistics) of the raw rows and of the answers, in memory
/// that does not grow with the rows (about 100 KB a column). A full window is compared:
///
/// | what | with | thresholds |
/// | --- | --- | --- |
/// | training-serving skew of each column | the training data's statistics, saved with the model | the field's [`skew`](crate::schema::Field::skew), or [`DriftOptions`] |
/// | prediction drift | the answers to the evaluation's rows, saved with the model | [`DriftOptions`] |
/// | drift of each column | the window before | the field's [`drift`](crate::schema::Field::drift); measured only, if it has none |
/// | the rows themselves | the schema: domains, missing values, bounds of the distribution | the schema's |
///
/// Distances are [those of the data pipeline](crate::statistics::distance), and one above its threshold is an
/// [`Anomaly`](crate::schema::Anomaly) as there. Each is reported once as a warning of `tracing` when it appears,
/// and again when it disappears. The same rows in windows of the same size make the same report.
///
/// No request waits for it: one thread counts, and rows that it has no room for are left out
/// ([`dropped_rows`](DriftMonitor::dropped_rows)).
///
/// ```
/// use std::sync::Arc;
///
/// use fourfold::serving::observe::{DriftMonitor, DriftOptions, Metrics};
/// use fourfold::serving::{Manager, ServerCore};
///
/// # fn core(manager: Arc<Manager>) -> fourfold::Result<ServerCore> {
/// let metrics = Metrics::new();
/// let monitor = DriftMonitor::start(DriftOptions::default().share(0.1), metrics.on_drift())?;
/// let monitor = Arc::new(monitor);
/// assert!(monitor.report("flights").is_none(), "nothing was asked yet");
/// ServerCore::builder(manager).metrics(metrics).observer(monitor).build()
/// # }
/// ```
pub struct DriftMonitor {
    sampling: Sampling,
    queue: Queue,
    reports: Arc<Reports>,
    n_dropped: AtomicU64,
}

/// The last report of each version that is watched.
#[derive(Debug, Default)]
struct Reports(Mutex<BTreeMap<(String, u64), DriftReport>>);

impl Reports {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, u64), DriftReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DriftMonitor {
    /// Begins. `on_report` ([`Metrics::on_drift`](crate::serving::metrics::Metrics::on_drift), or yours) is called with each report, on the monitor's thread.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for an option out of its range, or a threshold that does not go with
    /// categories or with numbers.
    pub fn start(
        options: DriftOptions,
        on_report: impl Fn(&DriftReport) + Send + 'static,
    ) -> Result<Self> {
        options.check()?;
        let sampling = Sampling::new(options.share, &options.models)?;
        let reports = Arc::new(Reports::default());
        let most = Size {
            rows: options.max_queued_rows,
            bytes: options.max_queued_bytes,
        };
        let watcher = Watcher::new(options, Arc::clone(&reports), Box::new(on_report));
        Ok(DriftMonitor {
            sampling,
            queue: Queue::start("fourfold-drift", most, watcher)?,
            reports,
            n_dropped: AtomicU64::new(0),
        })
    }

    /// The last report of a model, for the version measured last; `None` before the first. Windows with too few
    /// rows do not replace a report that had enough.
    #[must_use]
    pub fn report(&self, model: &str) -> Option<DriftReport> {
        let reports = self.reports.lock();
        let of_model = reports.values().filter(|report| report.model == model);
        of_model.max_by_key(|report| report.ended).cloned()
    }

    /// The last report of each version that is watched, by model and version. Only the last few versions of a model
    /// are. One without requests is forgotten after a few window times, and its report stays.
    #[must_use]
    pub fn reports(&self) -> Vec<DriftReport> {
        self.reports.lock().values().cloned().collect()
    }

    /// Rows that there was no room for.
    #[must_use]
    pub fn dropped_rows(&self) -> u64 {
        self.n_dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything that was observed before is counted, and measures the windows that have enough rows now,
    /// full or not. It blocks; an async task calls it where blocking is allowed.
    pub fn flush(&self) {
        self.queue.flush();
    }
}

impl Observer for DriftMonitor {
    fn observe(&self, observation: &Observation<'_>) {
        let n_rows = observation.rows().num_rows();
        let model = observation.predictor().name();
        if n_rows == 0 || !self.sampling.takes(model, observation.id()) {
            return;
        }
        let size = Size::of(observation.rows(), observation.prediction());
        if !(self.queue.has_room(size) && self.queue.offer(Record::new(observation))) {
            self.n_dropped.fetch_add(n_rows as u64, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for DriftMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriftMonitor")
            .field("sampling", &self.sampling)
            .field("queue", &self.queue)
            .field("n_dropped", &self.n_dropped)
            .finish_non_exhaustive()
    }
}

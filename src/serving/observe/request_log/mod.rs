//! Requests and answers in Parquet files, which the data pipeline reads back.

mod columns;
mod file;
mod options;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::options::RequestLogOptions;
use self::writer::Writer;
use super::queue::{Queue, Size};
use super::record::Record;
use super::sampling::Sampling;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::serving::metrics::Metrics;
use crate::serving::requests::{Observation, Observer};

/// Requests with their answers, a sample or all of them, in Parquet files that the data pipeline reads back as a source:
/// `FileSource::parquet("log/flights")`.
///
/// ```text
/// <dir>/<model>/requested_on=2026-11-24/20261124T091500123456Z-v3-<unique>.parquet
/// ```
///
/// | column | what |
/// | --- | --- |
/// | those of the model's schema | the raw rows, in the schema's types; NULL where a request had no such column. Lists whose items have no type in the schema are left out |
/// | `prediction_value` | the answer of a regression |
/// | `prediction_class`, `prediction_probability` | the answer of two classes: the probability of the positive one |
/// | `prediction_class`, `prediction_probabilities` | the answer of more classes: a list of each one's probability |
/// | `prediction_` and the name of an [extra](crate::model::Predict::extras) | what the model answers beside them |
/// | `request_id` | the request's id, where it had one: labels that come later join by it |
/// | `request_row` | the row's place in its request, from 0 |
/// | `model`, `version` | which version answered |
/// | `requested_at` | when it was answered, in UTC |
/// | `requested_on` | the day, in UTC, from the folder's name |
///
/// A name that a raw column has already gets `_` behind it (`model_`).
///
/// **No request waits for the log.** One thread writes; what it cannot keep up with is dropped and
/// [counted](RequestLog::counts), and so is what cannot be written (a full disk, say), with one warning until it can be
/// again.
///
/// **A file is complete or absent.** It is written under a name that starts with a dot, which readers ignore,
/// and gets its own when it is complete: when it is large or old enough, on [`flush`](RequestLog::flush), and when the
/// log is dropped. A process that is killed loses the files it had open, and leaves at most such a dot-file, which is
/// removed later. Several processes may log into one directory.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use fourfold::serving::observe::{Metrics, RequestLog, RequestLogOptions};
/// use fourfold::serving::{Manager, ServerCore};
///
/// # fn core(manager: Arc<Manager>) -> fourfold::Result<ServerCore> {
/// let metrics = Metrics::new();
/// let log = RequestLog::open("log", RequestLogOptions::default().share(0.1))?.metrics(&metrics);
/// ServerCore::builder(manager).metrics(metrics).observer(Arc::new(log)).build()
/// # }
/// ```
pub struct RequestLog {
    dir: PathBuf,
    sampling: Sampling,
    queue: Queue,
    counters: Arc<Counters>,
    on_dropped: Option<OnDropped>,
    clock: Option<Arc<dyn Clock>>,
}

type OnDropped = Box<dyn Fn(&str, u64) + Send + Sync>;

#[derive(Debug, Default)]
struct Counters {
    logged: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    files: AtomicU64,
    removed: AtomicU64,
    /// The reason why nothing can be written.
    failure: Mutex<Option<String>>,
}

impl Counters {
    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_failed(&self, n_rows: u64) {
        self.failed.fetch_add(n_rows, Ordering::Relaxed);
    }
}

/// Counts of a [`RequestLog`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RequestLogCounts {
    /// Rows in files that are complete.
    pub logged_rows: u64,
    /// Rows that there was no room for in the queue.
    pub dropped_rows: u64,
    /// Rows that could not be written.
    pub failed_rows: u64,
    /// Files that were completed.
    pub files: u64,
    /// Files that were removed, the oldest, to keep the size.
    pub removed_files: u64,
}

impl RequestLog {
    /// Begins a log in a directory, which is made if it is not there. Files that a log left there before count for its
    /// size.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for an option out of its range;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the directory cannot be made.
    pub fn open(dir: impl Into<PathBuf>, options: RequestLogOptions) -> Result<Self> {
        let dir = dir.into();
        options.check()?;
        let sampling = Sampling::new(options.share, &options.models)?;
        std::fs::create_dir_all(&dir)
            .map_err(|error| Error::io(format!("making `{}`", dir.display()), error))?;
        let counters = Arc::new(Counters::default());
        let removed = sweep::sweep(&dir, options.max_bytes, options.max_file_age);
        counters.removed.store(removed, Ordering::Relaxed);
        let most = Size {
            rows: options.max_queued_rows,
            bytes: options.max_queued_bytes,
        };
        // The standard library's keys are random.
        let unique = RandomState::new().build_hasher().finish();
        let writer = Writer::new(dir.clone(), options, Arc::clone(&counters), unique);
        Ok(RequestLog {
            dir,
            sampling,
            queue: Queue::start("fourfold-request-log", most, writer)?,
            counters,
            on_dropped: None,
            clock: None,
        })
    }

    /// Takes the times of requests from a clock other than the machine's, such as that of a
    /// [replay](crate::clock::VirtualClock): `requested_at`, the folder's day and the file's name. The times at which
    /// files are closed and removed still follow the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Calls with the model and the number of rows when rows are dropped, for a metric. It is called on threads that
    /// answer requests, and must be quick.
    #[must_use]
    pub fn on_dropped(mut self, call: impl Fn(&str, u64) + Send + Sync + 'static) -> Self {
        self.on_dropped = Some(Box::new(call));
        self
    }

    /// The reason why nothing can be written for now, such as a full disk: rows are lost, and counted as failed, until a file
    /// could be completed again. `None` if all is well.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.counters.failure().clone()
    }

    /// Shows in a server's metrics which rows are lost, and whether the log can be written
    /// (`fourfold_request_log_dropped_rows_total`, `.._failed_rows_total`, `fourfold_request_log_writable`).
    #[must_use]
    pub fn metrics(self, metrics: &Metrics) -> Self {
        let (failed, writable) = metrics.log_state(&self.dir.display().to_string());
        let counters = Arc::downgrade(&self.counters);
        metrics.before_encode(move || {
            let Some(counters) = counters.upgrade() else {
                return false;
            };
            let lost = counters.failed.load(Ordering::Relaxed);
            failed.add(lost.saturating_sub(failed.get()));
            writable.set(f64::from(u8::from(counters.failure().is_none())));
            true
        });
        let metrics = metrics.clone();
        self.on_dropped(move |model, rows| metrics.dropped_log_rows(model).add(rows))
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The counts until now.
    #[must_use]
    pub fn counts(&self) -> RequestLogCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        RequestLogCounts {
            logged_rows: count(&counters.logged),
            dropped_rows: count(&counters.dropped),
            failed_rows: count(&counters.failed),
            files: count(&counters.files),
            removed_files: count(&counters.removed),
        }
    }

    /// Waits until everything that was observed before is written, and closes the files: they can be read then. It
    /// blocks; an async task calls it where blocking is allowed.
    pub fn flush(&self) {
        self.queue.flush();
    }
}

impl Observer for RequestLog {
    fn observe(&self, observation: &Observation<'_>) {
        let model = observation.predictor().name();
        let n_rows = observation.rows().num_rows();
        if n_rows == 0 || !self.sampling.takes(model, observation.id()) {
            return;
        }
        let size = Size::of(observation.rows(), observation.prediction());
        let record = || {
            let mut record = Record::new(observation);
            if let Some(clock) = &self.clock {
                record.at = clock.now();
            }
            record
        };
        if self.queue.has_room(size) && self.queue.offer(record()) {
            return;
        }
        self.counters
            .dropped
            .fetch_add(n_rows as u64, Ordering::Relaxed);
        if let Some(on_dropped) = &self.on_dropped {
            on_dropped(model, n_rows as u64);
        }
    }
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLog")
            .field("dir", &self.dir)
            .field("sampling", &self.sampling)
            .field("queue", &self.queue)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

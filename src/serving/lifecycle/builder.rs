//! The builder of a manager.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::harness::Retries;
use super::registry::{Registry, Settings};
use super::shared::Shared;
use super::warm_up::WarmUp;
use super::{
    AvailabilityPreserving, Manager, Router, Source, SourceAdapter, StateListener,
    TransitionPolicy, VersionPolicy,
};
use crate::error::{Error, Result};
use crate::model::Loaders;

/// Sets up a [`Manager`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use fourfold::serving::{Manager, ModelRepository};
/// use fourfold::serving::lifecycle::{ResourcePreserving, VersionPolicy};
///
/// let manager = Manager::builder(ModelRepository::at("models"))
///     .versions(VersionPolicy::Latest(2))
///     .model_versions("prices", VersionPolicy::Specific(vec![7]))
///     .transition(ResourcePreserving)
///     .poll_interval(Duration::from_millis(200))
///     .retries(3, Duration::from_secs(5))
///     .memory_budget(2 << 30)
///     .lazy()
///     .open()?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct ManagerBuilder {
    source: Arc<dyn Source>,
    router: Router,
    adapter: Option<Arc<dyn SourceAdapter>>,
    versions: VersionPolicy,
    model_versions: BTreeMap<String, VersionPolicy>,
    transition: Arc<dyn TransitionPolicy>,
    poll_interval: Option<Duration>,
    n_load_threads: usize,
    load_niceness: u8,
    slow_after: Duration,
    retries: Retries,
    memory_budget: Option<u64>,
    is_lazy: bool,
    warm_up: WarmUp,
    listeners: Vec<Arc<dyn StateListener>>,
    open_timeout: Duration,
}

impl ManagerBuilder {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        ManagerBuilder {
            source,
            router: Router::default(),
            adapter: None,
            versions: VersionPolicy::default(),
            model_versions: BTreeMap::new(),
            transition: Arc::new(AvailabilityPreserving),
            poll_interval: Some(Duration::from_secs(1)),
            n_load_threads: 2,
            load_niceness: 10,
            slow_after: Duration::from_secs(5),
            retries: Retries {
                n: 8,
                backoff: Duration::from_secs(1),
            },
            memory_budget: None,
            is_lazy: false,
            warm_up: WarmUp::default(),
            listeners: Vec::new(),
            open_timeout: Duration::from_secs(60),
        }
    }

    /// The loaders by format tag, in place of [`Loaders::default`].
    pub fn loaders(mut self, loaders: Loaders) -> Self {
        self.router.set_loaders(loaders);
        self
    }

    /// An adapter for the versions of a format tag.
    pub fn adapter(mut self, tag: impl Into<String>, adapter: impl SourceAdapter) -> Self {
        self.router = self.router.with(tag, Arc::new(adapter));
        self
    }

    /// The adapter for all versions, in place of the [`Router`] with its tags.
    pub fn source_adapter(mut self, adapter: impl SourceAdapter) -> Self {
        self.adapter = Some(Arc::new(adapter));
        self
    }

    /// The policy for the versions to load; the newest one by default.
    pub fn versions(mut self, policy: VersionPolicy) -> Self {
        self.versions = policy;
        self
    }

    /// The policy for the versions of one model.
    pub fn model_versions(mut self, model: impl Into<String>, policy: VersionPolicy) -> Self {
        self.model_versions.insert(model.into(), policy);
        self
    }

    /// The order in which versions are loaded and unloaded; [`AvailabilityPreserving`] by default.
    pub fn transition(mut self, policy: impl TransitionPolicy) -> Self {
        self.transition = Arc::new(policy);
        self
    }

    /// The interval at which the source is polled; a second by default. `None` is never: then only
    /// [`Manager::refresh`], and a source that can watch, find new versions.
    pub fn poll_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.poll_interval = interval.into();
        self
    }

    /// The most versions that are loaded at the same time; 2 by default. A load that is
    /// [slow](ManagerBuilder::slow_after) does not count.
    pub fn load_threads(mut self, n: usize) -> Self {
        self.n_load_threads = n;
        self
    }

    /// The priority of the threads that load and unload below those that answer, where the processor is busy: their nice
    /// value, at most 19; 10 by default, and 0 leaves it unchanged. A thread that a loader starts has the nice
    /// value too: a model with a pool of its own for answering wants 0, or makes the pool with its first request. Linux
    /// only.
    pub fn load_niceness(mut self, niceness: u8) -> Self {
        self.load_niceness = niceness;
        self
    }

    /// The time after which a load counts as slow: it continues, but no longer blocks loads that wait for its thread,
    /// a newer version of its model or calls that wait for pending work, such as [`open`](ManagerBuilder::open). Five
    /// seconds by default.
    pub fn slow_after(mut self, time: Duration) -> Self {
        self.slow_after = time;
        self
    }

    /// The most retries of a version that cannot be loaded, and the delay after the first failure; 8 times and a
    /// second by default. The time doubles with every try, to a minute. Then the version stays out until its files
    /// are written anew, or [`Manager::load`].
    pub fn retries(mut self, n: u32, backoff: Duration) -> Self {
        self.retries = Retries { n, backoff };
        self
    }

    /// The memory that all versions together may take, in bytes, as their loaders estimate it. A version that does not fit
    /// waits. With [`lazy`](ManagerBuilder::lazy), the least recently used version is unloaded for it.
    pub fn memory_budget(mut self, n_bytes: u64) -> Self {
        self.memory_budget = Some(n_bytes);
        self
    }

    /// Loads a version only on demand, by [`Manager::wait_for`] or [`Manager::load`]; off by default. If a loaded version
    /// answers a request in place of one that is not loaded, the version that the request was meant for, its shadow and the
    /// versions of the traffic split are loaded for the next request.
    pub fn lazy(mut self) -> Self {
        self.is_lazy = true;
        self
    }

    /// Rows that every new version of a model has to answer before it takes traffic, one by one, at most 1000. A version
    /// that fails on one is not served. Requests that are recorded beside the model's files are taken without being named
    /// here: `warmup.jsonl`, one record a line, or `warmup.json`, an array of them, in the version's directory or, for all
    /// versions, in the model's. A record is a row by its columns, or a request of the Open Inference Protocol.
    pub fn warm_up(mut self, model: impl Into<String>, rows: RecordBatch) -> Self {
        self.warm_up.add(model.into(), rows);
        self
    }

    /// Adds a listener for every change of a state.
    pub fn listener(mut self, listener: Arc<dyn StateListener>) -> Self {
        self.listeners.push(listener);
        self
    }

    /// The time that [`open`](ManagerBuilder::open) and the calls that change something wait for versions to be loaded; a
    /// minute by default. Loads that take longer continue.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// Starts the manager, and returns once the first version of every model is loaded, could not be or is
    /// [slow](ManagerBuilder::slow_after), or after the [timeout](ManagerBuilder::open_timeout).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a value is out of its range; those of the source, such as
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the repository is not there. A model that cannot be loaded is
    /// no error: see [`Manager::states`].
    pub fn open(self) -> Result<Manager> {
        self.versions.check()?;
        for (model, policy) in &self.model_versions {
            policy
                .check()
                .map_err(|error| Error::config(format!("model `{model}`: {error}")))?;
        }
        if self.n_load_threads == 0 {
            return Err(Error::config("`load_threads` is 0, must be at least 1"));
        }
        if self.load_niceness > 19 {
            return Err(Error::config(format!(
                "`load_niceness` is {}, must be at most 19",
                self.load_niceness
            )));
        }
        if self.memory_budget == Some(0) {
            return Err(Error::config("`memory_budget` is 0, must be at least 1"));
        }
        if self.poll_interval == Some(Duration::ZERO) {
            return Err(Error::config(
                "`poll_interval` is 0, must be longer, or `None`",
            ));
        }
        let settings = Settings {
            versions: self.versions,
            model_versions: self.model_versions,
            transition: self.transition,
            n_load_threads: self.n_load_threads,
            load_niceness: self.load_niceness,
            slow_after: self.slow_after,
            retries: self.retries,
            memory_budget: self.memory_budget,
            is_lazy: self.is_lazy,
        };
        let adapter = match self.adapter {
            Some(adapter) => adapter,
            None => Arc::new(self.router),
        };
        let shared = Shared::new(
            self.source,
            adapter,
            self.warm_up,
            self.listeners,
            Registry::new(settings),
        );
        Manager::start(Arc::new(shared), self.poll_interval, self.open_timeout)
    }
}

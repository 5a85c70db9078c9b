//! The configuration of a core.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::inline::HeldThreads;
use super::loading::Loading;
use super::refusals::Refusals;
use super::runtime::{Runtimes, Settings};
use super::threads::Threads;
use super::{Batching, Inner, Limits, Observer, ServerCore};
use crate::error::{Error, Result};
use crate::serving::Manager;
use crate::serving::metrics::Metrics;

/// Configures a [`ServerCore`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct ServerCoreBuilder {
    manager: Arc<Manager>,
    settings: Settings,
    observers: Vec<Arc<dyn Observer>>,
    metrics: Option<Metrics>,
    inline_below: Duration,
}

impl ServerCoreBuilder {
    pub(super) fn new(manager: Arc<Manager>) -> Self {
        ServerCoreBuilder {
            manager,
            settings: Settings::default(),
            observers: Vec::new(),
            metrics: None,
            inline_below: Duration::from_micros(200),
        }
    }

    /// Sets the limits of every model without limits of its own. They apply to each model separately.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets the limits of a model.
    pub fn model_limits(mut self, model: impl Into<String>, limits: Limits) -> Self {
        self.settings.model_limits.insert(model.into(), limits);
        self
    }

    /// Sets the batching of every model without a setting of its own.
    pub fn batching(mut self, batching: Batching) -> Self {
        self.settings.batching = batching;
        self
    }

    /// Sets the batching of a model.
    pub fn model_batching(mut self, model: impl Into<String>, batching: Batching) -> Self {
        self.settings.model_batching.insert(model.into(), batching);
        self
    }

    /// Adds an observer of every answer.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Counts here; without it, in metrics of its own. A process that has several servers may want one page. The states of
    /// versions are on the page in any case; for loads to be counted, the manager has to have a clone as its listener:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use fourfold::serving::observe::Metrics;
    /// use fourfold::serving::{Manager, ModelRepository, ServerCore};
    ///
    /// # let models = tempfile::tempdir()?;
    /// let metrics = Metrics::new();
    /// let manager = Manager::builder(ModelRepository::at(models.path()))
    ///     .listener(Arc::new(metrics.clone()))
    ///     .open()?;
    /// let core = ServerCore::builder(Arc::new(manager)).metrics(metrics).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Requests that are expected to take less than this are answered on the thread that took them, without a detour
    /// over an inference thread; 200 µs by default, up to 10 ms. What is expected is what was measured: a version's
    /// first requests go to inference threads. Zero sends all of them there.
    pub fn inline_below(mut self, bound: Duration) -> Self {
        self.inline_below = bound;
        self
    }

    /// The core.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a value that is out of its range, naming the field, the
    /// range, and the model where it is of one.
    pub fn build(self) -> Result<ServerCore> {
        let settings = &self.settings;
        settings.limits.check()?;
        settings.batching.check()?;
        for (model, limits) in &settings.model_limits {
            limits.check().map_err(|error| of_model(model, error))?;
        }
        for (model, batching) in &settings.model_batching {
            batching.check().map_err(|error| of_model(model, error))?;
        }
        if self.inline_below > Duration::from_millis(10) {
            return Err(Error::config(format!(
                "`inline_below` is {:?}, must be at most 10ms",
                self.inline_below
            )));
        }
        Ok(self.build_unchecked())
    }

    pub(super) fn build_unchecked(self) -> ServerCore {
        let metrics = self.metrics.unwrap_or_default();
        metrics.show_states(&self.manager);
        let inner = Arc::new(Inner {
            is_lazy: self.manager.is_lazy(),
            loading: Loading::default(),
            manager: self.manager,
            observers: self.observers,
            unknown: Default::default(),
            metrics,
            settings: self.settings,
            inline_below: self.inline_below,
            runtimes: Runtimes::default(),
            threads: Threads::new(),
            held_threads: HeldThreads::default(),
            refusals: Refusals::default(),
            draining: AtomicBool::new(false),
        });
        let shown = Arc::downgrade(&inner);
        inner.metrics.before_encode(move || {
            let inner = shown.upgrade();
            inner.map(|inner| inner.retire()).is_some()
        });
        ServerCore { inner }
    }
}

fn of_model(model: &str, error: impl fmt::Display) -> Error {
    Error::config(format!("model `{model}`: {error}"))
}

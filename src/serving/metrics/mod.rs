//! What a server tells a monitoring system.
//!
//! [`ServerCore`](super::ServerCore) counts what it answers here, whatever protocol it came by. [`Metrics::encode`] is
//! the page that Prometheus reads, in the OpenMetrics text format:
//!
//! | metric | type | labels | what it is |
//! | --- | --- | --- | --- |
//! | `fourfold_requests_total` | counter | `model`, `version`, `protocol`, `code` | requests answered; `code` is `OK`, or the gRPC name of the error |
//! | `fourfold_request_duration_seconds` | histogram | `model`, `version`, `protocol` | from the request's arrival to its answer, waiting included |
//! | `fourfold_rows_total` | counter | `model`, `version`, `protocol` | rows predicted |
//! | `fourfold_requests_in_flight` | gauge | `model` | requests that are being answered or wait |
//! | `fourfold_queue_length` | gauge | `model` | requests that wait to be computed |
//! | `fourfold_queue_duration_seconds` | histogram | `model` | how long those that waited or went to another thread did |
//! | `fourfold_inference_duration_seconds` | histogram | `model`, `version` | one call of a model |
//! | `fourfold_batch_rows` | histogram | `model`, `version` | rows of one call of a model |
//! | `fourfold_model_version_state` | gauge | `model`, `version`, `state` | 1 for the state that a version is in |
//! | `fourfold_model_loads_total` | counter | `model`, `result` | loads of versions, `ok` or `error` |
//! | `fourfold_load_duration_seconds` | histogram | `model` | how long loading took |
//! | `fourfold_shadow_rows_total` | counter | `model`, `version`, `shadow_version` | rows that a shadow version was asked, too |
//! | `fourfold_shadow_differing_rows_total` | counter | `model`, `version`, `shadow_version` | of those, the ones with another class (or value, in a regression) |
//! | `fourfold_shadow_max_difference` | gauge | `model`, `version`, `shadow_version` | the largest difference of an output seen |
//! | `fourfold_shadow_errors_total` | counter | `model`, `version`, `shadow_version` | requests that the shadow version failed at |
//! | `fourfold_shadow_dropped_total` | counter | `model`, `version`, `shadow_version` | requests that it was not asked, being behind |
//! | `fourfold_drift` | gauge | `model`, `column`, `measure` | the distance of live data from the training data |
//! | `fourfold_request_log_dropped_rows_total` | counter | `model` | rows that a request log had no room for |
//!
//! The series of a version go when the version goes. Requests for models that are not there have empty labels `model`
//! and `version`, so that wrong names cost no memory.
//!
//! ```
//! use fourfold::serving::metrics::Metrics;
//!
//! let metrics = Metrics::new();
//! metrics.drift("flights", "distance", "psi").set(0.25);
//! let page = metrics.encode();
//! assert!(page.contains(r#"fourfold_drift{model="flights",column="distance",measure="psi"} 0.25"#));
//! assert!(page.ends_with("# EOF\n"));
//! ```

mod families;
mod handles;
mod labels;
#[cfg(test)]
pub(crate) mod parse;
mod states;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::{counter, gauge};
use prometheus_client::registry::Registry;

use self::families::Families;
pub(crate) use self::handles::{LaneMetrics, ModelMetrics, ShadowMetrics, VersionMetrics};
pub(crate) use self::labels::Code;
use self::labels::{DriftLabels, LoadLabels, ModelLabels};
use self::states::States;
use super::{Manager, State, StateChange, StateListener};

/// The metrics of a server. Cheap to clone: clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry>,
    families: Families,
    states: States,
}

/// A number that goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge(gauge::Gauge<f64, AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// A number that goes up.
#[derive(Clone, Debug)]
pub struct Counter(counter::Counter);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Counts loads: give a clone to the manager's builder as its
/// [listener](crate::serving::ManagerBuilder::listener), and to
/// [`ServerCoreBuilder::metrics`](super::ServerCoreBuilder::metrics).
impl StateListener for Metrics {
    fn changed(&self, change: &StateChange) {
        if let Some(took) = change.took {
            self.observe_load(&change.model, change.state == State::Available, took);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// What [`Metrics::encode`] makes, for the header `Content-Type`.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("fourfold");
        let families = Families::register(&mut registry);
        let states = States::default();
        registry.register_collector(Box::new(states.clone()));
        Metrics {
            inner: Arc::new(Inner {
                registry: Mutex::new(registry),
                families,
                states,
            }),
        }
    }

    /// The page that Prometheus reads, of the type [`Metrics::CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = String::new();
        let registry = self.inner.registry.lock();
        let registry = registry.unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        if let Err(error) = text::encode(&mut page, &registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        page
    }

    /// How far the live values of a column are from those that the model was trained on, by a measure such as `psi`.
    #[must_use]
    pub fn drift(&self, model: &str, column: &str, measure: &str) -> Gauge {
        let labels = DriftLabels {
            model: model.to_owned(),
            column: column.to_owned(),
            measure: measure.to_owned(),
        };
        Gauge(self.inner.families.drift.get_or_create_owned(&labels))
    }

    /// Takes away what [`Metrics::drift`] has made, where it is no longer measured.
    pub fn remove_drift(&self, model: &str, column: &str, measure: &str) {
        self.inner.families.drift.remove(&DriftLabels {
            model: model.to_owned(),
            column: column.to_owned(),
            measure: measure.to_owned(),
        });
    }

    /// The rows of a model that a request log had no room for.
    #[must_use]
    pub fn dropped_log_rows(&self, model: &str) -> Counter {
        let labels = ModelLabels::new(model);
        Counter(self.inner.families.log_dropped.get_or_create_owned(&labels))
    }

    /// Counts a load of a version.
    pub fn observe_load(&self, model: &str, succeeded: bool, took: Duration) {
        let result = if succeeded { "ok" } else { "error" };
        let labels = LoadLabels {
            model: model.to_owned(),
            result,
        };
        let families = &self.inner.families;
        families.loads.get_or_create_owned(&labels).inc();
        let durations = &families.load_duration;
        let duration = durations.get_or_create_owned(&ModelLabels::new(model));
        duration.observe(took.as_secs_f64());
    }

    /// Shows the states of a manager's versions; of the last one that was given.
    pub(crate) fn show_states(&self, manager: &Arc<Manager>) {
        self.inner.states.show(manager);
    }

    /// For metrics that are registered elsewhere in this crate.
    #[allow(dead_code, reason = "for the servers, not all of which are built")]
    pub(crate) fn register(&self, register: impl FnOnce(&mut Registry)) {
        let registry = self.inner.registry.lock();
        register(&mut registry.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn of_model(&self, model: &str) -> ModelMetrics {
        self.inner.families.of_model(model)
    }

    pub(crate) fn of_version(&self, model: &str, version: u64) -> VersionMetrics {
        self.inner.families.of_version(model, version)
    }

    pub(crate) fn of_lane(
        &self,
        model: &str,
        version: Option<u64>,
        protocol: &'static str,
    ) -> LaneMetrics {
        LaneMetrics::new(self.inner.families.clone(), model, version, protocol)
    }

    pub(crate) fn of_shadow(&self, model: &str, version: u64, shadow: u64) -> ShadowMetrics {
        self.inner.families.of_shadow(model, version, shadow)
    }

    /// Takes away the series of a version that is gone.
    pub(crate) fn retire(&self, model: &str, version: u64) {
        self.inner.families.retire(model, version);
    }

    /// Takes away the series of a model that is gone.
    pub(crate) fn retire_model(&self, model: &str) {
        self.inner.families.retire_model(model);
    }
}

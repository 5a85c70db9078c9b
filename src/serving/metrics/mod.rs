//! Metrics of a server, for monitoring systems.

mod alerts;
mod families;
mod handles;
mod labels;
mod loops;
#[cfg(test)]
pub(crate) mod parse;
#[cfg(feature = "http")]
mod samples;
mod states;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text;
use prometheus_client::metrics::{counter, gauge};
use prometheus_client::registry::Registry;

pub use self::alerts::Alert;
use self::alerts::Alerts;
use self::families::{Families, LOAD_RESULTS};
pub(crate) use self::handles::{LaneMetrics, ModelMetrics, Retired, ShadowMetrics, VersionMetrics};
pub(crate) use self::labels::Code;
use self::labels::DriftLabels;
#[cfg(feature = "http")]
pub(crate) use self::samples::{Sample, samples};
use self::states::States;
use super::Manager;
use super::lifecycle::{State, StateChange, StateListener};
use crate::metrics::MetricValue;

/// The metrics of a server. Cheap to clone: clones count together.
///
/// [`ServerCore`](super::ServerCore) counts its answers here, over every protocol. [`Metrics::encode`] gives
/// the page that Prometheus scrapes, in the OpenMetrics text format:
///
/// | metric | type | labels | what it is |
/// | --- | --- | --- | --- |
/// | `fourfold_requests_total` | counter | `model`, `version`, `protocol`, `code` | requests answered; `code` is `OK`, or the gRPC name of the error |
/// | `fourfold_request_duration_seconds` | histogram | `model`, `version`, `protocol` | from the request's arrival to its answer, waiting included |
/// | `fourfold_rows_total` | counter | `model`, `version`, `protocol` | rows predicted |
/// | `fourfold_requests_in_flight` | gauge | `model` | requests that are being answered or wait |
/// | `fourfold_queue_length` | gauge | `model` | requests that wait to be computed |
/// | `fourfold_queue_duration_seconds` | histogram | `model` | how long those that waited or went to another thread did |
/// | `fourfold_inference_duration_seconds` | histogram | `model`, `version` | one call of a model |
/// | `fourfold_batch_rows` | histogram | `model`, `version` | rows of one call of a model |
/// | `fourfold_model_version_state` | gauge | `model`, `version`, `state` | 1 for the state that a version is in |
/// | `fourfold_model_loads_total` | counter | `model`, `result` | loads of versions, `ok` or `error` |
/// | `fourfold_load_duration_seconds` | histogram | `model` | how long loading took |
/// | `fourfold_shadow_rows_total` | counter | `model`, `version`, `shadow_version` | rows that a shadow version was asked, too |
/// | `fourfold_shadow_differing_rows_total` | counter | `model`, `version`, `shadow_version` | of those, the ones with another class (or value, in a regression) |
/// | `fourfold_shadow_max_difference` | gauge | `model`, `version`, `shadow_version` | the largest difference of an output seen |
/// | `fourfold_shadow_errors_total` | counter | `model`, `version`, `shadow_version` | requests that the shadow version failed at |
/// | `fourfold_shadow_dropped_total` | counter | `model`, `version`, `shadow_version` | requests that it was not asked, being behind |
/// | `fourfold_drift` | gauge | `model`, `version`, `column`, `measure` | the distance of live data from the training data |
/// | `fourfold_live_metric` | gauge | `model`, `version`, `metric`, `of` | a metric of requests whose labels have come: its `value`, and the `lower` and `upper` ends of its interval |
/// | `fourfold_request_log_dropped_rows_total` | counter | `model` | rows that a request log had no room for |
/// | `fourfold_request_log_failed_rows_total` | counter | `log` | rows that a request log could not write: the disk was full, say |
/// | `fourfold_request_log_writable` | gauge | `log` | 1 while the request log can be written |
/// | `fourfold_continuous_steps_total` | counter | `model`, `ended` | steps of [continuous training](crate::continuous), by how they ended |
/// | `fourfold_continuous_alerts_total` | counter | `model`, `kind` | its alerts |
/// | `fourfold_canary_evidence` | gauge | `model`, `version`, `of` | what a canary's labels have shown: `difference` of the losses, its `lower` and `upper` end, e-values for `harm` and for `no_worse` |
/// | `fourfold_model_readable` | gauge | `model` | 1 if the model and its control file could be read the last time |
/// | `fourfold_source_readable` | gauge | | 1 if it could be read the last time which models there are |
///
/// The series of a version are removed with the version, and those of a model with the model: at the latest when the
/// page is read. Requests for unknown models have empty labels `model`
/// and `version`, so that wrong names cost no memory.
///
/// ```
/// use fourfold::serving::observe::Metrics;
///
/// let metrics = Metrics::new();
/// metrics.drift("flights", 3, "distance", "psi").set(0.25);
/// let page = metrics.encode();
/// let series = r#"fourfold_drift{model="flights",version="3",column="distance",measure="psi"} 0.25"#;
/// assert!(page.contains(series));
/// assert!(page.ends_with("# EOF\n"));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Mutex<Registry>,
    families: Families,
    loops: loops::Loops,
    states: States,
    alerts: Alerts,
    before_encode: Mutex<Vec<BeforeEncode>>,
}

/// Updates metrics; returns `true` to be called again.
type BeforeEncode = Arc<dyn Fn() -> bool + Send + Sync>;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("registry", &self.registry)
            .field("families", &self.families)
            .field("states", &self.states)
            .field("alerts", &self.alerts)
            .finish_non_exhaustive()
    }
}

/// A number that can increase and decrease.
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

/// A number that only increases.
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
/// [listener](crate::serving::lifecycle::ManagerBuilder::listener), and to
/// [`ServerCoreBuilder::metrics`](super::requests::ServerCoreBuilder::metrics).
impl StateListener for Metrics {
    fn changed(&self, change: &StateChange) {
        if let Some(took) = change.took {
            self.observe_load(&change.model, change.state == State::Available, took);
        }
        if let (Some(reason), Some(_)) = (&change.reason, change.took) {
            let StateChange { model, version, .. } = change;
            self.alert(format!(
                "version {version} of `{model}` cannot be loaded: {reason}"
            ));
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// The content type of [`Metrics::encode`], for the header `Content-Type`.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("fourfold");
        let families = Families::register(&mut registry);
        let loops = loops::Loops::register(&mut registry);
        let states = States::default();
        registry.register_collector(Box::new(states.clone()));
        Metrics {
            inner: Arc::new(Inner {
                registry: Mutex::new(registry),
                families,
                loops,
                states,
                alerts: Alerts::default(),
                before_encode: Mutex::default(),
            }),
        }
    }

    /// The page that Prometheus reads, of the type [`Metrics::CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let calls = self.hooks().clone();
        let over: Vec<_> = calls.into_iter().filter(|call| !call()).collect();
        self.hooks()
            .retain(|call| !over.iter().any(|over| Arc::ptr_eq(call, over)));
        let mut page = String::new();
        let registry = self.inner.registry.lock();
        let registry = registry.unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        if let Err(error) = text::encode(&mut page, &registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        page
    }

    /// The distance of a column's live values from those that the version was trained on, by a measure such as `psi`.
    #[must_use]
    pub fn drift(&self, model: &str, version: u64, column: &str, measure: &str) -> Gauge {
        let labels = DriftLabels::new(model, version, column, measure);
        Gauge(self.inner.families.drift(&labels))
    }

    /// Removes the gauges that [`Metrics::drift`] has created, where they are no longer measured.
    pub fn remove_drift(&self, model: &str, version: u64, column: &str, measure: &str) {
        let gone = DriftLabels::new(model, version, column, measure);
        self.inner.families.remove_drift(|labels| *labels == gone);
    }

    /// Shows a metric of a version over the requests whose labels have come, with the interval if it has one.
    pub fn live(&self, model: &str, version: u64, metric: &str, value: MetricValue) {
        let values = [Some(value.value), value.lower, value.upper];
        self.inner.families.live(model, version, metric, values);
    }

    /// Alerts operators: the newest 100 alerts are on the [dashboard](super::transport::ServerOptions::dashboard).
    ///
    /// ```
    /// use fourfold::serving::observe::Metrics;
    ///
    /// let metrics = Metrics::new();
    /// metrics.alert("the flights of March are in another unit");
    /// assert_eq!(metrics.alerts()[0].times, 1);
    /// ```
    pub fn alert(&self, text: impl AsRef<str>) {
        self.inner.alerts.add(SystemTime::now(), text.as_ref());
    }

    /// Recent alerts, the newest last.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.inner.alerts.all()
    }

    /// The rows of a model that a request log had no room for.
    #[must_use]
    pub fn dropped_log_rows(&self, model: &str) -> Counter {
        Counter(self.inner.families.log_dropped(model))
    }

    /// The rows that a request log could not write, and 1 while it can.
    #[cfg(feature = "request-log")]
    pub(crate) fn log_state(&self, log: &str) -> (Counter, Gauge) {
        let (failed, writable) = self.inner.families.log_state(log);
        (Counter(failed), Gauge(writable))
    }

    /// Counts a load of a version.
    pub fn observe_load(&self, model: &str, succeeded: bool, took: Duration) {
        let [ok, error] = LOAD_RESULTS;
        let result = if succeeded { ok } else { error };
        self.inner.families.observe_load(model, result, took);
    }

    /// Calls `call` before each page is made, until it returns `false`.
    pub(crate) fn before_encode(&self, call: impl Fn() -> bool + Send + Sync + 'static) {
        self.hooks().push(Arc::new(call));
    }

    fn hooks(&self) -> MutexGuard<'_, Vec<BeforeEncode>> {
        let hooks = self.inner.before_encode.lock();
        hooks.unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the states of a manager's versions; of the last one that was given.
    pub(crate) fn show_states(&self, manager: &Arc<Manager>) {
        self.inner.states.show(manager);
    }

    /// Registers metrics that are defined elsewhere in this crate.
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
        retired: &Retired,
    ) -> LaneMetrics {
        let families = self.inner.families.clone();
        LaneMetrics::new(families, model, version, protocol, retired)
    }

    pub(crate) fn of_shadow(&self, model: &str, version: u64, shadow: u64) -> ShadowMetrics {
        self.inner.families.of_shadow(model, version, shadow)
    }

    /// Removes the series of a version that no longer exists.
    pub(crate) fn retire(&self, model: &str, version: u64) {
        self.inner.families.retire(model, version);
    }

    /// Removes the series of models that no longer exist.
    pub(crate) fn retire_models(&self, is_known: impl Fn(&str) -> bool) {
        self.inner.families.retire_models(is_known);
    }

    pub(crate) fn retire_shadow(&self, model: &str, version: u64, shadow: u64) {
        self.inner.families.retire_shadow(model, version, shadow);
    }
}

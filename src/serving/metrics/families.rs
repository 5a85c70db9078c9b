//! The metrics with all of their series.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::handles::{ModelMetrics, ShadowMetrics, VersionMetrics};
use super::labels::{
    Code, DriftLabels, LaneLabels, LiveLabels, LoadLabels, LogLabels, ModelLabels, RequestLabels,
    ShadowLabels, VersionLabels,
};
use crate::serving::requests::Protocol;

/// Upper ends of the histograms' buckets, in seconds.
const SECONDS: [f64; 18] = [
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0, 30.0,
];
/// Loading takes longer.
const LOAD_SECONDS: [f64; 12] = [
    1e-3, 5e-3, 10e-3, 50e-3, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Results of loads.
pub(super) const LOAD_RESULTS: [&str; 2] = ["ok", "error"];
const ROWS: [f64; 12] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0, 8_192.0, 65_536.0,
];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn load_seconds() -> Histogram {
    Histogram::new(LOAD_SECONDS)
}

fn rows() -> Histogram {
    Histogram::new(ROWS)
}

fn histograms<L: Clone + std::hash::Hash + Eq>(make: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(make)
}

#[derive(Debug, Default)]
struct Known {
    /// The models that were loaded.
    models: BTreeSet<String>,
    drift: BTreeSet<DriftLabels>,
    live: BTreeSet<LiveLabels>,
}

#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) request_duration: Histograms<LaneLabels>,
    pub(super) rows: Family<LaneLabels, Counter>,
    in_flight: Family<ModelLabels, Gauge>,
    queue_length: Family<ModelLabels, Gauge>,
    queue_duration: Histograms<ModelLabels>,
    inference_duration: Histograms<VersionLabels>,
    batch_rows: Histograms<VersionLabels>,
    loads: Family<LoadLabels, Counter>,
    load_duration: Histograms<ModelLabels>,
    shadow_rows: Family<ShadowLabels, Counter>,
    shadow_differing: Family<ShadowLabels, Counter>,
    shadow_difference: Family<ShadowLabels, Gauge<f64, AtomicU64>>,
    shadow_errors: Family<ShadowLabels, Counter>,
    shadow_dropped: Family<ShadowLabels, Counter>,
    drift: Family<DriftLabels, Gauge<f64, AtomicU64>>,
    live: Family<LiveLabels, Gauge<f64, AtomicU64>>,
    log_dropped: Family<ModelLabels, Counter>,
    log_failed: Family<LogLabels, Counter>,
    log_writable: Family<LogLabels, Gauge<f64, AtomicU64>>,
    /// Label sets whose series are not found otherwise.
    known: Arc<Mutex<Known>>,
}

impl Families {
    /// Series that no scrape reads any more.
    pub(super) fn unread() -> Self {
        Families {
            requests: Family::default(),
            request_duration: histograms(seconds),
            rows: Family::default(),
            in_flight: Family::default(),
            queue_length: Family::default(),
            queue_duration: histograms(seconds),
            inference_duration: histograms(seconds),
            batch_rows: histograms(rows),
            loads: Family::default(),
            load_duration: histograms(load_seconds),
            shadow_rows: Family::default(),
            shadow_differing: Family::default(),
            shadow_difference: Family::default(),
            shadow_errors: Family::default(),
            shadow_dropped: Family::default(),
            drift: Family::default(),
            live: Family::default(),
            log_dropped: Family::default(),
            log_failed: Family::default(),
            log_writable: Family::default(),
            known: Arc::default(),
        }
    }

    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families::unread();
        let all = families.clone();
        registry.register("requests", "Requests answered", all.requests);
        registry.register_with_unit(
            "request_duration",
            "Time from the arrival of a request to its answer",
            Unit::Seconds,
            all.request_duration,
        );
        registry.register("rows", "Rows predicted", all.rows);
        registry.register(
            "requests_in_flight",
            "Requests that are computed or queued",
            all.in_flight,
        );
        registry.register("queue_length", "Requests that are queued", all.queue_length);
        registry.register_with_unit(
            "queue_duration",
            "Time that requests were queued",
            Unit::Seconds,
            all.queue_duration,
        );
        registry.register_with_unit(
            "inference_duration",
            "Time of one call of a model",
            Unit::Seconds,
            all.inference_duration,
        );
        registry.register("batch_rows", "Rows in one call of a model", all.batch_rows);
        registry.register("model_loads", "Loads of versions", all.loads);
        registry.register_with_unit(
            "load_duration",
            "Time to load a version",
            Unit::Seconds,
            all.load_duration,
        );
        registry.register(
            "shadow_rows",
            "Rows sent to a shadow version",
            all.shadow_rows,
        );
        registry.register(
            "shadow_differing_rows",
            "Rows for which a shadow version gave another answer",
            all.shadow_differing,
        );
        registry.register(
            "shadow_max_difference",
            "Largest difference between outputs of a shadow version and the serving one",
            all.shadow_difference,
        );
        registry.register(
            "shadow_errors",
            "Requests for which a shadow version failed",
            all.shadow_errors,
        );
        registry.register(
            "shadow_dropped",
            "Requests not sent to a shadow version because its queue was full",
            all.shadow_dropped,
        );
        registry.register(
            "drift",
            "Distance of live data from the training data",
            all.drift,
        );
        registry.register(
            "live_metric",
            "Metric of labelled requests, with the bounds of its confidence interval",
            all.live,
        );
        registry.register(
            "request_log_dropped_rows",
            "Rows dropped because the queue of the request log was full",
            all.log_dropped,
        );
        registry.register(
            "request_log_failed_rows",
            "Rows lost because the request log could not be written",
            all.log_failed,
        );
        registry.register(
            "request_log_writable",
            "1 while the request log can be written",
            all.log_writable,
        );
        families
    }

    pub(super) fn of_model(&self, model: &str) -> ModelMetrics {
        self.known().models.insert(model.to_owned());
        let labels = ModelLabels::new(model);
        ModelMetrics {
            in_flight: self.in_flight.get_or_create_owned(&labels),
            queue_length: self.queue_length.get_or_create_owned(&labels),
            queue_duration: self.queue_duration.get_or_create_owned(&labels),
        }
    }

    pub(super) fn of_version(&self, model: &str, version: u64) -> VersionMetrics {
        let labels = VersionLabels {
            model: model.into(),
            version: version.into(),
        };
        VersionMetrics {
            inference_duration: self.inference_duration.get_or_create_owned(&labels),
            batch_rows: self.batch_rows.get_or_create_owned(&labels),
        }
    }

    pub(super) fn of_shadow(&self, model: &str, version: u64, shadow: u64) -> ShadowMetrics {
        let labels = ShadowLabels::new(model, version, shadow);
        ShadowMetrics {
            rows: self.shadow_rows.get_or_create_owned(&labels),
            differing: self.shadow_differing.get_or_create_owned(&labels),
            difference: self.shadow_difference.get_or_create_owned(&labels),
            errors: self.shadow_errors.get_or_create_owned(&labels),
            dropped: self.shadow_dropped.get_or_create_owned(&labels),
        }
    }

    pub(super) fn drift(&self, labels: &DriftLabels) -> Gauge<f64, AtomicU64> {
        self.known().drift.insert(labels.clone());
        self.drift.get_or_create_owned(labels)
    }

    /// Sets a live metric; a missing end of the interval is removed.
    pub(super) fn live(&self, model: &str, version: u64, metric: &str, values: [Option<f64>; 3]) {
        for (of, value) in ["value", "lower", "upper"].into_iter().zip(values) {
            let labels = LiveLabels {
                model: model.into(),
                version: version.into(),
                metric: metric.into(),
                of,
            };
            match value {
                Some(value) => {
                    self.known().live.insert(labels.clone());
                    self.live.get_or_create_owned(&labels).set(value);
                }
                None => self.remove_live(|other| *other == labels),
            }
        }
    }

    /// Removes the live metrics of a model except these: versions and names.
    #[cfg_attr(
        not(feature = "datafusion"),
        allow(dead_code, reason = "for continuous training")
    )]
    pub(super) fn keep_live(&self, model: &str, kept: &BTreeSet<(u64, &str)>) {
        self.remove_live(|labels| {
            let is_kept = |version| kept.contains(&(version, labels.metric.as_str()));
            let version = labels.version.as_str().parse();
            labels.model.as_str() == model && !version.is_ok_and(is_kept)
        });
    }

    fn remove_live(&self, is_gone: impl Fn(&LiveLabels) -> bool) {
        self.known().live.retain(|labels| {
            let is_gone = is_gone(labels);
            if is_gone {
                self.live.remove(labels);
            }
            !is_gone
        });
    }

    pub(super) fn remove_drift(&self, is_gone: impl Fn(&DriftLabels) -> bool) {
        self.known().drift.retain(|labels| {
            let is_gone = is_gone(labels);
            if is_gone {
                self.drift.remove(labels);
            }
            !is_gone
        });
    }

    pub(super) fn log_dropped(&self, model: &str) -> Counter {
        self.known().models.insert(model.to_owned());
        self.log_dropped
            .get_or_create_owned(&ModelLabels::new(model))
    }

    #[cfg(feature = "request-log")]
    pub(super) fn log_state(&self, log: &str) -> (Counter, Gauge<f64, AtomicU64>) {
        let labels = LogLabels { log: log.into() };
        let writable = self.log_writable.get_or_create_owned(&labels);
        writable.set(1.0);
        (self.log_failed.get_or_create_owned(&labels), writable)
    }

    pub(super) fn observe_load(&self, model: &str, result: &'static str, took: Duration) {
        self.known().models.insert(model.to_owned());
        let labels = LoadLabels {
            model: model.into(),
            result,
        };
        self.loads.get_or_create_owned(&labels).inc();
        let durations = &self.load_duration;
        let duration = durations.get_or_create_owned(&ModelLabels::new(model));
        duration.observe(took.as_secs_f64());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the series of models that no longer exist.
    pub(super) fn retire_models(&self, is_known: impl Fn(&str) -> bool) {
        let mut known = self.known();
        let (stay, go) = std::mem::take(&mut known.models)
            .into_iter()
            .partition(|model| is_known(model));
        known.models = stay;
        drop(known);
        let go: BTreeSet<String> = go;
        for model in &go {
            let labels = ModelLabels::new(model);
            self.in_flight.remove(&labels);
            self.queue_length.remove(&labels);
            self.queue_duration.remove(&labels);
            self.load_duration.remove(&labels);
            self.log_dropped.remove(&labels);
            for result in LOAD_RESULTS {
                self.loads.remove(&LoadLabels {
                    model: model.as_str().into(),
                    result,
                });
            }
        }
        if !go.is_empty() {
            self.remove_drift(|labels| go.contains(labels.model.as_str()));
            self.remove_live(|labels| go.contains(labels.model.as_str()));
        }
    }

    pub(super) fn retire(&self, model: &str, version: u64) {
        let of_version = VersionLabels {
            model: model.into(),
            version: version.into(),
        };
        self.inference_duration.remove(&of_version);
        self.batch_rows.remove(&of_version);
        for protocol in Protocol::ALL {
            let of_lane = LaneLabels {
                model: model.into(),
                version: version.into(),
                protocol: protocol.name(),
            };
            self.request_duration.remove(&of_lane);
            self.rows.remove(&of_lane);
            for code in Code::ALL {
                self.requests.remove(&RequestLabels {
                    model: model.into(),
                    version: version.into(),
                    protocol: protocol.name(),
                    code: code.name(),
                });
            }
        }
        let (model, version) = (model.into(), version.into());
        self.remove_drift(|labels| labels.model == model && labels.version == version);
        self.remove_live(|labels| labels.model == model && labels.version == version);
    }

    pub(super) fn retire_shadow(&self, model: &str, version: u64, shadow: u64) {
        let labels = ShadowLabels::new(model, version, shadow);
        self.shadow_rows.remove(&labels);
        self.shadow_differing.remove(&labels);
        self.shadow_difference.remove(&labels);
        self.shadow_errors.remove(&labels);
        self.shadow_dropped.remove(&labels);
    }
}

//! Metrics of continuous training.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// The families, and which series of gauges are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops {
    steps: Family<Labels, Counter>,
    alerts: Family<Labels, Counter>,
    live: Gauges,
    canary: Gauges,
    shown: Arc<Mutex<Vec<(String, Labels)>>>,
}

impl Loops {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let loops = Loops::default();
        let all = loops.clone();
        let help = "Steps of continuous training by outcome";
        registry.register("continuous_steps", help, all.steps);
        let help = "Alerts of continuous training";
        registry.register("continuous_alerts", help, all.alerts);
        let help = "Metrics of labelled answers, with the bounds of their confidence intervals";
        registry.register("live_metric", help, all.live);
        let help = "Evidence from the labels of a canary";
        registry.register("canary_evidence", help, all.canary);
        loops
    }
}

/// For continuous pipelines.
#[cfg_attr(
    not(feature = "datafusion"),
    allow(dead_code, reason = "for continuous training")
)]
impl Metrics {
    pub(crate) fn continuous_step(&self, model: &str, ended: &str) {
        let labels = vec![("model", model.to_owned()), ("ended", ended.to_owned())];
        self.inner.loops.steps.get_or_create_owned(&labels).inc();
    }

    pub(crate) fn continuous_alert(&self, model: &str, kind: &str) {
        let labels = vec![("model", model.to_owned()), ("kind", kind.to_owned())];
        self.inner.loops.alerts.get_or_create_owned(&labels).inc();
    }

    /// Shows these live metrics of a model, and no others: version, metric, `value`, `lower` or `upper`.
    pub(crate) fn show_live(
        &self,
        model: &str,
        values: impl IntoIterator<Item = (u64, String, &'static str, f64)>,
    ) {
        let loops = &self.inner.loops;
        let values = values.into_iter().map(|(version, metric, of, value)| {
            let labels = vec![
                ("model", model.to_owned()),
                ("version", version.to_string()),
                ("metric", metric),
                ("of", of.to_owned()),
            ];
            (labels, value)
        });
        let values: Vec<(Labels, f64)> = values.collect();
        let mut shown = loops.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|(of, labels)| {
            let stays = of != model || values.iter().any(|(new, _)| new == labels);
            if !stays {
                loops.live.remove(labels);
            }
            stays
        });
        for (labels, value) in values {
            loops.live.get_or_create_owned(&labels).set(value);
            if !shown.iter().any(|(_, known)| *known == labels) {
                shown.push((model.to_owned(), labels));
            }
        }
    }

    /// Shows what the labels of a canary have shown.
    pub(crate) fn show_canary(&self, model: &str, version: u64, of: &'static str, value: f64) {
        let labels = canary_labels(model, version, of);
        self.inner
            .loops
            .canary
            .get_or_create_owned(&labels)
            .set(value);
    }

    /// Takes that away.
    pub(crate) fn remove_canary(&self, model: &str, version: u64, of: &'static str) {
        self.inner
            .loops
            .canary
            .remove(&canary_labels(model, version, of));
    }
}

fn canary_labels(model: &str, version: u64, of: &'static str) -> Labels {
    vec![
        ("model", model.to_owned()),
        ("version", version.to_string()),
        ("of", of.to_owned()),
    ]
}

//! Metrics of continuous training.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::metrics::MetricValue;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// The families.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops {
    steps: Family<Labels, Counter>,
    alerts: Family<Labels, Counter>,
    canary: Gauges,
}

impl Loops {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let loops = Loops::default();
        let all = loops.clone();
        let help = "Steps of continuous training by outcome";
        registry.register("continuous_steps", help, all.steps);
        let help = "Alerts of continuous training";
        registry.register("continuous_alerts", help, all.alerts);
        let help = "Evidence from the labels of a canary";
        registry.register("canary_evidence", help, all.canary);
        loops
    }
}

/// Metrics of continuous pipelines.
#[cfg_attr(
    not(feature = "datafusion"),
    allow(dead_code, reason = "for continuous training")
)]
impl Metrics {
    pub(crate) fn continuous_step(&self, model: &str, ended: &str) {
        let labels = vec![("model", model.to_owned()), ("ended", ended.to_owned())];
        self.inner.loops.steps.get_or_create_owned(&labels).inc();
    }

    /// Counts an alert, and shows it to operators.
    pub(crate) fn continuous_alert(&self, model: &str, kind: &str, at: SystemTime, text: &str) {
        let labels = vec![("model", model.to_owned()), ("kind", kind.to_owned())];
        self.inner.loops.alerts.get_or_create_owned(&labels).inc();
        self.inner.alerts.add(at, text);
    }

    /// Shows these live metrics of a model, and no others: the version, the metric's name, and its value.
    pub(crate) fn show_live<'a>(
        &self,
        model: &str,
        values: impl IntoIterator<Item = (u64, &'a str, MetricValue)>,
    ) {
        let values: Vec<_> = values.into_iter().collect();
        let names = values.iter().map(|(version, name, _)| (*version, *name));
        self.inner.families.keep_live(model, &names.collect());
        for (version, name, value) in values {
            self.live(model, version, name, value);
        }
    }

    /// Shows the evidence from the labels of a canary.
    pub(crate) fn show_canary(&self, model: &str, version: u64, of: &'static str, value: f64) {
        let labels = canary_labels(model, version, of);
        self.inner
            .loops
            .canary
            .get_or_create_owned(&labels)
            .set(value);
    }

    /// Removes that evidence.
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

//! The metrics of the loop, in those of a server.

use super::alert::Alert;
use super::live::LiveMetrics;
use super::sequential::Evidence;
use super::step::Step;
#[cfg(feature = "http")]
use crate::serving::observe::Metrics;

/// The metrics of a server, if there are any.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauges {
    #[cfg(feature = "http")]
    metrics: Option<Metrics>,
}

#[cfg(feature = "http")]
impl Gauges {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Gauges {
            metrics: Some(metrics.clone()),
        }
    }

    /// These metrics, or those of a server if none are set.
    pub(super) fn or(&self, metrics: impl FnOnce() -> Option<Metrics>) -> Self {
        Gauges {
            metrics: self.metrics.clone().or_else(metrics),
        }
    }

    /// Returns true if there are metrics to write to.
    pub(super) fn are_shown(&self) -> bool {
        self.metrics.is_some()
    }

    pub(super) fn alerted(&self, alert: &Alert) {
        if let Some(metrics) = &self.metrics {
            let (kind, text) = (alert.kind.name(), alert.to_string());
            metrics.continuous_alert(&alert.pipeline, kind, alert.at(), &text);
        }
    }

    pub(super) fn stepped(&self, model: &str, step: &Step) {
        if let Some(metrics) = &self.metrics {
            metrics.continuous_step(model, step.ended.name());
        }
    }

    pub(super) fn live(&self, model: &str, live: &[LiveMetrics]) {
        let Some(metrics) = &self.metrics else { return };
        let values = live.iter().flat_map(|of| {
            let values = of.metrics.iter();
            values.map(|(name, value)| (of.version, name.as_str(), *value))
        });
        metrics.show_live(model, values);
    }

    /// Shows the evidence of a canary; `None` when it is over.
    pub(super) fn canary(&self, model: &str, version: u64, evidence: Option<&Evidence>) {
        let Some(metrics) = &self.metrics else { return };
        match evidence {
            Some(evidence) => {
                for (of, value) in [
                    ("difference", evidence.difference),
                    ("lower", evidence.lower),
                    ("upper", evidence.upper),
                    ("harm", evidence.harm),
                    ("no_worse", evidence.no_worse),
                ] {
                    metrics.show_canary(model, version, of, value);
                }
            }
            None => {
                for of in ["difference", "lower", "upper", "harm", "no_worse"] {
                    metrics.remove_canary(model, version, of);
                }
            }
        }
    }
}

/// Without the feature `http` there are no metrics to write to.
#[cfg(not(feature = "http"))]
impl Gauges {
    pub(super) fn are_shown(&self) -> bool {
        false
    }

    pub(super) fn alerted(&self, _alert: &Alert) {}

    pub(super) fn stepped(&self, _model: &str, _step: &Step) {}

    pub(super) fn live(&self, _model: &str, _live: &[LiveMetrics]) {}

    pub(super) fn canary(&self, _model: &str, _version: u64, _evidence: Option<&Evidence>) {}
}

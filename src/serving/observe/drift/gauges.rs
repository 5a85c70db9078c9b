//! Reports as metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::DriftReport;
use crate::serving::metrics::Metrics;

type Measures = BTreeSet<(String, &'static str)>;

impl Metrics {
    /// Shows the distances of each report as `fourfold_drift`: what a [`DriftMonitor`](crate::serving::observe::DriftMonitor) is
    /// started with. Distances that a report no longer measures are removed.
    #[must_use = "a drift monitor calls it"]
    pub fn on_drift(&self) -> impl Fn(&DriftReport) + Send + 'static {
        let metrics = self.clone();
        let shown: Mutex<BTreeMap<(String, u64), Measures>> = Mutex::default();
        move |report| {
            if !report.has_enough_rows {
                return;
            }
            let mut now = Measures::new();
            for measure in report.measures() {
                let gauge =
                    metrics.drift(&report.model, report.version, measure.column, measure.name);
                gauge.set(measure.value);
                now.insert((measure.column.to_owned(), measure.name));
            }
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let before = shown
                .entry((report.model.clone(), report.version))
                .or_default();
            for (column, name) in before.difference(&now) {
                metrics.remove_drift(&report.model, report.version, column, name);
            }
            *before = now;
            let far: BTreeSet<&str> = report.too_far().collect();
            if !far.is_empty() {
                let far: Vec<&str> = far.into_iter().take(10).collect();
                let DriftReport { model, version, .. } = report;
                metrics.alert(format!(
                    "drift in version {version} of `{model}`: {}",
                    far.join(", ")
                ));
            }
        }
    }
}

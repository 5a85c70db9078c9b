//! Reports of a drift monitor.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use crate::schema::{Anomaly, Comparison};
use crate::statistics::distance::Distance;

/// A window of a version's requests, compared with the data that the version was trained and evaluated on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DriftReport {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The time of the answer to the first row.
    pub started: SystemTime,
    /// The time of the answer to the last row.
    pub ended: SystemTime,
    /// The rows that were looked at.
    pub n_rows: u64,
    /// True if the rows suffice for a comparison. If not, nothing was measured, and the window continues.
    pub has_enough_rows: bool,
    /// The reason why there is no reference, if there is none: the model was saved without statistics, or they are gone.
    pub without_reference: Option<String>,
    /// Training-serving skew: the distances of the training data's columns to the window's.
    pub skew: Vec<Comparison>,
    /// Prediction drift: the distances of the answers in evaluation to the window's. Columns are `prediction_value`, or
    /// `prediction_class` and `prediction_probability`.
    pub predictions: Vec<Comparison>,
    /// Drift: the distances of the window's columns to those of the window before.
    pub previous: Vec<Comparison>,
    /// Distances over their thresholds, and violations of the schema in the rows.
    pub anomalies: Vec<Anomaly>,
}

/// One distance of a [`DriftReport`], as metrics name it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DriftMeasure<'a> {
    /// The column.
    pub column: &'a str,
    /// The distance's name, such as `population_stability_index`; to the window before it is
    /// `previous_population_stability_index`.
    pub name: &'static str,
    /// The distance.
    pub value: f64,
}

impl DriftReport {
    /// Returns `true` if the distance of a column or of the answers exceeds a threshold.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        self.too_far().next().is_some()
    }

    /// The columns that are farther than a threshold allows, once for each.
    pub(super) fn too_far(&self) -> impl Iterator<Item = &str> {
        let all = self.skew.iter();
        let all = all.chain(&self.predictions).chain(&self.previous);
        all.filter(|comparison| {
            let threshold = comparison.threshold;
            threshold.is_some_and(|threshold| comparison.measured > threshold)
        })
        .map(|comparison| comparison.column.as_str())
    }

    /// All distances, as metrics name them.
    pub fn measures(&self) -> impl Iterator<Item = DriftMeasure<'_>> {
        let now = self.skew.iter().chain(&self.predictions);
        let now = now.map(|comparison| (comparison, false));
        let before = self.previous.iter().map(|comparison| (comparison, true));
        now.chain(before)
            .map(|(comparison, previous)| DriftMeasure {
                column: &comparison.column,
                name: measure_name(comparison.distance, previous),
                value: comparison.measured,
            })
    }
}

fn measure_name(distance: Distance, previous: bool) -> &'static str {
    match (distance, previous) {
        (Distance::InfinityNorm, false) => "infinity_norm",
        (Distance::InfinityNorm, true) => "previous_infinity_norm",
        (Distance::JensenShannonDivergence, false) => "jensen_shannon_divergence",
        (Distance::JensenShannonDivergence, true) => "previous_jensen_shannon_divergence",
        (Distance::NormalizedAbsDifference, false) => "normalized_abs_difference",
        (Distance::NormalizedAbsDifference, true) => "previous_normalized_abs_difference",
        (Distance::PopulationStabilityIndex, false) => "population_stability_index",
        (Distance::PopulationStabilityIndex, true) => "previous_population_stability_index",
        (Distance::KolmogorovSmirnov, false) => "kolmogorov_smirnov",
        (Distance::KolmogorovSmirnov, true) => "previous_kolmogorov_smirnov",
    }
}

/// A line for the window, and one for each anomaly.
impl fmt::Display for DriftReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DriftReport {
            model,
            version,
            n_rows,
            ..
        } = self;
        write!(f, "model `{model}` version {version}, {n_rows} rows: ")?;
        if !self.has_enough_rows {
            return f.write_str("too few rows");
        }
        match (&self.without_reference, self.anomalies.len()) {
            (Some(reason), _) => write!(f, "no reference: {reason}")?,
            (None, 0) => f.write_str("no anomalies")?,
            (None, n) => write!(f, "{n} anomalies")?,
        }
        for anomaly in &self.anomalies {
            write!(f, "\n{} {}: {anomaly}", anomaly.severity, anomaly.kind)?;
        }
        Ok(())
    }
}

//! Comparisons of a column's distribution with that of another data set.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Anomaly, AnomalyKind, Bounds, Comparator, Dataset, Field, FieldType, Fix, Report};
use crate::statistics::distance::{Categories, Distance};
use crate::statistics::{ColumnStatistics, Statistics};

/// A distance between two distributions of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The column; `slice(key)::path` for a slice of the rows.
    pub column: String,
    /// The data that was compared with.
    pub against: Against,
    /// The measure.
    pub distance: Distance,
    /// The distance measured.
    pub measured: f64,
    /// The threshold, if the schema has one.
    pub threshold: Option<f64>,
}

/// The data that a data set is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The previous span: drift.
    Previous,
    /// The data in serving: skew.
    Serving,
    /// The previous version of the same span.
    PreviousVersion,
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Against::Previous => "the previous span",
            Against::Serving => "the data in serving",
            Against::PreviousVersion => "the previous version",
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison {
            column,
            against,
            distance,
            measured,
            ..
        } = self;
        write!(
            f,
            "column `{column}`: the {distance} to {against} is {measured:.6}"
        )?;
        match self.threshold {
            Some(threshold) => write!(f, " (threshold {threshold})"),
            None => Ok(()),
        }
    }
}

/// Statistics that are compared, with their columns by name.
pub(super) struct Side<'a> {
    statistics: &'a Statistics,
    columns: HashMap<&'a str, &'a ColumnStatistics>,
    /// The slices by name, if these are compared too.
    slices: Vec<(&'a str, Side<'a>)>,
}

impl<'a> Side<'a> {
    pub(super) fn new(statistics: &'a Statistics, with_slices: bool) -> Self {
        let slices = statistics.slices.iter().filter(|_| with_slices);
        let slices = slices.map(|of| (of.slice.as_str(), Side::new(&of.statistics, false)));
        Side {
            statistics,
            columns: statistics.by_name(),
            slices: slices.collect(),
        }
    }
}

impl Field {
    fn comparator(&self, against: Against) -> &Comparator {
        match against {
            Against::Previous => &self.drift,
            Against::Serving => &self.skew,
            Against::PreviousVersion => &self.version_change,
        }
    }

    pub(super) fn compare_slices(
        &self,
        against: Against,
        now: &Side<'_>,
        control: &Side<'_>,
        report: &mut Report,
    ) {
        for (slice, before) in &control.slices {
            let path = format!("slice({slice})::{}", self.name);
            match now.slices.iter().find(|(name, _)| name == slice) {
                Some((_, now)) => self.compare(&path, against, now, before, report),
                None if self.comparator(against).is_open() => {}
                None => report.anomalies.push(Anomaly::new(
                    &path,
                    AnomalyKind::SchemaMissingColumn,
                    format!("is in {against} and not in the data"),
                )),
            }
        }
    }

    /// Measures the field's distances, if there are values now.
    pub(super) fn compare(
        &self,
        path: &str,
        against: Against,
        now: &Side<'_>,
        control: &Side<'_>,
        report: &mut Report,
    ) {
        let comparator = self.comparator(against);
        let is_held = !comparator.is_open();
        let Some(column) = now.columns.get(self.name.as_str()).copied() else {
            return;
        };
        if column.count == 0 || column.field_type == FieldType::Other {
            return;
        }
        let before = control.columns.get(self.name.as_str()).copied();
        let usable = before.filter(|before| {
            let comparable = before.field_type == column.field_type
                || before.field_type.is_numeric() && column.field_type.is_numeric();
            before.count > 0 && comparable
        });
        let Some(before) = usable else {
            if is_held {
                let reason = match before {
                    None => "is not in".to_owned(),
                    Some(before) if before.count == 0 => "has no value in".to_owned(),
                    Some(before) => format!(
                        "is of type {}, and of type {} in",
                        column.field_type, before.field_type
                    ),
                };
                report.anomalies.push(Anomaly::new(
                    path,
                    AnomalyKind::ComparatorControlDataMissing,
                    format!("{reason} {against}, so the two cannot be compared"),
                ));
            }
            return;
        };
        let default = (!is_held).then_some((Distance::JensenShannonDivergence, None));
        let held = comparator
            .thresholds()
            .map(|(distance, threshold)| (distance, Some(threshold)));
        for (distance, threshold) in held.chain(default) {
            let measured = if self.is_categorical() {
                distance.of_categories(&Categories::of(column), &Categories::of(before))
            } else {
                distance.of_columns((now.statistics, column), (control.statistics, before))
            };
            // The check of the schema reports thresholds that do not fit their field.
            let Ok(measured) = measured else {
                continue;
            };
            report.comparisons.push(Comparison {
                column: path.to_owned(),
                against,
                distance,
                measured,
                threshold,
            });
            if let Some(threshold) = threshold
                && measured > threshold
            {
                let message = format!(
                    "the {distance} to {against} is {}, must be at most {threshold}",
                    rounded(measured)
                );
                report.anomalies.push(
                    Anomaly::new(path, kind_of(distance), message)
                        .measured(measured, Bounds::at_most(threshold))
                        .fix(Fix::Threshold {
                            column: self.name.clone(),
                            against,
                            distance,
                            threshold: Some(measured),
                        }),
                );
            }
        }
    }
}

/// To six digits behind the point, without zeros at the end.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn kind_of(distance: Distance) -> AnomalyKind {
    match distance {
        Distance::InfinityNorm => AnomalyKind::ComparatorLInftyHigh,
        Distance::JensenShannonDivergence => AnomalyKind::ComparatorJensenShannonDivergenceHigh,
        Distance::NormalizedAbsDifference => {
            AnomalyKind::ComparatorNormalizedAbsoluteDifferenceHigh
        }
        Distance::PopulationStabilityIndex => AnomalyKind::ComparatorPopulationStabilityIndexHigh,
        Distance::KolmogorovSmirnov => AnomalyKind::ComparatorKolmogorovSmirnovHigh,
    }
}

impl Dataset {
    pub(super) fn compare(
        &self,
        against: Against,
        statistics: &Statistics,
        control: &Statistics,
        found: &mut Vec<Anomaly>,
    ) {
        let allowed = match against {
            Against::Previous => self.drift_ratio,
            Against::PreviousVersion => self.version_ratio,
            Against::Serving => return,
        };
        if allowed.is_open() {
            return;
        }
        if control.n_rows == 0 {
            found.push(Anomaly::new(
                "",
                AnomalyKind::ComparatorControlDataMissing,
                format!("there are no rows in {against}, so the number of rows cannot be compared"),
            ));
            return;
        }
        let ratio = statistics.n_rows as f64 / control.n_rows as f64;
        if allowed.contains(ratio) {
            return;
        }
        let kind = if allowed.min.is_some_and(|min| ratio < min) {
            AnomalyKind::ComparatorLowNumExamples
        } else {
            AnomalyKind::ComparatorHighNumExamples
        };
        let message = format!(
            "there are {} rows, {} times the {} of {against}, must be {allowed} times",
            statistics.n_rows,
            rounded(ratio),
            control.n_rows
        );
        found.push(
            Anomaly::new("", kind, message)
                .measured(ratio, allowed)
                .fix(Fix::RowRatio {
                    against,
                    ratio: allowed.widened(ratio),
                }),
        );
    }
}

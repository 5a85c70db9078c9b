//! Checks of a column's statistics by its field.

use super::{Anomaly, AnomalyKind, Bounds, Field, FieldType, Fix, InferOptions, Moment};
use crate::statistics::{ColumnStatistics, Statistics};

impl Field {
    /// Returns the anomalies of a column.
    pub(super) fn validate(
        &self,
        statistics: &Statistics,
        column: &ColumnStatistics,
    ) -> Vec<Anomaly> {
        let mut check = ColumnCheck {
            field: self,
            column,
            anomalies: Vec::new(),
        };
        if check.nesting_and_type() {
            check.presence();
            if column.count > 0 {
                check.items();
                check.unique();
                check.domain();
                check.not_finite();
                check.distribution(statistics);
            }
        }
        check.anomalies
    }

    /// The anomaly of a missing column.
    pub(super) fn missing_column(&self) -> Option<Anomaly> {
        (self.min_fraction > 0.0 || self.min_count > 0).then(|| {
            Anomaly::new(
                &self.name,
                AnomalyKind::SchemaMissingColumn,
                "is required but not in the data",
            )
            .fix(Fix::Deprecate {
                column: self.name.clone(),
            })
        })
    }
}

/// A column that the schema does not have.
pub(super) fn new_column(column: &ColumnStatistics) -> Anomaly {
    Anomaly::new(
        &column.name,
        AnomalyKind::SchemaNewColumn,
        "is not in the schema and is not used",
    )
    .fix(Fix::AddField {
        field: Box::new(Field::infer(column, InferOptions::default())),
    })
}

pub(super) struct ColumnCheck<'a> {
    pub(super) field: &'a Field,
    pub(super) column: &'a ColumnStatistics,
    pub(super) anomalies: Vec<Anomaly>,
}

impl ColumnCheck<'_> {
    pub(super) fn name(&self) -> String {
        self.field.name.clone()
    }

    fn add(&mut self, kind: AnomalyKind, message: String, fix: Option<Fix>) {
        self.anomalies.push(Anomaly {
            fix,
            ..Anomaly::new(&self.field.name, kind, message)
        });
    }

    pub(super) fn measure(
        &mut self,
        kind: AnomalyKind,
        message: String,
        measured: f64,
        allowed: Bounds,
        fix: Fix,
    ) {
        self.anomalies.push(
            Anomaly::new(&self.field.name, kind, message)
                .measured(measured, allowed)
                .fix(fix),
        );
    }

    pub(super) fn not_available(&mut self, what: &str) {
        self.add(
            AnomalyKind::StatsNotAvailable,
            format!("has limits of {what}, which the statistics do not contain"),
            None,
        );
    }

    /// Checks nesting and type; returns whether the values can be checked too.
    fn nesting_and_type(&mut self) -> bool {
        let (field, column) = (self.field, self.column);
        if column.count == 0 {
            return true;
        }
        let deprecate = Fix::Deprecate {
            column: self.name(),
        };
        // Kept as it came, whatever it is: a list, too.
        if field.field_type == FieldType::Other && field.list.is_none() && column.valency.is_some()
        {
            return true;
        }
        let (is_list, must_be_list) = (column.valency.is_some(), field.list.is_some());
        let widened =
            field.field_type == FieldType::Float && column.field_type == FieldType::Integer;
        let kind = if is_list != must_be_list {
            AnomalyKind::ValueNestednessMismatch
        } else if column.field_type != field.field_type && !widened {
            AnomalyKind::UnexpectedDataType
        } else {
            return true;
        };
        let message = format!(
            "is of type {}, must be {}",
            super::field::type_text(column.field_type, is_list),
            field.type_text()
        );
        self.add(kind, message, Some(deprecate));
        false
    }

    fn presence(&mut self) {
        let (field, column) = (self.field, self.column);
        let rows = column.count + column.missing;
        let present = column.present();
        // A fraction that rounds to 1 would still reject the row that is missing.
        let observed = if column.missing > 0 {
            present.min(0.9999)
        } else {
            present
        };
        let fix = || Fix::Presence {
            column: field.name.clone(),
            min_fraction: field.min_fraction.min(observed),
            min_count: field.min_count.min(column.count),
        };
        if column.count == 0 && (field.min_fraction > 0.0 || field.min_count > 0) {
            let message = format!("has no value in any of {rows} rows, but is required");
            let allowed = Bounds::at_least(field.min_count.max(1) as f64);
            let kind = AnomalyKind::FeatureTypeNotPresent;
            self.measure(kind, message, 0.0, allowed, fix());
            return;
        }
        if present < field.min_fraction {
            let message = format!(
                "has a value in {} of {rows} rows, a fraction of {present:.4}, must be at least {}",
                column.count, field.min_fraction
            );
            let kind = AnomalyKind::FeatureTypeLowFractionPresent;
            let allowed = Bounds::at_least(field.min_fraction);
            self.measure(kind, message, present, allowed, fix());
        }
        if column.count < field.min_count {
            let message = format!(
                "has a value in {} rows, must be at least {}",
                column.count, field.min_count
            );
            let kind = AnomalyKind::FeatureTypeLowNumberPresent;
            let allowed = Bounds::at_least(field.min_count as f64);
            self.measure(kind, message, column.count as f64, allowed, fix());
        }
    }

    fn items(&mut self) {
        let (Some(counts), Some(valency)) = (self.field.list, &self.column.valency) else {
            return;
        };
        let fix = Fix::Items {
            column: self.name(),
            items: super::Counts {
                min: counts.min.map(|min| min.min(valency.min)),
                max: counts.max.map(|max| max.max(valency.max)),
            },
        };
        for (end, found) in [("down to", valency.min), ("up to", valency.max)] {
            if let Some(kind) = counts.problem(found)
                && self.anomalies.iter().all(|anomaly| anomaly.kind != kind)
            {
                let message = format!(
                    "has rows with {end} {found} items, {}",
                    self.field.rule(kind)
                );
                self.measure(kind, message, found as f64, counts.bounds(), fix.clone());
            }
        }
    }

    fn unique(&mut self) {
        let (unique, distinct) = (self.field.unique, self.column.distinct);
        if unique.is_open() {
            return;
        }
        let bounds = unique.bounds();
        if distinct == 0 {
            self.add(
                AnomalyKind::FeatureTypeNoUnique,
                format!("must have {bounds} distinct values, but their number is unknown"),
                Some(Fix::Unique {
                    column: self.field.name.clone(),
                    unique: super::Counts::default(),
                }),
            );
            return;
        }
        let kind = if unique.min.is_some_and(|min| distinct < min) {
            AnomalyKind::FeatureTypeLowUnique
        } else if unique.max.is_some_and(|max| distinct > max) {
            AnomalyKind::FeatureTypeHighUnique
        } else {
            return;
        };
        let fix = Fix::Unique {
            column: self.name(),
            unique: super::Counts {
                min: unique.min.map(|min| min.min(distinct)),
                max: unique.max.map(|max| max.max(distinct)),
            },
        };
        let message = format!("has {distinct} distinct values, must have {bounds}");
        self.measure(kind, message, distinct as f64, bounds, fix);
    }

    fn not_finite(&mut self) {
        let Some(numeric) = &self.column.numeric else {
            return;
        };
        let infinite = numeric.positive_infinity + numeric.negative_infinity;
        let none = Bounds::at_most(0.0);
        if self.field.disallow_nan && numeric.nan > 0 {
            let message = format!("has {} values that are NaN, must have none", numeric.nan);
            let fix = Fix::AllowNan {
                column: self.name(),
            };
            let kind = AnomalyKind::FloatTypeHasNan;
            self.measure(kind, message, numeric.nan as f64, none, fix);
        }
        if self.field.disallow_inf && infinite > 0 {
            let message = format!("has {infinite} values that are infinite, must have none");
            let fix = Fix::AllowInf {
                column: self.name(),
            };
            let kind = AnomalyKind::FloatTypeHasInf;
            self.measure(kind, message, infinite as f64, none, fix);
        }
    }

    fn distribution(&mut self, statistics: &Statistics) {
        let distribution = &self.field.distribution;
        if distribution.is_open() {
            return;
        }
        let column = self.column;
        let numeric = column.numeric.as_ref();
        let total = total_and_rest(column).0.max(1) as f64;
        self.bound(
            Moment::Missing,
            distribution.missing,
            Some(1.0 - column.present()),
        );
        self.bound(
            Moment::Mean,
            distribution.mean,
            numeric.and_then(|n| n.mean),
        );
        self.bound(Moment::Std, distribution.std, numeric.and_then(|n| n.std));
        let zeros = numeric.map(|numeric| numeric.zeros as f64 / total);
        self.bound(Moment::Zeros, distribution.zeros, zeros);
        for quantile in &distribution.quantiles {
            let sketch = statistics.quantile_sketch(&self.field.name);
            let found = match sketch {
                Some(sketch) => sketch.quantiles(&[quantile.rank]).first().copied(),
                None => numeric.and_then(|numeric| between(&numeric.quantiles, quantile.rank)),
            };
            self.bound(Moment::Quantile(quantile.rank), quantile.bounds(), found);
        }
        for (value, bounds) in &distribution.shares {
            let listed = column.top_values.iter().find(|(listed, _)| listed == value);
            let share = match listed {
                Some((_, n)) => Some(*n as f64 / total),
                None if column.top_values_exact => Some(0.0),
                // It has at most the share of the last that is listed.
                None => {
                    let most = column.top_values.last().map(|(_, n)| *n as f64 / total);
                    match most {
                        Some(most) if bounds.contains(most) && bounds.contains(0.0) => continue,
                        Some(most) if !bounds.contains(most) && !bounds.contains(0.0) => Some(most),
                        _ => None,
                    }
                }
            };
            self.bound(Moment::Share(value.clone()), *bounds, share);
        }
    }

    fn bound(&mut self, of: Moment, bounds: Bounds, found: Option<f64>) {
        if bounds.is_open() {
            return;
        }
        let Some(found) = found else {
            return self.not_available(&of.to_string());
        };
        if bounds.contains(found) {
            return;
        }
        let message = format!("has a {of} of {found}, must be {bounds}");
        let fix = Fix::Bound {
            column: self.name(),
            of,
            bounds: bounds.widened(found),
        };
        let kind = AnomalyKind::DistributionOutOfBounds;
        self.measure(kind, message, found, bounds, fix);
    }
}

/// All values, and those of them that are not listed.
pub(super) fn total_and_rest(column: &ColumnStatistics) -> (u64, u64) {
    let listed: u64 = column.top_values.iter().map(|(_, n)| n).sum();
    let all = column
        .valency
        .as_ref()
        .map_or(column.count, |valency| valency.total);
    if column.top_values_exact {
        (listed, 0)
    } else {
        (all.max(listed), all.saturating_sub(listed))
    }
}

/// The value at a rank, along the line between its neighbours.
fn between(quantiles: &[(f64, f64)], rank: f64) -> Option<f64> {
    let after = quantiles.iter().find(|(r, _)| *r >= rank)?;
    let before = quantiles.iter().rev().find(|(r, _)| *r <= rank)?;
    let width = after.0 - before.0;
    Some(if width > 0.0 {
        before.1 + (after.1 - before.1) * (rank - before.0) / width
    } else {
        after.1
    })
}

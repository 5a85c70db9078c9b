//! Holding statistics against a schema.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Domain, FieldType, Schema};
use crate::statistics::{ColumnStatistics, Statistics};

/// Something in the data that the schema does not allow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The column.
    pub column: String,
    /// What kind of thing.
    pub kind: AnomalyKind,
    /// How bad it is.
    pub severity: Severity,
    /// What was found and what would be allowed.
    pub message: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column `{}`: {}", self.column, self.message)
    }
}

/// How bad an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is reported, and the pipeline goes on.
    Warning,
    /// The pipeline stops before training.
    Error,
}

/// The kinds of anomalies; named after TensorFlow Data Validation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum AnomalyKind {
    /// A column that the schema does not know (a warning: it is not used).
    SchemaNewColumn,
    /// A required column is not there.
    SchemaMissingColumn,
    /// The type is another one.
    UnexpectedDataType,
    /// Too few rows have a value.
    FeatureTypeLowFractionPresent,
    /// Texts that are not in the domain.
    EnumTypeUnexpectedStringValues,
    /// Numbers below or above the range.
    OutOfRange,
    /// No rows at all.
    DataMissing,
}

impl Schema {
    /// What in the statistics breaks the schema, in the order of its fields. Empty means valid.
    #[must_use]
    pub fn validate(&self, statistics: &Statistics) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        let mut add = |column: &str, kind, severity, message: String| {
            anomalies.push(Anomaly {
                column: column.to_owned(),
                kind,
                severity,
                message,
            });
        };
        if statistics.n_rows == 0 {
            add(
                "",
                AnomalyKind::DataMissing,
                Severity::Error,
                "there are no rows".to_owned(),
            );
            return anomalies;
        }
        for field in &self.fields {
            let name = field.name.as_str();
            let Some(column) = statistics.columns.iter().find(|column| column.name == name) else {
                if field.min_fraction > 0.0 {
                    add(
                        name,
                        AnomalyKind::SchemaMissingColumn,
                        Severity::Error,
                        "is required and not in the data".to_owned(),
                    );
                }
                continue;
            };
            let widened =
                field.field_type == FieldType::Float && column.row_type() == FieldType::Integer;
            if column.count > 0 && column.row_type() != field.field_type && !widened {
                add(
                    name,
                    AnomalyKind::UnexpectedDataType,
                    Severity::Error,
                    format!(
                        "is of type {}, must be {}",
                        column.row_type(),
                        field.field_type
                    ),
                );
                continue;
            }
            if column.present() < field.min_fraction {
                add(
                    name,
                    AnomalyKind::FeatureTypeLowFractionPresent,
                    Severity::Error,
                    format!(
                        "has a value in {} of {} rows, a fraction of {:.4}, must be at least {}",
                        column.count,
                        column.count + column.missing,
                        column.present(),
                        field.min_fraction
                    ),
                );
            }
            match &field.domain {
                Some(Domain::Values(allowed)) => {
                    if let Some(message) = unexpected_texts(column, allowed) {
                        add(
                            name,
                            AnomalyKind::EnumTypeUnexpectedStringValues,
                            Severity::Error,
                            message,
                        );
                    }
                }
                Some(Domain::Range { min, max }) => {
                    if let Some(message) = out_of_range(column, *min, *max) {
                        add(name, AnomalyKind::OutOfRange, Severity::Error, message);
                    }
                }
                None => {}
            }
        }
        for column in statistics.columns.iter().filter(|column| !column.nested) {
            if !self.fields.iter().any(|field| field.name == column.name) {
                add(
                    &column.name,
                    AnomalyKind::SchemaNewColumn,
                    Severity::Warning,
                    "is not in the schema, and not used".to_owned(),
                );
            }
        }
        anomalies
    }
}

fn unexpected_texts(column: &ColumnStatistics, allowed: &[String]) -> Option<String> {
    let unexpected: Vec<&(String, u64)> = column
        .top_values
        .iter()
        .filter(|(value, _)| !allowed.contains(value))
        .collect();
    if unexpected.is_empty() {
        return None;
    }
    let shown: Vec<String> = unexpected
        .iter()
        .take(5)
        .map(|(value, n)| format!("`{value}` ({n} rows)"))
        .collect();
    let more = match unexpected.len().saturating_sub(5) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "has values outside of the {} allowed: {}{more}",
        allowed.len(),
        shown.join(", ")
    ))
}

fn out_of_range(column: &ColumnStatistics, min: Option<f64>, max: Option<f64>) -> Option<String> {
    let numeric = column.numeric.as_ref()?;
    let (low, high) = (
        min.unwrap_or(f64::NEG_INFINITY),
        max.unwrap_or(f64::INFINITY),
    );
    let (found_low, found_high) = numeric.min.zip(numeric.max)?;
    let infinite = (numeric.negative_infinity > 0 && low > f64::NEG_INFINITY)
        || (numeric.positive_infinity > 0 && high < f64::INFINITY);
    (found_low < low || found_high > high || infinite).then(|| {
        format!("ranges from {found_low} to {found_high}, must be within {low} and {high}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Field;
    use super::*;
    use crate::accumulate::Accumulate;
    use crate::statistics::StatisticsAccumulator;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use std::sync::Arc;

    fn statistics(columns: Vec<(&str, ArrayRef)>) -> Statistics {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut accumulator = StatisticsAccumulator::new(&batch.schema());
        accumulator.update(&batch).unwrap();
        accumulator.finish()
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn data_fits_the_schema_inferred_from_it() {
        let statistics = statistics(vec![("a", texts(&[Some("x"), None]))]);
        assert_eq!(Schema::infer(&statistics).validate(&statistics), []);
    }

    #[test]
    fn each_kind_of_anomaly_is_found() {
        let schema = Schema::infer(&statistics(vec![
            ("text", texts(&[Some("x"), Some("y")])),
            ("gone", texts(&[Some("x"), Some("y")])),
            ("number", Arc::new(Int64Array::from(vec![1, 2]))),
        ]));
        let found = schema.validate(&statistics(vec![
            ("text", texts(&[Some("z"), None])),
            ("number", texts(&[Some("1"), Some("2")])),
            ("new", texts(&[None, None])),
        ]));
        let kinds: Vec<AnomalyKind> = found.iter().map(|anomaly| anomaly.kind).collect();
        assert_eq!(
            kinds,
            [
                AnomalyKind::FeatureTypeLowFractionPresent,
                AnomalyKind::EnumTypeUnexpectedStringValues,
                AnomalyKind::SchemaMissingColumn,
                AnomalyKind::UnexpectedDataType,
                AnomalyKind::SchemaNewColumn,
            ]
        );
        assert_eq!(
            found[1].to_string(),
            "column `text`: has values outside of the 2 allowed: `z` (1 rows)"
        );
    }

    #[test]
    fn a_range_is_held() {
        let schema = Schema::new([Field {
            name: "n".to_owned(),
            field_type: FieldType::Integer,
            min_fraction: 0.0,
            domain: Some(Domain::Range {
                min: Some(0.0),
                max: None,
            }),
            training_only: false,
        }]);
        let found = schema.validate(&statistics(vec![(
            "n",
            Arc::new(Int64Array::from(vec![-1, 2])),
        )]));
        assert_eq!(found[0].kind, AnomalyKind::OutOfRange);
    }
}

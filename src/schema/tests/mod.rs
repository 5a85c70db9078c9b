//! Validation of statistics of real batches or, where these do not suffice, of statistics made by hand.

mod anomalies;
mod comparisons;
mod rows;
mod schemas;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use super::*;
use crate::accumulate::Accumulate;
use crate::statistics::{Histogram, Statistics, StatisticsAccumulator, Valency};

fn statistics(columns: Vec<(&str, ArrayRef)>) -> Statistics {
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut accumulator = StatisticsAccumulator::new(&batch.schema());
    accumulator.update(&batch).unwrap();
    accumulator.finish()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn words(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn whole(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn values(values: &[&str]) -> Domain {
    Domain::Values(values.iter().map(ToString::to_string).collect())
}

fn range(min: impl Into<Option<f64>>, max: impl Into<Option<f64>>) -> Domain {
    Domain::Range {
        min: min.into(),
        max: max.into(),
    }
}

const BOOLEAN: Domain = Domain::Boolean {
    true_value: None,
    false_value: None,
};

/// The anomalies of one column, one a line, each with its fix. The fixed schema takes the data.
#[track_caller]
fn check(field: Field, column: ArrayRef, expect: &str) {
    check_statistics(field, &statistics(vec![("x", column)]), expect);
}

#[track_caller]
fn check_statistics(field: Field, statistics: &Statistics, expect: &str) {
    let schema = Schema::new([field]);
    let report = Validation::new(&schema).run(statistics).unwrap();
    assert_eq!(report.to_string(), expect);
    let fixable = report.anomalies.iter().all(|anomaly| anomaly.fix.is_some());
    if fixable {
        let relaxed = schema.relax(&report.anomalies).unwrap();
        assert_eq!(relaxed.validate(statistics), []);
        assert_eq!(relaxed.version, u64::from(!report.anomalies.is_empty()));
        relaxed.check().unwrap();
    }
}

fn x(field_type: FieldType) -> Field {
    Field::new("x", field_type)
}

/// Statistics of a list column of strings, with `min` to `max` items a row.
fn of_lists(min: u64, max: u64) -> Statistics {
    let mut statistics = statistics(vec![("x", words(&["a", "b", "c"]))]);
    statistics.columns[0].valency = Some(Valency {
        min,
        max,
        mean: (min + max) as f64 / 2.0,
        total: 3,
        quantile_histogram: Histogram::default(),
    });
    statistics
}

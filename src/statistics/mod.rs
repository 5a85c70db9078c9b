//! Statistics of every column, from one pass over the rows, in memory that does not grow with them.
//!
//! [`StatisticsAccumulator`] is the analysis, an [`Accumulate`]; [`Statistics`] is its result, a JSON document
//! that people read, schemas are inferred from and reports show. The parts it is made of ([`Moments`],
//! [`QuantileSketch`], [`TopValues`], [`DistinctSketch`]) are also what transforms are fitted with.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
//! use fourfold::accumulate::Accumulate;
//! use fourfold::statistics::StatisticsAccumulator;
//!
//! let fare: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(3.0), None]));
//! let kind: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
//! let batch = RecordBatch::try_from_iter([("fare", fare), ("kind", kind)])?;
//!
//! let mut accumulator = StatisticsAccumulator::new(&batch.schema());
//! accumulator.update(&batch)?;
//! let statistics = accumulator.finish();
//! assert_eq!(statistics.column("fare")?.missing, 1);
//! assert_eq!(statistics.column("kind")?.top_values[0], ("a".to_owned(), 2));
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! Determinism: equal batches in equal parts give equal bits; the engine keeps the parts equal for any number of
//! threads.

mod column;
mod distinct;
mod information;
mod moments;
mod quantiles;
mod result;
mod top_values;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema as ArrowSchema;
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use serde::{Deserialize, Serialize};

use self::column::ColumnAccumulator;
pub use self::distinct::DistinctSketch;
pub use self::information::{expected_partial_mutual_information, partial_mutual_information};
pub use self::moments::Moments;
pub use self::quantiles::QuantileSketch;
pub use self::result::{
    Association, Bucket, ColumnStatistics, Histogram, Lift, NumericStatistics, PairStatistics,
    SliceStatistics, Statistics, TextStatistics, Valency, WeightedStatistics,
};
pub use self::top_values::TopValues;
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// The analysis that makes [`Statistics`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatisticsAccumulator {
    n_rows: u64,
    columns: Vec<ColumnAccumulator>,
}

impl StatisticsAccumulator {
    /// For batches of an Arrow schema.
    #[must_use]
    pub fn new(schema: &ArrowSchema) -> Self {
        StatisticsAccumulator {
            n_rows: 0,
            columns: schema
                .fields()
                .iter()
                .map(|field| ColumnAccumulator::new(field.name(), FieldType::of(field.data_type())))
                .collect(),
        }
    }

    /// The statistics of what was seen.
    #[must_use]
    pub fn finish(&self) -> Statistics {
        Statistics {
            n_rows: self.n_rows,
            columns: self.columns.iter().map(ColumnAccumulator::finish).collect(),
            ..Statistics::default()
        }
    }
}

impl Accumulate for StatisticsAccumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::internal(
                "statistics of batches of different schemas",
            ));
        }
        self.n_rows += batch.num_rows() as u64;
        self.columns
            .iter_mut()
            .zip(batch.columns())
            .try_for_each(|(accumulator, column)| accumulator.update(column))
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.columns.len() != other.columns.len() {
            return Err(Error::internal("statistics of different schemas merged"));
        }
        self.n_rows += other.n_rows;
        self.columns
            .iter_mut()
            .zip(other.columns)
            .try_for_each(|(mine, theirs)| mine.merge(theirs))
    }
}

/// Days since 1970-01-01 as `2013-01-31`.
pub(crate) fn days_text(days: i64) -> String {
    i32::try_from(days)
        .ok()
        .and_then(date32_to_datetime)
        .map_or_else(|| days.to_string(), |day| day.date().to_string())
}

/// Microseconds since 1970-01-01 as `2013-01-31T05:00:00Z`.
pub(crate) fn micros_text(micros: i64) -> String {
    timestamp_us_to_datetime(micros).map_or_else(
        || micros.to_string(),
        |time| time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
    )
}

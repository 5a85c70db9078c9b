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
mod moments;
mod quantiles;
mod top_values;

use std::hash::Hash;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema as ArrowSchema;
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use serde::{Deserialize, Serialize};

use self::column::{ColumnAccumulator, RANKS};
pub use self::distinct::DistinctSketch;
pub use self::moments::Moments;
pub use self::quantiles::QuantileSketch;
pub use self::top_values::TopValues;
use crate::accumulate::Accumulate;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// What is known of a data set's columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Statistics {
    /// The number of rows.
    pub n_rows: u64,
    /// One entry per column, in the order of the data.
    pub columns: Vec<ColumnStatistics>,
}

impl Statistics {
    /// The statistics of a column.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there is none of that name, with the near ones.
    pub fn column(&self, name: &str) -> Result<&ColumnStatistics> {
        self.columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| {
                let names = self.columns.iter().map(|column| column.name.as_str());
                Error::data(format!(
                    "there is no column `{name}`{}",
                    near_names(name, names)
                ))
            })
    }
}

/// What is known of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ColumnStatistics {
    /// The column's name.
    pub name: String,
    /// The column's type.
    pub field_type: FieldType,
    /// Rows with a value (NaN is a value).
    pub count: u64,
    /// Rows that are NULL.
    pub missing: u64,
    /// Distinct values: a HyperLogLog estimate, exact while there are few (NULL does not count).
    pub distinct: u64,
    /// Of booleans (0 and 1), integers, floats, dates (days since 1970-01-01) and timestamps (microseconds since).
    pub numeric: Option<NumericStatistics>,
    /// Of text.
    pub text: Option<TextStatistics>,
    /// The most frequent values as text with their counts, at most 100: by count from the highest, then by value.
    /// Empty for floats with many values.
    pub top_values: Vec<(String, u64)>,
    /// Whether `top_values` are all the values there are, with exact counts.
    pub top_values_exact: bool,
}

impl ColumnStatistics {
    /// The share of rows with a value, in `0..=1`; 0 if there are no rows.
    #[must_use]
    pub fn present(&self) -> f64 {
        match self.count + self.missing {
            0 => 0.0,
            rows => self.count as f64 / rows as f64,
        }
    }

    fn set_top<K: Eq + Hash + Ord + Clone>(
        &mut self,
        top: &TopValues<K>,
        shown: usize,
        text: impl Fn(&K) -> String,
    ) {
        self.top_values_exact = top.error() == 0 && top.len() <= shown;
        self.top_values = top
            .top(shown)
            .iter()
            .map(|(value, n)| (text(value), *n))
            .collect();
    }
}

/// What is known of a column of numbers. Moments and quantiles are those of the finite values; infinities take
/// part in quantiles only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NumericStatistics {
    /// Mean; absent if there is no finite value.
    pub mean: Option<f64>,
    /// Population standard deviation.
    pub std: Option<f64>,
    /// Smallest finite value.
    pub min: Option<f64>,
    /// Largest finite value.
    pub max: Option<f64>,
    /// Values equal to zero.
    pub zeros: u64,
    /// Values that are NaN.
    pub nan: u64,
    /// Values that are positive infinity.
    pub positive_infinity: u64,
    /// Values that are negative infinity.
    pub negative_infinity: u64,
    /// `(rank, value)` pairs: the value at ranks 0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99 and 1.
    /// Exact up to 1,024 values, then within half a percent of rank.
    pub quantiles: Vec<(f64, f64)>,
}

impl NumericStatistics {
    fn new(moments: &Moments, quantiles: &QuantileSketch) -> Self {
        NumericStatistics {
            mean: moments.mean(),
            std: moments.std(),
            min: moments.min(),
            max: moments.max(),
            zeros: moments.zeros(),
            nan: moments.nan(),
            positive_infinity: moments.positive_infinity(),
            negative_infinity: moments.negative_infinity(),
            quantiles: RANKS
                .into_iter()
                .zip(quantiles.quantiles(&RANKS))
                .filter(|(_, value)| value.is_finite())
                .collect(),
        }
    }

    /// Values that are NaN or infinite.
    #[must_use]
    pub fn non_finite(&self) -> u64 {
        self.nan + self.positive_infinity + self.negative_infinity
    }

    /// The median; `None` if there is no finite value.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.quantiles
            .iter()
            .find(|(rank, _)| *rank == 0.5)
            .map(|(_, value)| *value)
    }
}

/// What is known of a column of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextStatistics {
    /// Mean length in bytes.
    pub mean_bytes: f64,
    /// Length of the shortest value in bytes.
    pub min_bytes: u64,
    /// Length of the longest value in bytes.
    pub max_bytes: u64,
}

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

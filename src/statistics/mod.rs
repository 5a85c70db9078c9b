//! Statistics of every column, from one pass over the rows, in memory that does not grow with them.
//!
//! [`StatisticsAccumulator`] is the analysis, an [`Accumulate`](crate::accumulate::Accumulate); [`Statistics`] is its
//! result: a JSON document that people read, schemas are inferred from and reports show, that is
//! [saved](Statistics::save), [loaded](Statistics::load) and [merged](Statistics::merge) with those of other days.
//! [`StatisticsOptions`] add weights, slices, pairs of columns and a label. The parts it is made of ([`Moments`],
//! [`QuantileSketch`], [`TopValues`]) are also what transforms are fitted with.
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
//! # Statistics by type of column
//!
//! | column | what |
//! | --- | --- |
//! | all | count, missing; distinct and most frequent values, where values compare |
//! | booleans, integers, floats, decimals | moments, range, zeros, NaN, infinities, quantiles, two histograms |
//! | dates, timestamps | the same, as days and as microseconds since 1970-01-01 |
//! | text | lengths in bytes |
//! | bytes | the same, and how many are no UTF-8; those that are not have no part in the frequent values, and distinct is an estimate with them |
//! | lists, maps | valency; and what their items are: a row that is NULL is missing, one of no items has a valency of 0 |
//! | structs | count, missing; each field is a column of its own, by path (`trip.fare`); so are lists in lists (`days.item`) |
//! | times of day, durations, ... | count, missing |
//!
//! Whole numbers are counted as 64-bit signed ones: an unsigned one above 9,223,372,036,854,775,807 (a hash, say) is an
//! error that names the column. Read such a column as text or as floats.
//!
//! Dictionaries are what their values are, and are counted by key. All of it is what TensorFlow Data Validation
//! computes, but for this: a median is the textbook's (the lower of two in the middle), not the middle one of a
//! sketch's boundaries; histograms count values where they lie as long as all are known, and are interpolated, by the
//! reference's rules, only after that; and frequent values of equal count begin with the smallest.
//!
//! # How exact it is
//!
//! | what | exact | after that |
//! | --- | --- | --- |
//! | counts, range, lengths, valency | always | |
//! | mean, std, covariance | to rounding | |
//! | distinct | up to 4,096 values | HyperLogLog, 2^14 registers: standard error 0.8 % |
//! | quantiles, histograms | up to 4,096 distinct or 1,024 values, whole numbers of a range below 16,384 always | KLL, `k` = 1,024: within 0.5 % of rank |
//! | frequent values | the same | of whole numbers and text: Misra-Gries, too low by 1/2,048 of the rows at most |
//! | weighted quantiles | up to 2,048 rows | within 0.5 % of the weight |
//! | weighted frequent values | up to 2,048 values | too low by 1/1,024 of the weight at most |
//! | mutual information, lift | as far as the values' counts and quantiles by label are | the same bounds within each label |
//!
//! The counts of a column's values are dropped once 65,536 more rows have come and none is four times as frequent as
//! the error: keys and times have no frequent values. So they are for floats with more values than are counted
//! exactly. Mutual information from few rows is too high by about `(values - 1) * (labels - 1) / (2 ln 2 * rows)` bits
//! (Miller and Madow).
//!
//! Determinism: equal batches in equal parts give equal bits; the engine keeps the parts equal for any number of
//! threads. Held by `tests/it/statistics.rs`.

mod accumulator;
mod association;
pub(crate) mod base64;
mod column;
pub mod distance;
mod groups;
mod histogram;
mod information;
mod options;
mod pairs;
mod read;
mod result;
mod saved;
#[cfg(test)]
mod tests;
mod weighted;

use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};

pub use self::accumulator::StatisticsAccumulator;
pub use self::information::{expected_partial_mutual_information, partial_mutual_information};
pub use self::options::StatisticsOptions;
pub use self::result::{
    Association, Bucket, ColumnStatistics, Histogram, Lift, NumericStatistics, PairStatistics,
    SliceStatistics, Statistics, TextStatistics, Valency, WeightedStatistics,
};

// Their examples stand here, where their users find them.

#[doc(inline)]
pub use fourfold_kernels::sketches::Moments;

/// ```
/// use fourfold::statistics::QuantileSketch;
///
/// let mut sketch = QuantileSketch::default();
/// (1..=99).for_each(|value| sketch.update(f64::from(value)));
/// assert_eq!(sketch.quantiles(&[0.0, 0.5, 1.0]), [1.0, 50.0, 99.0]);
/// assert_eq!(sketch.ranks(&[0.5, 99.0, 200.0]), [0.0, 1.0, 1.0]);
/// ```
#[doc(inline)]
pub use fourfold_kernels::sketches::QuantileSketch;

#[doc(inline)]
pub use fourfold_kernels::sketches::TopValues;

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

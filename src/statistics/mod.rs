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

mod accumulator;
mod association;
mod bytes;
mod column;
pub mod distance;
mod distinct;
mod groups;
mod hash;
mod histogram;
mod information;
mod moments;
mod number;
mod options;
mod pairs;
mod quantiles;
mod read;
mod result;
mod saved;
mod text;
mod top_values;
mod weighted;

use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};

pub use self::accumulator::StatisticsAccumulator;
pub use self::information::{expected_partial_mutual_information, partial_mutual_information};
pub use self::moments::Moments;
pub use self::options::StatisticsOptions;
pub use self::quantiles::QuantileSketch;
pub use self::result::{
    Association, Bucket, ColumnStatistics, Histogram, Lift, NumericStatistics, PairStatistics,
    SliceStatistics, Statistics, TextStatistics, Valency, WeightedStatistics,
};
pub use self::top_values::TopValues;

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

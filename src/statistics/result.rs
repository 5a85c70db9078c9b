//! The statistics of a data set, as people and programs read them.

use std::collections::HashMap;

use fourfold_kernels::sketches::quantiles::Points;
use fourfold_kernels::sketches::text::Lengths;
use serde::{Deserialize, Serialize};

use super::Moments;
use super::column::RANKS;
use super::saved::{Sketches, float};
use crate::error::{Error, Result, near_names};
use crate::field_type::FieldType;

/// The statistics of the columns of a data set.
///
/// Made by a [`StatisticsAccumulator`](super::StatisticsAccumulator); [merged](Statistics::merge),
/// [saved](Statistics::save) and [loaded](Statistics::load). Two are equal if what they say is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Statistics {
    /// The number of rows.
    pub n_rows: u64,
    /// One entry per column, in the order of the data. Fields of a struct follow it, named by their path
    /// (`trip.fare`).
    pub columns: Vec<ColumnStatistics>,
    /// The statistics of pairs of columns of single numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairStatistics>,
    /// The statistics of slices of the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceStatistics>,
    /// The sketches that merging needs.
    #[serde(default, skip_serializing_if = "Sketches::is_none")]
    pub(super) sketches: Sketches,
}

/// The statistics of the rows that have some value in a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SliceStatistics {
    /// `column=value`, or several joined by `, `.
    pub slice: String,
    /// The statistics of its rows; it has no slices itself.
    pub statistics: Statistics,
}

/// The covariance and correlation of two columns of numbers, over the rows in which both are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PairStatistics {
    /// The one column.
    pub a: String,
    /// The other column.
    pub b: String,
    /// Rows in which both are finite.
    pub count: u64,
    /// Population covariance.
    #[serde(with = "float")]
    pub covariance: f64,
    /// Pearson's correlation, in `-1..=1`; absent if either is constant.
    pub correlation: Option<f64>,
}

impl Statistics {
    /// The columns by their names, for many of them.
    pub(crate) fn by_name(&self) -> HashMap<&str, &ColumnStatistics> {
        let columns = self.columns.iter().rev();
        columns
            .map(|column| (column.name.as_str(), column))
            .collect()
    }

    /// The statistics of a column.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there is none of that name, with the near ones.
    pub fn column(&self, name: &str) -> Result<&ColumnStatistics> {
        let mut named = self.columns.iter().filter(|column| column.name == name);
        // A path within a column may be the name of another one.
        let whole = named.clone().find(|column| !column.nested);
        whole.or_else(|| named.next()).ok_or_else(|| {
            let names = self.columns.iter().map(|column| column.name.as_str());
            Error::data(format!(
                "there is no column `{name}`{}",
                near_names(name, names)
            ))
        })
    }
}

/// The statistics of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ColumnStatistics {
    /// The column's name.
    pub name: String,
    /// The type of the column's values; of the items, if it is a list.
    pub field_type: FieldType,
    /// Whether it is nested in a column: a field of a struct, or the lists in a list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nested: bool,
    /// Rows with a value (NaN is a value). Of what is nested in a list: items.
    pub count: u64,
    /// Rows that are NULL.
    pub missing: u64,
    /// The numbers of items of the rows of a list column; absent for other columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valency: Option<Valency>,
    /// Distinct values (NULL does not count): exact up to 4,096 of them, then a HyperLogLog estimate, with a standard
    /// error of 0.8 %. Of lists: of their items.
    pub distinct: u64,
    /// The statistics of numbers: of booleans (0 and 1), integers, floats, dates (days since 1970-01-01) and timestamps (microseconds since).
    pub numeric: Option<NumericStatistics>,
    /// The statistics of a column of strings.
    pub text: Option<TextStatistics>,
    /// The most frequent values as strings with their counts, at most 100: by count from the highest, then by value.
    /// Counts are exact up to 4,096 distinct values, and may be too low by 1/2,048 of the values after that. Empty
    /// for floats with more values, and where no value stands out of many (keys, times).
    pub top_values: Vec<(String, u64)>,
    /// Whether `top_values` are all the values there are, with exact counts.
    pub top_values_exact: bool,
    /// The same with every row counted by its weight, if there is a weight column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighted: Option<WeightedStatistics>,
    /// The association with the label, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<Association>,
}

/// The numbers of items of the rows of a list column. Rows that are NULL take no part, an empty list has 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Valency {
    /// The fewest items of a row.
    pub min: u64,
    /// The most items of a row.
    pub max: u64,
    /// The mean number of items.
    pub mean: f64,
    /// All items together, NULL ones too.
    pub total: u64,
    /// Ten buckets of equal share.
    pub quantile_histogram: Histogram,
}

/// Counts of numbers by range: each bucket is from `low` to `high`, and includes `high` only if it is the last one or
/// a single point. Infinite values have point buckets of their own; NaN is in no bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The buckets, rising.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The lower end.
    #[serde(with = "float")]
    pub low: f64,
    /// The upper end.
    #[serde(with = "float")]
    pub high: f64,
    /// The number of values in it: an estimate once there are more than the sketch holds, so not always whole.
    pub count: f64,
}

/// Statistics with every row counted by its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WeightedStatistics {
    /// Weight of the rows with a value; of lists, every item has the weight of its row.
    pub count: f64,
    /// Weight of the rows that are NULL.
    pub missing: f64,
    /// Mean of the finite numbers.
    pub mean: Option<f64>,
    /// Population standard deviation of the finite numbers.
    pub std: Option<f64>,
    /// Median of the finite numbers.
    pub median: Option<f64>,
    /// Equal widths, of numbers.
    pub histogram: Histogram,
    /// The weightiest values.
    pub top_values: Vec<(String, f64)>,
}

/// The association of a column with the label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Association {
    /// Mutual information with the label in bits; numbers are cut into buckets first.
    pub mutual_information: f64,
    /// `P(label | value) / P(label)` of the values that stand out most, by label and value.
    pub lift: Vec<Lift>,
}

/// The lift of a value for a label: how much more (or less) often the label comes with the value than overall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lift {
    /// The label.
    pub label: String,
    /// The value of the column.
    pub value: String,
    /// `P(label | value) / P(label)`.
    pub lift: f64,
    /// Rows with the value.
    pub value_count: u64,
    /// Rows with the value and the label.
    pub both_count: u64,
}

impl ColumnStatistics {
    /// The type of the column as a whole: `other` of a list.
    #[must_use]
    pub fn row_type(&self) -> FieldType {
        match self.valency {
            Some(_) => FieldType::Other,
            None => self.field_type,
        }
    }

    /// The number of values; of a list column, of its items.
    pub(super) fn n_values(&self) -> u64 {
        self.valency
            .as_ref()
            .map_or(self.count, |items| items.total)
    }

    /// The share of rows with a value, in `0..=1`; 0 if there are no rows.
    #[must_use]
    pub fn present(&self) -> f64 {
        match self.count.saturating_add(self.missing) {
            0 => 0.0,
            rows => self.count as f64 / rows as f64,
        }
    }
}

/// The statistics of a column of numbers. Moments and quantiles are those of the finite values; infinities take
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
    /// Exact while there are at most 4,096 distinct values or 1,024 values, then within half a percent of rank.
    pub quantiles: Vec<(f64, f64)>,
    /// Ten buckets of equal width between `min` and `max`.
    #[serde(default)]
    pub histogram: Histogram,
    /// Ten buckets of equal share.
    #[serde(default)]
    pub quantile_histogram: Histogram,
}

impl NumericStatistics {
    pub(super) fn new(moments: &Moments, points: &Points) -> Self {
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
                .zip(points.quantiles(&RANKS))
                .filter(|(_, value)| value.is_finite())
                .collect(),
            histogram: Histogram::equal_width(points),
            quantile_histogram: Histogram::quantiles(points),
        }
    }

    /// Values that are NaN or infinite.
    #[must_use]
    pub fn non_finite(&self) -> u64 {
        (self.nan)
            .saturating_add(self.positive_infinity)
            .saturating_add(self.negative_infinity)
    }

    /// The median; `None` if there is no finite value, or if it is infinite, for infinities take part in quantiles.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.quantiles
            .iter()
            .find(|(rank, _)| *rank == 0.5)
            .map(|(_, value)| *value)
    }
}

impl From<Lengths> for TextStatistics {
    fn from(lengths: Lengths) -> Self {
        TextStatistics {
            mean_bytes: lengths.mean,
            min_bytes: lengths.shortest,
            max_bytes: lengths.longest,
            invalid_utf8: lengths.invalid_utf8,
        }
    }
}

/// The statistics of a column of strings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextStatistics {
    /// Mean length in bytes.
    pub mean_bytes: f64,
    /// Length of the shortest value in bytes.
    pub min_bytes: u64,
    /// Length of the longest value in bytes.
    pub max_bytes: u64,
    /// Values that are not UTF-8; 0 unless the column is binary.
    #[serde(default)]
    pub invalid_utf8: u64,
}

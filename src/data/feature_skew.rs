//! Row by row: is the same thing described the same way in two data sets?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use datafusion::common::JoinType;
use datafusion::functions_aggregate::count::count;
use datafusion::prelude::{DataFrame, ident, lit};
use serde::{Deserialize, Serialize};

use crate::accumulate::Accumulate;
use crate::engine::Engine;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// Looks for features that differ between two data sets for the same thing, such as what was logged in serving and
/// what a later job made of the same requests for training: distributions may be equal while every row differs.
///
/// Rows are joined by identifier columns. A row whose identifiers are NULL takes no part; nor, unless
/// [allowed](FeatureSkew::allow_duplicates), does one whose identifiers are there more than once in its data set.
///
/// ```
/// # use std::sync::Arc;
/// # use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
/// use fourfold::data::FeatureSkew;
/// use fourfold::engine::Engine;
///
/// # fn rows(ids: Vec<i64>, fares: Vec<Option<f64>>) -> Result<RecordBatch, fourfold::Error> {
/// #     let columns: [(&str, ArrayRef); 2] =
/// #         [("id", Arc::new(Int64Array::from(ids))), ("fare", Arc::new(Float64Array::from(fares)))];
/// #     Ok(RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))?)
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), fourfold::Error> {
/// # let training = rows(vec![1, 2, 3], vec![Some(8.0), Some(9.0), None])?;
/// # let serving = rows(vec![3, 2, 1], vec![Some(7.0), Some(9.5), Some(8.0)])?;
/// let engine = Engine::new()?;
/// let (training, serving) = (engine.session().read_batch(training)?, engine.session().read_batch(serving)?);
/// let report = FeatureSkew::by(["id"]).run(&engine, training, serving).await?;
/// let fare = &report.features[0];
/// assert_eq!((fare.matches, fare.mismatches, fare.test_only), (1, 1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureSkew {
    identifiers: Vec<String>,
    features: Vec<String>,
    float_digits: Option<u32>,
    n_samples: usize,
    allow_duplicates: bool,
}

/// The result of a [`FeatureSkew`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeatureSkewReport {
    /// The number of pairs of rows with the same identifiers.
    pub n_pairs: u64,
    /// Each feature, in the order of the base's columns.
    pub features: Vec<SkewedFeature>,
}

/// The difference of one feature between the rows of pairs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkewedFeature {
    /// The column.
    pub column: String,
    /// Pairs in which the base's row has a value.
    pub base: u64,
    /// Pairs in which the test's row has a value.
    pub test: u64,
    /// Pairs in which both have the same value.
    pub matches: u64,
    /// Pairs in which both have a value, and another one.
    pub mismatches: u64,
    /// Pairs in which only the base's row has a value.
    pub base_only: u64,
    /// Pairs in which only the test's row has a value.
    pub test_only: u64,
    /// Pairs that differ: the first of them by their identifiers.
    pub samples: Vec<SkewSample>,
}

/// A pair of rows that differ in a feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkewSample {
    /// The identifiers, as text.
    pub identifiers: Vec<String>,
    /// The base's value as text; `None` for NULL.
    pub base: Option<String>,
    /// The test's value as text; `None` for NULL.
    pub test: Option<String>,
}

impl SkewedFeature {
    /// Pairs that differ.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.mismatches + self.base_only + self.test_only
    }
}

/// A line for each feature that differs.
impl fmt::Display for FeatureSkewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skewed: Vec<&SkewedFeature> = self
            .features
            .iter()
            .filter(|feature| feature.differences() > 0)
            .collect();
        write!(
            f,
            "{} of {} features differ in {} pairs of rows",
            skewed.len(),
            self.features.len(),
            self.n_pairs
        )?;
        for feature in skewed {
            write!(
                f,
                "\n  `{}`: {} mismatches, {} in the base only, {} in the test only",
                feature.column, feature.mismatches, feature.base_only, feature.test_only
            )?;
        }
        Ok(())
    }
}

impl FeatureSkew {
    /// Joins rows by these columns and compares all others that both data sets have.
    #[must_use]
    pub fn by<C: Into<String>>(identifiers: impl IntoIterator<Item = C>) -> Self {
        FeatureSkew {
            identifiers: identifiers.into_iter().map(Into::into).collect(),
            features: Vec::new(),
            float_digits: None,
            n_samples: 5,
            allow_duplicates: false,
        }
    }

    /// Compares these columns only.
    #[must_use]
    pub fn features<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.features = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Rounds floats to a number of decimal places before they are compared. NaN equals NaN, and 0 equals -0, in
    /// any case.
    #[must_use]
    pub fn float_digits(mut self, digits: u32) -> Self {
        self.float_digits = Some(digits);
        self
    }

    /// The number of differing pairs kept of each feature; 5 by default.
    #[must_use]
    pub fn samples(mut self, n: usize) -> Self {
        self.n_samples = n;
        self
    }

    /// Joins rows with the same identifiers, too: each of one data set with each of the other.
    #[must_use]
    pub fn allow_duplicates(mut self) -> Self {
        self.allow_duplicates = true;
        self
    }

    /// Compares two data sets.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there are no identifiers, or a column is not in both data
    /// sets, with the near names; [`ErrorKind::Data`](crate::ErrorKind::Data) if a column has types that cannot
    /// be compared.
    pub async fn run(
        &self,
        engine: &Engine,
        base: DataFrame,
        test: DataFrame,
    ) -> Result<FeatureSkewReport> {
        if self.identifiers.is_empty() {
            return Err(Error::config(
                "there are no identifiers to join rows by, there must be at least one",
            ));
        }
        if let Some(digits) = self.float_digits
            && digits > 15
        {
            return Err(Error::config(format!(
                "floats are rounded to {digits} digits, must be at most 15"
            )));
        }
        let features = self.columns(&base, &test)?;
        let (base, test) = (
            self.side(base, &features, BASE)?,
            self.side(test, &features, TEST)?,
        );
        let names = |prefix: &str| -> Vec<String> {
            (0..self.identifiers.len())
                .map(|at| format!("{prefix}_id_{at}"))
                .collect()
        };
        let (left, right) = (names(BASE), names(TEST));
        let left: Vec<&str> = left.iter().map(String::as_str).collect();
        let right: Vec<&str> = right.iter().map(String::as_str).collect();
        let pairs = base.join(test, JoinType::Inner, &left, &right, None)?;
        let comparison = Comparison {
            n_identifiers: self.identifiers.len(),
            float_digits: self.float_digits,
            n_samples: self.n_samples,
            n_pairs: 0,
            features: features
                .into_iter()
                .map(|column| {
                    (
                        SkewedFeature {
                            column,
                            ..SkewedFeature::default()
                        },
                        BTreeSet::new(),
                    )
                })
                .collect(),
        };
        let found = engine.accumulate(pairs, comparison).await?;
        Ok(FeatureSkewReport {
            n_pairs: found.n_pairs,
            features: found
                .features
                .into_iter()
                .map(|(feature, samples)| SkewedFeature {
                    samples: samples.into_iter().collect(),
                    ..feature
                })
                .collect(),
        })
    }

    /// The columns to compare, each in both data sets and of types that compare.
    fn columns(&self, base: &DataFrame, test: &DataFrame) -> Result<Vec<String>> {
        let types = |rows: &DataFrame| -> BTreeMap<String, DataType> {
            let fields = rows.schema().fields().iter();
            fields
                .map(|field| (field.name().clone(), field.data_type().clone()))
                .collect()
        };
        let (in_base, in_test) = (types(base), types(test));
        let named = self.identifiers.iter().chain(&self.features);
        for (side, columns) in [("base", &in_base), ("test", &in_test)] {
            for name in named.clone() {
                if !columns.contains_key(name) {
                    return Err(Error::config(format!(
                        "column `{name}` is not in the {side} rows{}",
                        near_names(name, columns.keys().map(String::as_str))
                    )));
                }
            }
        }
        let all = || base.schema().fields().iter().map(|field| field.name());
        let features: Vec<String> = if self.features.is_empty() {
            all()
                .filter(|name| !self.identifiers.contains(name) && in_test.contains_key(*name))
                .cloned()
                .collect()
        } else {
            self.features.clone()
        };
        for name in features.iter().chain(&self.identifiers) {
            if let (Some(a), Some(b)) = (in_base.get(name), in_test.get(name)) {
                let (left, right) = (FieldType::of(a), FieldType::of(b));
                let same = left == right && (left != FieldType::Other || a == b);
                let numbers =
                    |field_type| matches!(field_type, FieldType::Integer | FieldType::Float);
                if !(same || numbers(left) && numbers(right)) {
                    return Err(Error::data(format!(
                        "column `{name}` is of type {a} in the base rows and of type {b} in the test rows, which do \
                         not compare"
                    )));
                }
            }
        }
        Ok(features)
    }

    /// One data set: identifiers and features by place, without rows that cannot be paired.
    fn side(&self, rows: DataFrame, features: &[String], side: &str) -> Result<DataFrame> {
        let id = |at: usize| format!("{side}_id_{at}");
        let identifiers = self
            .identifiers
            .iter()
            .enumerate()
            .map(|(at, name)| ident(name).alias(id(at)));
        let values = features
            .iter()
            .enumerate()
            .map(|(at, name)| ident(name).alias(format!("{side}_{at}")));
        let rows = rows.select(identifiers.chain(values).collect::<Vec<_>>())?;
        if self.allow_duplicates {
            return Ok(rows);
        }
        let ids: Vec<String> = (0..self.identifiers.len()).map(id).collect();
        let once = ids
            .iter()
            .map(|id| format!("{id}_once"))
            .collect::<Vec<_>>();
        let n = "times";
        let single = rows
            .clone()
            .aggregate(
                ids.iter().map(ident).collect(),
                vec![count(lit(1_i64)).alias(n)],
            )?
            .filter(ident(n).eq(lit(1_i64)))?
            .select(
                ids.iter()
                    .zip(&once)
                    .map(|(id, once)| ident(id).alias(once))
                    .collect::<Vec<_>>(),
            )?;
        let left: Vec<&str> = ids.iter().map(String::as_str).collect();
        let right: Vec<&str> = once.iter().map(String::as_str).collect();
        Ok(rows.join(single, JoinType::LeftSemi, &left, &right, None)?)
    }
}

const BASE: &str = "base";
const TEST: &str = "test";

/// The counting over pairs of rows: identifiers and features of the base, then of the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Comparison {
    n_identifiers: usize,
    float_digits: Option<u32>,
    n_samples: usize,
    n_pairs: u64,
    features: Vec<(SkewedFeature, BTreeSet<SkewSample>)>,
}

impl Accumulate for Comparison {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.n_pairs += batch.num_rows() as u64;
        let (ids, digits, wanted) = (self.n_identifiers, self.float_digits, self.n_samples);
        let half = ids + self.features.len();
        for (at, (feature, samples)) in self.features.iter_mut().enumerate() {
            let column = |side: usize| -> Result<ArrayRef> {
                let column = batch.columns().get(side * half + ids + at);
                let column =
                    column.ok_or_else(|| Error::internal("a pair of rows lacks a column"))?;
                comparable(&feature.column, column)
            };
            let (base, test) = (column(0)?, column(1)?);
            let (base, test) = match (base.data_type(), test.data_type()) {
                (DataType::Int64, DataType::Float64) => {
                    (FieldType::Float.normalize(&feature.column, &base)?, test)
                }
                (DataType::Float64, DataType::Int64) => {
                    let test = FieldType::Float.normalize(&feature.column, &test)?;
                    (base, test)
                }
                _ => (base, test),
            };
            let compare = make_comparator(
                rounded(&base, digits).as_ref(),
                rounded(&test, digits).as_ref(),
                SortOptions::default(),
            )?;
            for row in 0..batch.num_rows() {
                let (in_base, in_test) = (base.is_valid(row), test.is_valid(row));
                feature.base += u64::from(in_base);
                feature.test += u64::from(in_test);
                match (in_base, in_test) {
                    (false, false) => continue,
                    (true, false) => feature.base_only += 1,
                    (false, true) => feature.test_only += 1,
                    (true, true) if compare(row, row).is_eq() => {
                        feature.matches += 1;
                        continue;
                    }
                    (true, true) => feature.mismatches += 1,
                }
                if wanted == 0 {
                    continue;
                }
                let text = |column: &ArrayRef| -> Result<Option<String>> {
                    if column.is_null(row) {
                        return Ok(None);
                    }
                    Ok(Some(array_value_to_string(column, row)?))
                };
                let identifiers = batch
                    .columns()
                    .iter()
                    .take(ids)
                    .map(|column| Ok(text(column)?.unwrap_or_default()))
                    .collect::<Result<_>>()?;
                samples.insert(SkewSample {
                    identifiers,
                    base: text(&base)?,
                    test: text(&test)?,
                });
                if samples.len() > wanted {
                    samples.pop_last();
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.features.len() != other.features.len() {
            return Err(Error::internal("comparisons of different features merged"));
        }
        self.n_pairs += other.n_pairs;
        for ((mine, samples), (theirs, more)) in self.features.iter_mut().zip(other.features) {
            mine.base += theirs.base;
            mine.test += theirs.test;
            mine.matches += theirs.matches;
            mine.mismatches += theirs.mismatches;
            mine.base_only += theirs.base_only;
            mine.test_only += theirs.test_only;
            samples.extend(more);
            while samples.len() > self.n_samples {
                samples.pop_last();
            }
        }
        Ok(())
    }
}

/// A column in its physical type; a list, with items in theirs.
fn comparable(name: &str, column: &ArrayRef) -> Result<ArrayRef> {
    let items = FieldType::of_items(column.data_type()).and_then(FieldType::data_type);
    match items {
        Some(items) => Ok(arrow::compute::cast(
            column,
            &DataType::new_list(items, true),
        )?),
        None => FieldType::of(column.data_type()).normalize(name, column),
    }
}

/// Floats, alone or in lists, as they are compared.
fn rounded(column: &ArrayRef, digits: Option<u32>) -> ArrayRef {
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        let scale = digits.map(|digits| 10_f64.powi(i32::try_from(digits).unwrap_or(0)));
        let round = |value: f64| {
            let value = match scale {
                Some(scale) if (value * scale).is_finite() => (value * scale).round() / scale,
                _ => value,
            };
            // All NaNs are one value, and so are 0 and -0.
            if value.is_nan() {
                f64::NAN
            } else {
                value + 0.0
            }
        };
        return Arc::new(floats.unary::<_, Float64Type>(round));
    }
    if let Some(lists) = column.as_list_opt::<i32>()
        && let DataType::List(field) = lists.data_type()
        && field.data_type() == &DataType::Float64
    {
        return Arc::new(ListArray::new(
            Arc::clone(field),
            lists.offsets().clone(),
            rounded(lists.values(), digits),
            lists.nulls().cloned(),
        ));
    }
    Arc::clone(column)
}

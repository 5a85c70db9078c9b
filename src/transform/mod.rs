//! Turning raw columns into features: fitted on training data, saved with the model, applied by the same code in
//! training and in serving.
//!
//! A [`Transform`] is a list of steps. Each step reads a column and writes one; a later step on the same name
//! continues where the earlier one stopped, so a chain is a few lines:
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
//! use fourfold::transform::{Fill, Transform};
//!
//! let distance: ArrayRef = Arc::new(Float64Array::from(vec![Some(100.0), Some(300.0), None]));
//! let carrier: ArrayRef = Arc::new(StringArray::from(vec!["UA", "AA", "UA"]));
//! let batch = RecordBatch::try_from_iter([("distance", distance), ("carrier", carrier)])?;
//!
//! let transform = Transform::new()
//!     .impute("distance", Fill::Mean)
//!     .z_score("distance")
//!     .one_hot("carrier");
//! let fitted = transform.fit(std::slice::from_ref(&batch))?;
//! assert_eq!(fitted.features(), ["distance", "carrier=UA", "carrier=AA", "carrier=<other>"]);
//!
//! let features = fitted.apply(&batch)?; // (n_rows, n_features)
//! assert_eq!(features.row(2).to_vec(), [0.0, 1.0, 0.0, 0.0]);
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! The features are all columns that a step has written, in the order of first writing, less the dropped ones. A
//! raw column that no step names is not a feature.
//!
//! Architecture invariant: there is one implementation of applying a transform, [`FittedTransform::apply`]. The
//! training path, the in-process predictor and the servers call it; nothing else computes features. Held by
//! `tests/it/skew.rs`, which compares the three bit for bit.
//!
//! # Missing and odd values
//!
//! | step | NULL | NaN, infinity | unseen category | constant column |
//! | --- | --- | --- | --- | --- |
//! | [`number`](Transform::number) | stays missing | stays | | |
//! | [`impute`](Transform::impute) | filled | filled | | |
//! | [`missing_indicator`](Transform::missing_indicator) | 1 | 1 | | |
//! | [`z_score`](Transform::z_score) | stays missing | stays | | `x - mean` |
//! | [`min_max`](Transform::min_max) | stays missing | stays | | 0 |
//! | [`clip`](Transform::clip) | stays missing | NaN stays, infinity is clipped | | |
//! | [`log1p`](Transform::log1p) | stays missing | stays | | |
//! | [`bucketize`](Transform::bucketize) | stays missing | NaN: last bucket | | bucket 1 |
//! | [`cyclic`](Transform::cyclic) | stays missing | NaN | | |
//! | [`one_hot`](Transform::one_hot) | all zeros | all zeros (float columns are refused) | `<other>` | |
//! | [`hash`](Transform::hash) | all zeros | all zeros | hashed like any | |
//!
//! Numbers that are not finite take no part in fitting. A value that is still missing or not finite when the
//! matrix is written is an error that names the feature and the row: models never see one.

mod auto;
mod date;
mod fit;
mod fitted;
mod kernels;
mod value;

use serde::{Deserialize, Serialize};

pub use self::auto::{AutoTransform, Decision};
pub use self::date::DatePart;
pub use self::fit::{FitPass, Fitting};
pub use self::fitted::{FittedOp, FittedStep, FittedTransform, InputColumn};
use crate::error::{Error, Result};

/// What [`Transform::impute`] puts in place of a missing value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fill {
    /// The mean of the finite training values.
    Mean,
    /// The median of the finite training values (exact up to 1,024 rows, then within half a percent of rank).
    Median,
    /// The most frequent training value; of text or whole numbers.
    Mode,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// One step's operation, as configured. Made by the methods of [`Transform`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Op {
    /// A number as it is.
    Number,
    /// Missing values filled.
    Impute {
        /// With what.
        fill: Fill,
    },
    /// 1 where missing, else 0.
    MissingIndicator,
    /// `(x - mean) / std`.
    ZScore,
    /// Scaled to `0..=1`.
    MinMax,
    /// Limited to the values at two ranks.
    Clip {
        /// The lower rank, in `0..=1`.
        low: f64,
        /// The upper rank, in `0..=1`.
        high: f64,
    },
    /// `ln(1 + x)`.
    Log1p,
    /// The number of the quantile bucket.
    Bucketize {
        /// How many buckets.
        n_buckets: usize,
    },
    /// Sine and cosine of the angle `2 pi x / period`.
    Cyclic {
        /// The period.
        period: f64,
    },
    /// One feature per frequent value.
    OneHot {
        /// At most so many values.
        max_categories: usize,
    },
    /// One feature per bucket of the value's hash.
    Hash {
        /// How many buckets.
        n_buckets: usize,
    },
    /// A part of a date or timestamp as a number.
    DatePart {
        /// Which part.
        part: DatePart,
    },
    /// Not a feature after all.
    Drop,
}

/// A step: an operation, the column it reads, the column it writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The column that is read.
    pub input: String,
    /// The column that is written; the same name continues the chain.
    pub output: String,
    /// What is done.
    #[serde(flatten)]
    pub op: Op,
}

/// How raw columns become features, not fitted yet.
///
/// It is data: it loads from JSON (or any serde format) as well as from code.
///
/// ```
/// use fourfold::transform::Transform;
///
/// let from_file: Transform = serde_json::from_str(
///     r#"{"steps": [
///         {"op": "z_score", "input": "distance", "output": "distance"},
///         {"op": "one_hot", "input": "carrier", "output": "carrier", "max_categories": 100}
///     ]}"#,
/// ).expect("valid JSON");
/// assert_eq!(from_file, Transform::new().z_score("distance").one_hot("carrier"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    steps: Vec<Step>,
}

impl Transform {
    /// The default limit of categories of [`Transform::one_hot`].
    pub const MAX_CATEGORIES: usize = 100;

    /// No steps yet.
    #[must_use]
    pub fn new() -> Self {
        Transform::default()
    }

    /// Adds a step that continues the chain of `column`.
    #[must_use]
    pub fn step(self, column: impl Into<String>, op: Op) -> Self {
        let column = column.into();
        self.step_to(column.clone(), column, op)
    }

    /// Adds a step that reads `column` and writes `output`, which leaves the chain of `column` as it was.
    #[must_use]
    pub fn step_to(mut self, column: impl Into<String>, output: impl Into<String>, op: Op) -> Self {
        self.steps.push(Step {
            input: column.into(),
            output: output.into(),
            op,
        });
        self
    }

    /// Takes a boolean (0 or 1), integer or float column as a feature as it is.
    #[must_use]
    pub fn number(self, column: impl Into<String>) -> Self {
        self.step(column, Op::Number)
    }

    /// Fills NULL, NaN and infinity.
    #[must_use]
    pub fn impute(self, column: impl Into<String>, fill: Fill) -> Self {
        self.step(column, Op::Impute { fill })
    }

    /// Adds the feature `<column>_missing`: 1 where the column is NULL, NaN or infinite.
    #[must_use]
    pub fn missing_indicator(self, column: impl Into<String>) -> Self {
        let column = column.into();
        let output = format!("{column}_missing");
        self.step_to(column, output, Op::MissingIndicator)
    }

    /// Scales to mean 0 and population standard deviation 1.
    #[must_use]
    pub fn z_score(self, column: impl Into<String>) -> Self {
        self.step(column, Op::ZScore)
    }

    /// Scales the training range to `0..=1`; values outside of it fall outside.
    #[must_use]
    pub fn min_max(self, column: impl Into<String>) -> Self {
        self.step(column, Op::MinMax)
    }

    /// Limits values to those at ranks `low` and `high` (`0..=1`) of the training values.
    #[must_use]
    pub fn clip(self, column: impl Into<String>, low: f64, high: f64) -> Self {
        self.step(column, Op::Clip { low, high })
    }

    /// Takes `ln(1 + x)`, of values above -1.
    #[must_use]
    pub fn log1p(self, column: impl Into<String>) -> Self {
        self.step(column, Op::Log1p)
    }

    /// Replaces a number by the index of its bucket among `n_buckets` of equal share (boundary `i - 1` <= x <
    /// boundary `i`, as tf.Transform's `apply_buckets`). Follow with [`Transform::one_hot`] for one feature a
    /// bucket.
    #[must_use]
    pub fn bucketize(self, column: impl Into<String>, n_buckets: usize) -> Self {
        self.step(column, Op::Bucketize { n_buckets })
    }

    /// Puts a number on a circle: features `<column>_sin` and `<column>_cos`.
    #[must_use]
    pub fn cyclic(self, column: impl Into<String>, period: f64) -> Self {
        self.step(column, Op::Cyclic { period })
    }

    /// One feature for each of the at most 100 most frequent values of text, whole numbers or booleans, and one
    /// for all others.
    #[must_use]
    pub fn one_hot(self, column: impl Into<String>) -> Self {
        self.one_hot_top(column, Self::MAX_CATEGORIES)
    }

    /// As [`Transform::one_hot`] with another limit.
    #[must_use]
    pub fn one_hot_top(self, column: impl Into<String>, max_categories: usize) -> Self {
        self.step(column, Op::OneHot { max_categories })
    }

    /// One feature for each of `n_buckets` buckets of the value's hash (XXH64 of its text), for columns with very
    /// many values.
    #[must_use]
    pub fn hash(self, column: impl Into<String>, n_buckets: usize) -> Self {
        self.step(column, Op::Hash { n_buckets })
    }

    /// Adds the column `<column>_<part>` with a part of a date or timestamp (UTC) as a number.
    #[must_use]
    pub fn date_part(self, column: impl Into<String>, part: DatePart) -> Self {
        let column = column.into();
        let output = format!("{column}_{part}");
        self.step_to(column, output, Op::DatePart { part })
    }

    /// As [`Transform::date_part`] for several parts, each scaled for use: periodic parts on a circle, the year
    /// to z-scores.
    #[must_use]
    pub fn date_parts(
        mut self,
        column: impl Into<String>,
        parts: impl IntoIterator<Item = DatePart>,
    ) -> Self {
        let column = column.into();
        for part in parts {
            let output = format!("{column}_{part}");
            self = self.date_part(column.clone(), part);
            self = match part.period() {
                Some(period) => self.cyclic(output, period),
                None => self.z_score(output),
            };
        }
        self
    }

    /// Takes a column that earlier steps have written out of the features.
    #[must_use]
    pub fn drop(self, column: impl Into<String>) -> Self {
        self.step(column, Op::Drop)
    }

    /// The steps in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The raw columns that the steps read.
    #[must_use]
    pub fn inputs(&self) -> Vec<&str> {
        let mut written: Vec<&str> = Vec::new();
        let mut inputs: Vec<&str> = Vec::new();
        for step in &self.steps {
            if !written.contains(&step.input.as_str()) && !inputs.contains(&step.input.as_str()) {
                inputs.push(&step.input);
            }
            written.push(&step.output);
        }
        inputs
    }

    /// Checks the configured values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the column, the value and the allowed range.
    pub fn check(&self) -> Result<()> {
        for Step { input, op, .. } in &self.steps {
            let at_least = |what: &str, n: usize, low: usize| {
                if n < low {
                    return Err(Error::config(format!(
                        "transform of `{input}`: {what} is {n}, must be at least {low}"
                    )));
                }
                Ok(())
            };
            match op {
                Op::Bucketize { n_buckets } => at_least("`n_buckets` of bucketize", *n_buckets, 2)?,
                Op::Hash { n_buckets } => at_least("`n_buckets` of hash", *n_buckets, 1)?,
                Op::OneHot { max_categories } => {
                    at_least("`max_categories` of one_hot", *max_categories, 1)?
                }
                Op::Clip { low, high } if !(0.0 <= *low && low < high && *high <= 1.0) => {
                    return Err(Error::config(format!(
                        "transform of `{input}`: clip to ranks {low} and {high}, must be 0 <= low < high <= 1"
                    )));
                }
                Op::Cyclic { period } if !(period.is_finite() && *period > 0.0) => {
                    return Err(Error::config(format!(
                        "transform of `{input}`: the period of cyclic is {period}, must be above 0"
                    )));
                }
                Op::Impute {
                    fill: Fill::Number(number),
                } if !number.is_finite() => {
                    return Err(Error::config(format!(
                        "transform of `{input}`: impute fills with {number}, must be finite"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

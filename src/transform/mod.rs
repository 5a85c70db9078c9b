//! Transforms of raw columns into features: fitted on training data, saved with the model, applied by the same code in
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
//! A step may read several columns ([`Transform::cross`], [`Transform::z_score_per_key`]) and write several; a column
//! may hold a list of values per row ([`Transform::multi_hot`]). [`custom`] is for your own operations.
//!
//! The features are all columns that a step has written, in the order of first writing, without the dropped ones. A
//! raw column that no step names is not a feature. Fitting counts every row once; only models use the weights of rows.
//!
//! Architecture invariant: there is one implementation of applying a transform, [`FittedTransform::apply`], which writes
//! a matrix or, by [`FittedTransform::apply_as`], columns. The training path, the in-process predictor and the servers
//! call it; nothing else computes features. Held by `tests/it/skew.rs`, which compares the three bit for bit, and
//! `tests/it/features.rs`, which compares the forms. Rows that are trained on go through the same code as
//! [`FittedTransform::apply_training`], which differs for steps that learn from the label: see
//! [`Transform::target_encode`].
//!
//! # Missing and odd values
//!
//! | step | NULL | NaN, infinity | unseen category | constant column |
//! | --- | --- | --- | --- | --- |
//! | [`number`](Transform::number) | stays missing | stays | | |
//! | [`impute`](Transform::impute) | filled | filled | | |
//! | [`impute_per_key`](Transform::impute_per_key) | filled; NULL key as unseen | filled | key: filled by all rows | |
//! | [`missing_indicator`](Transform::missing_indicator) | 1 | 1 | | |
//! | [`z_score`](Transform::z_score) | stays missing | stays | | `x - mean` |
//! | [`min_max`](Transform::min_max) | stays missing | stays | | `x - min`: 0 |
//! | [`min_max_to`](Transform::min_max_to) | stays missing | stays | | `out_min + (x - min)`: `out_min` |
//! | [`max_abs`](Transform::max_abs) | stays missing | stays | | 1 or -1; zeros stay |
//! | [`quantile_normal`](Transform::quantile_normal) | stays missing | NaN stays, infinity: as the largest | | 0 |
//! | [`robust_scale`](Transform::robust_scale) | stays missing | stays | | `x - median` |
//! | [`z_score_per_key`](Transform::z_score_per_key), [`min_max_per_key`](Transform::min_max_per_key) | stays missing; NULL key as unseen | stays | key: scaled by all rows | of a key: `x - mean`, `x - min` |
//! | [`clip`](Transform::clip), [`clip_values`](Transform::clip_values) | stays missing | NaN stays, infinity is clipped | | |
//! | [`log`](Transform::log), [`log1p`](Transform::log1p), [`power`](Transform::power) | stays missing | stays | | |
//! | [`bucketize`](Transform::bucketize), [`bucketize_at`](Transform::bucketize_at) | stays missing | NaN: last bucket | | bucket 1 |
//! | [`bucketize_per_key`](Transform::bucketize_per_key) | stays missing; NULL key as unseen | NaN: last bucket | key: by all rows | of a key: bucket 1 |
//! | [`interpolate`](Transform::interpolate), [`interpolate_at`](Transform::interpolate_at) | stays missing | NaN: 0.5; infinity 0 or 1 | | 0.5 |
//! | [`cyclic`](Transform::cyclic) | stays missing | NaN | | |
//! | [`one_hot`](Transform::one_hot) | all zeros | all zeros (raw float columns and fractions are refused) | `<other>` | |
//! | [`multi_hot`](Transform::multi_hot) | all zeros, as an empty list; a NULL item is skipped | (lists of floats are refused) | `<other>` | |
//! | [`vocabulary`](Transform::vocabulary) | stays missing, in lists too | as NULL (raw float columns and fractions are refused) | its bucket, else the default id | |
//! | [`one_hot_of`](Transform::one_hot_of) | all zeros | as NULL (raw float columns and fractions are refused) | its bucket, else all zeros | |
//! | [`target_encode`](Transform::target_encode) | mean of all rows | as NULL (raw float columns and fractions are refused) | mean of all rows | near the mean of all rows |
//! | [`hash`](Transform::hash) | all zeros, as an empty list; a NULL item is skipped | all zeros | hashed like any other | |
//! | [`cross`](Transform::cross) | missing if any part is | as NULL (raw float columns and fractions are refused) | a string like any other | |
//! | [`derive`](Transform::derive) | as in SQL | as in SQL; float `x / 0` is infinite or NaN, whole `x / 0` NULL | | |
//! | [`pca`](Transform::pca) | missing if any column is | NaN if any column is | | a column: takes no part |
//! | [`text_length`](Transform::text_length), [`word_count`](Transform::word_count) | stays missing | | | |
//! | [`tokens`](Transform::tokens), [`n_grams`](Transform::n_grams), [`deduplicate`](Transform::deduplicate) | NULL list; a NULL item is skipped | | | |
//! | [`bag_of_words`](Transform::bag_of_words), [`tf_idf`](Transform::tf_idf) | all zeros, as an empty list; a NULL item is skipped | (lists of floats are refused) | its bucket, else no feature (but an item of the row) | |
//!
//! Fitting ignores numbers that are not finite; steps that learn from the label also ignore rows without a (finite)
//! label. A value that is still missing or not finite when the features are written is NaN for a model that
//! [takes](crate::features::Takes) it; for other models it is an error that names the feature and the row.
//!
//! # As a file
//!
//! [`Transform::load`] reads JSON and TOML. An example of every operation, as JSON; a step of one input that names no
//! `output` continues the chain of its input:
//!
#![doc = concat!("```json\n", include_str!("operations.json"), "```")]

mod apply;
mod auto;
mod classes;
pub mod custom;
mod eigen;
mod file;
mod fit;
mod fitted;
mod folds;
mod input;
mod learn;
mod numbers;
pub mod ops;
mod per_key;
mod plan;
mod program;
#[cfg(feature = "sql")]
pub(crate) mod sql;
mod step;
mod tally;
mod target_table;
mod term_table;
#[cfg(test)]
mod tests;
mod texts;
mod tokens;
mod value;
mod vocabulary;
mod write;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use self::auto::{AutoTransform, Decision};
pub use self::custom::{CustomOperation, Operations};
pub use self::fit::{FitPass, Fitting, Roles};
pub use self::fitted::{FittedStep, FittedTransform};
pub use self::input::InputColumn;
pub use self::ops::{DatePart, Fill, FittedOp, Op};
pub use self::plan::{FittedPlan, TransformChoice, TransformPlan};
pub use self::step::Step;
use crate::error::{Error, Result};

/// The steps that make features of raw columns, not fitted yet.
///
/// It is data: it loads from JSON (or any serde format, or a file: [`Transform::load`]) as well as from code.
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
#[serde(try_from = "file::Document")]
pub struct Transform {
    steps: Vec<Step>,
}

impl Transform {
    /// No steps yet.
    #[must_use]
    pub fn new() -> Self {
        Transform::default()
    }

    /// Adds a step that continues the chain of `column`.
    #[must_use]
    pub fn step(self, column: impl Into<String>, op: impl Into<Op>) -> Self {
        let column = column.into();
        self.step_to(column.clone(), column, op)
    }

    /// Adds a step that reads `column` and writes `output`, which leaves the chain of `column` as it was.
    ///
    /// ```
    /// use fourfold::transform::Transform;
    /// use fourfold::transform::ops::{MinMax, Bucketize};
    ///
    /// let transform = Transform::new()
    ///     .step_to("fare", "fare_bucket", Bucketize { n_buckets: 4 })
    ///     .step("fare", MinMax {});
    /// assert_eq!(transform.inputs(), ["fare"]);
    /// ```
    #[must_use]
    pub fn step_to(
        self,
        column: impl Into<String>,
        output: impl Into<String>,
        op: impl Into<Op>,
    ) -> Self {
        self.step_of([column], [output], op)
    }

    /// Adds a step that reads several columns or writes several.
    #[must_use]
    pub fn step_of<I: Into<String>, O: Into<String>>(
        mut self,
        inputs: impl IntoIterator<Item = I>,
        outputs: impl IntoIterator<Item = O>,
        op: impl Into<Op>,
    ) -> Self {
        self.steps.push(Step {
            inputs: inputs.into_iter().map(Into::into).collect(),
            outputs: outputs.into_iter().map(Into::into).collect(),
            op: op.into(),
        });
        self
    }

    /// The steps in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The raw columns that the steps read.
    #[must_use]
    pub fn inputs(&self) -> Vec<&str> {
        // The columns that were read or written before.
        let mut known: HashSet<&str> = HashSet::new();
        let mut inputs: Vec<&str> = Vec::new();
        for step in &self.steps {
            let read = step.inputs.iter().map(String::as_str);
            inputs.extend(read.filter(|input| known.insert(input)));
            known.extend(step.outputs.iter().map(String::as_str));
        }
        inputs
    }

    /// Returns true if a step learns from the label.
    #[must_use]
    pub fn needs_label(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.op.operation().needs_label())
    }

    /// Checks the configured values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the column, the value and the allowed range.
    pub fn check(&self) -> Result<()> {
        self.steps.iter().try_for_each(Step::check)
    }
}

impl Step {
    fn check(&self) -> Result<()> {
        let op = self.op.operation();
        let (n, allowed) = (self.inputs.len(), op.n_inputs());
        let own = op.own_inputs().and_then(Result::ok);
        let checked = if let Some(own) = own.filter(|own| *own != self.inputs) {
            Err(Error::config(format!(
                "the inputs must be those that it names: `{}`",
                own.join("`, `")
            )))
        } else if self.outputs.is_empty() {
            Err(Error::config("the step has no output"))
        } else if !allowed.contains(&n) {
            Err(Error::config(match (*allowed.start(), *allowed.end()) {
                (low, usize::MAX) => format!("{n} inputs, must be at least {low}"),
                (low, high) if low == high => format!("{n} inputs, must be {low}"),
                (low, high) => format!("{n} inputs, must be {low} to {high}"),
            }))
        } else {
            op.check()
        };
        checked.map_err(|error| self.name(&error))
    }
}

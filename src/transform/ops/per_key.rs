//! Scaling of a column by the rows of the same key.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, KeyTable, Linear, Operation};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::numbers::{Few, Numbers};
use crate::transform::per_key::MomentsPerKey;
use crate::transform::value::Value;

/// `(x - mean) / std` of the rows of the same key. Inputs: the numbers, the keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZScorePerKey {}

/// Scaled to `0..=1` by the rows of the same key. Inputs: the numbers, the keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinMaxPerKey {}

impl Transform {
    /// Scales a number by mean and standard deviation of the training rows of the same key (text, whole numbers or
    /// booleans; at most 100,000 distinct).
    ///
    /// A key that training has not seen, or saw without a finite number, and a NULL key are scaled by all training
    /// rows. (tf.Transform leaves the value of such a row as it is, on another scale than all others.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    /// # use fourfold::transform::Transform;
    /// let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 3.0, 100.0, 300.0]));
    /// let carrier: ArrayRef = Arc::new(StringArray::from(vec!["UA", "UA", "AA", "AA"]));
    /// let rows = RecordBatch::try_from_iter([("fare", fare), ("carrier", carrier)])?;
    /// let fitted = Transform::new().z_score_per_key("fare", "carrier").fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn z_score_per_key(self, column: impl Into<String>, key: impl Into<String>) -> Self {
        let column = column.into();
        self.step_of([column.clone(), key.into()], [column], ZScorePerKey {})
    }

    /// Scales a number by the training range of the rows of the same key; keys as in
    /// [`Transform::z_score_per_key`].
    #[must_use]
    pub fn min_max_per_key(self, column: impl Into<String>, key: impl Into<String>) -> Self {
        let column = column.into();
        self.step_of([column.clone(), key.into()], [column], MinMaxPerKey {})
    }
}

impl Operation for ZScorePerKey {
    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn learner(&self) -> Option<Learner> {
        Some(MomentsPerKey::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        Ok(LinearPerKey::fit(learned.get::<MomentsPerKey>()?, Linear::z_score)?.into())
    }
}

impl Operation for MinMaxPerKey {
    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn learner(&self) -> Option<Learner> {
        Some(MomentsPerKey::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        Ok(LinearPerKey::fit(learned.get::<MomentsPerKey>()?, Linear::min_max)?.into())
    }
}

/// `(x - offset) * scale` with the numbers of a key.
pub type LinearPerKey = KeyTable<Linear>;

impl Apply for LinearPerKey {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let (numbers, scalings) = self.rows(inputs)?;
        let scaled = numbers.values().iter().zip(scalings.iter());
        let scaled: Few<f64> = scaled.map(|(x, scaling)| scaling.of(*x)).collect();
        Ok(Value::Numbers(Numbers::new(
            scaled,
            numbers.nulls().cloned(),
        )))
    }
}

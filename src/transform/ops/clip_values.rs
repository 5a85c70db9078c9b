//! Limited to a range that is given.

use serde::{Deserialize, Serialize};

use super::{ClipTo, FittedOp, Operation};
use crate::error::{Error, Result};
use crate::transform::Transform;

/// Limited to a range that is given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipValues {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl Transform {
    /// Limits values to `low..=high`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch};
    /// # use fourfold::transform::Transform;
    /// let age: ArrayRef = Arc::new(Float64Array::from(vec![-3.0, 42.0, f64::INFINITY]));
    /// let rows = RecordBatch::try_from_iter([("age", age)])?;
    /// let fitted = Transform::new().clip_values("age", 0.0, 120.0).fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [0.0, 42.0, 120.0]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn clip_values(self, column: impl Into<String>, low: f64, high: f64) -> Self {
        self.step(column, ClipValues { low, high })
    }
}

impl Operation for ClipValues {
    fn check(&self) -> Result<()> {
        let ClipValues { low, high } = self;
        if low <= high && low.is_finite() && high.is_finite() {
            return Ok(());
        }
        Err(Error::config(format!(
            "clip_values to {low} and {high}, must be finite and low <= high"
        )))
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok(ClipTo::new(self.low, self.high)?.into())
    }
}

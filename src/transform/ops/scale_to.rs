//! Scaling of a column to a range: min-max to any, max-abs to -1..1.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Linear, Operation, map};
use crate::error::{Error, Result};
use crate::statistics::Moments;
use crate::transform::Transform;
use crate::transform::learn::{Learner, nothing_finite};
use crate::transform::value::Value;

/// Scaled to `out_min..=out_max`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinMaxTo {
    /// The output for the smallest training value.
    pub out_min: f64,
    /// The output for the largest training value.
    pub out_max: f64,
}

/// Divided by the largest absolute value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxAbs {}

impl Transform {
    /// Scales the training range to `out_min..=out_max`; values outside of it fall outside. A constant column
    /// becomes `out_min + (x - min)`: `out_min` for the constant. (tf.Transform's `scale_by_min_max` takes the
    /// sigmoid of such a column, so that 4 of a constant column of 4 becomes 9.82 of `0..=10`.)
    #[must_use]
    pub fn min_max_to(self, column: impl Into<String>, out_min: f64, out_max: f64) -> Self {
        self.step(column, MinMaxTo { out_min, out_max })
    }

    /// Divides by the largest absolute training value, so that they are in `-1..=1` and 0 stays 0: for columns that
    /// are mostly zero. A column of zeros alone stays as it is.
    #[must_use]
    pub fn max_abs(self, column: impl Into<String>) -> Self {
        self.step(column, MaxAbs {})
    }
}

impl Operation for MinMaxTo {
    fn check(&self) -> Result<()> {
        let MinMaxTo { out_min, out_max } = self;
        if out_min < out_max && (out_max - out_min).is_finite() {
            return Ok(());
        }
        Err(Error::config(format!(
            "min_max_to {out_min} and {out_max}, must be finite and out_min < out_max"
        )))
    }

    fn learner(&self) -> Option<Learner> {
        Some(Moments::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let moments: &Moments = learned.get()?;
        let linear = Linear::min_max(moments).ok_or_else(nothing_finite)?;
        let constant = moments.min() == moments.max();
        let scale = match constant {
            true => 1.0,
            false => linear.scale * (self.out_max - self.out_min),
        };
        Ok(LinearTo {
            offset: linear.offset,
            scale: if scale.is_finite() { scale } else { 1.0 },
            plus: self.out_min,
        }
        .into())
    }
}

/// `(x - offset) * scale + plus`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearTo {
    /// The number subtracted first.
    pub offset: f64,
    /// The factor.
    pub scale: f64,
    /// The number added last.
    pub plus: f64,
}

impl Apply for LinearTo {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, |x| (x - self.offset) * self.scale + self.plus)
    }
}

impl Operation for MaxAbs {
    fn learner(&self) -> Option<Learner> {
        Some(Moments::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let moments: &Moments = learned.get()?;
        let (min, max) = moments
            .min()
            .zip(moments.max())
            .ok_or_else(nothing_finite)?;
        let scale = 1.0 / max.abs().max(min.abs());
        Ok(Linear {
            offset: 0.0,
            scale: if scale.is_finite() { scale } else { 1.0 },
        }
        .into())
    }
}

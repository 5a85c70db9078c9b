//! Limited to a range.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, map};
use crate::error::{Error, Result};
use crate::statistics::QuantileSketch;
use crate::transform::Transform;
use crate::transform::learn::{Learner, nothing_finite};
use crate::transform::value::Value;

/// Limited to the values at two ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The lower rank, in `0..=1`.
    pub low: f64,
    /// The upper rank, in `0..=1`.
    pub high: f64,
}

impl Transform {
    /// Limits values to those at ranks `low` and `high` (`0..=1`) of the training values.
    #[must_use]
    pub fn clip(self, column: impl Into<String>, low: f64, high: f64) -> Self {
        self.step(column, Clip { low, high })
    }
}

impl Operation for Clip {
    fn check(&self) -> Result<()> {
        let Clip { low, high } = self;
        if 0.0 <= *low && low < high && *high <= 1.0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "clip to ranks {low} and {high}, must be 0 <= low < high <= 1"
        )))
    }

    fn learner(&self) -> Option<Learner> {
        Some(QuantileSketch::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let sketch: &QuantileSketch = learned.get()?;
        match sketch.quantiles(&[self.low, self.high])[..] {
            [low, high] => Ok(ClipTo { low, high }.into()),
            _ => Err(nothing_finite()),
        }
    }
}

/// Limited to a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct ClipTo {
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Stored {
    low: f64,
    high: f64,
}

impl ClipTo {
    /// Limits to `low..=high`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) unless `low <= high`.
    pub fn new(low: f64, high: f64) -> Result<Self> {
        if low <= high {
            return Ok(ClipTo { low, high });
        }
        Err(Error::config(format!(
            "clip to {low} and {high}, must be low <= high"
        )))
    }
}

impl TryFrom<Stored> for ClipTo {
    type Error = Error;

    fn try_from(Stored { low, high }: Stored) -> Result<Self> {
        ClipTo::new(low, high)
    }
}

impl Apply for ClipTo {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, |x| {
            if x.is_nan() {
                x
            } else {
                x.clamp(self.low, self.high)
            }
        })
    }
}

//! `x ^ exponent`.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, map};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::value::Value;

/// `x ^ exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// The exponent: finite, and not 0.
    pub exponent: f64,
}

impl Transform {
    /// Raises to a power: 2 for squares, 0.5 for square roots, -1 for inverses. A negative number to a power that
    /// is not whole is NaN, 0 to a negative power is infinite: impute after it where there are any.
    #[must_use]
    pub fn power(self, column: impl Into<String>, exponent: f64) -> Self {
        self.step(column, Power { exponent })
    }
}

impl Operation for Power {
    fn check(&self) -> Result<()> {
        if self.exponent.is_finite() && self.exponent != 0.0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "the exponent of power is {}, must be finite and not 0",
            self.exponent
        )))
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Power {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, |x| x.powf(self.exponent))
    }
}

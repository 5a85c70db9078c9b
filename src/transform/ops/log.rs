//! Logarithms.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, map};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::value::Value;

/// `ln(x)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {}

/// `ln(1 + x)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log1p {}

impl Transform {
    /// Takes the natural logarithm, of values above 0. That of 0 is negative infinity, that of a negative value
    /// NaN: impute or clip after it where there are any, or take [`Transform::log1p`].
    #[must_use]
    pub fn log(self, column: impl Into<String>) -> Self {
        self.step(column, Log {})
    }

    /// Takes `ln(1 + x)`, of values above -1.
    #[must_use]
    pub fn log1p(self, column: impl Into<String>) -> Self {
        self.step(column, Log1p {})
    }
}

impl Operation for Log {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Log {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, f64::ln)
    }
}

impl Operation for Log1p {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Log1p {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, f64::ln_1p)
    }
}

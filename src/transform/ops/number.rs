//! A number as it is.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::value::Value;

/// A number as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {}

impl Transform {
    /// Takes a boolean (0 or 1), integer or float column as a feature as it is.
    #[must_use]
    pub fn number(self, column: impl Into<String>) -> Self {
        self.step(column, Number {})
    }
}

impl Operation for Number {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Number {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        Ok(Value::Numbers(only(inputs)?.numbers()?.into_numbers()))
    }
}

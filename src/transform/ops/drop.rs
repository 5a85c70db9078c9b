//! Not a feature after all.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::value::Value;

/// Not a feature after all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drop {}

impl Transform {
    /// Takes a column that earlier steps have written out of the features.
    #[must_use]
    pub fn drop(self, column: impl Into<String>) -> Self {
        self.step(column, Drop {})
    }
}

impl Operation for Drop {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Drop {
    fn apply(&self, _inputs: &[&Value]) -> Result<Value> {
        Ok(Value::Absent)
    }

    fn feature_names(&self, _column: &str) -> Vec<String> {
        Vec::new()
    }
}

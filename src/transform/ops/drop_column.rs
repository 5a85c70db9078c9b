//! Not a feature after all.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::value::Value;

/// Not a feature after all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropColumn {}

impl Transform {
    /// Takes a column that earlier steps have written out of the features.
    #[must_use]
    pub fn drop(self, column: impl Into<String>) -> Self {
        self.step(column, DropColumn {})
    }
}

impl Operation for DropColumn {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for DropColumn {
    fn apply(&self, _inputs: &[&Value]) -> Result<Value> {
        Ok(Value::Absent)
    }

    fn feature_names(&self, _column: &str) -> Vec<String> {
        Vec::new()
    }
}

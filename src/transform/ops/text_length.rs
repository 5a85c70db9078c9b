//! The number of characters.

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::numbers::{Few, Numbers};
use crate::transform::value::Value;

/// The number of characters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextLength {}

impl Transform {
    /// Adds the column `<column>_length`: the number of characters (Unicode scalar values, not bytes) of a string.
    #[must_use]
    pub fn text_length(self, column: impl Into<String>) -> Self {
        let column = column.into();
        let output = format!("{column}_length");
        self.step_to(column, output, TextLength {})
    }
}

impl Operation for TextLength {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for TextLength {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let text = only(inputs)?.text()?;
        // The bytes of a NULL string are not counted.
        let lengths: Few<f64> = (0..text.len())
            .map(|row| text.value(row).chars().count() as f64)
            .collect();
        Ok(Value::Numbers(Numbers::new(lengths, text.nulls().cloned())))
    }
}

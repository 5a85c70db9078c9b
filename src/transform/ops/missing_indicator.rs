//! 1 where missing, else 0.

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::numbers::Numbers;
use crate::transform::value::Value;

/// 1 where missing, else 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MissingIndicator {}

impl Transform {
    /// Adds the feature `<column>_missing`: 1 where the column is NULL, NaN or infinite. Of lists: where they are
    /// NULL; an empty list is not missing.
    #[must_use]
    pub fn missing_indicator(self, column: impl Into<String>) -> Self {
        let column = column.into();
        let output = format!("{column}_missing");
        self.step_to(column, output, MissingIndicator {})
    }
}

impl Operation for MissingIndicator {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for MissingIndicator {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let flag = |missing: bool| f64::from(u8::from(missing));
        let flags: Numbers = match only(inputs)? {
            Value::Raw(array, field_type) if !field_type.is_numeric() => {
                match array.logical_nulls() {
                    Some(nulls) => Numbers::all(nulls.iter().map(|there| flag(!there))),
                    None => Numbers::all((0..array.len()).map(|_| 0.0)),
                }
            }
            Value::Text(text) => Numbers::all(text.iter().map(|text| flag(text.is_none()))),
            Value::List(list) => Numbers::all(list.rows().map(|row| flag(row.is_none()))),
            other => {
                let numbers = other.numbers()?;
                let flags = numbers.iter();
                Numbers::all(flags.map(|value| flag(!value.is_some_and(f64::is_finite))))
            }
        };
        Ok(Value::Numbers(flags))
    }
}

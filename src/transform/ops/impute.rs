//! Missing values filled.

use arrow::array::{Array, Float64Array, StringBuilder};
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::{Error, Result};
use crate::statistics::{Moments, QuantileSketch};
use crate::transform::Transform;
use crate::transform::learn::{Learner, Top, nothing_finite};
use crate::transform::value::Value;

/// What [`Transform::impute`] puts in place of a missing value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fill {
    /// The mean of the finite training values.
    Mean,
    /// The median of the finite training values (exact up to 1,024 rows, then within half a percent of rank).
    Median,
    /// The most frequent training value; of text or whole numbers.
    Mode,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// Missing values filled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Impute {
    /// With what.
    pub fill: Fill,
}

impl Transform {
    /// Fills NULL, NaN and infinity.
    #[must_use]
    pub fn impute(self, column: impl Into<String>, fill: Fill) -> Self {
        self.step(column, Impute { fill })
    }
}

impl Operation for Impute {
    fn check(&self) -> Result<()> {
        match self.fill {
            Fill::Number(number) if !number.is_finite() => Err(Error::config(format!(
                "impute fills with {number}, must be finite"
            ))),
            _ => Ok(()),
        }
    }

    fn learner(&self) -> Option<Learner> {
        match self.fill {
            Fill::Mean => Some(Moments::default().into()),
            Fill::Median => Some(QuantileSketch::default().into()),
            Fill::Mode => Some(Top::new(1_024).into()),
            Fill::Number(_) | Fill::Text(_) => None,
        }
    }

    fn fitted(&self) -> Result<FittedOp> {
        match &self.fill {
            Fill::Number(value) => Ok(ImputeNumber { value: *value }.into()),
            Fill::Text(value) => Ok(ImputeText {
                value: value.clone(),
            }
            .into()),
            Fill::Mean | Fill::Median | Fill::Mode => {
                Err(Error::internal("a transform step has not learned"))
            }
        }
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let value = match self.fill {
            Fill::Mean => learned.get::<Moments>()?.mean(),
            Fill::Median => {
                let sketch: &QuantileSketch = learned.get()?;
                sketch.quantiles(&[0.5]).first().copied()
            }
            Fill::Mode => {
                let most = learned.get::<Top>()?.top(1).pop();
                let (value, _) = most
                    .ok_or_else(|| Error::data("the training split has no value to learn from"))?;
                return Ok(ImputeText { value }.into());
            }
            Fill::Number(_) | Fill::Text(_) => return self.fitted(),
        };
        let value = value.ok_or_else(nothing_finite)?;
        Ok(ImputeNumber { value }.into())
    }
}

/// Missing numbers replaced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImputeNumber {
    /// By what.
    pub value: f64,
}

impl Apply for ImputeNumber {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let numbers = only(inputs)?.numbers()?;
        let or_fill = |value: f64| if value.is_finite() { value } else { self.value };
        let filled: Vec<f64> = match numbers.null_count() {
            0 => numbers
                .values()
                .iter()
                .map(|value| or_fill(*value))
                .collect(),
            _ => numbers
                .iter()
                .map(|value| value.map_or(self.value, or_fill))
                .collect(),
        };
        Ok(Value::Numbers(Float64Array::from(filled)))
    }
}

/// Missing text replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImputeText {
    /// By what.
    pub value: String,
}

impl Apply for ImputeText {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let tokens = only(inputs)?.tokens()?;
        let mut filled = StringBuilder::with_capacity(tokens.len(), 8 * tokens.len());
        tokens.for_each(|text| filled.append_value(text.unwrap_or(&self.value)));
        Ok(Value::Text(filled.finish()))
    }
}

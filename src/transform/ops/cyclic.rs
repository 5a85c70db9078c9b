//! Sine and cosine.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::value::Value;

/// Sine and cosine of the angle `2 pi x / period`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cyclic {
    /// The period.
    pub period: f64,
}

impl Transform {
    /// Puts a number on a circle: features `<column>_sin` and `<column>_cos`.
    #[must_use]
    pub fn cyclic(self, column: impl Into<String>, period: f64) -> Self {
        self.step(column, Cyclic { period })
    }
}

impl Operation for Cyclic {
    fn check(&self) -> Result<()> {
        if self.period.is_finite() && self.period > 0.0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "the period of cyclic is {}, must be above 0",
            self.period
        )))
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Cyclic {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let numbers = only(inputs)?.numbers()?;
        let angle = |x: f64| x * (std::f64::consts::TAU / self.period);
        Ok(Value::Columns(vec![
            numbers.map(|x| angle(x).sin()),
            numbers.map(|x| angle(x).cos()),
        ]))
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        vec![format!("{column}_sin"), format!("{column}_cos")]
    }
}

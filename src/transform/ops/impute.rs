//! Missing values filled.

use std::cmp::Ordering;

use arrow::array::StringBuilder;
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::statistics::{Moments, QuantileSketch, TopValues};
use crate::transform::Transform;
use crate::transform::learn::{Learn, Learner, Rows, learner_of, nothing_finite};
use crate::transform::numbers::Numbers;
use crate::transform::value::Value;

/// The replacement of a missing value, for [`Transform::impute`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fill {
    /// The mean of the finite training values.
    Mean,
    /// The median of the finite training values (exact up to 1,024 rows, then within half a percent of rank).
    Median,
    /// The most frequent finite training value, of text, booleans (as text) or numbers; of equally frequent ones the
    /// smallest. Exact up to 2,048 distinct values, then of the frequent ones.
    Mode,
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
}

/// Missing values filled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Impute {
    /// The replacement.
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
            Fill::Mode => Some(Mode::default().into()),
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
            Fill::Mode => return learned.get::<Mode>()?.fitted(),
            Fill::Number(_) | Fill::Text(_) => return self.fitted(),
        };
        let value = value.ok_or_else(nothing_finite)?;
        Ok(ImputeNumber { value }.into())
    }
}

/// Missing numbers replaced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImputeNumber {
    /// The replacement.
    pub value: f64,
}

impl Apply for ImputeNumber {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let numbers = only(inputs)?.numbers()?;
        let or_fill = |value: f64| if value.is_finite() { value } else { self.value };
        Ok(Value::Numbers(match numbers.nulls() {
            None => numbers.map(or_fill),
            Some(_) => {
                let values = numbers.iter();
                Numbers::all(values.map(|value| value.map_or(self.value, or_fill)))
            }
        }))
    }
}

/// Missing text replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImputeText {
    /// The replacement.
    pub value: String,
}

impl Apply for ImputeText {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let tokens = only(inputs)?.tokens()?;
        let mut filled = StringBuilder::with_capacity(tokens.len(), 8 * tokens.len());
        tokens.for_each(|text| filled.append_value(text.unwrap_or(&self.value)));
        Ok(Value::Text(Box::new(filled.finish())))
    }
}

/// The frequent values of a column, by its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::transform) struct Mode {
    texts: TopValues<String>,
    whole: TopValues<i64>,
    /// Floats by their bits.
    floats: TopValues<u64>,
}

impl Default for Mode {
    fn default() -> Self {
        const CAPACITY: usize = 1_024;
        Mode {
            texts: TopValues::new(CAPACITY),
            whole: TopValues::new(CAPACITY),
            floats: TopValues::new(CAPACITY),
        }
    }
}

impl Mode {
    /// Whole numbers up to here are floats without loss.
    const MAX_WHOLE: u64 = 1 << 53;

    fn fitted(&self) -> Result<FittedOp> {
        let floats = self.floats.top(usize::MAX).into_iter();
        if let Some((value, _)) = most(
            floats.map(|(bits, n)| (f64::from_bits(bits), n)),
            f64::total_cmp,
        ) {
            return Ok(ImputeNumber { value }.into());
        }
        let value = match most(self.whole.top(usize::MAX).into_iter(), i64::cmp) {
            Some((value, _)) if value.unsigned_abs() <= Self::MAX_WHOLE => {
                let value = value as f64;
                return Ok(ImputeNumber { value }.into());
            }
            Some((value, _)) => Some(value.to_string()),
            None => most(self.texts.top(usize::MAX).into_iter(), String::cmp).map(|(text, _)| text),
        };
        let value =
            value.ok_or_else(|| Error::data("the training split has no value to learn from"))?;
        Ok(ImputeText { value }.into())
    }
}

/// The most frequent value, of equally frequent ones the smallest.
fn most<T>(
    counts: impl Iterator<Item = (T, u64)>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Option<(T, u64)> {
    counts.max_by(|a, b| a.1.cmp(&b.1).then_with(|| compare(&b.0, &a.0)))
}

impl Learn for Mode {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        match rows.input()? {
            value @ (Value::Numbers(_) | Value::Raw(_, FieldType::Float)) => {
                // `+ 0.0` makes one zero of the two.
                value.each_finite(|x| self.floats.add(&(x + 0.0).to_bits(), 1))
            }
            value => {
                value.tokens()?.count(
                    |text, n| self.texts.add(text, n),
                    |number, n| self.whole.add(&number, n),
                );
                Ok(())
            }
        }
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.texts.merge(other.texts);
        self.whole.merge(other.whole);
        self.floats.merge(other.floats);
        Ok(())
    }

    learner_of!(Mode);
}

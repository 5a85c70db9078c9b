//! Missing numbers filled by the rows of the same key.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{Apply, Fill, FittedOp, KeyTable, Operation};
use crate::error::{Error, Result};
use crate::statistics::{Moments, QuantileSketch};
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::numbers::Numbers;
use crate::transform::per_key::{MomentsPerKey, SketchPerKey};
use crate::transform::value::Value;

/// Missing numbers filled by the rows of the same key. Inputs: the numbers, the keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImputePerKey {
    /// The replacement: the mean or the median.
    pub fill: Fill,
}

impl Transform {
    /// Fills NULL, NaN and infinity with the mean or median of the training rows of the same key (text, whole
    /// numbers or booleans; at most 100,000 distinct, 10,000 for the median).
    ///
    /// The rows of a key that training has not seen, or saw without a finite number, and of a NULL key are filled with
    /// that of all training rows.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    /// # use fourfold::transform::{Fill, Transform};
    /// let fare: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0), Some(50.0)]));
    /// let carrier: ArrayRef = Arc::new(StringArray::from(vec!["UA", "UA", "UA", "AA"]));
    /// let rows = RecordBatch::try_from_iter([("fare", fare), ("carrier", carrier)])?;
    /// let transform = Transform::new().impute_per_key("fare", "carrier", Fill::Mean);
    /// let fitted = transform.fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [1.0, 2.0, 3.0, 50.0]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn impute_per_key(
        self,
        column: impl Into<String>,
        key: impl Into<String>,
        fill: Fill,
    ) -> Self {
        let column = column.into();
        self.step_of(
            [column.clone(), key.into()],
            [column],
            ImputePerKey { fill },
        )
    }
}

impl Operation for ImputePerKey {
    fn check(&self) -> Result<()> {
        match self.fill {
            Fill::Mean | Fill::Median => Ok(()),
            Fill::Mode | Fill::Number(_) | Fill::Text(_) => Err(Error::config(format!(
                "impute_per_key fills with {:?}, must be the mean or the median",
                self.fill
            ))),
        }
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn learner(&self) -> Option<Learner> {
        Some(match self.fill {
            Fill::Median => SketchPerKey::default().into(),
            _ => MomentsPerKey::default().into(),
        })
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let fills = if self.fill == Fill::Median {
            let median = |sketch: &QuantileSketch| sketch.quantiles(&[0.5]).first().copied();
            FillsPerKey::fit(learned.get::<SketchPerKey>()?, median)
        } else {
            FillsPerKey::fit(learned.get::<MomentsPerKey>()?, Moments::mean)
        };
        Ok(fills?.into())
    }
}

/// Missing numbers replaced by the number of a key.
pub type FillsPerKey = KeyTable<f64>;

impl Apply for FillsPerKey {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let (numbers, fills) = self.rows(inputs)?;
        let filled = numbers.iter().zip(fills.iter()).map(|(x, fill)| match x {
            Some(x) if x.is_finite() => x,
            _ => **fill,
        });
        Ok(Value::Numbers(Numbers::all(filled)))
    }
}

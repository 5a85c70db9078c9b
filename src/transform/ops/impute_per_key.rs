//! Missing numbers filled by the rows of the same key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::bucketize_per_key::SketchPerKey;
use super::{Apply, Fill, FittedOp, Operation, Vocabulary};
use crate::error::{Error, Result};
use crate::statistics::{Moments, QuantileSketch};
use crate::transform::Transform;
use crate::transform::learn::{Learner, PerKey, nothing_finite};
use crate::transform::numbers::Numbers;
use crate::transform::value::{NO_CATEGORY, Value};

/// Missing numbers filled by the rows of the same key. Inputs: the numbers, the keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImputePerKey {
    /// With what: the mean or the median.
    pub fill: Fill,
}

impl Transform {
    /// Fills NULL, NaN and infinity with the mean or median of the training rows of the same key (text, whole
    /// numbers or booleans; at most 100,000 distinct, 10,000 for the median).
    ///
    /// Of a key that training has not seen, or saw without a finite number, and of a NULL key: with that of all
    /// training rows.
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
            _ => PerKey::default().into(),
        })
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let (keys, other) = if self.fill == Fill::Median {
            let learned: &SketchPerKey = learned.get()?;
            let of = |sketch: &QuantileSketch| sketch.quantiles(&[0.5]).first().copied();
            let keys = learned.keys.iter();
            let keys = keys.filter_map(|(key, sketch)| Some((key.clone(), of(sketch)?)));
            (keys.collect(), of(&learned.all))
        } else {
            let learned: &PerKey = learned.get()?;
            let keys = learned.keys.iter();
            let keys =
                keys.filter_map(|(key, moments)| Some((key.clone(), Moments::mean(moments)?)));
            (keys.collect(), learned.all.mean())
        };
        Ok(FillsPerKey::new(keys, other.ok_or_else(nothing_finite)?).into())
    }
}

/// Missing numbers replaced by the number of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct FillsPerKey {
    keys: Vocabulary,
    fills: Vec<f64>,
    other: f64,
}

/// Readable: each key with its number.
#[derive(Serialize, Deserialize)]
struct Stored {
    keys: BTreeMap<String, f64>,
    other: f64,
}

impl FillsPerKey {
    /// The number of each key, and that of all other rows.
    #[must_use]
    pub fn new(keys: BTreeMap<String, f64>, other: f64) -> Self {
        let (keys, fills): (Vec<String>, Vec<f64>) = keys.into_iter().unzip();
        FillsPerKey {
            keys: keys.into(),
            fills,
            other,
        }
    }
}

impl From<Stored> for FillsPerKey {
    fn from(stored: Stored) -> Self {
        FillsPerKey::new(stored.keys, stored.other)
    }
}

impl From<FillsPerKey> for Stored {
    fn from(per_key: FillsPerKey) -> Self {
        let keys = per_key.keys.values().iter().cloned();
        Stored {
            keys: keys.zip(per_key.fills).collect(),
            other: per_key.other,
        }
    }
}

impl Apply for FillsPerKey {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let [numbers, keys] = inputs else {
            return Err(Error::internal("imputation per key without a key"));
        };
        let ids = keys.tokens()?.ids(&self.keys, NO_CATEGORY);
        let numbers = numbers.numbers()?;
        let filled = numbers.iter().zip(ids.iter()).map(|(x, id)| match x {
            Some(x) if x.is_finite() => x,
            _ => self.fills.get(*id as usize).copied().unwrap_or(self.other),
        });
        Ok(Value::Numbers(Numbers::all(filled)))
    }
}

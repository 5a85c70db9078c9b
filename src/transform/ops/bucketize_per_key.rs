//! The number of a bucket among the rows of the same key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::bucketize::equal_shares;
use super::{Apply, Buckets, FittedOp, Operation, Vocabulary, size};
use crate::error::{Error, Result};
use crate::statistics::QuantileSketch;
use crate::transform::Transform;
use crate::transform::learn::{Learn, Learner, Rows, learner_of, nothing_finite};
use crate::transform::numbers::{Few, Numbers};
use crate::transform::value::{NO_CATEGORY, Value};

/// The number of the quantile bucket among the rows of the same key. Inputs: the numbers, the keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketizePerKey {
    /// How many buckets.
    pub n_buckets: usize,
}

impl Transform {
    /// Replaces a number by the index of its bucket among `n_buckets` of equal share of the training rows of the
    /// same key (text, whole numbers or booleans; at most 10,000 distinct); boundaries as [`Transform::bucketize`].
    ///
    /// A key that training has not seen, or saw without a finite number, and a NULL key take the buckets of all
    /// training rows. (tf.Transform gives such a row the bucket -1.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    /// # use fourfold::transform::Transform;
    /// let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 3.0, 100.0, 300.0]));
    /// let carrier: ArrayRef = Arc::new(StringArray::from(vec!["UA", "UA", "AA", "AA"]));
    /// let rows = RecordBatch::try_from_iter([("fare", fare), ("carrier", carrier)])?;
    /// let transform = Transform::new().bucketize_per_key("fare", "carrier", 2);
    /// let fitted = transform.fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [0.0, 1.0, 0.0, 1.0]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn bucketize_per_key(
        self,
        column: impl Into<String>,
        key: impl Into<String>,
        n_buckets: usize,
    ) -> Self {
        let column = column.into();
        let op = BucketizePerKey { n_buckets };
        self.step_of([column.clone(), key.into()], [column], op)
    }
}

impl Operation for BucketizePerKey {
    fn check(&self) -> Result<()> {
        size("`n_buckets` of bucketize_per_key", self.n_buckets, 2)
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn learner(&self) -> Option<Learner> {
        Some(SketchPerKey::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let learned: &SketchPerKey = learned.get()?;
        if learned.all.count() == 0 {
            return Err(nothing_finite());
        }
        let of = |sketch: &QuantileSketch| Buckets {
            boundaries: equal_shares(sketch, self.n_buckets),
        };
        let keys = learned.keys.iter();
        let keys = keys.map(|(key, sketch)| (key.clone(), of(sketch)));
        Ok(BucketsPerKey::new(keys.collect(), of(&learned.all)).into())
    }
}

/// The index of the bucket by the boundaries of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct BucketsPerKey {
    keys: Vocabulary,
    buckets: Vec<Buckets>,
    other: Buckets,
}

/// Readable: each key with its boundaries.
#[derive(Serialize, Deserialize)]
struct Stored {
    keys: BTreeMap<String, Buckets>,
    other: Buckets,
}

impl BucketsPerKey {
    /// The buckets of each key, and those of all other rows.
    #[must_use]
    pub fn new(keys: BTreeMap<String, Buckets>, other: Buckets) -> Self {
        let (keys, buckets): (Vec<String>, Vec<Buckets>) = keys.into_iter().unzip();
        BucketsPerKey {
            keys: keys.into(),
            buckets,
            other,
        }
    }
}

impl From<Stored> for BucketsPerKey {
    fn from(stored: Stored) -> Self {
        BucketsPerKey::new(stored.keys, stored.other)
    }
}

impl From<BucketsPerKey> for Stored {
    fn from(per_key: BucketsPerKey) -> Self {
        let keys = per_key.keys.values().iter().cloned();
        Stored {
            keys: keys.zip(per_key.buckets).collect(),
            other: per_key.other,
        }
    }
}

impl Apply for BucketsPerKey {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let [numbers, keys] = inputs else {
            return Err(Error::internal("buckets per key without a key"));
        };
        let ids = keys.tokens()?.ids(&self.keys, NO_CATEGORY);
        let numbers = numbers.numbers()?;
        let found: Few<f64> = numbers
            .values()
            .iter()
            .zip(ids.iter())
            .map(|(x, id)| self.buckets.get(*id as usize).unwrap_or(&self.other).of(*x))
            .collect();
        let nulls = numbers.nulls().cloned();
        Ok(Value::Numbers(Numbers::new(found, nulls)))
    }
}

/// The quantiles of the first input, of all rows and for each value of the second. Keys without a finite number have
/// none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::transform) struct SketchPerKey {
    pub(super) all: QuantileSketch,
    pub(super) keys: BTreeMap<String, QuantileSketch>,
}

impl SketchPerKey {
    /// The most keys: what fits into some 100 MB where each has a thousand rows, and into some 300 MB where each has
    /// many more.
    const MAX_KEYS: usize = 10_000;

    fn check(&self) -> Result<()> {
        if self.keys.len() > Self::MAX_KEYS {
            return Err(Error::data(format!(
                "the key has more than {} distinct values",
                Self::MAX_KEYS
            )));
        }
        Ok(())
    }
}

impl Learn for SketchPerKey {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let [numbers, keys] = rows.inputs else {
            return Err(Error::internal("buckets per key without a key"));
        };
        let numbers = numbers.numbers()?;
        let mut numbers = numbers.iter();
        keys.tokens()?.for_each(|key| {
            let number = numbers.next().flatten();
            let Some(number) = number.filter(|number| number.is_finite()) else {
                return;
            };
            self.all.update(number);
            let Some(key) = key else { return };
            match self.keys.get_mut(key) {
                Some(sketch) => sketch.update(number),
                None => self.keys.entry(key.to_owned()).or_default().update(number),
            }
        });
        self.check()
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.all.merge(&other.all);
        for (key, sketch) in other.keys {
            self.keys.entry(key).or_default().merge(&sketch);
        }
        self.check()
    }

    learner_of!(SketchPerKey);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_the_reference() {
        // tf.Transform's own test: 1..99, key a below 50, else b; 3 buckets.
        let mut learned = SketchPerKey::default();
        for number in 1..=99 {
            let key = if number < 50 { "a" } else { "b" };
            learned
                .keys
                .entry(key.to_owned())
                .or_default()
                .update(f64::from(number));
            learned.all.update(f64::from(number));
        }
        let fitted = BucketizePerKey { n_buckets: 3 }
            .fit(&learned.into())
            .unwrap();
        let json = serde_json::to_value(&fitted).unwrap();
        let expected = serde_json::json!({
            "op": "bucketize_per_key",
            "keys": {"a": {"boundaries": [17.0, 33.0]}, "b": {"boundaries": [66.0, 83.0]}},
            "other": {"boundaries": [34.0, 67.0]},
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<FittedOp>(json).unwrap(), fitted);
    }
}

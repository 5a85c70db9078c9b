//! The number of a bucket among the rows of the same key.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::bucketize::equal_shares;
use super::{Apply, Buckets, FittedOp, KeyTable, Operation, size};
use crate::error::Result;
use crate::statistics::QuantileSketch;
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::numbers::{Few, Numbers};
use crate::transform::per_key::SketchPerKey;
use crate::transform::value::Value;

/// The number of the quantile bucket among the rows of the same key. Inputs: the numbers, the keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketizePerKey {
    /// The number of buckets.
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
        let buckets = |sketch: &QuantileSketch| {
            (sketch.count() > 0).then(|| Buckets {
                boundaries: equal_shares(sketch, self.n_buckets),
            })
        };
        Ok(BucketsPerKey::fit(learned.get::<SketchPerKey>()?, buckets)?.into())
    }
}

/// The index of the bucket by the boundaries of a key.
pub type BucketsPerKey = KeyTable<Buckets>;

impl Apply for BucketsPerKey {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let (numbers, buckets) = self.rows(inputs)?;
        let found = numbers.values().iter().zip(buckets.iter());
        let found: Few<f64> = found.map(|(x, buckets)| buckets.of(*x)).collect();
        let nulls = numbers.nulls().cloned();
        Ok(Value::Numbers(Numbers::new(found, nulls)))
    }
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
            learned.add(f64::from(number), Some(key));
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

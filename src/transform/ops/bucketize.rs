//! The number of a bucket.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, check_boundaries, map, size};
use crate::error::Result;
use crate::statistics::QuantileSketch;
use crate::transform::Transform;
use crate::transform::learn::{Learner, nothing_finite};
use crate::transform::value::Value;

/// The number of the quantile bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucketize {
    /// The number of buckets.
    pub n_buckets: usize,
}

/// The number of the bucket of boundaries that are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketizeAt {
    /// The inner boundaries: finite and rising, at least one.
    pub boundaries: Vec<f64>,
}

impl Transform {
    /// Replaces a number by the index of its bucket among `n_buckets` of equal share (boundary `i - 1` <= x <
    /// boundary `i`, as tf.Transform's `apply_buckets`). Follow with [`Transform::one_hot`] for one feature a
    /// bucket.
    ///
    /// Boundary `i` is the smallest training value with more than the share `i / n_buckets` of the values up to it, as
    /// tf.Transform's: exact up to 1,024 rows, then within half a percent of rank. Equal boundaries are one, so that a
    /// column of few distinct values has fewer buckets. (tf.Transform repeats them, which leaves buckets that no value
    /// is in.)
    #[must_use]
    pub fn bucketize(self, column: impl Into<String>, n_buckets: usize) -> Self {
        self.step(column, Bucketize { n_buckets })
    }

    /// Replaces a number by the index of its bucket among boundaries that are given: `i` where boundary `i - 1` <=
    /// x < boundary `i`, 0 below the first, their number from the last on and for NaN, as tf.Transform's
    /// `apply_buckets`.
    #[must_use]
    pub fn bucketize_at(
        self,
        column: impl Into<String>,
        boundaries: impl IntoIterator<Item = f64>,
    ) -> Self {
        let boundaries = boundaries.into_iter().collect();
        self.step(column, BucketizeAt { boundaries })
    }
}

impl Operation for Bucketize {
    fn check(&self) -> Result<()> {
        size("`n_buckets` of bucketize", self.n_buckets, 2)
    }

    fn learner(&self) -> Option<Learner> {
        Some(QuantileSketch::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let sketch: &QuantileSketch = learned.get()?;
        if sketch.count() == 0 {
            return Err(nothing_finite());
        }
        let boundaries = equal_shares(sketch, self.n_buckets);
        Ok(Buckets { boundaries }.into())
    }
}

impl Operation for BucketizeAt {
    fn check(&self) -> Result<()> {
        check_boundaries("bucketize", &self.boundaries, 1)
    }

    fn fitted(&self) -> Result<FittedOp> {
        let boundaries = self.boundaries.clone();
        Ok(Buckets { boundaries }.into())
    }
}

/// The inner boundaries of buckets of equal share, each the smallest value of the bucket above it; without repeats.
pub(super) fn equal_shares(sketch: &QuantileSketch, n_buckets: usize) -> Vec<f64> {
    let n = sketch.count() as f64;
    // Half a value before the one that is wanted, so that rounding does not take the next.
    let before = |i: usize| ((i as f64 * n / n_buckets as f64).floor() + 0.5) / n;
    let ranks: Vec<f64> = (1..n_buckets).map(before).collect();
    let mut boundaries = sketch.quantiles(&ranks);
    boundaries.dedup();
    boundaries
}

/// The index of the bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    /// The inner boundaries, rising.
    pub boundaries: Vec<f64>,
}

impl Buckets {
    /// Index `i` with `boundaries[i - 1] <= x < boundaries[i]`; NaN is past them all.
    pub(super) fn of(&self, x: f64) -> f64 {
        if x.is_nan() {
            return self.boundaries.len() as f64;
        }
        self.boundaries.partition_point(|boundary| *boundary <= x) as f64
    }
}

impl Apply for Buckets {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, |x| self.of(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const N: usize>(boundaries: &[f64], numbers: [f64; N]) -> [f64; N] {
        let buckets = Buckets {
            boundaries: boundaries.to_vec(),
        };
        numbers.map(|x| buckets.of(x))
    }

    #[test]
    fn boundaries_belong_to_the_bucket_above_them() {
        // tf.Transform's own tests.
        let (nan, low) = (f64::NAN, f64::NEG_INFINITY);
        let found = of(&[2.0, 5.0, 8.0], [4.0, nan, low, 7.5, 10.0]);
        assert_eq!(found, [1.0, 3.0, 0.0, 2.0, 3.0]);
        let found = of(&[low, 2.0, 5.0, 8.0], [4.0, low, 0.8, 7.5, 10.0]);
        assert_eq!(found, [2.0, 1.0, 1.0, 3.0, 4.0]);
    }

    fn boundaries(values: impl IntoIterator<Item = f64>, n_buckets: usize) -> Vec<f64> {
        let mut sketch = QuantileSketch::default();
        values.into_iter().for_each(|x| sketch.update(x));
        match (Bucketize { n_buckets }).fit(&sketch.into()).unwrap() {
            FittedOp::Bucketize(buckets) => buckets.boundaries,
            other => panic!("{other:?}"),
        }
    }

    fn count(numbers: std::ops::RangeInclusive<i32>) -> impl DoubleEndedIterator<Item = f64> {
        numbers.map(f64::from)
    }

    #[test]
    fn boundaries_of_the_reference() {
        // tf.Transform's own tests; where there are fewer values than buckets it repeats boundaries.
        assert_eq!(boundaries(count(1..=4), 2), [3.0]);
        assert_eq!(boundaries(count(1..=4), 3), [2.0, 3.0]);
        for n_buckets in [4, 5, 6, 10] {
            let low = if n_buckets == 4 { 2 } else { 1 };
            let expected: Vec<f64> = count(low..=4).collect();
            assert_eq!(boundaries(count(1..=4), n_buckets), expected);
        }
        assert_eq!(boundaries(count(1..=9), 3), [4.0, 7.0]);
        assert_eq!(boundaries(count(1..=99), 4), [25.0, 50.0, 75.0]);
        // The reference has [24, 50, 75] here, of which 24 and 50 are no values.
        let odd = count(1..=99).filter(|x| x % 2.0 == 1.0);
        assert_eq!(boundaries(odd, 4), [25.0, 51.0, 75.0]);
    }

    #[test]
    fn many_values_in_any_order_have_boundaries_near_the_exact() {
        // The reference has [1500] in any order; a sketch past 1,024 values is within half a percent of rank.
        let mixed = count(1..=2999).map(|x| x * 1117.0 % 2999.0 + 1.0);
        for found in [
            boundaries(count(1..=2999), 2),
            boundaries(count(1..=2999).rev(), 2),
            boundaries(mixed, 2),
        ] {
            assert!((found[0] - 1500.0).abs() <= 15.0, "{found:?}");
        }
    }
}

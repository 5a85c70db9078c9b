//! The position among boundaries: buckets without the steps.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, check_boundaries, map, size};
use crate::error::Result;
use crate::statistics::QuantileSketch;
use crate::transform::Transform;
use crate::transform::learn::{Learner, nothing_finite};
use crate::transform::value::Value;

/// The position among quantiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpolate {
    /// Into how many parts of equal share the quantiles cut the training values.
    pub n_buckets: usize,
}

/// The position among boundaries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterpolateAt {
    /// The boundaries: finite and rising, at least one.
    pub boundaries: Vec<f64>,
}

impl Transform {
    /// Spreads a number evenly over `0..=1`: the boundaries are the smallest training value, the `n_buckets - 1`
    /// quantiles between, and the largest; positions as [`Transform::interpolate_at`].
    #[must_use]
    pub fn interpolate(self, column: impl Into<String>, n_buckets: usize) -> Self {
        self.step(column, Interpolate { n_buckets })
    }

    /// Replaces a number by its position among boundaries, as tf.Transform's `apply_buckets_with_interpolation`:
    /// 0 at and below the first, 1 at and above the last, linear between each two, every bucket of the same
    /// length. NaN is in the middle, at 0.5; with one boundary alone, so is the boundary.
    #[must_use]
    pub fn interpolate_at(
        self,
        column: impl Into<String>,
        boundaries: impl IntoIterator<Item = f64>,
    ) -> Self {
        let boundaries = boundaries.into_iter().collect();
        self.step(column, InterpolateAt { boundaries })
    }
}

impl Operation for Interpolate {
    fn check(&self) -> Result<()> {
        size("`n_buckets` of interpolate", self.n_buckets, 1)
    }

    fn learner(&self) -> Option<Learner> {
        Some(QuantileSketch::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let sketch: &QuantileSketch = learned.get()?;
        if sketch.count() == 0 {
            return Err(nothing_finite());
        }
        let n = self.n_buckets;
        let ranks: Vec<f64> = (0..=n).map(|i| i as f64 / n as f64).collect();
        let mut boundaries = sketch.quantiles(&ranks);
        boundaries.dedup();
        Ok(InterpolateAt { boundaries }.into())
    }
}

impl Operation for InterpolateAt {
    fn check(&self) -> Result<()> {
        check_boundaries("interpolate", &self.boundaries, 1)
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok(self.clone().into())
    }
}

impl InterpolateAt {
    fn of(&self, x: f64) -> f64 {
        let (Some(first), Some(last)) = (self.boundaries.first(), self.boundaries.last()) else {
            return 0.5;
        };
        if x.is_nan() || (first == last && x == *first) {
            return 0.5;
        }
        if x <= *first {
            return 0.0;
        }
        if x >= *last {
            return 1.0;
        }
        let above = self.boundaries.partition_point(|boundary| *boundary <= x);
        let (low, high) = (self.boundaries[above - 1], self.boundaries[above]);
        ((above - 1) as f64 + (x - low) / (high - low)) / (self.boundaries.len() - 1) as f64
    }
}

impl Apply for InterpolateAt {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, |x| self.of(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(boundaries: &[f64], x: f64) -> f64 {
        InterpolateAt {
            boundaries: boundaries.to_vec(),
        }
        .of(x)
    }

    #[test]
    fn positions_of_the_reference() {
        // tf.Transform's own test.
        let found = [15.0, 10.0, 20.0, 17.0, -1111.0, 21.0].map(|x| of(&[10.0, 20.0], x));
        assert_eq!(found, [0.5, 0.0, 1.0, 0.7, 0.0, 1.0]);
    }

    #[test]
    fn buckets_have_one_length() {
        let found = [0.0, 5.0, 10.0, 55.0, 100.0, f64::NAN].map(|x| of(&[0.0, 10.0, 100.0], x));
        assert_eq!(found, [0.0, 0.25, 0.5, 0.75, 1.0, 0.5]);
    }

    #[test]
    fn one_boundary_is_a_step() {
        assert_eq!([1.0, 2.0, 3.0].map(|x| of(&[2.0], x)), [0.0, 0.5, 1.0]);
    }
}

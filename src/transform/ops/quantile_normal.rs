//! A column given the shape of a normal distribution.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, map};
use crate::error::{Error, Result};
use crate::statistics::QuantileSketch;
use crate::transform::Transform;
use crate::transform::learn::{Learner, nothing_finite};
use crate::transform::value::Value;

/// The quantile of the standard normal distribution at the value's rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileNormal {
    /// At how many ranks the training values are looked at, `2..=10000`.
    pub n_quantiles: usize,
}

impl Transform {
    /// Gives a number the shape of a standard normal distribution, whatever its own: its rank among `n_quantiles`
    /// quantiles of the training values (linear between two, the middle one of those that are equal) becomes the
    /// normal quantile of `(rank + 0.5) / n_quantiles`.
    ///
    /// The smallest and largest training values, and all beyond them, become the quantiles of `0.5 / n_quantiles`
    /// and its opposite: -2.58 and 2.58 for 100, -3.29 and 3.29 for 1,000. (tf.Transform's `scale_to_gaussian`
    /// straightens long tails alone, by a fit of Tukey's HH distribution; this one straightens any shape.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch};
    /// # use fourfold::transform::Transform;
    /// let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 1e9]));
    /// let rows = RecordBatch::try_from_iter([("fare", fare)])?;
    /// let fitted = Transform::new().quantile_normal("fare", 100).fit(std::slice::from_ref(&rows))?;
    /// let found = fitted.apply(&rows)?.column(0).to_vec();
    /// assert!(found[0] < -0.9 && found[1].abs() < 0.02 && found[2] > 0.9);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn quantile_normal(self, column: impl Into<String>, n_quantiles: usize) -> Self {
        self.step(column, QuantileNormal { n_quantiles })
    }
}

impl Operation for QuantileNormal {
    fn check(&self) -> Result<()> {
        if (2..=10_000).contains(&self.n_quantiles) {
            return Ok(());
        }
        Err(Error::config(format!(
            "`n_quantiles` of quantile_normal is {}, must be 2 to 10000",
            self.n_quantiles
        )))
    }

    fn learner(&self) -> Option<Learner> {
        Some(QuantileSketch::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let sketch: &QuantileSketch = learned.get()?;
        if sketch.count() == 0 {
            return Err(nothing_finite());
        }
        let last = (self.n_quantiles - 1) as f64;
        let ranks: Vec<f64> = (0..self.n_quantiles).map(|i| i as f64 / last).collect();
        Ok(NormalAt::new(sketch.quantiles(&ranks))?.into())
    }
}

/// The normal quantile at the rank among quantiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct NormalAt {
    quantiles: Vec<f64>,
}

#[derive(Deserialize)]
struct Stored {
    quantiles: Vec<f64>,
}

impl TryFrom<Stored> for NormalAt {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        NormalAt::new(stored.quantiles)
    }
}

impl NormalAt {
    /// The quantiles at ranks of equal distance, from the smallest value to the largest.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none, one is not finite, or they fall.
    pub fn new(quantiles: Vec<f64>) -> Result<Self> {
        let rise = quantiles.windows(2).all(|pair| pair[0] <= pair[1]);
        if quantiles.is_empty() || !rise || quantiles.iter().any(|x| !x.is_finite()) {
            return Err(Error::config(
                "the quantiles of quantile_normal must be at least one, finite and non-decreasing",
            ));
        }
        Ok(NormalAt { quantiles })
    }

    fn of(&self, x: f64) -> f64 {
        if x.is_nan() {
            return x;
        }
        let n = self.quantiles.len();
        let below = self.quantiles.partition_point(|quantile| *quantile < x);
        let upto = self.quantiles.partition_point(|quantile| *quantile <= x);
        let rank = if below < upto {
            (below + upto - 1) as f64 / 2.0
        } else if below == 0 {
            0.0
        } else if below == n {
            (n - 1) as f64
        } else {
            let (low, high) = (self.quantiles[below - 1], self.quantiles[below]);
            // Halves, as the distance of two floats may be too large for one.
            (below - 1) as f64 + (x / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
        };
        normal_quantile((rank + 0.5) / n as f64)
    }
}

impl Apply for NormalAt {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        map(inputs, |x| self.of(x))
    }
}

/// The quantile of the standard normal distribution at `p`, for `1e-10 < p < 1 - 1e-10`, to 16 digits: Wichura,
/// "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988), without the
/// part for the outermost tails.
fn normal_quantile(p: f64) -> f64 {
    const CENTRE: [[f64; 8]; 2] = [
        [
            3.387_132_872_796_366_5,
            133.141_667_891_784_38,
            1_971.590_950_306_551_3,
            13_731.693_765_509_46,
            45_921.953_931_549_87,
            67_265.770_927_008_7,
            33_430.575_583_588_13,
            2_509.080_928_730_122_7,
        ],
        [
            1.0,
            42.313_330_701_600_91,
            687.187_007_492_057_9,
            5_394.196_021_424_751,
            21_213.794_301_586_597,
            39_307.895_800_092_71,
            28_729.085_735_721_943,
            5_226.495_278_852_854,
        ],
    ];
    const TAIL: [[f64; 8]; 2] = [
        [
            1.423_437_110_749_683_5,
            4.630_337_846_156_546,
            5.769_497_221_460_691,
            3.647_848_324_763_204_5,
            1.270_458_252_452_368_4,
            0.241_780_725_177_450_6,
            0.022_723_844_989_269_184,
            0.000_774_545_014_278_341_4,
        ],
        [
            1.0,
            2.053_191_626_637_759,
            1.676_384_830_183_803_8,
            0.689_767_334_985_1,
            0.148_103_976_427_480_08,
            0.015_198_666_563_616_457,
            0.000_547_593_808_499_534_5,
            1.050_750_071_644_416_9e-9,
        ],
    ];
    let ratio = |of: &[[f64; 8]; 2], x: f64| {
        let [above, below] =
            of.map(|terms| terms.iter().rev().fold(0.0, |sum, term| sum * x + term));
        above / below
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTRE, 0.180_625 - q * q);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    q.signum() * ratio(&TAIL, r - 1.6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        // Tables, and SciPy's `norm.ppf`.
        let known = [
            (0.5, 0.0),
            (0.75, 0.674_489_750_196_081_7),
            (0.975, 1.959_963_984_540_054),
            (0.99, 2.326_347_874_040_840_8),
            (0.999_5, 3.290_526_731_491_926),
        ];
        for (p, z) in known {
            assert!(
                (normal_quantile(p) - z).abs() < 1e-12,
                "{p}: {}",
                normal_quantile(p)
            );
            assert!((normal_quantile(1.0 - p) + z).abs() < 1e-11, "{p}");
        }
    }

    #[test]
    fn ranks_are_linear_between_and_in_the_middle_of_equals() {
        let at = NormalAt::new(vec![0.0, 10.0, 10.0, 10.0, 20.0]).unwrap();
        assert_eq!(at.of(10.0), 0.0);
        assert_eq!(at.of(5.0), normal_quantile(0.2));
        assert_eq!([at.of(-1e300), at.of(f64::NEG_INFINITY)], [at.of(0.0); 2]);
        assert_eq!(at.of(f64::INFINITY), normal_quantile(0.9));
        assert!(at.of(f64::NAN).is_nan());
        let wide = NormalAt::new(vec![-f64::MAX, f64::MAX]).unwrap();
        assert_eq!(wide.of(0.0), 0.0);
        assert_eq!(NormalAt::new(vec![4.0; 9]).unwrap().of(4.0), 0.0);
    }
}

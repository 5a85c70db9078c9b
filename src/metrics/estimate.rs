//! Values with their intervals.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The value of a metric, with its 95 % confidence interval where one is known, and the rows it is of.
///
/// Intervals say how far the value may be from that of all rows of the kind: DeLong for the area under the curve, Wilson
/// for shares, of the mean for means, the delta method for functions of these, the bootstrap for the rest. Rows with
/// weights count as `(Σw)² / Σw²` of them (Kish 1965).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// The value.
    pub value: f64,
    /// The lower end of the interval.
    pub lower: Option<f64>,
    /// The upper end of the interval.
    pub upper: Option<f64>,
    /// The number of rows it is computed from.
    pub support: u64,
}

impl MetricValue {
    /// A value without an interval.
    #[must_use]
    pub fn new(value: f64, support: u64) -> Self {
        MetricValue {
            value,
            lower: None,
            upper: None,
            support,
        }
    }

    /// The same with an interval; one that is not finite is none.
    #[must_use]
    pub fn with_interval(mut self, lower: f64, upper: f64) -> Self {
        if lower.is_finite() && upper.is_finite() {
            (self.lower, self.upper) = (Some(lower), Some(upper));
        }
        self
    }

    /// The same with the interval of a variance, over `n` rows or groups of them, within the metric's range.
    #[cfg(feature = "datafusion")]
    pub(crate) fn with_variance(self, variance: f64, n: f64, range: (f64, f64)) -> Self {
        let point = match range {
            (0.0, 1.0) => Point::bounded(self.value, variance, n),
            _ => Point::normal(self.value, variance, n),
        };
        let plain = MetricValue::new(self.value, self.support);
        point
            .interval
            .map_or(plain, |(low, high)| plain.with_interval(low, high))
    }
}

/// The value, with the requested precision.
impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The two-sided 95 % quantile of the standard normal.
const Z: f64 = 1.959_963_984_540_054;

/// The two-sided 95 % quantile of Student's t, by the expansion of Cornish and Fisher (1937); within 1 % from 3 degrees of
/// freedom on.
fn t_quantile(freedom: f64) -> f64 {
    let (z, n) = (Z, freedom.max(1.0));
    z + (z.powi(3) + z) / (4.0 * n)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3))
}

/// A point with its interval, before it is known how many rows it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) value: f64,
    pub(crate) interval: Option<(f64, f64)>,
}

impl Point {
    pub(crate) fn alone(value: f64) -> Self {
        Point {
            value,
            interval: None,
        }
    }

    /// A share of `n` rows, with the interval of Wilson (1927).
    pub(crate) fn share(hits: f64, weight: f64, n: f64) -> Self {
        let p = hits / weight;
        let z2 = Z * Z;
        let center = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        Point {
            value: p,
            interval: Some(((center - half).max(0.0), (center + half).min(1.0))),
        }
    }

    /// A value between 0 and 1 with a variance: the interval is that of its logit, which stays between.
    pub(crate) fn bounded(value: f64, variance: f64, n: f64) -> Self {
        if variance.is_nan() || variance <= 0.0 || value <= 0.0 || value >= 1.0 {
            // Nothing varies: as a share of as many rows.
            return Point::share(value * n, n, n);
        }
        let logit = (value / (1.0 - value)).ln();
        let half = t_quantile(n - 1.0) * variance.sqrt() / (value * (1.0 - value));
        let share = |x: f64| 1.0 / (1.0 + (-x).exp());
        Point {
            value,
            interval: Some((share(logit - half), share(logit + half))),
        }
    }

    /// Any value with a variance.
    pub(crate) fn normal(value: f64, variance: f64, n: f64) -> Self {
        let half = t_quantile(n - 1.0) * variance.max(0.0).sqrt();
        Point {
            value,
            interval: (n > 1.0).then_some((value - half, value + half)),
        }
    }

    /// The same after a function that rises.
    pub(crate) fn map(self, rising: impl Fn(f64) -> f64) -> Self {
        Point {
            value: rising(self.value),
            interval: self.interval.map(|(low, high)| (rising(low), rising(high))),
        }
    }

    pub(crate) fn with_support(self, support: u64) -> Option<MetricValue> {
        if !self.value.is_finite() {
            return None;
        }
        let value = MetricValue::new(self.value, support);
        Some(match self.interval {
            Some((low, high)) => value.with_interval(low, high),
            None => value,
        })
    }
}

/// The weighted mean of something, with the variance of the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mean {
    w: f64,
    wx: f64,
    w2: f64,
    w2x: f64,
    w2xx: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, x: f64, w: f64) {
        let (wx, w2) = (w * x, w * w);
        self.w += w;
        self.wx += wx;
        self.w2 += w2;
        self.w2x += w * wx;
        self.w2xx += wx * wx;
    }

    pub(crate) fn merge(&mut self, other: &Mean) {
        self.w += other.w;
        self.wx += other.wx;
        self.w2 += other.w2;
        self.w2x += other.w2x;
        self.w2xx += other.w2xx;
    }

    /// Σ w.
    pub(crate) fn weight(&self) -> f64 {
        self.w
    }

    /// Σ w x.
    pub(crate) fn sum(&self) -> f64 {
        self.wx
    }

    pub(crate) fn mean(&self) -> f64 {
        self.wx / self.w
    }

    /// The number of rows of equal weight that these count as.
    pub(crate) fn n(&self) -> f64 {
        self.w * self.w / self.w2
    }

    /// Σ w² (x - center)².
    pub(crate) fn deviations(&self, center: f64) -> f64 {
        (self.w2xx - 2.0 * center * self.w2x + center * center * self.w2).max(0.0)
    }

    /// The variance of the mean.
    pub(crate) fn variance(&self) -> f64 {
        let n = self.n();
        self.deviations(self.mean()) / (self.w * self.w) * (n / (n - 1.0))
    }

    pub(crate) fn point(&self) -> Point {
        Point::normal(self.mean(), self.variance(), self.n())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_and_t_are_those_of_the_tables() {
        // statsmodels: proportion_confint(7, 20, method="wilson").
        let (low, high) = Point::share(7.0, 20.0, 20.0).interval.unwrap();
        assert!(
            (low - 0.181_191_9).abs() < 1e-6 && (high - 0.567_145_7).abs() < 1e-6,
            "{low} {high}"
        );
        for (freedom, expected) in [(5.0, 2.5706), (10.0, 2.2281), (30.0, 2.0423), (1e6, 1.96)] {
            let found = t_quantile(freedom);
            assert!((found - expected).abs() < 0.01, "{freedom}: {found}");
        }
    }

    #[test]
    fn the_mean_of_equal_weights_has_the_usual_error() {
        let mut mean = Mean::default();
        [1.0, 2.0, 4.0, 9.0].iter().for_each(|x| mean.add(*x, 2.0));
        assert!((mean.mean() - 4.0).abs() < 1e-12);
        let variance = (9.0 + 4.0 + 0.0 + 25.0) / 3.0 / 4.0;
        assert!(
            (mean.variance() - variance).abs() < 1e-12,
            "{}",
            mean.variance()
        );
        assert!((mean.n() - 4.0).abs() < 1e-12);
    }
}

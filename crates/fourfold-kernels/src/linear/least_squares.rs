//! Least squares from a [`Gram`]: directly, or by coordinate descent where an L1 penalty asks for it.

use super::Coefficients;
use super::gram::Gram;

/// The penalty beside half the weighted mean of squared errors: `l2 / 2 * |w|² + l1 * |w|₁`.
#[derive(Clone, Copy, Debug)]
pub struct Penalty {
    /// The weight of half the squared weights.
    pub l2: f64,
    /// The weight of the absolute weights.
    pub l1: f64,
}

impl Gram {
    /// The weights `(width)` and the intercept of least error.
    ///
    /// Without an L1 penalty it is the solution of the normal equations. Where features depend on each other and there
    /// is no L2 penalty either, of all best weights those that are shortest in features of standard deviation 1. With
    /// an L1 penalty coordinates descend from `start`, or from 0, until no step is longer than `tolerance`, in units of
    /// the label's standard deviation, or `max_rounds` are over (Friedman, Hastie and Tibshirani, 2010).
    #[must_use]
    pub fn least_squares(
        &self,
        penalty: Penalty,
        start: Option<&[f64]>,
        max_rounds: usize,
        tolerance: f64,
    ) -> Coefficients {
        let width = self.width();
        // Rows of the covariance of features that vary, scaled to standard deviations of 1.
        let deviation = |at: usize| {
            (self.products[at * (width + 2)] / self.weight)
                .max(0.0)
                .sqrt()
        };
        let deviations: Vec<f64> = (0..width)
            .map(|at| {
                let deviation = deviation(at);
                // A constant feature has nothing but rounding errors to tell.
                if deviation > 1e-9 * self.means[at].abs() {
                    deviation
                } else {
                    0.0
                }
            })
            .collect();
        let kept: Vec<usize> = (0..width).filter(|at| deviations[*at] > 0.0).collect();
        let n = kept.len();
        let mut matrix = Vec::with_capacity(n * n);
        for a in &kept {
            let row = &self.products[a * (width + 1)..(a + 1) * (width + 1)];
            let scale = self.weight * deviations[*a];
            matrix.extend(kept.iter().map(|b| row[*b] / (scale * deviations[*b])));
        }
        let target: Vec<f64> = kept
            .iter()
            .map(|a| self.products[a * (width + 1) + width] / (self.weight * deviations[*a]))
            .collect();
        let ridge: Vec<f64> = kept
            .iter()
            .map(|a| penalty.l2 / (deviations[*a] * deviations[*a]))
            .collect();
        let scaled = if penalty.l1 > 0.0 {
            let shrink: Vec<f64> = kept.iter().map(|a| penalty.l1 / deviations[*a]).collect();
            let start = match start {
                Some(start) => kept.iter().map(|a| start[*a] * deviations[*a]).collect(),
                None => vec![0.0; n],
            };
            let tolerance = tolerance * deviation(width);
            descend(
                &matrix, &target, &ridge, &shrink, start, max_rounds, tolerance,
            )
        } else {
            solve(&matrix, &target, &ridge)
        };
        let mut weights = vec![0.0; width];
        for (at, weight) in kept.iter().zip(scaled) {
            weights[*at] = weight / deviations[*at];
        }
        let shift: f64 = weights
            .iter()
            .zip(&self.means)
            .map(|(w, mean)| w * mean)
            .sum();
        Coefficients {
            weights,
            intercepts: vec![self.means[width] - shift],
        }
    }
}

/// Coordinate descent on the normal equations, by features of variance 1.
fn descend(
    matrix: &[f64],
    target: &[f64],
    ridge: &[f64],
    shrink: &[f64],
    mut weights: Vec<f64>,
    max_rounds: usize,
    tolerance: f64,
) -> Vec<f64> {
    let n = weights.len();
    // The part that each feature still explains: `target - matrix . weights`.
    let mut rest: Vec<f64> = (0..n)
        .map(|at| {
            let row = &matrix[at * n..(at + 1) * n];
            target[at] - row.iter().zip(&weights).map(|(a, b)| a * b).sum::<f64>()
        })
        .collect();
    for _ in 0..max_rounds {
        let mut longest = 0.0_f64;
        for at in 0..n {
            let row = &matrix[at * n..(at + 1) * n];
            let own = rest[at] + row[at] * weights[at];
            let new = own.signum() * (own.abs() - shrink[at]).max(0.0) / (row[at] + ridge[at]);
            let step = new - weights[at];
            if step != 0.0 {
                weights[at] = new;
                for (rest, factor) in rest.iter_mut().zip(row) {
                    *rest -= step * factor;
                }
                longest = longest.max(step.abs());
            }
        }
        if longest <= tolerance {
            break;
        }
    }
    weights
}

/// `(matrix + ridge) . weights = target`. A matrix without full rank is solved with a little added to its diagonal,
/// which steps of refinement take away again.
fn solve(matrix: &[f64], target: &[f64], ridge: &[f64]) -> Vec<f64> {
    /// Beside variances of 1.
    const LITTLE: f64 = 1e-9;
    let n = target.len();
    let mut full = matrix.to_vec();
    for (at, ridge) in ridge.iter().enumerate() {
        full[at * (n + 1)] += ridge;
    }
    let (factor, exact) = match cholesky(&full, n, 0.0) {
        Some(factor) => (factor, true),
        None => match cholesky(&full, n, LITTLE) {
            Some(factor) => (factor, false),
            None => return vec![0.0; n],
        },
    };
    let mut weights = vec![0.0; n];
    for _ in 0..if exact { 2 } else { 6 } {
        let mut rest: Vec<f64> = (0..n)
            .map(|at| {
                let row = &full[at * n..(at + 1) * n];
                target[at] - row.iter().zip(&weights).map(|(a, b)| a * b).sum::<f64>()
            })
            .collect();
        substitute(&factor, n, &mut rest);
        for (weight, step) in weights.iter_mut().zip(rest) {
            *weight += step;
        }
    }
    weights
}

/// The lower factor of `matrix + add * I`, row by row; `None` if a pivot says that it has not full rank.
fn cholesky(matrix: &[f64], n: usize, add: f64) -> Option<Vec<f64>> {
    /// The least pivot, beside the diagonal's own value.
    const LEAST: f64 = 1e-10;
    let mut factor = vec![0.0; n * n];
    for a in 0..n {
        let (done, rest) = factor.split_at_mut(a * n);
        let row = &mut rest[..n];
        for b in 0..a {
            let other = &done[b * n..b * n + b + 1];
            let sum: f64 = row[..b].iter().zip(other).map(|(x, y)| x * y).sum();
            row[b] = (matrix[a * n + b] - sum) / other[b];
        }
        let own = matrix[a * (n + 1)] + add;
        let pivot = own - row[..a].iter().map(|x| x * x).sum::<f64>();
        if pivot.is_nan() || pivot <= LEAST * own {
            return None;
        }
        row[a] = pivot.sqrt();
    }
    Some(factor)
}

/// Solves with the factor and its transpose.
fn substitute(factor: &[f64], n: usize, values: &mut [f64]) {
    for a in 0..n {
        let row = &factor[a * n..a * n + a + 1];
        let sum: f64 = row[..a].iter().zip(values.iter()).map(|(x, y)| x * y).sum();
        values[a] = (values[a] - sum) / row[a];
    }
    for a in (0..n).rev() {
        let row = &factor[a * n..a * n + a + 1];
        values[a] /= row[a];
        let value = values[a];
        for (to, x) in values[..a].iter_mut().zip(row) {
            *to -= value * x;
        }
    }
}

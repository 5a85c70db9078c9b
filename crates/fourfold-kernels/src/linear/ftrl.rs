//! Logistic regression row by row: FTRL-Proximal (McMahan and others, Ad Click Prediction, KDD 2013), algorithm 1.

use super::Coefficients;
use super::design::{Design, add_entries};
use super::loss::Loss;

/// The rates and penalties of [`Ftrl`].
#[derive(Clone, Copy, Debug)]
pub struct FtrlOptions {
    /// The size of a step: `alpha`.
    pub rate: f64,
    /// The number of gradients of 1 before the rate falls: `beta`.
    pub smoothing: f64,
    /// The weight of the absolute weights.
    pub l1: f64,
    /// The weight of half the squared weights.
    pub l2: f64,
}

/// A logistic or softmax regression that learns from one row after the other, each coefficient at its own rate. The
/// intercept is not penalized.
#[derive(Clone, Debug)]
pub struct Ftrl {
    loss: Loss,
    options: FtrlOptions,
    n_outputs: usize,
    /// For each coefficient, `(width + 1, n_outputs)` with the intercepts last: the sum of gradients less what the
    /// weight has moved.
    sums: Vec<f64>,
    /// The sum of squared gradients.
    squares: Vec<f64>,
}

impl Ftrl {
    /// Coefficients of 0 for `width` expanded features. The loss is [`Loss::Logistic`] or [`Loss::Softmax`].
    #[must_use]
    pub fn new(width: usize, loss: Loss, options: FtrlOptions) -> Self {
        let n_outputs = loss.n_outputs();
        Ftrl {
            loss,
            options,
            n_outputs,
            sums: vec![0.0; (width + 1) * n_outputs],
            squares: vec![0.0; (width + 1) * n_outputs],
        }
    }

    /// Continues from some coefficients, as if they had been reached with this sum of squared gradients each.
    pub fn start_from(&mut self, coefficients: &Coefficients, squares: f64) {
        let values = coefficients.weights.iter().chain(&coefficients.intercepts);
        let penalized = coefficients.weights.len();
        for (at, value) in values.enumerate() {
            let (l1, l2) = self.penalty(at < penalized);
            let rate = (self.options.smoothing + squares.sqrt()) / self.options.rate + l2;
            self.squares[at] = squares;
            self.sums[at] = -value * rate - value.signum() * l1;
        }
    }

    fn penalty(&self, is_weight: bool) -> (f64, f64) {
        match is_weight {
            true => (self.options.l1, self.options.l2),
            false => (0.0, 0.0),
        }
    }

    /// A coefficient as it stands.
    fn value(&self, at: usize) -> f64 {
        let (l1, l2) = self.penalty(at < self.sums.len() - self.n_outputs);
        let sum = self.sums[at];
        if sum.abs() <= l1 {
            return 0.0;
        }
        let rate = (self.options.smoothing + self.squares[at].sqrt()) / self.options.rate + l2;
        -(sum - sum.signum() * l1) / rate
    }

    /// The coefficients as they stand.
    #[must_use]
    pub fn coefficients(&self) -> Coefficients {
        let mut weights: Vec<f64> = (0..self.sums.len()).map(|at| self.value(at)).collect();
        let intercepts = weights.split_off(weights.len() - self.n_outputs);
        Coefficients {
            weights,
            intercepts,
        }
    }

    /// Learns from rows in the order given. The sum of their losses, each before it was learned from, and weighted.
    pub fn learn(
        &mut self,
        design: &Design<'_>,
        labels: &[f64],
        weights: Option<&[f64]>,
        order: impl IntoIterator<Item = usize>,
    ) -> f64 {
        let n = self.n_outputs;
        let intercept = self.sums.len() / n - 1;
        let mut entries: Vec<(usize, f64)> = Vec::new();
        let mut values: Vec<f64> = Vec::new();
        let mut scores = vec![0.0; n];
        let mut loss = 0.0;
        for row in order {
            entries.clear();
            entries_of(design, row, &mut entries);
            entries.push((intercept, 1.0));
            values.clear();
            scores.fill(0.0);
            for (place, x) in &entries {
                for (output, score) in scores.iter_mut().enumerate() {
                    let value = self.value(place * n + output);
                    values.push(value);
                    *score += value * x;
                }
            }
            let weight = weights.map(|weights| &weights[row..=row]);
            loss += self.loss.residuals(&mut scores, &labels[row..=row], weight);
            for ((place, x), values) in entries.iter().zip(values.chunks_exact(n)) {
                for ((output, residual), value) in scores.iter().enumerate().zip(values) {
                    let at = place * n + output;
                    let gradient = residual * x;
                    let before = self.squares[at];
                    let after = before + gradient * gradient;
                    let moved = (after.sqrt() - before.sqrt()) / self.options.rate;
                    self.sums[at] += gradient - moved * value;
                    self.squares[at] = after;
                }
            }
        }
        loss
    }
}

/// The values of a row that are not 0.
fn entries_of(design: &Design<'_>, row: usize, entries: &mut Vec<(usize, f64)>) {
    for (column, first) in design.placed() {
        add_entries(column, row, first, entries);
    }
}

//! The losses of rows, and their derivatives by the score.

use super::exp::exp;

/// The loss of a row, of its label `y` and its scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// `(s - y)² / 2`.
    Squared,
    /// `ln(1 + e^s) - y s`; `y` is 1 for the positive class, else 0.
    Logistic,
    /// `ln(sum(e^s)) - s_y`; `y` is the index of a class.
    Softmax {
        /// The number of classes.
        n_classes: usize,
    },
    /// `e^s - y s`: half the deviance of Poisson, for `y` of at least 0.
    Poisson,
    /// `y e^-s + s`: half the deviance of Gamma, for `y` above 0.
    Gamma,
    /// `e^((2 - p) s) / (2 - p) - y e^((1 - p) s) / (1 - p)`: half the deviance of Tweedie, for `y` of at least 0.
    Tweedie {
        /// The power of the variance, between 1 and 2.
        power: f64,
    },
}

impl Loss {
    /// The number of scores of a row.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        match self {
            Loss::Softmax { n_classes } => *n_classes,
            _ => 1,
        }
    }

    /// The best scores where no feature is known, for the weighted share of each class (softmax) or the weighted mean
    /// of the labels.
    pub(super) fn intercepts(&self, means: &[f64]) -> Vec<f64> {
        const LEAST: f64 = 1e-12;
        match self {
            Loss::Squared => means.to_vec(),
            Loss::Logistic => means
                .iter()
                .map(|share| {
                    let share = share.clamp(LEAST, 1.0 - LEAST);
                    (share / (1.0 - share)).ln()
                })
                .collect(),
            Loss::Softmax { .. } => {
                let logs: Vec<f64> = means.iter().map(|share| share.max(LEAST).ln()).collect();
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                logs.iter().map(|log| log - mean).collect()
            }
            Loss::Poisson | Loss::Gamma | Loss::Tweedie { .. } => {
                means.iter().map(|mean| mean.max(LEAST).ln()).collect()
            }
        }
    }

    /// The second derivative by each score, there.
    pub(super) fn curvatures(&self, means: &[f64]) -> Vec<f64> {
        let of = |mean: &f64| match self {
            Loss::Squared | Loss::Gamma => 1.0,
            Loss::Logistic | Loss::Softmax { .. } => mean * (1.0 - mean),
            Loss::Poisson => *mean,
            Loss::Tweedie { power } => mean.max(1e-12).powf(2.0 - power),
        };
        means.iter().map(|mean| of(mean).max(1e-6)).collect()
    }

    /// The sum of the rows' losses, weighted; scores `(n_rows, n_outputs)` become the derivatives by them.
    pub(super) fn residuals(
        &self,
        scores: &mut [f64],
        labels: &[f64],
        weights: Option<&[f64]>,
    ) -> f64 {
        match *self {
            Loss::Squared => each(scores, labels, weights, |s, y| {
                (0.5 * (s - y) * (s - y), s - y)
            }),
            Loss::Logistic => match weights {
                None => logistic(scores, labels),
                Some(_) => each(scores, labels, weights, |s, y| {
                    let e = exp(-s.abs());
                    let share = if s >= 0.0 { 1.0 } else { e } / (1.0 + e);
                    (e.ln_1p() + s.max(0.0) - y * s, share - y)
                }),
            },
            Loss::Softmax { n_classes } => softmax(scores, labels, weights, n_classes),
            Loss::Poisson => each(scores, labels, weights, |s, y| {
                let mean = exp(s);
                (mean - y * s, mean - y)
            }),
            Loss::Gamma => each(scores, labels, weights, |s, y| {
                let ratio = y * exp(-s);
                (ratio + s, 1.0 - ratio)
            }),
            Loss::Tweedie { power } => each(scores, labels, weights, |s, y| {
                let (low, high) = (exp((1.0 - power) * s), exp((2.0 - power) * s));
                (
                    high / (2.0 - power) - y * low / (1.0 - power),
                    high - y * low,
                )
            }),
        }
    }
}

fn each(
    scores: &mut [f64],
    labels: &[f64],
    weights: Option<&[f64]>,
    loss: impl Fn(f64, f64) -> (f64, f64),
) -> f64 {
    let mut sum = 0.0;
    match weights {
        None => {
            for (score, label) in scores.iter_mut().zip(labels) {
                let (value, slope) = loss(*score, *label);
                sum += value;
                *score = slope;
            }
        }
        Some(weights) => {
            for ((score, label), weight) in scores.iter_mut().zip(labels).zip(weights) {
                let (value, slope) = loss(*score, *label);
                // A row that does not count must not even where its loss is infinite.
                if *weight > 0.0 {
                    sum += weight * value;
                    *score = weight * slope;
                } else {
                    *score = 0.0;
                }
            }
        }
    }
    sum
}

/// The losses of rows that count the same: the logarithm of a product instead of the sum of logarithms. Each factor
/// `1 + e^-|s|` is at most 2, so 512 of them do not overflow.
fn logistic(scores: &mut [f64], labels: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (scores, labels) in scores.chunks_mut(512).zip(labels.chunks(512)) {
        let mut linear = [0.0; 4];
        let mut product = [1.0; 4];
        for (scores, labels) in scores.chunks_mut(4).zip(labels.chunks(4)) {
            for (((score, label), linear), product) in scores
                .iter_mut()
                .zip(labels)
                .zip(&mut linear)
                .zip(&mut product)
            {
                let e = exp(-score.abs());
                let share = if *score >= 0.0 { 1.0 } else { e } / (1.0 + e);
                *linear += score.max(0.0) - label * *score;
                *product *= 1.0 + e;
                *score = share - label;
            }
        }
        sum += linear.iter().sum::<f64>() + product.iter().map(|part| part.ln()).sum::<f64>();
    }
    sum
}

fn softmax(scores: &mut [f64], labels: &[f64], weights: Option<&[f64]>, n_classes: usize) -> f64 {
    let mut sum = 0.0;
    for (row, (scores, label)) in scores.chunks_exact_mut(n_classes).zip(labels).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        let class = *label as usize;
        let highest = scores
            .iter()
            .fold(f64::NEG_INFINITY, |high, s| high.max(*s));
        let own = scores[class] - highest;
        let mut total = 0.0;
        for score in scores.iter_mut() {
            *score = exp(*score - highest);
            total += *score;
        }
        let factor = weight / total;
        for score in scores.iter_mut() {
            *score *= factor;
        }
        scores[class] -= weight;
        if weight > 0.0 {
            sum += weight * (total.ln() - own);
        }
    }
    sum
}

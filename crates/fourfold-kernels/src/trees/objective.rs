//! The losses that boosting minimizes.

use std::sync::{Mutex, PoisonError};

use super::histogram::Pair;
use crate::parallel;

/// A loss, with its link: how scores become predictions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// Squared error; predictions are the scores.
    Squared,
    /// Absolute error: medians.
    Absolute,
    /// The pinball loss of a quantile, above 0 and below 1.
    Quantile(f64),
    /// The Poisson deviance of labels of 0 and more; predictions are `exp(score)`.
    Poisson,
    /// The Gamma deviance of labels above 0; predictions are `exp(score)`.
    Gamma,
    /// The Tweedie deviance of labels of 0 and more, with a variance power above 1 and below 2; predictions are
    /// `exp(score)`.
    Tweedie(f64),
    /// The log loss of labels 0 and 1; predictions are `1 / (1 + exp(-score))`.
    Binary,
    /// The log loss of a number of classes, labelled from 0; predictions are the softmax of the scores.
    Classes(usize),
}

impl Objective {
    /// The number of scores of a row.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        match self {
            Objective::Classes(n) => *n,
            _ => 1,
        }
    }

    /// The constant scores of the least loss.
    pub(super) fn initial(&self, labels: &[f64], weights: Option<&[f64]>) -> Vec<f64> {
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let mean = |value: &dyn Fn(f64) -> f64| {
            let rows = labels.iter().enumerate();
            let (sum, total) = rows.fold((0.0, 0.0), |(sum, total), (row, label)| {
                (sum + weight(row) * value(*label), total + weight(row))
            });
            if total > 0.0 { sum / total } else { 0.0 }
        };
        match self {
            Objective::Squared => vec![mean(&|label| label)],
            Objective::Absolute | Objective::Quantile(_) => {
                let mut values: Vec<(f64, f64)> = labels
                    .iter()
                    .enumerate()
                    .map(|(row, label)| (*label, weight(row)))
                    .collect();
                vec![quantile(&mut values, self.level())]
            }
            Objective::Poisson | Objective::Gamma | Objective::Tweedie(_) => {
                vec![mean(&|label| label).max(1e-12).ln()]
            }
            Objective::Binary => {
                let share = mean(&|label| label).clamp(1e-12, 1.0 - 1e-12);
                vec![(share / (1.0 - share)).ln()]
            }
            Objective::Classes(n) => {
                let share =
                    |class: usize| mean(&|label| f64::from(u8::from(label == class as f64)));
                (0..*n).map(|class| share(class).max(1e-12).ln()).collect()
            }
        }
    }

    fn level(&self) -> f64 {
        match self {
            Objective::Quantile(level) => *level,
            _ => 0.5,
        }
    }

    /// Returns true if leaves answer with a quantile of what is left to predict, not with a Newton step.
    pub(super) fn renews(&self) -> bool {
        matches!(self, Objective::Absolute | Objective::Quantile(_))
    }

    /// Returns whether a label is the class of an output, if scores are log odds.
    pub(super) fn is_positive(&self, output: usize) -> Option<impl Fn(f64) -> bool + use<>> {
        let class = match self {
            Objective::Binary => 1.0,
            Objective::Classes(_) => output as f64,
            _ => return None,
        };
        Some(move |label| label == class)
    }

    /// The answer of a leaf whose rows are `residuals` (and their weights) off.
    pub(super) fn renewed(&self, residuals: &mut [(f64, f64)]) -> f64 {
        quantile(residuals, self.level())
    }

    /// The gradient and Hessian of each row for one output. `scores` are that output's; `totals` are the logs of the
    /// sums of the exponentials of all outputs of a row, needed for classes.
    pub(super) fn gradients(
        &self,
        output: usize,
        scores: &[f64],
        totals: &[f64],
        (labels, weights): (&[f64], Option<&[f64]>),
        gradients: &mut [Pair],
        threads: usize,
    ) {
        let parts = parallel::parts(scores.len(), 1 << 15, 256);
        let mut pieces = Vec::with_capacity(parts.len());
        let mut left = gradients;
        for part in parts {
            let (mine, others) = left.split_at_mut(part.len());
            pieces.push((part, Mutex::new(mine)));
            left = others;
        }
        parallel::map(&pieces, threads, |(part, gradients)| {
            let mut gradients = gradients.lock().unwrap_or_else(PoisonError::into_inner);
            let rows = scores[part.clone()].iter().zip(&labels[part.clone()]);
            let rows = gradients.iter_mut().zip(rows);
            match self {
                Objective::Squared => {
                    rows.for_each(|(pair, (score, label))| *pair = [(score - label) as f32, 1.0]);
                }
                Objective::Absolute | Objective::Quantile(_) => {
                    let level = self.level() as f32;
                    rows.for_each(|(pair, (score, label))| {
                        *pair = [if score > label { 1.0 - level } else { -level }, 1.0];
                    });
                }
                Objective::Poisson => rows.for_each(|(pair, (score, label))| {
                    let rate = exp(*score as f32);
                    // A larger Hessian keeps the steps small where rates are (LightGBM's `poisson_max_delta_step`).
                    *pair = [rate - *label as f32, rate * POISSON_DAMPING];
                }),
                Objective::Gamma => rows.for_each(|(pair, (score, label))| {
                    let ratio = *label as f32 * exp(-*score as f32);
                    *pair = [1.0 - ratio, ratio];
                }),
                Objective::Tweedie(power) => {
                    let power = *power as f32;
                    rows.for_each(|(pair, (score, label))| {
                        let (score, label) = (*score as f32, *label as f32);
                        let low = label * exp((1.0 - power) * score);
                        let high = exp((2.0 - power) * score);
                        *pair = [high - low, (2.0 - power) * high - (1.0 - power) * low];
                    });
                }
                Objective::Binary => rows.for_each(|(pair, (score, label))| {
                    let share = 1.0 / (1.0 + exp(-*score as f32));
                    *pair = [share - *label as f32, (share * (1.0 - share)).max(1e-16)];
                }),
                Objective::Classes(n) => {
                    let factor = *n as f32 / (*n as f32 - 1.0).max(1.0);
                    for ((pair, (score, label)), total) in rows.zip(&totals[part.clone()]) {
                        let share = exp((score - total) as f32);
                        let truth = if *label == output as f64 { 1.0 } else { 0.0 };
                        *pair = [share - truth, (factor * share * (1.0 - share)).max(1e-16)];
                    }
                }
            }
            if let Some(weights) = weights {
                for (pair, weight) in gradients.iter_mut().zip(&weights[part.clone()]) {
                    let weight = *weight as f32;
                    *pair = [pair[0] * weight, pair[1] * weight];
                }
            }
        });
    }

    /// For each row, the log of the sum of the exponentials of its scores, which stand output by output.
    pub(super) fn totals(&self, scores: &[f64], n_rows: usize, threads: usize) -> Vec<f64> {
        let Objective::Classes(n) = self else {
            return Vec::new();
        };
        let parts = parallel::parts(n_rows, 1 << 13, 256);
        let totals = parallel::map(&parts, threads, |part| {
            let of =
                |output: usize| &scores[output * n_rows + part.start..output * n_rows + part.end];
            let mut highest = of(0).to_vec();
            for output in 1..*n {
                highest
                    .iter_mut()
                    .zip(of(output))
                    .for_each(|(high, score)| *high = high.max(*score));
            }
            let mut sums = vec![0.0_f32; part.len()];
            for output in 0..*n {
                let scores = of(output).iter().zip(&highest);
                sums.iter_mut()
                    .zip(scores)
                    .for_each(|(sum, (score, high))| *sum += exp((score - high) as f32));
            }
            let sums = highest.iter().zip(sums);
            sums.map(|(high, sum)| high + f64::from(sum).ln())
                .collect::<Vec<f64>>()
        });
        totals.concat()
    }

    /// The weighted mean loss.
    pub(super) fn loss(
        &self,
        scores: &[f64],
        labels: &[f64],
        weights: Option<&[f64]>,
        threads: usize,
    ) -> f64 {
        let n_rows = labels.len();
        let totals = self.totals(scores, n_rows, threads);
        let parts = parallel::parts(n_rows, 1 << 13, 256);
        let sums = parallel::map(&parts, threads, |part| {
            let mut sum = (0.0, 0.0);
            for row in part.clone() {
                let weight = weights.map_or(1.0, |weights| weights[row]);
                let loss = self.loss_of(row, n_rows, scores, &totals, labels[row]);
                sum = (sum.0 + weight * loss, sum.1 + weight);
            }
            sum
        });
        let (loss, weight) = sums
            .iter()
            .fold((0.0, 0.0), |all, sum| (all.0 + sum.0, all.1 + sum.1));
        loss / weight
    }

    fn loss_of(
        &self,
        row: usize,
        n_rows: usize,
        scores: &[f64],
        totals: &[f64],
        label: f64,
    ) -> f64 {
        let score = scores[row];
        match self {
            Objective::Squared => (score - label) * (score - label),
            Objective::Absolute => (score - label).abs(),
            Objective::Quantile(level) => {
                let off = label - score;
                if off >= 0.0 {
                    level * off
                } else {
                    (level - 1.0) * off
                }
            }
            Objective::Poisson => score.exp() - label * score,
            Objective::Gamma => label * (-score).exp() + score,
            Objective::Tweedie(power) => {
                ((2.0 - power) * score).exp() / (2.0 - power)
                    - label * ((1.0 - power) * score).exp() / (1.0 - power)
            }
            // log(1 + exp(score)) - label * score
            Objective::Binary => score.max(0.0) + (-score.abs()).exp().ln_1p() - label * score,
            Objective::Classes(n) => {
                let class = (label as usize).min(n - 1);
                totals[row] - scores[class * n_rows + row]
            }
        }
    }
}

/// exp(0.7)
const POISSON_DAMPING: f32 = 2.013_752_7;

/// The least value such that those up to it have `level` of the weight: of (value, weight) pairs.
fn quantile(values: &mut [(f64, f64)], level: f64) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let (mut below, wanted) = (0.0, total * level);
    for (at, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > wanted {
            return *value;
        }
        if below == wanted {
            let next = values[at + 1..].iter().find(|(_, weight)| *weight > 0.0);
            return next.map_or(*value, |(next, _)| (value + next) / 2.0);
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}

/// The exponential, to some 1e-7 of it, without a branch: a compiler makes four or eight at a time of it.
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for factor in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        sum = sum * r + factor;
    }
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    (sum * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_near() {
        for at in -8700..8800 {
            let x = at as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) > 0.0 && exp(1e30).is_finite());
    }

    #[test]
    fn quantiles_by_weight() {
        let median = |values: &[f64]| {
            quantile(
                &mut values.iter().map(|v| (*v, 1.0)).collect::<Vec<_>>(),
                0.5,
            )
        };
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(&mut [(1.0, 3.0), (5.0, 1.0)], 0.5), 1.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn gradients_are_slopes_of_the_loss() {
        let labels = [1.0, 0.0, 1.0];
        let all = [
            Objective::Squared,
            Objective::Poisson,
            Objective::Gamma,
            Objective::Tweedie(1.5),
            Objective::Binary,
            Objective::Quantile(0.3),
        ];
        for objective in all {
            for (row, label) in labels.iter().enumerate() {
                for score in [-1.3, 0.2, 2.1] {
                    let loss = |score: f64| objective.loss(&[score], &[*label], None, 1);
                    let slope = (loss(score + 1e-5) - loss(score - 1e-5)) / 2e-5;
                    let mut gradients = [[0.0; 2]];
                    objective.gradients(
                        0,
                        &[score],
                        &[],
                        (&labels[row..=row], None),
                        &mut gradients,
                        1,
                    );
                    // Half the squared error.
                    let slope = if objective == Objective::Squared {
                        slope / 2.0
                    } else {
                        slope
                    };
                    assert!(
                        (f64::from(gradients[0][0]) - slope).abs() < 1e-4,
                        "{objective:?} {score} {label}"
                    );
                }
            }
        }
        let classes = Objective::Classes(3);
        let scores = [0.1, -0.4, 0.9];
        let totals = classes.totals(&scores, 1, 1);
        for output in 0..3 {
            let loss = |shift: f64| {
                let mut scores = scores;
                scores[output] += shift;
                classes.loss(&scores, &[2.0], None, 1)
            };
            let slope = (loss(1e-3) - loss(-1e-3)) / 2e-3;
            let mut gradients = [[0.0; 2]];
            classes.gradients(
                output,
                &scores[output..=output],
                &totals,
                (&[2.0], None),
                &mut gradients,
                1,
            );
            assert!((f64::from(gradients[0][0]) - slope).abs() < 1e-4);
        }
    }
}

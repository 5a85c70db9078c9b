//! The fit of a linear model of any loss.

use std::ops::{ControlFlow, Range};

use super::design::Design;
use super::lbfgs::{Limits, Stop, minimize};
use super::loss::Loss;
use super::moments::{Moments, add};
use crate::parallel;

/// Rows of a block: its scores stay in the processor's first cache.
const BLOCK: usize = 1_024;

/// The objective, minimized by weights `w` and intercepts `b`:
/// `sum(weight * loss) / sum(weight) + l2 / 2 * |w|² + l1 * |w|`. Intercepts are not penalized.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The features.
    pub design: &'a Design<'a>,
    /// The label of each row, as the loss has it.
    pub labels: &'a [f64],
    /// The weights of the rows, at least 0 and not all 0; `None` where all are equal.
    pub weights: Option<&'a [f64]>,
    /// The loss of a row.
    pub loss: Loss,
    /// The weight of half the squared weights.
    pub l2: f64,
    /// The weight of the absolute weights.
    pub l1: f64,
}

/// When to end, and on how many threads; the result is the same on any number.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most iterations.
    pub max_iterations: usize,
    /// Ends when no component of the gradient is longer, each feature scaled to a curvature of 1.
    pub tolerance: f64,
    /// The threads that work at once.
    pub threads: usize,
}

/// The coefficients of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    /// `(width, n_outputs)`: for each expanded feature the weights of all outputs.
    pub weights: Vec<f64>,
    /// `(n_outputs)`.
    pub intercepts: Vec<f64>,
}

impl Coefficients {
    /// Shifts coefficients so that scores sum to 0, which keeps the shares of classes: no penalty is less.
    fn centre(&mut self) {
        let n_outputs = self.intercepts.len();
        let rows = self.weights.chunks_exact_mut(n_outputs);
        for row in rows.chain([self.intercepts.as_mut_slice()]) {
            let mean = row.iter().sum::<f64>() / n_outputs as f64;
            row.iter_mut().for_each(|value| *value -= mean);
        }
    }
}

/// A fitted model.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The coefficients that were found.
    pub coefficients: Coefficients,
    /// The weighted mean of each expanded feature.
    pub means: Vec<f64>,
    /// The value that was minimized, there.
    pub value: f64,
    /// The iterations.
    pub iterations: usize,
    /// The passes over the rows.
    pub evaluations: usize,
    /// The reason why it ended.
    pub stop: Stop,
}

/// Fits a model; from a given start, where there is one. `watch` is asked before every pass over the rows, with the
/// iterations done and the lowest value so far, and ends the fit by breaking.
///
/// The solver works in features of mean 0 and curvature 1, so that its steps do not depend on their units.
pub fn fit(
    problem: &Problem<'_>,
    start: Option<&Coefficients>,
    options: Options,
    watch: impl FnMut(usize, f64) -> ControlFlow<()>,
) -> Fit {
    let threads = options.threads;
    let pass = Pass::new(problem, threads);
    let means = pass.label_means();
    let moments = Moments::of(problem.design, problem.weights, pass.total, threads);
    let scale = Scale::new(problem, &moments, &means);
    let start = match start {
        Some(start) => scale.enter(start),
        None => {
            let mut start = vec![0.0; scale.divisors.len()];
            start.extend(problem.loss.intercepts(&means));
            start
        }
    };
    let l1: Option<Vec<f64>> = (problem.l1 > 0.0).then(|| {
        let weights = scale.divisors.iter().map(|divisor| problem.l1 / divisor);
        let intercepts = means.iter().map(|_| 0.0);
        weights.chain(intercepts).collect()
    });
    let limits = Limits {
        max_iterations: options.max_iterations,
        tolerance: options.tolerance,
    };
    let value = |x: &[f64], gradient: &mut [f64]| {
        let coefficients = scale.leave(x);
        let value = pass.value_and_gradient(&coefficients, gradient);
        scale.pull_back(gradient);
        value
    };
    let found = minimize(start, l1.as_deref(), limits, value, watch);
    let mut coefficients = scale.leave(&found.x);
    if matches!(problem.loss, Loss::Softmax { .. }) && problem.l1 == 0.0 {
        coefficients.centre();
    }
    Fit {
        coefficients,
        means: scale.centres,
        value: found.value,
        iterations: found.iterations,
        evaluations: found.evaluations,
        stop: found.stop,
    }
}

/// The objective at some coefficients, with its gradient by weights and intercepts (without that of the L1 part).
#[must_use]
pub fn objective(
    problem: &Problem<'_>,
    coefficients: &Coefficients,
    threads: usize,
) -> (f64, Vec<f64>) {
    let mut gradient = vec![0.0; coefficients.weights.len() + coefficients.intercepts.len()];
    let value = Pass::new(problem, threads).value_and_gradient(coefficients, &mut gradient);
    let l1: f64 = coefficients.weights.iter().map(|weight| weight.abs()).sum();
    (value + problem.l1 * l1, gradient)
}

/// One pass over the rows.
struct Pass<'a> {
    problem: &'a Problem<'a>,
    total: f64,
    parts: Vec<Range<usize>>,
    threads: usize,
}

impl<'a> Pass<'a> {
    fn new(problem: &'a Problem<'a>, threads: usize) -> Self {
        let n_rows = problem.design.n_rows();
        let size = problem.design.width() * problem.loss.n_outputs();
        // Each part has a gradient of its own.
        let most = if size > 1 << 17 { 8 } else { 32 };
        Pass {
            problem,
            total: match problem.weights {
                Some(weights) => weights.iter().sum(),
                None => n_rows as f64,
            },
            parts: parallel::parts(n_rows, 8_192, most),
            threads,
        }
    }

    /// The weighted mean label; the weighted share of each class for softmax.
    fn label_means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.problem.loss.n_outputs()];
        for (row, label) in self.problem.labels.iter().enumerate() {
            let weight = self.problem.weights.map_or(1.0, |weights| weights[row]);
            match self.problem.loss {
                Loss::Softmax { .. } => means[*label as usize] += weight,
                _ => means[0] += weight * label,
            }
        }
        means.iter_mut().for_each(|mean| *mean /= self.total);
        means
    }

    fn value_and_gradient(&self, coefficients: &Coefficients, gradient: &mut [f64]) -> f64 {
        let problem = self.problem;
        let n_outputs = coefficients.intercepts.len();
        let results = parallel::map(&self.parts, self.threads, |part| {
            let mut sums = vec![0.0; gradient_len(coefficients)];
            let (by_weights, by_intercepts) = sums.split_at_mut(coefficients.weights.len());
            let mut value = 0.0;
            let mut buffer = vec![0.0; BLOCK.min(part.len()) * n_outputs];
            for start in part.clone().step_by(BLOCK) {
                let rows = start..(start + BLOCK).min(part.end);
                let scores = &mut buffer[..rows.len() * n_outputs];
                for row in scores.chunks_exact_mut(n_outputs) {
                    row.copy_from_slice(&coefficients.intercepts);
                }
                let weights = &coefficients.weights;
                problem
                    .design
                    .add_scores(rows.clone(), weights, n_outputs, scores);
                let labels = &problem.labels[rows.clone()];
                let row_weights = problem.weights.map(|weights| &weights[rows.clone()]);
                value += problem.loss.residuals(scores, labels, row_weights);
                for row in scores.chunks_exact(n_outputs) {
                    add(by_intercepts, row);
                }
                problem
                    .design
                    .add_gradient(rows, scores, n_outputs, by_weights);
            }
            (value, sums)
        });
        gradient.fill(0.0);
        let mut value = 0.0;
        for (part, sums) in results {
            value += part;
            add(gradient, &sums);
        }
        gradient.iter_mut().for_each(|sum| *sum /= self.total);
        let mut squares = 0.0;
        for (gradient, weight) in gradient.iter_mut().zip(&coefficients.weights) {
            *gradient += problem.l2 * weight;
            squares += weight * weight;
        }
        value / self.total + 0.5 * problem.l2 * squares
    }
}

fn gradient_len(coefficients: &Coefficients) -> usize {
    coefficients.weights.len() + coefficients.intercepts.len()
}

/// Conversion of coefficients to the solver's unknowns and back: those of features `(x - centre) / divisor`.
struct Scale {
    centres: Vec<f64>,
    /// `(width, n_outputs)`.
    divisors: Vec<f64>,
    n_outputs: usize,
}

impl Scale {
    fn new(problem: &Problem<'_>, moments: &Moments, means: &[f64]) -> Self {
        let curvatures = problem.loss.curvatures(means);
        let mut divisors = Vec::with_capacity(moments.variances.len() * means.len());
        for variance in &moments.variances {
            divisors.extend(curvatures.iter().map(|curvature| {
                let divisor = (curvature * variance + problem.l2).sqrt();
                if divisor > 0.0 && divisor.is_finite() {
                    divisor
                } else {
                    1.0
                }
            }));
        }
        Scale {
            centres: moments.means.clone(),
            divisors,
            n_outputs: means.len(),
        }
    }

    /// `b += sign * sum(w * centre)`.
    fn shift(&self, weights: &[f64], intercepts: &mut [f64], sign: f64) {
        for (weights, centre) in weights.chunks_exact(self.n_outputs).zip(&self.centres) {
            for (intercept, weight) in intercepts.iter_mut().zip(weights) {
                *intercept += sign * weight * centre;
            }
        }
    }

    fn enter(&self, coefficients: &Coefficients) -> Vec<f64> {
        let weights = &coefficients.weights;
        let mut intercepts = coefficients.intercepts.clone();
        self.shift(weights, &mut intercepts, 1.0);
        let scaled = weights.iter().zip(&self.divisors);
        scaled
            .map(|(weight, divisor)| weight * divisor)
            .chain(intercepts)
            .collect()
    }

    fn leave(&self, x: &[f64]) -> Coefficients {
        let (scaled, intercepts) = x.split_at(self.divisors.len());
        let scaled = scaled.iter().zip(&self.divisors);
        let weights: Vec<f64> = scaled.map(|(x, divisor)| x / divisor).collect();
        let mut intercepts = intercepts.to_vec();
        self.shift(&weights, &mut intercepts, -1.0);
        Coefficients {
            weights,
            intercepts,
        }
    }

    /// The gradient by coefficients becomes that by the solver's unknowns.
    fn pull_back(&self, gradient: &mut [f64]) {
        let (by_weights, by_intercepts) = gradient.split_at_mut(self.divisors.len());
        let places = by_weights
            .chunks_exact_mut(self.n_outputs)
            .zip(self.divisors.chunks_exact(self.n_outputs))
            .zip(&self.centres);
        for ((gradient, divisors), centre) in places {
            for output in 0..self.n_outputs {
                gradient[output] =
                    (gradient[output] - centre * by_intercepts[output]) / divisors[output];
            }
        }
    }
}

//! Rows as a linear model learns from them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use fourfold_kernels::linear::{Coefficients, Design, Loss, Options, Problem, Stop, fit};
use ndarray::{Array1, Array2};

use super::{Dataset, Table, TrainArgs, Trained};
use crate::error::Result;
use crate::features::Takes;
use crate::model::{LinearModel, Link, Predict};
use crate::warning::Warning;

/// The features that linear trainers take: columns of finite numbers, and of codes.
pub(super) const TAKES: Takes = Takes {
    missing: false,
    ..Takes::CODES
};

/// Features, labels and weights of a dataset, held in memory.
pub(super) struct LinearRows {
    table: Table,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
}

/// The tolerance of the iterative solver, and the penalty that it adds to the weighted mean loss.
pub(super) struct Solver {
    pub(super) loss: Loss,
    pub(super) link: Link,
    pub(super) l2: f64,
    pub(super) l1: f64,
    pub(super) max_iterations: usize,
    pub(super) tolerance: f64,
}

impl LinearRows {
    /// Reads all rows, if a solver with `n_outputs` outputs has the memory for them.
    pub(super) fn read(args: &TrainArgs, n_outputs: usize) -> Result<Self> {
        /// Vectors of the solver: of the last steps, of the search.
        const VECTORS: u64 = 24;
        let rows = args.train();
        let coefficients = (rows.n_features() as u64).saturating_mul(n_outputs as u64);
        let of_solver = coefficients.saturating_mul(8 * VECTORS);
        let of_labels = 16 * rows.n_rows() as u64;
        args.check_memory(rows.table_bytes(TAKES) + of_labels + of_solver)?;
        LinearRows::of(rows)
    }

    fn of(dataset: &Dataset) -> Result<Self> {
        let table = dataset.table(TAKES)?;
        Ok(LinearRows {
            labels: table.labels().to_vec(),
            weights: table.weights().map(|weights| weights.to_vec()),
            table,
        })
    }

    pub(super) fn labels(&self) -> &[f64] {
        &self.labels
    }

    pub(super) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The sum of the rows' weights.
    pub(super) fn total(&self) -> f64 {
        match &self.weights {
            Some(weights) => weights.iter().sum(),
            None => self.labels.len() as f64,
        }
    }

    /// The columns as factors; the expanded features are those of the model.
    pub(super) fn design(&self) -> Design<'_> {
        Design::new(self.table.features().columns()).with_rows(self.labels.len())
    }

    pub(super) fn model(link: Link, found: &Coefficients, means: Vec<f64>) -> Result<LinearModel> {
        let n_outputs = found.intercepts.len();
        let weights = Array2::from_shape_fn((n_outputs, means.len()), |(output, feature)| {
            found.weights[feature * n_outputs + output]
        });
        let intercepts = Array1::from(found.intercepts.clone());
        LinearModel::new(link, &weights, &intercepts)?.with_means(means)
    }

    /// Fits a model by the iterative solver: from the previous model, where there is one of the same shape.
    pub(super) fn fit(&self, args: &TrainArgs, solver: &Solver) -> Result<Trained<LinearModel>> {
        let problem = Problem {
            design: &self.design(),
            labels: &self.labels,
            weights: self.weights(),
            loss: solver.loss,
            l2: solver.l2,
            l1: solver.l1,
        };
        let options = Options {
            max_iterations: solver.max_iterations,
            tolerance: solver.tolerance,
            threads: args.threads(),
        };
        let start = Start::of(args, solver.link, solver.loss.n_outputs());
        let coefficients = start.as_ref().map(|start| &start.coefficients);
        let mut curve = Vec::new();
        let fitted = fit(&problem, coefficients, options, |iteration, value| {
            if iteration > curve.len() {
                curve.push(value);
                args.progress().advance(iteration as u64, None);
            }
            match args.cancellation().is_cancelled() && value.is_finite() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if fitted.iterations > curve.len() {
            curve.push(fitted.value);
        }
        let mut trained = Trained::new(LinearRows::model(
            solver.link,
            &fitted.coefficients,
            fitted.means,
        )?);
        if let Some(warning) = start.and_then(|start| start.warning) {
            trained = trained.with_warning(warning);
        }
        for (at, value) in curve.iter().enumerate() {
            trained = trained.with_point("train_objective", at as u64 + 1, *value);
        }
        let warning = match fitted.stop {
            Stop::Converged => return Ok(trained),
            Stop::Iterations => (
                "not_converged",
                format!("not at the minimum after {} iterations", fitted.iterations),
            ),
            Stop::Cancelled => (
                "cancelled",
                format!(
                    "cancelled after {} iterations, the model is the best so far",
                    fitted.iterations
                ),
            ),
        };
        Ok(trained.with_warning(Warning::new("train", warning.0, warning.1)))
    }
}

/// The start of a training: the previous model's coefficients of each feature, found by name.
pub(super) struct Start {
    pub(super) coefficients: Coefficients,
    /// The warning about features that the previous model does not have.
    pub(super) warning: Option<Warning>,
}

impl Start {
    /// The start from the previous model, if there is one of the same link and outputs. A new feature starts at 0,
    /// and coefficients of features that are gone are left out: the selective warm start of the TFX paper (Baylor and
    /// others, KDD 2017).
    pub(super) fn of(args: &TrainArgs, link: Link, n_outputs: usize) -> Option<Self> {
        let (model, names) = args.warm_start_by_name::<LinearModel>()?;
        let fits = model.link() == link
            && model.n_outputs() == n_outputs
            && model.n_features() == names.len();
        if !fits {
            return None;
        }
        let places: HashMap<&str, usize> = names
            .iter()
            .enumerate()
            .map(|(place, name)| (name.as_str(), place))
            .collect();
        let features = args.train().feature_names();
        let mut n_new = 0;
        let mut weights = Vec::with_capacity(features.len() * n_outputs);
        for name in features {
            match places.get(name.as_str()) {
                Some(place) => weights.extend(model.weights().iter().map(|of| of[*place])),
                None => {
                    n_new += 1;
                    weights.extend(std::iter::repeat_n(0.0, n_outputs));
                }
            }
        }
        let n_gone = names.len() + n_new - features.len();
        let warning = (n_new + n_gone > 0).then(|| {
            let message = format!(
                "training starts from the serving model by the features' names: {n_new} of {} are new, {n_gone} no longer exist",
                features.len()
            );
            Warning::new("train", "warm_start_by_name", message)
        });
        Some(Start {
            coefficients: Coefficients {
                weights,
                intercepts: model.intercepts().to_vec(),
            },
            warning,
        })
    }
}

//! Rows as a linear model learns from them.

use std::ops::ControlFlow;

use fourfold_kernels::linear::{Coefficients, Design, Loss, Options, Problem, Stop, fit};
use ndarray::{Array1, Array2};

use super::{Dataset, Table, TrainArgs, Trained};
use crate::error::Result;
use crate::features::Takes;
use crate::model::{LinearModel, Link, Predict};
use crate::warning::Warning;

/// What linear trainers take: columns of finite numbers, and of codes.
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

/// How the iterative solver ends, and what it penalizes beside the weighted mean loss.
pub(super) struct Solver {
    pub(super) loss: Loss,
    pub(super) link: Link,
    pub(super) l2: f64,
    pub(super) l1: f64,
    pub(super) max_iterations: usize,
    pub(super) tolerance: f64,
}

impl LinearRows {
    pub(super) fn of(dataset: &Dataset) -> Result<Self> {
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

    /// The coefficients of a previous model, feature by feature.
    pub(super) fn coefficients(model: &LinearModel) -> Coefficients {
        let features = 0..model.n_features();
        Coefficients {
            weights: features
                .flat_map(|feature| model.weights().iter().map(move |output| output[feature]))
                .collect(),
            intercepts: model.intercepts().to_vec(),
        }
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
        let shape = (solver.link, problem.design.width(), solver.loss.n_outputs());
        let start = args
            .warm_start::<LinearModel>()
            .filter(|model| (model.link(), model.n_features(), model.n_outputs()) == shape)
            .map(LinearRows::coefficients);
        let mut curve = Vec::new();
        let fitted = fit(&problem, start.as_ref(), options, |iteration, value| {
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

//! Rows as a linear model learns from them.

use std::ops::ControlFlow;

use fourfold_kernels::linear::{
    Coefficients, Compressed, Design, Loss, Options, Problem, Stop, fit,
};
use ndarray::{Array1, Array2};

use super::{Dataset, TrainArgs, Trained};
use crate::error::{Error, Result};
use crate::model::{LinearModel, Link, Predict};
use crate::warning::Warning;

/// Features, labels and weights of a dataset, held in memory.
pub(super) struct LinearRows {
    columns: Compressed,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
    n_features: usize,
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
    pub(super) fn of(dataset: &Dataset, threads: usize) -> Result<Self> {
        let matrix = dataset.matrix()?;
        let weights = matrix.weights().map(|weights| weights.to_vec());
        let (features, labels) = matrix.into_parts();
        let n_features = features.ncols();
        let rows = features
            .as_slice()
            .ok_or_else(|| Error::internal("a feature matrix that is not stored row by row"))?;
        Ok(LinearRows {
            columns: Compressed::from_rows(rows, n_features, threads),
            labels: labels.to_vec(),
            weights,
            n_features,
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

    pub(super) fn design(&self) -> Design<'_> {
        self.columns.design().with_rows(self.labels.len())
    }

    /// A model of weights in the order of the design.
    pub(super) fn model(&self, link: Link, found: &Coefficients) -> Result<LinearModel> {
        let n_outputs = found.intercepts.len();
        let mut weights = Array2::zeros((n_outputs, self.n_features));
        let rows = found.weights.chunks_exact(n_outputs);
        for (outputs, feature) in rows.zip(self.columns.order()) {
            for (to, weight) in weights.column_mut(*feature).iter_mut().zip(outputs) {
                *to = *weight;
            }
        }
        LinearModel::new(link, &weights, &Array1::from(found.intercepts.clone()))
    }

    /// The coefficients of a model of the same features and link, in the order of the design.
    fn coefficients(&self, model: &LinearModel, link: Link) -> Option<Coefficients> {
        if model.link() != link || model.n_features() != self.n_features {
            return None;
        }
        let order = self.columns.order().iter();
        Some(Coefficients {
            weights: order
                .flat_map(|feature| model.weights().iter().map(|output| output[*feature]))
                .collect(),
            intercepts: model.intercepts().to_vec(),
        })
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
        let start = args
            .warm_start::<LinearModel>()
            .and_then(|model| self.coefficients(model, solver.link))
            .filter(|start| start.intercepts.len() == solver.loss.n_outputs());
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
        let mut trained = Trained::new(self.model(solver.link, &fitted.coefficients)?);
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

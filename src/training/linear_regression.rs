//! Linear regression, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use ndarray::{Array1, Array2, ArrayView1, Axis, ShapeBuilder, Zip, arr1};
use serde::{Deserialize, Serialize};

use super::{TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{LinearModel, Link, Target};
use crate::stage::Stage;

/// Linear regression with an elastic-net penalty, solved by coordinate descent (`linfa-elasticnet`).
///
/// A small penalty keeps the answer finite where features depend on each other, as the columns of a one-hot
/// encoding do. It works best on scaled features. Deterministic; one thread; holds the feature matrix in memory,
/// in double precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearRegression {
    penalty: f64,
    l1_ratio: f64,
    max_iterations: u32,
    tolerance: f64,
}

impl Default for LinearRegression {
    /// Penalty 1e-4, all of it L2 (ridge), at most 1,000 iterations, tolerance 1e-4.
    fn default() -> Self {
        LinearRegression {
            penalty: 1e-4,
            l1_ratio: 0.0,
            max_iterations: 1_000,
            tolerance: 1e-4,
        }
    }
}

impl LinearRegression {
    /// The weight of the penalty beside half the mean squared error; 1e-4 unless told.
    #[must_use]
    pub fn penalty(mut self, penalty: f64) -> Self {
        self.penalty = penalty;
        self
    }

    /// The L1 share of the penalty: 0 is ridge, 1 is lasso; 0 unless told.
    #[must_use]
    pub fn l1_ratio(mut self, ratio: f64) -> Self {
        self.l1_ratio = ratio;
        self
    }

    /// The most rounds over all features; 1,000 unless told.
    #[must_use]
    pub fn max_iterations(mut self, n: u32) -> Self {
        self.max_iterations = n;
        self
    }
}

impl Stage for LinearRegression {
    fn name(&self) -> &str {
        "linear_regression"
    }

    fn check(&self) -> Result<()> {
        if !(self.penalty.is_finite() && self.penalty >= 0.0) {
            return Err(Error::config(format!(
                "`penalty` is {}, must be a finite number of at least 0",
                self.penalty
            )));
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::config(format!(
                "`l1_ratio` is {}, must be from 0 to 1",
                self.l1_ratio
            )));
        }
        if self.max_iterations == 0 {
            return Err(Error::config("`max_iterations` is 0, must be at least 1"));
        }
        Ok(())
    }
}

impl Trainer for LinearRegression {
    type Model = LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        if !matches!(args.target(), Target::Regression { .. }) {
            return Err(Error::config(format!(
                "label `{}` makes a {} task, linear regression predicts numbers",
                args.target().label(),
                args.target().task()
            )));
        }
        let matrix = args.train().matrix()?;
        // Of mean 1, so that the penalty weighs as much as it did.
        let weights = matrix.weights().map(|weights| {
            let mean = weights.mean().unwrap_or(1.0);
            weights.mapv(|weight| weight / mean)
        });
        let (features, labels) = matrix.into_parts();
        // Labels of any unit: the solver sees mean 0 and standard deviation 1.
        let mean_of = |values: ArrayView1<'_, f64>| match &weights {
            Some(weights) => values.dot(weights) / weights.sum(),
            None => values.mean().unwrap_or_default(),
        };
        let mean = mean_of(labels.view());
        let spread = mean_of(labels.mapv(|label| (label - mean).powi(2)).view()).sqrt();
        let spread = if spread > 0.0 && spread.is_finite() {
            spread
        } else {
            1.0
        };
        let mut scaled = labels.mapv(|label| (label - mean) / spread);
        // Coordinate descent walks along columns.
        let mut columns = Array2::zeros(features.dim().f());
        Zip::from(&mut columns)
            .and(&features)
            .for_each(|to, from| *to = f64::from(*from));
        drop(features);
        // Least squares with weights are those of rows that are scaled by the weights' roots, around the weighted means.
        let mut centre = Array1::zeros(columns.ncols());
        if let Some(weights) = &weights {
            let roots = weights.mapv(f64::sqrt);
            for (mut column, centre) in columns.columns_mut().into_iter().zip(&mut centre) {
                *centre = mean_of(column.view());
                column -= *centre;
                column *= &roots;
            }
            scaled *= &roots;
        }
        let fitted = ElasticNet::params()
            .penalty(self.penalty)
            .l1_ratio(self.l1_ratio)
            .with_intercept(weights.is_none())
            .max_iterations(self.max_iterations)
            .tolerance(self.tolerance)
            .fit(&DatasetBase::new(columns, scaled))
            .map_err(|error| Error::model("linear regression found no model").with_source(error))?;
        let weights = fitted.hyperplane().mapv(|weight| weight * spread);
        let intercept = fitted.intercept() * spread + mean - weights.dot(&centre);
        let model = LinearModel::new(
            Link::Identity,
            &weights.insert_axis(Axis(0)),
            &arr1(&[intercept]),
        )?;
        Ok(model.into())
    }
}

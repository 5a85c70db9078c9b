//! Linear models: weights, intercepts and a link.

use std::path::Path;

use ndarray::{Array1, Array2, ArrayViewMut1};
use serde::{Deserialize, Serialize};

use super::{Loaders, Model, Predict, load_json, matrix_for, save_json};
use crate::error::{Error, Result};
use crate::features::Features;

/// What is done with the linear scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Nothing: a linear regression.
    Identity,
    /// `1 / (1 + exp(-score))`: a logistic regression.
    Logistic,
    /// `exp(score) / sum(exp(scores))`: a multinomial logistic regression.
    Softmax,
}

impl Link {
    /// The outputs of a row's scores, in their place.
    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Link::Identity => {}
            Link::Logistic => scores
                .iter_mut()
                .for_each(|score| *score = 1.0 / (1.0 + (-*score).exp())),
            Link::Softmax => {
                let mut scores = ArrayViewMut1::from(scores);
                let highest = scores.fold(f64::NEG_INFINITY, |high, score| high.max(*score));
                scores.mapv_inplace(|score| (score - highest).exp());
                let sum = scores.sum();
                scores.mapv_inplace(|share| share / sum);
            }
        }
    }
}

/// `link(features . weights + intercepts)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    link: Link,
    n_features: usize,
    intercepts: Vec<f64>,
    /// Row by row: the weights of each output.
    weights: Vec<Vec<f64>>,
}

impl LinearModel {
    /// A model from its weights `(n_outputs, n_features)` and intercepts `(n_outputs)`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if the shapes do not agree or a number is not finite.
    pub fn new(link: Link, weights: &Array2<f64>, intercepts: &Array1<f64>) -> Result<Self> {
        let model = LinearModel {
            link,
            n_features: weights.ncols(),
            intercepts: intercepts.to_vec(),
            weights: weights.rows().into_iter().map(|row| row.to_vec()).collect(),
        };
        model.check()?;
        Ok(model)
    }

    /// What is done with the scores.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The weights of each output.
    #[must_use]
    pub fn weights(&self) -> &[Vec<f64>] {
        &self.weights
    }

    /// The intercept of each output.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    fn check(&self) -> Result<()> {
        let shapes = self.weights.len() == self.intercepts.len()
            && !self.weights.is_empty()
            && self.weights.iter().all(|row| row.len() == self.n_features);
        if !shapes {
            return Err(Error::model(
                "a linear model whose weights and intercepts differ in shape",
            ));
        }
        let mut numbers = self.weights.iter().flatten().chain(&self.intercepts);
        if let Some(bad) = numbers.find(|number| !number.is_finite()) {
            return Err(Error::model(format!(
                "a linear model with a weight of {bad}"
            )));
        }
        Ok(())
    }
}

impl Predict for LinearModel {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        self.intercepts.len()
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = matrix_for(self, features)?;
        let features = features.as_standard_layout();
        let rows = features.as_slice().unwrap_or_default();
        let mut outputs = Vec::with_capacity(features.nrows() * self.n_outputs());
        for at in 0..features.nrows() {
            let row = &rows[at * self.n_features..(at + 1) * self.n_features];
            let first = outputs.len();
            // One order of summation for every batch size: one row gives the bits it gives among many.
            outputs.extend(self.weights.iter().zip(&self.intercepts).map(
                |(weights, intercept)| {
                    row.iter()
                        .zip(weights)
                        .fold(*intercept, |sum, (x, weight)| sum + f64::from(*x) * weight)
                },
            ));
            self.link.apply(&mut outputs[first..]);
        }
        Array2::from_shape_vec((features.nrows(), self.n_outputs()), outputs)
            .map_err(|error| Error::internal("outputs of a wrong shape").with_source(error))
    }
}

impl Model for LinearModel {
    const FORMAT: &'static str = "fourfold.linear.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "linear.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let model: LinearModel = load_json(dir, "linear.json")?;
        model.check().map_err(|error| {
            Error::corrupt("`linear.json` is not a linear model").with_source(error)
        })?;
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn links() {
        let weights = array![[1.0, 0.0], [0.0, 1.0]];
        let softmax = LinearModel::new(Link::Softmax, &weights, &array![0.0, 0.0]).unwrap();
        let shares = softmax
            .predict(&array![[0.0_f32, 0.0], [800.0, 0.0]].into())
            .unwrap();
        assert_eq!(shares, array![[0.5, 0.5], [1.0, 0.0]]);

        let logistic = LinearModel::new(Link::Logistic, &array![[2.0]], &array![-2.0]).unwrap();
        assert_eq!(
            logistic.predict(&array![[1.0_f32]].into()).unwrap(),
            array![[0.5]]
        );
        assert!(logistic.predict(&array![[1.0_f32, 2.0]].into()).is_err());
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        assert!(LinearModel::new(Link::Identity, &array![[f64::NAN]], &array![0.0]).is_err());
    }
}

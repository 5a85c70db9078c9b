//! Linear models: weights, intercepts and a link.

use std::path::Path;

use ndarray::{Array1, Array2, Array3, ArrayViewMut1};
use serde::{Deserialize, Serialize};

use super::{Loaders, Model, Predict, check_width, load_json, matrix_for, save_json};
use crate::error::{Error, Result};
use crate::features::{Column, Features, Takes};

/// The function from linear scores to outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Nothing: a linear regression.
    Identity,
    /// `exp(score)`: a regression of counts or amounts.
    Log,
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
            Link::Log => scores.iter_mut().for_each(|score| *score = score.exp()),
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

/// The number of features from which they are better taken as columns.
const WIDE: usize = 512;

/// `link(features . weights + intercepts)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    link: Link,
    n_features: usize,
    intercepts: Vec<f64>,
    /// Row by row: the weights of each output.
    weights: Vec<Vec<f64>>,
    /// The mean of each feature, over the training rows; empty if they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    means: Vec<f64>,
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
            means: Vec::new(),
        };
        model.check()?;
        Ok(model)
    }

    /// The same with the features' means over the training rows, which [contributions](Predict::contributions) count
    /// from.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there are not as many as features or one is not finite.
    pub fn with_means(mut self, means: Vec<f64>) -> Result<Self> {
        self.means = means;
        match self.means.len() == self.n_features {
            true => self.check().map(|()| self),
            false => Err(Error::model(format!(
                "{} means for a linear model of {} features",
                self.means.len(),
                self.n_features
            ))),
        }
    }

    /// The features' means over the training rows; none if they are not known.
    #[must_use]
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// The function from scores to outputs.
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
            && self.weights.iter().all(|row| row.len() == self.n_features)
            && (self.means.is_empty() || self.means.len() == self.n_features);
        if !shapes {
            return Err(Error::model(
                "a linear model whose weights and intercepts differ in shape",
            ));
        }
        let mut numbers = self
            .weights
            .iter()
            .flatten()
            .chain(&self.intercepts)
            .chain(&self.means);
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

    /// A matrix, or, of very many features, columns: most of a wide row is zeros of a one-hot.
    fn takes(&self) -> Takes {
        match self.n_features > WIDE {
            true => Takes {
                missing: false,
                ..Takes::CODES
            },
            false => Takes::FINITE,
        }
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        check_width(self, features)?;
        let n_outputs = self.n_outputs();
        let mut outputs = self.scores(features);
        outputs
            .chunks_exact_mut(n_outputs)
            .for_each(|scores| self.link.apply(scores));
        Array2::from_shape_vec((features.n_rows(), n_outputs), outputs)
            .map_err(|error| Error::internal("outputs of a wrong shape").with_source(error))
    }

    fn link(&self) -> Link {
        self.link
    }

    /// The contribution of each feature to the scores of each row, before the link: its weight times its distance from its
    /// mean over the training rows. These are the Shapley values of a linear model (with features taken as independent;
    /// Lundberg and Lee, 2017).
    ///
    /// The shape is `(n_rows, n_outputs, n + 1)` for `n` of [`Features::info`], such as one for all columns of a one-hot;
    /// the last is the score of the mean row. Added up, they are the scores. A model that was saved without means
    /// counts from 0.
    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        let matrix = matrix_for(self, features)?;
        let info = features.info();
        let shape = (matrix.nrows(), self.n_outputs(), info.len() + 1);
        let mut found = Array3::zeros(shape);
        let mean = |place: usize| self.means.get(place).copied().unwrap_or_default();
        let of_mean = |weights: &[f64]| -> f64 {
            let terms = weights.iter().enumerate();
            terms.map(|(place, weight)| weight * mean(place)).sum()
        };
        let outputs = self.weights.iter().zip(&self.intercepts).enumerate();
        for (output, (weights, intercept)) in outputs {
            let base = intercept + of_mean(weights);
            for (at, row) in matrix.rows().into_iter().enumerate() {
                for (number, feature) in info.iter().enumerate() {
                    let places = feature.first..feature.first + feature.width;
                    found[[at, output, number]] = places
                        .map(|place| weights[place] * (f64::from(row[place]) - mean(place)))
                        .sum();
                }
                found[[at, output, info.len()]] = base;
            }
        }
        Ok(found)
    }
}

impl LinearModel {
    /// The scores, row by row. The order of summation is one, for rows alone and among many, as a matrix and as columns:
    /// what is 0 adds nothing. So the bits are the same.
    fn scores(&self, features: &Features) -> Vec<f64> {
        let n_outputs = self.n_outputs();
        if let Some(matrix) = features.ready_matrix() {
            let matrix = matrix.as_standard_layout();
            let rows = matrix.as_slice().unwrap_or_default();
            let mut scores = Vec::with_capacity(features.n_rows() * n_outputs);
            for at in 0..features.n_rows() {
                let row = &rows[at * self.n_features..(at + 1) * self.n_features];
                let outputs = self.weights.iter().zip(&self.intercepts);
                scores.extend(outputs.map(|(weights, intercept)| {
                    let terms = row.iter().zip(weights);
                    terms.fold(*intercept, |sum, (x, weight)| sum + f64::from(*x) * weight)
                }));
            }
            return scores;
        }
        let mut scores = self.intercepts.repeat(features.n_rows());
        for (feature, column) in features.info().iter().zip(features.columns()) {
            for (output, weights) in self.weights.iter().enumerate() {
                let weights = &weights[feature.first..feature.first + feature.width];
                let scores = scores.iter_mut().skip(output).step_by(n_outputs);
                match column {
                    Column::Numbers(values) => {
                        let rows = scores.zip(values);
                        rows.for_each(|(score, x)| *score += f64::from(*x) * weights[0]);
                    }
                    Column::Codes { codes, .. } => {
                        let rows = scores.zip(codes);
                        rows.for_each(|(score, code)| {
                            *score += weights.get(*code as usize).copied().unwrap_or_default();
                        });
                    }
                    Column::Sparse {
                        offsets,
                        ids,
                        values,
                        ..
                    } => {
                        for (score, bounds) in scores.zip(offsets.windows(2)) {
                            let here = bounds[0]..bounds[1];
                            for (id, x) in ids[here.clone()].iter().zip(&values[here]) {
                                *score += f64::from(*x) * weights[*id as usize];
                            }
                        }
                    }
                }
            }
        }
        scores
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
    fn contributions_add_up_to_the_scores() {
        let weights = array![[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]];
        let model = LinearModel::new(Link::Identity, &weights, &array![0.25, -1.0]).unwrap();
        let features: Features = array![[1.0_f32, 2.0, 4.0], [0.0, -1.0, 0.5]].into();
        let scores = model.predict(&features).unwrap();
        for model in [
            model.clone(),
            model.with_means(vec![0.5, 1.0, -2.0]).unwrap(),
        ] {
            let found = model.contributions(&features).unwrap();
            assert_eq!(found.dim(), (2, 2, 4));
            assert!(
                (found.sum_axis(ndarray::Axis(2)) - &scores)
                    .iter()
                    .all(|off| off.abs() < 1e-12)
            );
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        assert!(LinearModel::new(Link::Identity, &array![[f64::NAN]], &array![0.0]).is_err());
    }
}

//! Features, labels and weights of rows in memory.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::error::{Error, Result};

/// Features, labels and weights of some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub(super) features: Array2<f32>,
    pub(super) labels: Array1<f64>,
    pub(super) weights: Option<Array1<f64>>,
}

impl Matrix {
    /// Features `(n_rows, n_features)`, all finite.
    #[must_use]
    pub fn features(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// Labels `(n_rows)`: values of a regression, else indexes of the target's classes.
    #[must_use]
    pub fn labels(&self) -> ArrayView1<'_, f64> {
        self.labels.view()
    }

    /// Weights `(n_rows)`, finite and at least 0: how much each row counts. `None` if all count the same.
    #[must_use]
    pub fn weights(&self) -> Option<ArrayView1<'_, f64>> {
        self.weights.as_ref().map(|weights| weights.view())
    }

    /// Labels as indexes of classes.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a label is no index: a value of a regression, or a class
    /// that the `train` split does not have.
    pub fn classes(&self) -> Result<Array1<usize>> {
        classes_of(self.labels.view())
    }

    /// The features and labels themselves, without the [weights](Matrix::weights).
    #[must_use]
    pub fn into_parts(self) -> (Array2<f32>, Array1<f64>) {
        (self.features, self.labels)
    }
}

/// Labels as indexes of classes.
pub(super) fn classes_of(labels: ArrayView1<'_, f64>) -> Result<Array1<usize>> {
    let class = |label: &f64| match label.fract() == 0.0 && (0.0..1e6).contains(label) {
        true => Ok(*label as usize),
        false => Err(Error::data(format!(
            "label {label} is not the index of a class"
        ))),
    };
    labels.iter().map(class).collect()
}

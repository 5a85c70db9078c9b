//! All rows of a dataset as columns.

use ndarray::{Array1, ArrayView1};

use super::Dataset;
use super::matrix::classes_of;
use super::parallel::side_by_side;
use crate::error::{Error, Result};
use crate::examples::ExamplePart;
use crate::features::{Features, Takes};

/// Features, labels and weights of some rows, in the form that a trainer takes.
#[derive(Clone, Debug)]
pub struct Table {
    features: Features,
    labels: Array1<f64>,
    weights: Option<Array1<f64>>,
}

impl Table {
    /// The features.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
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
    /// As [`Matrix::classes`](super::Matrix::classes).
    pub fn classes(&self) -> Result<Array1<usize>> {
        classes_of(self.labels.view())
    }
}

/// What a thread makes of a part, batch by batch.
type Pieces = Vec<(Features, Vec<f64>, Vec<f64>)>;

impl Dataset {
    /// All rows at once, in the form that a trainer takes: of [`Takes::CODES`] four bytes a feature and row, however
    /// many categories a feature has. The files are read side by side; the order of rows is that of the examples.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) as [`FittedTransform::apply_as`](crate::transform::FittedTransform::apply_as),
    /// and if there is no row.
    pub fn table(&self, takes: Takes) -> Result<Table> {
        let columns = self.columns();
        let parts = self.examples().parts();
        let made = side_by_side(parts, |part| self.pieces(part, &columns, takes))?;
        let pieces: Pieces = made.into_iter().flatten().collect();
        if pieces.is_empty() {
            return Err(Error::data("there is no row to train on"));
        }
        let features: Vec<&Features> = pieces.iter().map(|(features, ..)| features).collect();
        let features = Features::concat(&features)?;
        let labels = pieces.iter().flat_map(|(_, labels, _)| labels).copied();
        let weights = pieces.iter().flat_map(|(.., weights)| weights).copied();
        let weights = (!self.weighting().is_even()).then(|| weights.collect::<Array1<f64>>());
        if weights.as_ref().is_some_and(|weights| weights.sum() == 0.0) {
            return Err(Error::data("the weights of all rows are 0"));
        }
        Ok(Table {
            features,
            labels: labels.collect(),
            weights,
        })
    }

    fn pieces(&self, part: ExamplePart<'_>, columns: &[&str], takes: Takes) -> Result<Pieces> {
        let batches = self.selected(part, columns).filter(|batch| {
            let is_empty = batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0);
            !is_empty
        });
        let pieces = batches.map(|batch| {
            let batch = batch?;
            let features = self.features_of(&batch, takes)?;
            let labels = self.labels_of(&batch)?;
            let weights = match self.weighting().is_even() {
                true => Vec::new(),
                false => self.weighting().weights(&batch, &labels)?,
            };
            Ok((features, labels, weights))
        });
        pieces.collect()
    }
}

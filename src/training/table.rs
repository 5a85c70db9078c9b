//! All rows of a dataset as columns.

use arrow::array::RecordBatch;
use ndarray::{Array1, ArrayView1};

use super::Dataset;
use super::matrix::classes_of;
use crate::error::{Error, Result};
use crate::examples::ExamplePart;
use crate::features::{Features, Takes};
use crate::parallel::side_by_side;

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
        let made = side_by_side(self.threads, parts, |part| {
            self.tables_of(part, &columns, takes)
                .collect::<Result<Vec<_>>>()
        })?;
        let pieces: Vec<Table> = made.into_iter().flatten().collect();
        if pieces.is_empty() {
            return Err(Error::data("there are no rows to train on"));
        }
        let features: Vec<&Features> = pieces.iter().map(Table::features).collect();
        let features = Features::concat(&features)?;
        let labels = pieces.iter().flat_map(|piece| &piece.labels).copied();
        let weights = pieces
            .iter()
            .flat_map(|piece| &piece.weights)
            .flatten()
            .copied();
        let weights = (!self.weighting().is_uniform()).then(|| weights.collect::<Array1<f64>>());
        if weights.as_ref().is_some_and(|weights| weights.sum() == 0.0) {
            return Err(Error::data("the weights of all rows are 0"));
        }
        Ok(Table {
            features,
            labels: labels.collect(),
            weights,
        })
    }

    /// The rows of a part batch by batch, but for batches without rows.
    pub(super) fn tables_of<'a>(
        &'a self,
        part: ExamplePart<'a>,
        columns: &[&str],
        takes: Takes,
    ) -> impl Iterator<Item = Result<Table>> + 'a {
        let batches = self.selected(part, columns).filter(|batch| {
            let is_empty = batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0);
            !is_empty
        });
        batches.map(move |batch| self.table_of(&batch?, takes))
    }

    /// The rows of a batch.
    pub(super) fn table_of(&self, batch: &RecordBatch, takes: Takes) -> Result<Table> {
        let labels = self.labels_of(batch)?;
        let weights = match self.weighting().is_uniform() {
            true => None,
            false => Some(self.weighting().weights(batch, &labels)?.into()),
        };
        Ok(Table {
            features: self.features_of(batch, takes)?,
            labels: labels.into(),
            weights,
        })
    }
}

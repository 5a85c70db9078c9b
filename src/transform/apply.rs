//! Applying a fitted transform: the one way from raw rows to features.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use ndarray::{Array2, ArrayViewMut2};

use super::fitted::FittedTransform;
use super::folds::row_hashes;
use super::input::InputColumn;
use super::program::run;
use super::value::Value;
use super::write::{Cells, write_column};
use crate::error::{Error, Result};
use crate::features::{Features, FeaturesMut, Takes};

thread_local! {
    /// Room for the values of a call, kept from one to the next.
    static SCRATCH: Cell<Vec<Value>> = const { Cell::new(Vec::new()) };
}

/// The output that features are written to.
enum Out<'a> {
    /// All rows of a row-major matrix, all zeros.
    Matrix(&'a mut [f32]),
    Columns(&'a mut FeaturesMut),
}

impl FittedTransform {
    /// The number of rows that go through all steps together, so that their values stay in the cache.
    const BLOCK: usize = 512;

    /// Turns raw rows into features `(n_rows, n_features)`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a column is missing or of a wrong type, or if a feature is
    /// not finite, naming the feature and the row.
    pub fn apply(&self, batch: &RecordBatch) -> Result<Array2<f32>> {
        let mut features = Array2::zeros((batch.num_rows(), self.features().len()));
        self.apply_into(batch, features.view_mut())?;
        Ok(features)
    }

    /// The features of rows that the transform was fitted on, to train a model with: as [`FittedTransform::apply`],
    /// except that steps that learn from the label ([`Transform::target_encode`](super::Transform::target_encode))
    /// leave out what they have learned from the row's own fold.
    ///
    /// # Errors
    /// As [`FittedTransform::apply`].
    pub fn apply_training(&self, batch: &RecordBatch) -> Result<Array2<f32>> {
        let mut features = Array2::zeros((batch.num_rows(), self.features().len()));
        self.apply_training_into(batch, features.view_mut())?;
        Ok(features)
    }

    /// As [`FittedTransform::apply_training`], into a matrix as [`FittedTransform::apply_into`].
    ///
    /// # Errors
    /// As [`FittedTransform::apply_into`].
    pub fn apply_training_into(
        &self,
        batch: &RecordBatch,
        out: ArrayViewMut2<'_, f32>,
    ) -> Result<()> {
        self.write_rows(batch, out, true)
    }

    /// As [`FittedTransform::apply`], into rows of an existing matrix of zeros. Rows that lie one
    /// after the other in memory spare a copy.
    ///
    /// # Errors
    /// As [`FittedTransform::apply`], and [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the shape is not
    /// `(n_rows, n_features)`.
    pub fn apply_into(&self, batch: &RecordBatch, out: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.write_rows(batch, out, false)
    }

    /// The features of raw rows in the form that a model [takes](Takes).
    ///
    /// # Errors
    /// As [`FittedTransform::apply`]; a value that is missing or not finite is no error where it is taken: it is NaN.
    pub fn apply_as(&self, batch: &RecordBatch, takes: Takes) -> Result<Features> {
        let raw = InputColumn::read_all(&self.inputs, batch);
        self.make(raw, batch.num_rows(), takes, None)
    }

    /// The features of rows that the transform was fitted on, to train a model with, in the form that it takes: as
    /// [`FittedTransform::apply_training`].
    ///
    /// # Errors
    /// As [`FittedTransform::apply_as`].
    pub fn apply_training_as(&self, batch: &RecordBatch, takes: Takes) -> Result<Features> {
        let raw = InputColumn::read_all(&self.inputs, batch);
        let raw = raw.collect::<Result<Vec<ArrayRef>>>()?;
        let hashes = self.folds(batch, &raw, true)?;
        let raw = raw.into_iter().map(Ok);
        self.make(raw, batch.num_rows(), takes, hashes.as_deref())
    }

    fn write_rows(
        &self,
        batch: &RecordBatch,
        mut out: ArrayViewMut2<'_, f32>,
        training: bool,
    ) -> Result<()> {
        let n_rows = batch.num_rows();
        if out.dim() != (n_rows, self.features().len()) {
            return Err(Error::internal(format!(
                "a feature matrix of shape {:?} for {n_rows} rows of {} features",
                out.dim(),
                self.features().len()
            )));
        }
        let raw = InputColumn::read_all(&self.inputs, batch);
        let raw = raw.collect::<Result<Vec<ArrayRef>>>()?;
        let hashes = self.folds(batch, &raw, training)?;
        let (raw, hashes) = (raw.into_iter().map(Ok), hashes.as_deref());
        if let Some(cells) = out.as_slice_mut() {
            return self.fill(raw, n_rows, &mut Out::Matrix(cells), false, hashes);
        }
        let mut cells = vec![0.0; out.len()];
        self.fill(raw, n_rows, &mut Out::Matrix(&mut cells), false, hashes)?;
        out.iter_mut()
            .zip(cells)
            .for_each(|(cell, value)| *cell = value);
        Ok(())
    }

    /// The hashes that choose the folds of rows to train on, if a step needs folds.
    fn folds(
        &self,
        batch: &RecordBatch,
        raw: &[ArrayRef],
        training: bool,
    ) -> Result<Option<Vec<u64>>> {
        let Some(others) = self.fold_by.as_ref().filter(|_| training) else {
            return Ok(None);
        };
        let others = InputColumn::read_all(others, batch);
        let all = raw.iter().cloned().map(Ok).chain(others);
        Ok(Some(row_hashes(&all.collect::<Result<Vec<_>>>()?)?))
    }

    /// The features of columns that come in the order of the inputs, whatever their names.
    ///
    /// # Errors
    /// As [`FittedTransform::apply_as`], and those of the columns.
    pub(crate) fn apply_columns(
        &self,
        columns: impl ExactSizeIterator<Item = Result<ArrayRef>>,
        n_rows: usize,
        takes: Takes,
    ) -> Result<Features> {
        if columns.len() != self.inputs.len() {
            return Err(Error::internal(format!(
                "{} columns for a transform of {} inputs",
                columns.len(),
                self.inputs.len()
            )));
        }
        let columns = columns.zip(&self.inputs);
        let columns = columns.map(|(column, input)| input.bring(column?));
        self.make(columns, n_rows, takes, None)
    }

    fn make(
        &self,
        columns: impl Iterator<Item = Result<ArrayRef>>,
        n_rows: usize,
        takes: Takes,
        hashes: Option<&[u64]>,
    ) -> Result<Features> {
        let layout = Arc::clone(&self.layout);
        if takes.rows {
            let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
            let fields = self.inputs.iter().zip(&columns);
            let fields = fields
                .map(|(input, column)| Field::new(&input.name, column.data_type().clone(), true));
            let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
            let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
            let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
            return Ok(Features::of_rows(layout, rows));
        }
        if takes.codes {
            let mut features = FeaturesMut::new(&layout, n_rows);
            let out = &mut Out::Columns(&mut features);
            self.fill(columns, n_rows, out, takes.missing, hashes)?;
            return Ok(features.finish());
        }
        let width = self.features().len();
        let mut cells = vec![0.0; n_rows * width];
        let out = &mut Out::Matrix(&mut cells);
        self.fill(columns, n_rows, out, takes.missing, hashes)?;
        let matrix = Array2::from_shape_vec((n_rows, width), cells)
            .map_err(|error| Error::internal("features of a wrong shape").with_source(error))?;
        Ok(Features::of_matrix(layout, matrix))
    }

    fn fill(
        &self,
        columns: impl Iterator<Item = Result<ArrayRef>>,
        n_rows: usize,
        out: &mut Out<'_>,
        missing: bool,
        hashes: Option<&[u64]>,
    ) -> Result<()> {
        let mut values = SCRATCH.take();
        values.clear();
        if n_rows <= Self::BLOCK {
            for (column, input) in columns.zip(&self.inputs) {
                values.push(Value::of(column?, input.field_type)?);
            }
            self.fill_block(&mut values, 0, n_rows, out, missing, hashes)?;
        } else {
            let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
            for first_row in (0..n_rows).step_by(Self::BLOCK) {
                let n = Self::BLOCK.min(n_rows - first_row);
                values.clear();
                for (column, input) in columns.iter().zip(&self.inputs) {
                    values.push(Value::of(column.slice(first_row, n), input.field_type)?);
                }
                let hashes = hashes.and_then(|all| all.get(first_row..first_row + n));
                self.fill_block(&mut values, first_row, n, out, missing, hashes)?;
            }
        }
        values.clear();
        SCRATCH.set(values);
        Ok(())
    }

    fn fill_block(
        &self,
        values: &mut Vec<Value>,
        first_row: usize,
        n: usize,
        out: &mut Out<'_>,
        missing: bool,
        hashes: Option<&[u64]>,
    ) -> Result<()> {
        for (step, sources) in self.steps.iter().zip(&self.places.sources) {
            run(step, sources, values, hashes)?;
        }
        match out {
            Out::Matrix(cells) => {
                let width = self.features().len();
                let mut rows = Cells {
                    cells: &mut cells[first_row * width..(first_row + n) * width],
                    width,
                    first_row,
                    missing,
                };
                self.write(values, |value, written| rows.write(value, written.first))
            }
            Out::Columns(features) => {
                self.write(values, |value, written| {
                    write_column(value, written, n, missing, features)
                })?;
                features.advance(n);
                Ok(())
            }
        }
    }

    fn write(
        &self,
        values: &[Value],
        mut write: impl FnMut(&Value, &super::fitted::Written) -> Result<()>,
    ) -> Result<()> {
        for written in &self.written {
            let value = &values[written.place];
            let name = || &self.features()[written.first];
            if value.width() != written.width {
                return Err(Error::internal(format!(
                    "feature `{}` has a wrong width",
                    name()
                )));
            }
            write(value, written).map_err(|error| {
                Error::new(
                    error.kind(),
                    format!("feature `{}`: {}", name(), error.message()),
                )
            })?;
        }
        Ok(())
    }
}

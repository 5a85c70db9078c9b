//! A fitted transform: readable JSON that turns raw batches into feature matrices.

use arrow::array::{ArrayRef, RecordBatch};
use ndarray::{Array2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use super::custom::Operations;
use super::folds::row_hashes;
use super::input::InputColumn;
use super::ops::{FittedCustom, FittedOp};
use super::program::{Places, run};
use super::step::Step;
use super::value::Value;
use super::write::Cells;
use crate::error::{Error, Result};

/// A step with what it has learned.
pub type FittedStep = Step<FittedOp>;

/// A transform that has seen its training data.
///
/// `apply` is a pure function of the batch: rows do not influence each other, so a batch of one row gives the same
/// bits as that row within a batch of 100,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct FittedTransform {
    inputs: Vec<InputColumn>,
    steps: Vec<FittedStep>,
    features: Vec<String>,
    /// What chooses the folds of training rows besides the inputs, if a step needs folds.
    fold_by: Option<Vec<InputColumn>>,
    places: Places,
    /// The place and width of each column of features.
    columns: Vec<(usize, usize)>,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Document {
    format_version: u32,
    inputs: Vec<InputColumn>,
    steps: Vec<FittedStep>,
    features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fold_by: Option<Vec<InputColumn>>,
}

impl From<FittedTransform> for Document {
    fn from(fitted: FittedTransform) -> Self {
        Document {
            format_version: FittedTransform::FORMAT_VERSION,
            inputs: fitted.inputs,
            steps: fitted.steps,
            features: fitted.features,
            fold_by: fitted.fold_by,
        }
    }
}

impl TryFrom<Document> for FittedTransform {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        if document.format_version != FittedTransform::FORMAT_VERSION {
            return Err(Error::corrupt(format!(
                "a transform of format version {}, this build reads {}",
                document.format_version,
                FittedTransform::FORMAT_VERSION
            )));
        }
        document
            .steps
            .iter()
            .try_for_each(FittedStep::check_columns)?;
        let features = document.features;
        let fitted = FittedTransform::new(document.inputs, document.steps)?;
        if fitted.features != features {
            return Err(Error::corrupt(
                "a transform whose features do not follow from its steps",
            ));
        }
        Ok(fitted.with_folds(document.fold_by))
    }
}

impl FittedTransform {
    const FORMAT_VERSION: u32 = 1;

    /// So many rows go through all steps before the next: what they need stays in the cache.
    const BLOCK: usize = 512;

    /// A transform from its parts, such as one that was fitted elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a step reads a column that is neither an input nor
    /// written before it.
    pub fn new(inputs: Vec<InputColumn>, steps: Vec<FittedStep>) -> Result<Self> {
        let places = Places::of(&inputs, &steps)?;
        let mut features = Vec::new();
        let mut columns = Vec::new();
        for (name, step, place) in &places.written {
            let op = &steps[*step].op;
            if matches!(op, FittedOp::Drop(_)) {
                continue;
            }
            let names = op.apply().feature_names(name);
            // A vocabulary may be empty.
            if names.is_empty() {
                continue;
            }
            columns.push((*place, names.len()));
            features.extend(names);
        }
        Ok(FittedTransform {
            inputs,
            steps,
            features,
            fold_by: None,
            places,
            columns,
        })
    }

    /// Gives custom operations that were loaded from a file their code, and checks that this build can run the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the registry does not have a name, with the
    /// names it has, or for a step by [`Transform::derive`](super::Transform::derive) in a build without the feature
    /// `sql`; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the code does not read its JSON.
    pub fn with_operations(mut self, operations: &Operations) -> Result<Self> {
        for step in &mut self.steps {
            FittedCustom::resolve(step, operations)?;
            if let FittedOp::Derive(derived) = &step.op {
                derived.check_build().map_err(|error| step.name(&error))?;
            }
        }
        Ok(self)
    }

    /// The custom operations that it uses, as far as their code is known: what loading it again needs.
    #[must_use]
    pub fn operations(&self) -> Operations {
        let mut operations = Operations::new();
        for step in &self.steps {
            if let FittedOp::Custom(custom) = &step.op
                && let Some(entry) = custom.entry()
            {
                operations.add(entry);
            }
        }
        operations
    }

    /// The raw columns that are read.
    #[must_use]
    pub fn inputs(&self) -> &[InputColumn] {
        &self.inputs
    }

    /// The steps with what they have learned.
    #[must_use]
    pub fn steps(&self) -> &[FittedStep] {
        &self.steps
    }

    /// The raw columns that only [`FittedTransform::apply_training`] reads.
    pub fn training_columns(&self) -> impl Iterator<Item = &InputColumn> {
        self.fold_by.iter().flatten()
    }

    /// The names of the features, in the order of the matrix's columns.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Turns raw rows into features `(n_rows, n_features)`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a column is missing or of a wrong type, or if a feature is
    /// not finite, naming the feature and the row.
    pub fn apply(&self, batch: &RecordBatch) -> Result<Array2<f32>> {
        let mut features = Array2::zeros((batch.num_rows(), self.features.len()));
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
        let mut features = Array2::zeros((batch.num_rows(), self.features.len()));
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

    /// As [`FittedTransform::apply`], into rows of a matrix that is there already, all zeros. Rows that lie one
    /// after the other in memory spare a copy.
    ///
    /// # Errors
    /// As [`FittedTransform::apply`], and [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the shape is not
    /// `(n_rows, n_features)`.
    pub fn apply_into(&self, batch: &RecordBatch, out: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.write_rows(batch, out, false)
    }

    fn write_rows(
        &self,
        batch: &RecordBatch,
        mut out: ArrayViewMut2<'_, f32>,
        training: bool,
    ) -> Result<()> {
        if out.dim() != (batch.num_rows(), self.features.len()) {
            return Err(Error::internal(format!(
                "a feature matrix of shape {:?} for {} rows of {} features",
                out.dim(),
                batch.num_rows(),
                self.features.len()
            )));
        }
        let raw = self.inputs.iter().map(|input| input.read(batch));
        let raw = raw.collect::<Result<Vec<ArrayRef>>>()?;
        let hashes = match self.fold_by.as_ref().filter(|_| training) {
            Some(others) => {
                let others = others.iter().map(|other| other.read(batch));
                let all = raw.iter().cloned().map(Ok).chain(others);
                Some(row_hashes(&all.collect::<Result<Vec<_>>>()?)?)
            }
            None => None,
        };
        let hashes = hashes.as_deref();
        if let Some(cells) = out.as_slice_mut() {
            return self.fill(raw, batch.num_rows(), cells, hashes);
        }
        let mut cells = vec![0.0; out.len()];
        self.fill(raw, batch.num_rows(), &mut cells, hashes)?;
        out.iter_mut()
            .zip(cells)
            .for_each(|(cell, value)| *cell = value);
        Ok(())
    }

    /// The features of columns that come in the order of the inputs, whatever their names.
    ///
    /// # Errors
    /// As [`FittedTransform::apply`].
    pub(crate) fn apply_columns(
        &self,
        columns: Vec<ArrayRef>,
        n_rows: usize,
    ) -> Result<Array2<f32>> {
        if columns.len() != self.inputs.len() {
            return Err(Error::internal(format!(
                "{} columns for a transform of {} inputs",
                columns.len(),
                self.inputs.len()
            )));
        }
        let columns = columns.into_iter().zip(&self.inputs);
        let columns = columns.map(|(column, input)| input.bring(column));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let mut cells = vec![0.0; n_rows * self.features.len()];
        self.fill(columns, n_rows, &mut cells, None)?;
        Array2::from_shape_vec((n_rows, self.features.len()), cells)
            .map_err(|error| Error::internal("features of a wrong shape").with_source(error))
    }

    fn fill(
        &self,
        raw: Vec<ArrayRef>,
        n_rows: usize,
        cells: &mut [f32],
        hashes: Option<&[u64]>,
    ) -> Result<()> {
        let mut values = Vec::with_capacity(self.places.n);
        if n_rows <= Self::BLOCK {
            for (column, input) in raw.into_iter().zip(&self.inputs) {
                values.push(Value::of(column, input.field_type)?);
            }
            return self.fill_block(&mut values, 0, cells, hashes);
        }
        let width = self.features.len();
        for first_row in (0..n_rows).step_by(Self::BLOCK) {
            let n = Self::BLOCK.min(n_rows - first_row);
            values.clear();
            for (column, input) in raw.iter().zip(&self.inputs) {
                values.push(Value::of(column.slice(first_row, n), input.field_type)?);
            }
            let hashes = hashes.and_then(|all| all.get(first_row..first_row + n));
            let cells = &mut cells[first_row * width..(first_row + n) * width];
            self.fill_block(&mut values, first_row, cells, hashes)?;
        }
        Ok(())
    }

    fn fill_block(
        &self,
        values: &mut Vec<Value>,
        first_row: usize,
        cells: &mut [f32],
        hashes: Option<&[u64]>,
    ) -> Result<()> {
        for (step, sources) in self.steps.iter().zip(&self.places.sources) {
            run(step, sources, values, hashes)?;
        }
        let mut rows = Cells {
            cells,
            width: self.features.len(),
            first_row,
        };
        self.write(values, &mut rows)
    }

    pub(super) fn with_folds(mut self, fold_by: Option<Vec<InputColumn>>) -> Self {
        self.fold_by = fold_by;
        self
    }

    fn write(&self, values: &[Value], rows: &mut Cells<'_>) -> Result<()> {
        let mut at = 0;
        for (place, width) in &self.columns {
            let value = &values[*place];
            let name = &self.features[at];
            if value.width() != *width {
                return Err(Error::internal(format!(
                    "feature `{name}` has a wrong width"
                )));
            }
            rows.write(value, at).map_err(|error| {
                Error::new(
                    error.kind(),
                    format!("feature `{name}`: {}", error.message()),
                )
            })?;
            at += width;
        }
        Ok(())
    }
}

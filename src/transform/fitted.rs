//! A fitted transform: readable JSON that turns raw batches into feature matrices.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};
use ndarray::{Array2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use super::date::DatePart;
use super::kernels;
use super::value::Value;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// A raw column that a transform reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub field_type: FieldType,
}

/// An operation with what it has learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FittedOp {
    /// The number as it is.
    Number,
    /// Missing numbers replaced.
    ImputeNumber {
        /// By what.
        value: f64,
    },
    /// Missing text replaced.
    ImputeText {
        /// By what.
        value: String,
    },
    /// 1 where missing, else 0.
    MissingIndicator,
    /// `(x - offset) * scale`: z-scores and min-max scaling.
    Linear {
        /// What is taken away.
        offset: f64,
        /// What is multiplied with.
        scale: f64,
    },
    /// Limited to a range.
    Clip {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
    /// `ln(1 + x)`.
    Log1p,
    /// The index of the bucket.
    Bucketize {
        /// The inner boundaries, rising.
        boundaries: Vec<f64>,
    },
    /// Sine and cosine.
    Cyclic {
        /// The period.
        period: f64,
    },
    /// One feature a value and one for all others.
    OneHot {
        /// The values, the most frequent first.
        values: Vec<String>,
    },
    /// One feature a hash bucket.
    Hash {
        /// How many buckets.
        n_buckets: usize,
    },
    /// A part of a date or timestamp.
    DatePart {
        /// Which part.
        part: DatePart,
    },
    /// Not a feature.
    Drop,
}

/// A step with what it has learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedStep {
    /// The column that is read.
    pub input: String,
    /// The column that is written.
    pub output: String,
    /// What is done.
    #[serde(flatten)]
    pub op: FittedOp,
}

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
    program: Program,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Document {
    format_version: u32,
    inputs: Vec<InputColumn>,
    steps: Vec<FittedStep>,
    features: Vec<String>,
}

impl From<FittedTransform> for Document {
    fn from(fitted: FittedTransform) -> Self {
        Document {
            format_version: FittedTransform::FORMAT_VERSION,
            inputs: fitted.inputs,
            steps: fitted.steps,
            features: fitted.features,
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
        let features = document.features;
        let fitted = FittedTransform::new(document.inputs, document.steps)?;
        if fitted.features != features {
            return Err(Error::corrupt(
                "a transform whose features do not follow from its steps",
            ));
        }
        Ok(fitted)
    }
}

/// The steps with their columns resolved to places.
#[derive(Clone, Debug, Default, PartialEq)]
struct Program {
    /// For each step the place of its input: raw columns first, then the outputs of the steps.
    sources: Vec<usize>,
    /// For each step, the index of its one-hot values.
    indexes: Vec<Option<HashMap<String, u32>>>,
    /// The place and width of each column of features.
    features: Vec<(usize, usize)>,
    width: usize,
}

impl FittedTransform {
    const FORMAT_VERSION: u32 = 1;

    /// A transform from its parts, such as one that was fitted elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a step reads a column that is neither an input nor
    /// written before it.
    pub fn new(inputs: Vec<InputColumn>, steps: Vec<FittedStep>) -> Result<Self> {
        let mut places: HashMap<&str, usize> = inputs
            .iter()
            .enumerate()
            .map(|(place, input)| (input.name.as_str(), place))
            .collect();
        let mut written: Vec<&str> = Vec::new();
        let mut sources = Vec::with_capacity(steps.len());
        for (number, step) in steps.iter().enumerate() {
            let place = places.get(step.input.as_str()).ok_or_else(|| {
                Error::config(format!(
                    "transform step {number} reads `{}`, which is no input and not written before",
                    step.input
                ))
            })?;
            sources.push(*place);
            places.insert(&step.output, inputs.len() + number);
            if !written.contains(&step.output.as_str()) {
                written.push(&step.output);
            }
        }
        let last_step = |name: &str| places[name] - inputs.len();
        written.retain(|name| steps[last_step(name)].op != FittedOp::Drop);
        let mut program = Program {
            sources,
            indexes: steps.iter().map(|step| step.op.index()).collect(),
            features: Vec::new(),
            width: 0,
        };
        let mut features = Vec::new();
        for name in written {
            let names = steps[last_step(name)].op.feature_names(name);
            program.features.push((places[name], names.len()));
            program.width += names.len();
            features.extend(names);
        }
        Ok(FittedTransform {
            inputs,
            steps,
            features,
            program,
        })
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

    /// As [`FittedTransform::apply`], into rows of a matrix that is there already, all zeros.
    ///
    /// # Errors
    /// As [`FittedTransform::apply`], and [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the shape is not
    /// `(n_rows, n_features)`.
    pub fn apply_into(&self, batch: &RecordBatch, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        if out.dim() != (batch.num_rows(), self.features.len()) {
            return Err(Error::internal(format!(
                "a feature matrix of shape {:?} for {} rows of {} features",
                out.dim(),
                batch.num_rows(),
                self.features.len()
            )));
        }
        let values = self.evaluate(batch)?;
        let mut at = 0;
        for (place, width) in &self.program.features {
            let value = values[*place]
                .as_ref()
                .ok_or_else(|| Error::internal("a feature was not computed"))?;
            if value.width() != *width {
                return Err(Error::internal(format!(
                    "feature `{}` has a wrong width",
                    self.features[at]
                )));
            }
            value
                .write(&mut out, at)
                .map_err(|error| named(&error, "feature", &self.features[at]))?;
            at += width;
        }
        Ok(())
    }

    /// The value of every place: the raw columns, then the output of each step.
    pub(super) fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<Option<Value>>> {
        let mut values: Vec<Option<Value>> =
            Vec::with_capacity(self.inputs.len() + self.steps.len());
        for input in &self.inputs {
            values.push(Some(input.read(batch)?));
        }
        for (number, step) in self.steps.iter().enumerate() {
            let value = match &values[self.program.sources[number]] {
                Some(value) => step
                    .op
                    .apply(value, self.program.indexes[number].as_ref())
                    .map_err(|error| named(&error, "transform of", &step.input))?,
                None => {
                    return Err(Error::config(format!(
                        "`{}` is used after it is dropped",
                        step.input
                    )));
                }
            };
            values.push(value);
        }
        Ok(values)
    }
}

fn named(error: &Error, what: &str, name: &str) -> Error {
    Error::new(
        error.kind(),
        format!("{what} `{name}`: {}", error.message()),
    )
}

impl InputColumn {
    fn read(&self, batch: &RecordBatch) -> Result<Value> {
        let column = batch.column_by_name(&self.name).ok_or_else(|| {
            let schema = batch.schema();
            let near = near_names(
                &self.name,
                schema.fields().iter().map(|field| field.name().as_str()),
            );
            Error::data(format!("there is no column `{}`{near}", self.name))
        })?;
        let found = FieldType::of(column.data_type());
        let readable = found == self.field_type
            || column.null_count() == column.len()
            || (self.field_type == FieldType::Float && found == FieldType::Integer);
        if !readable {
            return Err(Error::data(format!(
                "column `{}` is of type {found}, the transform was fitted on {}",
                self.name, self.field_type
            )));
        }
        Ok(Value::Raw(
            self.field_type.normalize(&self.name, column)?,
            self.field_type,
        ))
    }
}

impl FittedOp {
    pub(super) fn index(&self) -> Option<HashMap<String, u32>> {
        match self {
            FittedOp::OneHot { values } => Some(values.iter().cloned().zip(0..).collect()),
            _ => None,
        }
    }

    fn feature_names(&self, name: &str) -> Vec<String> {
        match self {
            FittedOp::OneHot { values } => values
                .iter()
                .map(String::as_str)
                .chain(["<other>"])
                .map(|value| format!("{name}={value}"))
                .collect(),
            FittedOp::Hash { n_buckets } => (0..*n_buckets)
                .map(|bucket| format!("{name}#{bucket}"))
                .collect(),
            FittedOp::Cyclic { .. } => vec![format!("{name}_sin"), format!("{name}_cos")],
            _ => vec![name.to_owned()],
        }
    }

    /// `None` is a dropped column.
    pub(super) fn apply(
        &self,
        value: &Value,
        index: Option<&HashMap<String, u32>>,
    ) -> Result<Option<Value>> {
        Ok(Some(match self {
            FittedOp::Number => Value::Numbers(value.numbers()?.into_owned()),
            FittedOp::ImputeNumber { value: fill } => kernels::impute_number(value, *fill)?,
            FittedOp::ImputeText { value: fill } => kernels::impute_text(value, fill)?,
            FittedOp::MissingIndicator => kernels::missing_indicator(value)?,
            FittedOp::Linear { offset, scale } => kernels::linear(value, *offset, *scale)?,
            FittedOp::Clip { low, high } => kernels::clip(value, *low, *high)?,
            FittedOp::Log1p => kernels::log1p(value)?,
            FittedOp::Bucketize { boundaries } => kernels::bucketize(value, boundaries)?,
            FittedOp::Cyclic { period } => kernels::cyclic(value, *period)?,
            FittedOp::OneHot { .. } => {
                let index = index.ok_or_else(|| Error::internal("one_hot without its index"))?;
                kernels::one_hot(value, index)?
            }
            FittedOp::Hash { n_buckets } => kernels::hash(value, *n_buckets)?,
            FittedOp::DatePart { part } => kernels::date_part(value, *part)?,
            FittedOp::Drop => return Ok(None),
        }))
    }
}

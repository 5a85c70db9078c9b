//! Answers, with their meaning.

#[cfg(any(feature = "http", feature = "datafusion"))]
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
#[cfg(any(feature = "http", feature = "datafusion"))]
use ndarray::Slice;
#[cfg(feature = "http")]
use ndarray::concatenate;
use ndarray::{Array2, ArrayView1, Axis};

use super::{Contributions, Target, Task};
#[cfg(feature = "http")]
use crate::error::Error;
use crate::error::Result;

/// A model's outputs for some rows, `(n_rows, n_outputs)`, and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    target: Arc<Target>,
    outputs: Array2<f64>,
    extras: Option<Extras>,
    contributions: Option<Arc<Contributions>>,
}

/// The columns that a model answers with beside its outputs.
#[derive(Clone, Debug, PartialEq)]
struct Extras {
    names: Arc<[String]>,
    /// `(n_rows, n_names)`.
    values: Array2<f64>,
}

impl Prediction {
    pub(crate) fn new(target: Arc<Target>, outputs: Array2<f64>) -> Self {
        Prediction {
            target,
            outputs,
            extras: None,
            contributions: None,
        }
    }

    /// The same with columns of these names beside the outputs, `(n_rows, n_names)`.
    pub(crate) fn with_extras(mut self, names: Arc<[String]>, values: Array2<f64>) -> Self {
        self.extras = Some(Extras { names, values });
        self
    }

    /// Some of the rows, without contributions.
    #[cfg(any(feature = "http", feature = "datafusion"))]
    pub(crate) fn of_rows(&self, rows: Range<usize>) -> Self {
        let of = |all: &Array2<f64>| {
            all.slice_axis(Axis(0), Slice::from(rows.clone()))
                .to_owned()
        };
        Prediction {
            target: Arc::clone(&self.target),
            outputs: of(&self.outputs),
            extras: self.extras.as_ref().map(|extras| Extras {
                names: Arc::clone(&extras.names),
                values: of(&extras.values),
            }),
            contributions: None,
        }
    }

    /// The rows of several predictions of one servable; there must be at least one.
    #[cfg(feature = "http")]
    pub(crate) fn concat(parts: &[Prediction]) -> Result<Self> {
        let odd = || Error::internal("predictions of different models are put together");
        let rows = |of: fn(&Prediction) -> Option<&Array2<f64>>| {
            let parts: Option<Vec<_>> = parts.iter().map(|part| Some(of(part)?.view())).collect();
            parts.map(|parts| concatenate(Axis(0), &parts).map_err(|_| odd()))
        };
        let first = parts.first().ok_or_else(odd)?;
        let outputs = rows(|part| Some(&part.outputs)).ok_or_else(odd)??;
        let whole = Prediction::new(Arc::clone(&first.target), outputs);
        let values = rows(|part| Some(&part.extras.as_ref()?.values));
        Ok(match (&first.extras, values) {
            (Some(extras), Some(values)) => whole.with_extras(Arc::clone(&extras.names), values?),
            _ => whole,
        })
    }

    /// Other outputs for the same target.
    #[cfg(feature = "http")]
    pub(crate) fn of_same_target(&self, outputs: Array2<f64>) -> Self {
        Prediction::new(Arc::clone(&self.target), outputs)
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The outputs `(n_rows, n_outputs)`: values, the positive class's probability, or each class's.
    #[must_use]
    pub fn outputs(&self) -> &Array2<f64> {
        &self.outputs
    }

    /// The names of what the model answers with [beside its outputs](super::Predict::extras), such as `lower` and `upper`.
    #[must_use]
    pub fn extra_names(&self) -> &[String] {
        self.extras.as_ref().map_or(&[], |extras| &extras.names)
    }

    /// A column beside the outputs `(n_rows)`.
    #[must_use]
    pub fn extra(&self, name: &str) -> Option<ArrayView1<'_, f64>> {
        let extras = self.extras.as_ref()?;
        let place = extras.names.iter().position(|known| known == name)?;
        Some(extras.values.column(place))
    }

    /// The names and values beside the outputs of a row.
    pub(crate) fn extras_of(&self, row: usize) -> (&[String], ArrayView1<'_, f64>) {
        match &self.extras {
            Some(extras) => (&extras.names, extras.values.row(row)),
            None => (&[], ArrayView1::from(&[])),
        }
    }

    /// The contributions of the raw columns, if they were requested.
    #[must_use]
    pub fn contributions(&self) -> Option<&Contributions> {
        self.contributions.as_deref()
    }

    /// The same with contributions of the same rows.
    #[cfg(feature = "http")]
    pub(crate) fn with_contributions(mut self, contributions: Contributions) -> Self {
        self.contributions = Some(Arc::new(contributions));
        self
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.outputs.nrows()
    }

    /// The class that answers each row; empty for a regression. Of two classes it is the positive one where its
    /// probability is *above* the target's [threshold](Target::threshold) (at exactly the threshold it is the negative one,
    /// as in TensorFlow Model Analysis); of more, the most probable one, the first of equal ones.
    #[must_use]
    pub fn classes(&self) -> Vec<&str> {
        let rows = self.outputs.rows().into_iter();
        rows.filter_map(|row| self.target.class_of(row)).collect()
    }

    /// The answers as columns: `value`; or `class` and `probability` (of the positive class); or `class` and
    /// `probabilities` (a list as long as there are classes). Behind them come the [extras](Prediction::extra_names).
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) never for a prediction that a servable made.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let numbers: ArrayRef =
            Arc::new(Float64Array::from_iter_values(self.outputs.iter().copied()));
        let classes = || Arc::new(StringArray::from(self.classes())) as ArrayRef;
        let mut columns = match self.target.task() {
            Task::Regression => vec![("value", numbers)],
            Task::Binary => vec![("class", classes()), ("probability", numbers)],
            Task::Multiclass => {
                let item = Arc::new(Field::new("item", DataType::Float64, true));
                let width = i32::try_from(self.outputs.len_of(Axis(1))).unwrap_or(i32::MAX);
                let lists: ArrayRef =
                    Arc::new(FixedSizeListArray::try_new(item, width, numbers, None)?);
                vec![("class", classes()), ("probabilities", lists)]
            }
        };
        for name in self.extra_names() {
            let values = self.extra(name).into_iter().flatten().copied();
            columns.push((name, Arc::new(Float64Array::from_iter_values(values))));
        }
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}

impl Target {
    /// The class that answers a row of outputs.
    pub(super) fn class_of(&self, outputs: ArrayView1<'_, f64>) -> Option<&str> {
        let class = match self.task() {
            Task::Regression => return None,
            Task::Binary => usize::from(
                outputs
                    .first()
                    .is_some_and(|share| *share > self.threshold()),
            ),
            Task::Multiclass => most_probable(outputs),
        };
        self.classes().get(class).map(String::as_str)
    }
}

/// The index of the highest probability; the first of equal ones.
pub(crate) fn most_probable(row: ArrayView1<'_, f64>) -> usize {
    let mut best = 0;
    for (index, probability) in row.iter().enumerate() {
        if *probability > row[best] {
            best = index;
        }
    }
    best
}

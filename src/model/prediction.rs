//! Answers, with their meaning.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use ndarray::{Array2, ArrayView1, Axis};

use super::{Target, Task};
use crate::error::Result;

/// A model's outputs for some rows, `(n_rows, n_outputs)`, and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    target: Arc<Target>,
    outputs: Array2<f64>,
}

impl Prediction {
    pub(crate) fn new(target: Arc<Target>, outputs: Array2<f64>) -> Self {
        Prediction { target, outputs }
    }

    /// Other outputs for the same target.
    #[cfg(feature = "http")]
    pub(crate) fn of_same_target(&self, outputs: Array2<f64>) -> Self {
        Prediction::new(Arc::clone(&self.target), outputs)
    }

    /// What was predicted.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The outputs `(n_rows, n_outputs)`: values, the positive class's probability, or each class's.
    #[must_use]
    pub fn outputs(&self) -> &Array2<f64> {
        &self.outputs
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
    /// `probabilities` (a list as long as there are classes).
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) never for a prediction that a servable made.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let numbers: ArrayRef =
            Arc::new(Float64Array::from_iter_values(self.outputs.iter().copied()));
        let classes = || Arc::new(StringArray::from(self.classes())) as ArrayRef;
        Ok(match self.target.task() {
            Task::Regression => RecordBatch::try_from_iter([("value", numbers)])?,
            Task::Binary => {
                RecordBatch::try_from_iter([("class", classes()), ("probability", numbers)])?
            }
            Task::Multiclass => {
                let item = Arc::new(Field::new("item", DataType::Float64, true));
                let width = i32::try_from(self.outputs.len_of(Axis(1))).unwrap_or(i32::MAX);
                let lists: ArrayRef =
                    Arc::new(FixedSizeListArray::try_new(item, width, numbers, None)?);
                RecordBatch::try_from_iter([("class", classes()), ("probabilities", lists)])?
            }
        })
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

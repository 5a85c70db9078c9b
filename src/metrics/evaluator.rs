//! The accumulator that predicts and scores.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use serde::{Deserialize, Serialize};

use super::{Evaluation, Slice, SliceMetrics, Sums, count_unseen};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::model::Servable;
use crate::statistics::{Statistics, StatisticsAccumulator};

/// Predicts labelled raw rows with a servable and scores the answers, overall and by slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluator {
    #[serde(skip)]
    servable: Option<Arc<Servable>>,
    slice_by: Vec<String>,
    overall: Sums,
    slices: Vec<BTreeMap<String, Sums>>,
    predictions: Option<StatisticsAccumulator>,
    unseen: BTreeMap<String, u64>,
}

impl Evaluator {
    /// The most values that a column to slice by may have.
    pub const MAX_SLICES: usize = 10_000;
    /// The most classes that the target does not know and that are named.
    pub const MAX_UNSEEN: usize = 1_000;

    /// An evaluator of a servable, slicing by the values of these raw columns.
    #[must_use]
    pub fn new(servable: Arc<Servable>, slice_by: &[String]) -> Self {
        Evaluator {
            overall: Sums::new(servable.target()),
            servable: Some(servable),
            slice_by: slice_by.to_vec(),
            slices: vec![BTreeMap::new(); slice_by.len()],
            predictions: None,
            unseen: BTreeMap::new(),
        }
    }

    /// Takes statistics of the answers, too.
    #[must_use]
    pub fn with_predictions(mut self) -> Self {
        self.predictions =
            (self.servable.as_ref()).map(|servable| servable.target().distribution());
        self
    }

    /// The statistics of the answers, if they were [asked for](Evaluator::with_predictions); the columns are those of
    /// [`Prediction::to_distribution`](crate::model::Prediction::to_distribution).
    #[must_use]
    pub fn predictions(&self) -> Option<Statistics> {
        self.predictions.as_ref().map(StatisticsAccumulator::finish)
    }

    /// The metrics of what was seen.
    #[must_use]
    pub fn finish(&self) -> Evaluation {
        let slices = self
            .slice_by
            .iter()
            .zip(&self.slices)
            .flat_map(|(column, values)| {
                values.iter().map(|(value, sums)| SliceMetrics {
                    slice: Slice {
                        column: column.clone(),
                        value: value.clone(),
                    },
                    metrics: sums.finish(),
                })
            });
        Evaluation {
            overall: self.overall.finish(),
            slices: slices.collect(),
            unseen_classes: self.unseen.clone(),
        }
    }
}

impl Accumulate for Evaluator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let servable = self
            .servable
            .clone()
            .ok_or_else(|| Error::internal("an evaluator without its servable"))?;
        let target = servable.target();
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::data(format!("there is no column `{name}` to evaluate with")))
        };
        let label_column = column(target.label())?;
        let labels = target.encode(label_column)?;
        let unseen = if target.classes().is_empty() {
            vec![None; labels.len()]
        } else {
            unseen_classes(&labels, label_column)?
        };
        let prediction = servable.predict(batch)?;
        if let Some(predictions) = &mut self.predictions {
            predictions.update(&prediction.to_distribution()?)?;
        }
        let outputs = prediction.outputs();
        for ((label, class), outputs) in labels.iter().zip(&unseen).zip(outputs.rows()) {
            self.overall.add(*label, class.as_deref(), outputs);
            if let Some(class) = class {
                count_unseen(&mut self.unseen, Some(class), 1);
            }
        }
        for (name, slices) in self.slice_by.iter().zip(&mut self.slices) {
            let values = cast(column(name)?, &DataType::Utf8)?;
            let values = values.as_string::<i32>();
            for (row, ((label, class), outputs)) in
                labels.iter().zip(&unseen).zip(outputs.rows()).enumerate()
            {
                let value = if values.is_null(row) {
                    "<null>"
                } else {
                    values.value(row)
                };
                if let Some(sums) = slices.get_mut(value) {
                    sums.add(*label, class.as_deref(), outputs);
                    continue;
                }
                if slices.len() >= Self::MAX_SLICES {
                    return Err(Error::data(format!(
                        "column `{name}` has more than {} values, too many to slice by",
                        Self::MAX_SLICES
                    )));
                }
                let mut sums = Sums::new(target);
                sums.add(*label, class.as_deref(), outputs);
                slices.insert(value.to_owned(), sums);
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.overall.merge(&other.overall)?;
        for (class, rows) in &other.unseen {
            count_unseen(&mut self.unseen, Some(class), *rows);
        }
        if let (Some(mine), Some(theirs)) = (&mut self.predictions, other.predictions) {
            mine.merge(theirs)?;
        }
        for (mine, theirs) in self.slices.iter_mut().zip(other.slices) {
            for (value, sums) in theirs {
                match mine.get_mut(&value) {
                    Some(mine) => mine.merge(&sums)?,
                    None => {
                        mine.insert(value, sums);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The class of each row whose class the target does not know.
fn unseen_classes(labels: &[f64], column: &ArrayRef) -> Result<Vec<Option<String>>> {
    let rows = labels.iter().enumerate();
    rows.map(|(row, label)| {
        if label.is_nan() {
            Ok(Some(array_value_to_string(column, row)?))
        } else {
            Ok(None)
        }
    })
    .collect()
}

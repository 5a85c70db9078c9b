//! A summary of the rows that a model was trained and evaluated on, which serving is compared with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use serde::{Deserialize, Serialize};

use super::{Prediction, Target, Task, load_json, most_probable};
use crate::error::{Error, Result};
use crate::statistics::{Statistics, StatisticsAccumulator};

/// The statistics that are saved with a model (`statistics.json`): of the rows it was trained on, and of its answers to
/// the rows it was evaluated on. [Compact](Statistics::compact), so that they take no room to speak of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReferenceStatistics {
    format_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<Statistics>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    predictions: Option<Statistics>,
}

impl ReferenceStatistics {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        ReferenceStatistics {
            format_version: Self::FORMAT_VERSION,
            ..ReferenceStatistics::default()
        }
    }

    /// With those of the raw rows that the model was trained on. Of more columns than it reads, these are kept.
    #[must_use]
    pub fn with_training(mut self, statistics: Statistics) -> Self {
        self.training = Some(statistics);
        self
    }

    /// With those of its answers to the rows that it was evaluated on, as
    /// [`Prediction::to_distribution`] makes columns of them.
    #[must_use]
    pub fn with_predictions(mut self, statistics: Statistics) -> Self {
        self.predictions = Some(statistics);
        self
    }

    /// The statistics of the columns that the model reads, in the rows it was trained on.
    #[must_use]
    pub fn training(&self) -> Option<&Statistics> {
        self.training.as_ref()
    }

    /// The statistics of its answers to the rows it was evaluated on; columns as in [`Prediction::to_distribution`].
    #[must_use]
    pub fn predictions(&self) -> Option<&Statistics> {
        self.predictions.as_ref()
    }

    /// Only of these columns, and small.
    pub(super) fn compact<'a>(&self, inputs: impl IntoIterator<Item = &'a str>) -> Self {
        let all = |statistics: &Statistics| {
            let names: Vec<&str> = statistics
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            statistics.compact(names)
        };
        ReferenceStatistics {
            format_version: Self::FORMAT_VERSION,
            training: self
                .training
                .as_ref()
                .map(|training| training.compact(inputs)),
            predictions: self.predictions.as_ref().map(all),
        }
    }
}

/// The place of a servable's reference: with it, or in its directory, from where it is read when it is first requested.
/// Most servers never request it.
#[derive(Clone, Default)]
pub(crate) enum Reference {
    #[default]
    None,
    Here(Arc<ReferenceStatistics>),
    Saved(Arc<Saved>),
}

pub(crate) struct Saved {
    dir: PathBuf,
    read: OnceLock<Arc<ReferenceStatistics>>,
}

impl Reference {
    /// The file in a servable's directory.
    pub(super) const FILE: &'static str = "statistics.json";

    /// The reference that is saved in a directory; models of earlier versions have none.
    pub(super) fn saved(dir: &Path) -> Self {
        if !dir.join(Self::FILE).is_file() {
            return Reference::None;
        }
        Reference::Saved(Arc::new(Saved {
            dir: dir.to_owned(),
            read: OnceLock::new(),
        }))
    }

    pub(crate) fn get(&self) -> Result<Option<&ReferenceStatistics>> {
        match self {
            Reference::None => Ok(None),
            Reference::Here(reference) => Ok(Some(reference)),
            Reference::Saved(saved) => {
                if let Some(read) = saved.read.get() {
                    return Ok(Some(read));
                }
                let read: ReferenceStatistics = load_json(&saved.dir, Self::FILE)?;
                if read.format_version != ReferenceStatistics::FORMAT_VERSION {
                    return Err(Error::corrupt(format!(
                        "`{}` is of format version {}, this build reads {}",
                        saved.dir.join(Self::FILE).display(),
                        read.format_version,
                        ReferenceStatistics::FORMAT_VERSION
                    )));
                }
                Ok(Some(saved.read.get_or_init(|| Arc::new(read))))
            }
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reference::None => "None",
            Reference::Here(_) => "Here(..)",
            Reference::Saved(_) => "Saved(..)",
        })
    }
}

impl Prediction {
    /// The answers as columns whose distributions are compared: `prediction_value`; or `prediction_class` and
    /// `prediction_probability`, that of the positive
    /// class of two, that of the answered class of more.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) never for a prediction that a servable made.
    pub fn to_distribution(&self) -> Result<RecordBatch> {
        let numbers: ArrayRef = match self.target().task() {
            Task::Regression | Task::Binary => Arc::new(Float64Array::from_iter_values(
                self.outputs().iter().copied(),
            )),
            Task::Multiclass => {
                let rows = self.outputs().rows();
                let highest = rows.into_iter().map(|row| row[most_probable(row)]);
                Arc::new(Float64Array::from_iter_values(highest))
            }
        };
        let columns = match self.target().task() {
            Task::Regression => vec![numbers],
            Task::Binary | Task::Multiclass => {
                vec![
                    Arc::new(StringArray::from(self.classes())) as ArrayRef,
                    numbers,
                ]
            }
        };
        Ok(RecordBatch::try_new(
            Arc::new(distribution_schema(self.target())),
            columns,
        )?)
    }
}

impl Target {
    /// The accumulator of the statistics of [`Prediction::to_distribution`].
    #[must_use]
    pub fn distribution(&self) -> StatisticsAccumulator {
        StatisticsAccumulator::new(&distribution_schema(self))
    }
}

fn distribution_schema(target: &Target) -> ArrowSchema {
    let field = |name, data_type| Field::new(name, data_type, true);
    ArrowSchema::new(match target.task() {
        Task::Regression => vec![field("prediction_value", DataType::Float64)],
        Task::Binary | Task::Multiclass => vec![
            field("prediction_class", DataType::Utf8),
            field("prediction_probability", DataType::Float64),
        ],
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::accumulate::Accumulate;

    #[test]
    fn the_columns_are_those_that_the_accumulator_is_for() {
        let multiclass = Target::classification("label", ["a", "b", "c"]).unwrap();
        let binary = Target::classification("label", ["no", "yes"]).unwrap();
        for (target, outputs, wanted) in [
            (
                Target::regression("label"),
                array![[1.5], [-2.0]],
                vec!["prediction_value"],
            ),
            (
                binary,
                array![[0.9], [0.2]],
                vec!["prediction_class", "prediction_probability"],
            ),
            (
                multiclass,
                array![[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]],
                vec!["prediction_class", "prediction_probability"],
            ),
        ] {
            let mut accumulator = target.distribution();
            let prediction = Prediction::new(Arc::new(target), outputs);
            let rows = prediction.to_distribution().unwrap();
            accumulator.update(&rows).unwrap();
            let statistics = accumulator.finish();
            let names: Vec<&str> = statistics
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            assert_eq!(names, wanted);
            assert_eq!(statistics.n_rows, 2);
            if prediction.outputs().ncols() == 3 {
                let probability = statistics
                    .column("prediction_probability")
                    .unwrap()
                    .numeric
                    .as_ref()
                    .unwrap();
                assert_eq!((probability.min, probability.max), (Some(0.5), Some(0.7)));
            }
        }
    }
}

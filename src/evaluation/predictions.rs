//! Labelled raw rows become predictions, once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use arrow::util::display::array_value_to_string;
use ndarray::{Array2, ArrayView2, Axis, stack};

use super::resample::clusters_of;
use crate::accumulate::Accumulate;
use crate::error::{Error, Result, panic_text};
use crate::examples::{ExamplePart, Examples};
use crate::metrics::{
    AucChange, BothRanks, Evaluation, Evaluator, ResidualDecile, Scored, SliceBy, View, numbers_of,
    residuals,
};
use crate::model::{Prediction, Servable, Target, Task, Weighting};
use crate::parallel::side_by_side;
use crate::statistics::{Statistics, StatisticsAccumulator};

/// The number of batches that are scored at a time.
const AT_A_TIME: usize = 16;

/// The predictions of a candidate, and of a baseline beside it, for labelled raw rows: columns of numbers in memory, about
/// `8 * (2 + n_outputs)` bytes a row and as much for the baseline, in the order of the rows.
#[derive(Clone, Debug)]
pub struct Predictions {
    pub(super) target: Arc<Target>,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) distribution: Statistics,
}

/// The rows of a batch with their predictions.
#[derive(Debug)]
pub struct PredictedRows {
    raw: RecordBatch,
    scored: RecordBatch,
}

impl PredictedRows {
    /// The raw rows.
    #[must_use]
    pub fn raw(&self) -> &RecordBatch {
        &self.raw
    }

    /// The labels `(n_rows)`: values of a regression, else indexes of the target's classes, NaN for one that it does not
    /// know.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) never for rows of [`Predictions::rows`].
    pub fn labels(&self) -> Result<&[f64]> {
        Ok(View::of(&self.scored)?.labels)
    }

    /// The candidate's outputs `(n_rows, n_outputs)`.
    ///
    /// # Errors
    /// As [`PredictedRows::labels`].
    pub fn candidate(&self) -> Result<ArrayView2<'_, f64>> {
        Ok(View::of(&self.scored)?.candidate)
    }

    /// The baseline's outputs `(n_rows, n_outputs)`, if there is one.
    ///
    /// # Errors
    /// As [`PredictedRows::labels`].
    pub fn baseline(&self) -> Result<Option<ArrayView2<'_, f64>>> {
        Ok(View::of(&self.scored)?.baseline)
    }

    /// The weight of each row `(n_rows)`; `None` if all count the same.
    ///
    /// # Errors
    /// As [`PredictedRows::labels`].
    pub fn weights(&self) -> Result<Option<&[f64]>> {
        Ok(View::of(&self.scored)?.weights())
    }
}

/// The scored rows of one partition.
struct Part {
    scored: Vec<Scored>,
    distribution: StatisticsAccumulator,
    /// The reason why the baseline has no answers.
    unusable: Option<Error>,
}

/// Predictions of a candidate, with the baseline's or why it has none.
pub(super) struct Predicted {
    pub(super) predictions: Predictions,
    pub(super) unusable: Option<Error>,
}

impl Predictions {
    /// Predicts labelled rows: the label's column is that of the model's target.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if the rows are not those that the model takes;
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if it fails, or panics.
    pub fn of(model: &Servable, rows: &Examples, slice_by: &[SliceBy]) -> Result<Self> {
        let columns = Columns {
            slice_by,
            ..Columns::default()
        };
        Ok(predict(model, None, rows, &columns)?.predictions)
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The prediction target.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The statistics of the candidate's answers; the columns are those of
    /// [`Prediction::to_distribution`](crate::model::Prediction::to_distribution).
    #[must_use]
    pub fn distribution(&self) -> &Statistics {
        &self.distribution
    }

    /// Runs an evaluator over the predictions, on every core; the result is the same on any number of them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a column to slice by has too many values.
    pub fn evaluate(&self, evaluator: &Evaluator) -> Result<Evaluator> {
        let chunks: Vec<&[RecordBatch]> = self.batches.chunks(AT_A_TIME).collect();
        let parts = side_by_side(0, chunks, |chunk| {
            let mut part = evaluator.clone();
            part.update(&concat_batches(&chunk[0].schema(), chunk)?)?;
            Ok(part)
        })?;
        let mut whole = evaluator.clone();
        parts.into_iter().try_for_each(|part| whole.merge(part))?;
        Ok(whole)
    }

    /// Adds the differences of the areas under both models' curves, over all rows and by slice, to what an evaluator has
    /// found of these predictions.
    pub(super) fn compare_areas(
        &self,
        evaluated: &Evaluator,
        changes: &mut Evaluation,
    ) -> Result<()> {
        let Some(ranks) = BothRanks::of(evaluated) else {
            return Ok(());
        };
        let chunks: Vec<&[RecordBatch]> = self.batches.chunks(AT_A_TIME).collect();
        let parts = side_by_side(0, chunks, |chunk| {
            let mut part = ranks.start();
            let mut batches = chunk.iter();
            batches.try_for_each(|batch| part.add(&ranks, evaluated, batch))?;
            Ok(part)
        })?;
        let mut whole: AucChange = ranks.start();
        parts.iter().for_each(|part| whole.merge(part));
        ranks.finish(evaluated, &whole, changes)
    }

    /// The rows with their predictions, batch by batch: `raw` are the rows that were predicted.
    pub fn rows<'a>(
        &'a self,
        raw: &'a Examples,
    ) -> impl Iterator<Item = Result<PredictedRows>> + 'a {
        let raw = raw.batches(&[]);
        raw.zip(&self.batches).map(|(raw, scored)| {
            let raw = raw?;
            if raw.num_rows() != scored.num_rows() {
                return Err(Error::internal("predictions of other rows"));
            }
            Ok(PredictedRows {
                raw,
                scored: scored.clone(),
            })
        })
    }

    /// The columns of numbers, batch by batch.
    pub(super) fn scored(&self) -> impl Iterator<Item = Result<View<'_>>> {
        self.batches.iter().map(View::of)
    }

    /// The errors of values by the size of the prediction.
    pub(super) fn residuals(&self) -> Result<Vec<ResidualDecile>> {
        match self.target.task() {
            Task::Regression => residuals(&self.batches),
            Task::Binary | Task::Multiclass => Ok(Vec::new()),
        }
    }

    /// The rows in larger batches, each with the number of rows before it.
    pub(super) fn chunks(&self) -> Result<Vec<(u64, RecordBatch)>> {
        let mut start = 0;
        let chunks = self.batches.chunks(AT_A_TIME);
        chunks
            .map(|chunk| {
                let chunk = concat_batches(&chunk[0].schema(), chunk)?;
                let before = start;
                start += chunk.num_rows() as u64;
                Ok((before, chunk))
            })
            .collect()
    }
}

/// The result of code of a model, which may panic.
fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        Err(Error::model(format!(
            "the model panicked{}",
            panic_text(&*panic)
        )))
    })
}

/// The roles of the raw columns beside the label.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns<'a> {
    /// The weight of each row.
    pub(super) weight: Option<&'a str>,
    /// The column by which rows belong together.
    pub(super) cluster: Option<&'a str>,
    pub(super) slice_by: &'a [SliceBy],
}

/// Predicts labelled rows with a candidate and, where there is one, a baseline.
pub(super) fn predict(
    candidate: &Servable,
    baseline: Option<&Servable>,
    rows: &Examples,
    columns: &Columns<'_>,
) -> Result<Predicted> {
    let Columns {
        weight,
        cluster,
        slice_by,
    } = *columns;
    let weighting = weight.map(Weighting::of_column);
    let part = |part: ExamplePart<'_>| -> Result<Part> {
        let mut found = Part {
            scored: Vec::new(),
            distribution: candidate.target().distribution(),
            unusable: None,
        };
        for batch in part.batches(&[]) {
            let batch = batch?;
            let (mut scored, answers) = score(candidate, &batch)?;
            found.distribution.update(&answers)?;
            if let (Some(baseline), None) = (baseline, &found.unusable) {
                match answer(baseline, &batch) {
                    Ok((prediction, intervals)) => {
                        scored.baseline = Some(prediction.outputs().clone());
                        scored.intervals[1] = intervals;
                    }
                    Err(error) => found.unusable = Some(error),
                }
            }
            if let Some(weighting) = &weighting {
                scored.weights = Some(weighting.weights(&batch, &scored.labels)?);
            }
            let clusters = cluster.map(|column| clusters_of(column, &batch));
            scored.clusters = clusters.transpose()?;
            let keys = slice_by.iter().map(|by| by.keys(&batch));
            scored.keys = keys.collect::<Result<_>>()?;
            found.scored.push(scored);
        }
        Ok(found)
    };
    let parts = rows.parts().into_iter().flat_map(|part| match part {
        ExamplePart::File(_) => vec![part],
        ExamplePart::Batches(batches) => {
            let chunks = batches.chunks(AT_A_TIME);
            chunks.map(ExamplePart::Batches).collect()
        }
    });
    let parts: Vec<ExamplePart<'_>> = parts.collect();
    let parts = side_by_side(0, parts, |rows| caught(|| part(rows)))?;
    let mut distribution = candidate.target().distribution();
    let (mut all, mut unusable) = (Vec::new(), None);
    for part in parts {
        distribution.merge(part.distribution)?;
        all.extend(part.scored);
        unusable = unusable.or(part.unusable);
    }
    let batches = all.into_iter().map(|mut scored| {
        if unusable.is_some() {
            scored.baseline = None;
            scored.intervals[1] = None;
        }
        scored.into_batch()
    });
    Ok(Predicted {
        predictions: Predictions {
            target: Arc::clone(candidate.target()),
            batches: batches.collect::<Result<_>>()?,
            distribution: distribution.finish(),
        },
        unusable,
    })
}

fn score(candidate: &Servable, batch: &RecordBatch) -> Result<(Scored, RecordBatch)> {
    let target = candidate.target();
    let column = batch.column_by_name(target.label()).ok_or_else(|| {
        Error::data(format!(
            "there is no column `{}` to evaluate with",
            target.label()
        ))
    })?;
    let labels = target.encode(column)?;
    let unseen = |(row, label): (usize, &f64)| {
        let unseen = label.is_nan().then(|| array_value_to_string(column, row));
        unseen.transpose()
    };
    let unseen = match target.classes() {
        [] => None,
        _ => Some(
            labels
                .iter()
                .enumerate()
                .map(unseen)
                .collect::<Result<Vec<_>, _>>()?,
        ),
    };
    let (prediction, intervals) = answer(candidate, batch)?;
    let scored = Scored {
        labels,
        unseen,
        candidate: prediction.outputs().clone(),
        intervals: [intervals, None],
        ..Scored::default()
    };
    Ok((scored, prediction.to_distribution()?))
}

/// A model's answers, with the ends of its intervals `(n_rows, 2)` if it answers some, as `lower` and `upper`.
fn answer(model: &Servable, batch: &RecordBatch) -> Result<(Prediction, Option<Array2<f64>>)> {
    let prediction = model.predict(batch)?;
    let ends = prediction.extra("lower").zip(prediction.extra("upper"));
    let intervals = ends.map(|(low, high)| stack![Axis(1), low, high]);
    Ok((prediction, intervals))
}

/// The same ways of slicing with edges in place of quantiles, which are those of the rows.
pub(super) fn close(slice_by: &[SliceBy], rows: &Examples) -> Result<Vec<SliceBy>> {
    let mut closed = slice_by.to_vec();
    let columns: Vec<String> = (slice_by.iter().flat_map(SliceBy::open_columns))
        .map(str::to_owned)
        .collect();
    for column in columns {
        let mut values = Vec::new();
        for batch in rows.batches(&[&column]) {
            let batch = batch?;
            let numbers = numbers_of(&column, batch.column(0))?;
            let numbers = numbers.as_primitive::<Float64Type>();
            values.extend(numbers.iter().flatten().filter(|number| number.is_finite()));
        }
        for by in &mut closed {
            by.close(&column, &mut values);
        }
    }
    Ok(closed)
}

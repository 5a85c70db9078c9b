//! Importances of raw columns.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use ndarray::Axis;
use serde::Serialize;

use super::calibrated::check_hold_out;
use super::random::Random;
use super::{Capabilities, Dataset, ExplainedRow, TrainArgs, Trained, Trainer};
use crate::error::{Error, ErrorKind, Result};
use crate::examples::Examples;
use crate::features::Takes;
use crate::model::{Contributions, Model, Predict, Task};
use crate::stage::Stage;

/// A trainer whose model's permutation importances are measured (Breiman, 2001): by how much the loss on rows that it was
/// not trained on rises when the values of one raw column are shuffled among the rows, all its features together.
///
/// If the model reports what each feature [contributes](Predict::contributions), the record gets the mean absolute
/// contribution of each raw column, `contribution`, over the first rows, and the first row's own.
///
/// The rows are those to [tune](TrainArgs::tune) by, or a part held out. The loss is that of the task: the log loss, or
/// half the mean squared error. The record gets, for each raw column, `permutation` (the mean rise over the repeats) and
/// `permutation_deviation` (their standard deviation). The model is that of the trainer within.
#[derive(Clone, Debug, Serialize)]
pub struct Explained<T: Trainer> {
    #[serde(serialize_with = "crate::serialize_stage")]
    trainer: T,
    repeats: usize,
    max_rows: usize,
    hold_out: f64,
}

impl<T: Trainer> Explained<T> {
    /// Around a trainer, with five repeats over 10,000 rows.
    #[must_use]
    pub fn new(trainer: T) -> Self {
        Explained {
            trainer,
            repeats: 5,
            max_rows: 10_000,
            hold_out: 0.2,
        }
    }

    /// The number of shuffles of each column; the default is 5.
    #[must_use]
    pub fn repeats(mut self, n: usize) -> Self {
        self.repeats = n;
        self
    }

    /// The most rows that are predicted at a time, the first of those to tune by; the default is 10,000.
    #[must_use]
    pub fn max_rows(mut self, n: usize) -> Self {
        self.max_rows = n;
        self
    }

    /// The share of rows that is held out where there are none to tune by; the default is 0.2.
    #[must_use]
    pub fn hold_out(mut self, fraction: f64) -> Self {
        self.hold_out = fraction;
        self
    }
}

impl<T: Trainer> Stage for Explained<T> {
    fn name(&self) -> &str {
        "explained"
    }

    fn check(&self) -> Result<()> {
        if self.repeats == 0 || self.max_rows < 2 {
            return Err(Error::config(format!(
                "`repeats` is {} and `max_rows` {}, must be at least 1 and 2",
                self.repeats, self.max_rows
            )));
        }
        check_hold_out(self.hold_out)?;
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for Explained<T> {
    type Model = T::Model;

    fn train(&self, args: &TrainArgs) -> Result<Trained<T::Model>> {
        let args = args.with_rows_to_tune(self.hold_out)?;
        let mut trained = self.trainer.train(&args)?;
        let args = args.behind_that_of(&trained);
        args.cancellation().check()?;
        let found = self.importances(trained.model(), &args)?;
        let named = |values: fn(&Rise) -> f64| {
            found
                .iter()
                .map(move |rise| (rise.column.clone(), values(rise)))
        };
        trained = trained.with_importances("permutation", named(|rise| rise.mean));
        trained = trained.with_importances("permutation_deviation", named(|rise| rise.deviation));
        let Some(found) = self.contributions(trained.model(), &args)? else {
            return Ok(trained);
        };
        if let Some(row) = ExplainedRow::of(&found, 0) {
            trained = trained.with_explained(row);
        }
        let names = found.names().len().saturating_sub(1);
        let sizes = found.values().map(|value| value.abs()).mean_axis(Axis(0));
        let sizes = sizes.and_then(|of_outputs| of_outputs.mean_axis(Axis(0)));
        let sizes = found.names()[..names]
            .iter()
            .cloned()
            .zip(sizes.into_iter().flatten());
        Ok(trained.with_importances("contribution", sizes))
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}

/// The rise of the loss when a column is shuffled.
struct Rise {
    column: String,
    mean: f64,
    deviation: f64,
}

impl<T: Trainer> Explained<T> {
    /// The contributions for the first rows; `None` if the model does not report them.
    fn contributions(&self, model: &T::Model, args: &TrainArgs) -> Result<Option<Contributions>> {
        /// The number of rows; deep forests take a second for them.
        const ROWS: usize = 100;
        let rows = args.rows_to_tune()?;
        let rows = rows.of_batch(rows.first_rows(ROWS.min(self.max_rows))?)?;
        let table = rows.table(model.takes())?;
        let features = table.features();
        match model.contributions(features) {
            Ok(values) => Contributions::of(features, &values).map(Some),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn importances(&self, model: &T::Model, args: &TrainArgs) -> Result<Vec<Rise>> {
        let rows = args.rows_to_tune()?;
        let batch = rows.first_rows(self.max_rows)?;
        let takes = model.takes();
        let loss = |batch: RecordBatch| loss_of(model, &rows.of_batch(batch)?, takes);
        let before = loss(batch.clone())?;
        let mut random = Random::new(args.seed());
        let mut found = Vec::new();
        let inputs = rows.transform().inputs();
        for (number, input) in inputs.iter().enumerate() {
            let place = batch.schema().index_of(&input.name)?;
            let rises = (0..self.repeats).map(|_| {
                args.cancellation().check()?;
                let order = UInt32Array::from(random.order(batch.num_rows()));
                let mut columns = batch.columns().to_vec();
                columns[place] = take(&columns[place], &order, None)?;
                let shuffled = RecordBatch::try_new(batch.schema(), columns)?;
                Ok(loss(shuffled)? - before)
            });
            let rises = rises.collect::<Result<Vec<f64>>>()?;
            let n = rises.len() as f64;
            let mean = rises.iter().sum::<f64>() / n;
            let squares: f64 = rises.iter().map(|rise| (rise - mean).powi(2)).sum();
            found.push(Rise {
                column: input.name.clone(),
                mean,
                deviation: (squares / n).sqrt(),
            });
            args.progress()
                .advance(number as u64 + 1, inputs.len() as u64);
        }
        Ok(found)
    }
}

impl Dataset {
    /// The first rows with all columns that are needed, as one batch.
    fn first_rows(&self, most: usize) -> Result<RecordBatch> {
        let columns = self.columns();
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut missing = most;
        for part in self.examples().parts() {
            for batch in self.selected(part, &columns) {
                let batch = batch?;
                let n = batch.num_rows().min(missing);
                missing -= n;
                batches.push(batch.slice(0, n));
                if missing == 0 {
                    break;
                }
            }
            if missing == 0 {
                break;
            }
        }
        let schema = batches.first().map(RecordBatch::schema);
        let schema = schema.ok_or_else(|| Error::data("there are no rows to tune by"))?;
        Ok(concat_batches(&schema, &batches)?)
    }

    fn of_batch(&self, batch: RecordBatch) -> Result<Dataset> {
        let examples = Examples::from_batches(batch.schema(), vec![batch])?;
        let weighting = self.weighting().clone().without_classes();
        Ok(self.clone().with_examples(examples).weighted(weighting))
    }
}

/// The weighted mean log loss, or half the mean squared error.
fn loss_of(model: &impl Model, rows: &Dataset, takes: Takes) -> Result<f64> {
    let table = rows.table(takes)?;
    let outputs = model.predict(table.features())?;
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, (outputs, label)) in outputs.rows().into_iter().zip(table.labels()).enumerate() {
        let weight = table.weights().map_or(1.0, |weights| weights[row]);
        let log = |p: f64| -p.max(1e-15).ln();
        let loss = match rows.target().task() {
            Task::Regression => 0.5 * (outputs[0] - label).powi(2),
            Task::Binary => log(if *label == 1.0 {
                outputs[0]
            } else {
                1.0 - outputs[0]
            }),
            Task::Multiclass => log(outputs.get(*label as usize).copied().unwrap_or(0.0)),
        };
        sum += weight * loss;
        total += weight;
    }
    Ok(sum / total)
}

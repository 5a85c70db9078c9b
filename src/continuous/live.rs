//! How the versions do on what they were asked, as far as the labels have come.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, UInt64Type};
use datafusion::logical_expr::{ident, lit};
use datafusion::prelude::DataFrame;
use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::labels::{LabelledRequests, logged};
use crate::accumulate::Accumulate;
use crate::data::DataSource;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::metrics::{Catalogue, Evaluator, Metrics, Scored};
use crate::model::{Label, Target, Task};
use crate::schema::{normalize_batch, normalized_schema};

/// The live metrics of a version: of its labelled answers, with 95 % intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LiveMetrics {
    /// The version.
    pub version: u64,
    /// Its metrics by name.
    pub metrics: Metrics,
}

/// How wrong an answer was, in `0..=1`: what canaries are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// The Brier score: the squared difference of the probability and what happened; of more than two classes the sum over
    /// them, halved.
    Brier,
    /// 1 for another class than the label's, else 0.
    Error,
    /// The absolute difference of a value and the label, in units of this, which is the most that counts.
    Absolute(f64),
}

impl Loss {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Loss::Absolute(most) if !(most.is_finite() && most > 0.0) => Err(Error::config(
                format!("the most that an absolute loss counts is {most}, must be above 0"),
            )),
            _ => Ok(()),
        }
    }

    fn of(self, target: &Target, label: f64, outputs: ArrayView1<'_, f64>) -> f64 {
        let first = outputs.first().copied().unwrap_or(f64::NAN);
        let class = |at: usize| f64::from(u8::from(label == at as f64));
        match (self, target.task()) {
            // A class that the target does not know is a mistake whatever was answered.
            (Loss::Brier | Loss::Error, Task::Binary | Task::Multiclass) if label.is_nan() => 1.0,
            (Loss::Brier, Task::Binary) => (first - label).powi(2),
            (Loss::Brier, Task::Multiclass) => {
                let squares = outputs.iter().enumerate();
                squares.map(|(at, p)| (p - class(at)).powi(2)).sum::<f64>() / 2.0
            }
            (Loss::Error, Task::Binary) => {
                let positive = first >= target.threshold();
                f64::from(u8::from(positive != (label == 1.0)))
            }
            (Loss::Error, Task::Multiclass) => {
                let best = outputs
                    .iter()
                    .enumerate()
                    .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
                1.0 - best.map_or(0.0, |(at, _)| class(at))
            }
            (Loss::Absolute(most), Task::Regression) => ((first - label).abs() / most).min(1.0),
            _ => f64::NAN,
        }
    }

    /// Whether it is a loss of this task.
    pub(super) fn check_task(self, task: Task) -> Result<()> {
        let fits = matches!(
            (self, task),
            (Loss::Absolute(_), Task::Regression)
                | (Loss::Brier | Loss::Error, Task::Binary | Task::Multiclass)
        );
        match fits {
            true => Ok(()),
            false => Err(Error::config(format!(
                "loss {self:?} is not one of a {task:?} model, which the canary is"
            ))),
        }
    }
}

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Option<DataFrame>>> + Send + 'a>>;

/// Labelled requests of any source of labels.
pub(super) trait Labelled: std::fmt::Debug + Send + Sync {
    fn there<'a>(&'a self, engine: &'a Engine) -> Reading<'a>;
    fn known_at(&self) -> &str;
}

impl<L: DataSource + std::fmt::Debug> Labelled for LabelledRequests<L> {
    fn there<'a>(&'a self, engine: &'a Engine) -> Reading<'a> {
        Box::pin(LabelledRequests::there(self, engine))
    }

    fn known_at(&self) -> &str {
        self.known_at_column()
    }
}

/// Labelled answers, in the order in which their labels came.
pub(super) struct Answers {
    target: Arc<Target>,
    /// `(n_rows)`: values, or indexes of classes.
    labels: Vec<f64>,
    /// `(n_rows, n_outputs)`.
    outputs: Array2<f64>,
    versions: Vec<u64>,
}

impl Answers {
    /// Those that were answered from a time on; `None` if there are none.
    pub(super) async fn since(
        requests: &dyn Labelled,
        engine: &Engine,
        (target, label): (&Arc<Target>, &Label),
        since: Option<SystemTime>,
    ) -> Result<Option<Self>> {
        let Some(rows) = requests.there(engine).await? else {
            return Ok(None);
        };
        let fields = rows.schema().fields().iter();
        let columns: Vec<String> = fields.map(|field| field.name().clone()).collect();
        let name = |name: &str| logged(name, &columns);
        let rows = match since {
            Some(since) => {
                let since = since
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
                let since = lit(datafusion::common::ScalarValue::TimestampMicrosecond(
                    Some(since),
                    Some(Arc::from("UTC")),
                ));
                rows.filter(ident(name("requested_at")).gt_eq(since))?
            }
            None => rows,
        };
        let outputs = match target.task() {
            Task::Regression => "prediction_value",
            Task::Binary => "prediction_probability",
            Task::Multiclass => "prediction_probabilities",
        };
        let order = [
            ("fourfold:known_at", requests.known_at().to_owned()),
            ("fourfold:id", name("request_id")),
            ("fourfold:row", name("request_row")),
        ];
        let columns = [
            ident(label.source_column()),
            ident(name(outputs)).alias("fourfold:outputs"),
            ident(name("version")).alias("fourfold:version"),
        ];
        let of_order = order
            .iter()
            .map(|(alias, column)| ident(column).alias(*alias));
        let rows = rows.select(columns.into_iter().chain(of_order).collect::<Vec<_>>())?;
        let order = order
            .iter()
            .map(|(alias, _)| ident(*alias).sort(true, true));
        let rows = rows.sort(order.collect())?;
        let plain = normalized_schema(rows.schema().as_arrow());
        let batches = rows.collect().await?;
        let batches = batches.iter().map(|batch| normalize_batch(batch, &plain));
        let batches: Vec<RecordBatch> = batches.collect::<Result<_>>()?;
        let rows = concat_batches(&plain, &batches)?;
        let rows = label.apply(&rows, &label.schema(&plain)?)?;
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let versions = arrow::compute::cast(rows.column(2), &arrow::datatypes::DataType::UInt64)?;
        Ok(Some(Answers {
            target: Arc::clone(target),
            labels: target.encode(rows.column(0))?,
            outputs: outputs_of(rows.column(1), target.n_outputs())?,
            versions: versions.as_primitive::<UInt64Type>().values().to_vec(),
        }))
    }

    pub(super) fn task(&self) -> Task {
        self.target.task()
    }

    /// The loss of each answer with its version, in the order of the labels.
    pub(super) fn losses(&self, loss: Loss) -> impl Iterator<Item = (u64, f64)> {
        let rows = self.labels.iter().zip(self.outputs.rows());
        let rows = rows.zip(&self.versions);
        rows.map(move |((label, outputs), version)| {
            (*version, loss.of(&self.target, *label, outputs))
        })
    }

    /// The metrics of each version.
    pub(super) fn metrics(&self) -> Result<Vec<LiveMetrics>> {
        let mut of_versions: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (row, version) in self.versions.iter().enumerate() {
            of_versions.entry(*version).or_default().push(row);
        }
        let of = |(version, rows): (u64, Vec<usize>)| -> Result<LiveMetrics> {
            let scored = Scored {
                labels: rows.iter().map(|row| self.labels[*row]).collect(),
                candidate: self.outputs.select(ndarray::Axis(0), &rows),
                ..Scored::default()
            };
            let target = Arc::clone(&self.target);
            let mut evaluator = Evaluator::new(target, Catalogue::new(), Vec::new(), Vec::new());
            evaluator.update(&scored.into_batch()?)?;
            Ok(LiveMetrics {
                version,
                metrics: evaluator.finish()?.overall,
            })
        };
        of_versions.into_iter().map(of).collect()
    }
}

/// `(n_rows, n_outputs)` of the log's column of answers.
fn outputs_of(column: &ArrayRef, width: usize) -> Result<Array2<f64>> {
    let wrong = || Error::data("the log's answers are not those of the model's task");
    let values = match column.as_list_opt::<i32>() {
        Some(lists) => lists.values().slice(
            usize::try_from(lists.value_offsets()[0]).unwrap_or_default(),
            usize::try_from(lists.value_offsets()[lists.len()] - lists.value_offsets()[0])
                .unwrap_or_default(),
        ),
        None => Arc::clone(column),
    };
    let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    Array2::from_shape_vec((column.len(), width), values.values().to_vec())
        .map_err(|error| wrong().with_source(error))
}

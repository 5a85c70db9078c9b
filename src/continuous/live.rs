//! The quality of the versions on live requests, as far as labels have arrived.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::logical_expr::ident;
use datafusion::prelude::DataFrame;
use ndarray::{Array2, ArrayView1, Axis};
use serde::{Deserialize, Serialize};

use super::labels::{LabelledRequests, logged, names, timestamp};
use super::view;
use crate::accumulate::Accumulate;
use crate::data::{DataSource, FileSource};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::metrics::{Catalogue, Evaluator, Metrics, Scored};
use crate::model::{Label, Target, Task};

/// The live metrics of a version: of its labelled answers, with 95 % intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LiveMetrics {
    /// The version.
    pub version: u64,
    /// Its metrics by name.
    pub metrics: Metrics,
}

/// The loss of an answer, in `0..=1`, by which canaries are compared.
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

    /// Checks that the loss applies to a task.
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
    fn labelled<'a>(&'a self, engine: &'a Engine) -> Reading<'a>;
    fn first_labels<'a>(&'a self, engine: &'a Engine, from_us: i64) -> Reading<'a>;
    fn log(&self) -> FileSource;
    fn check_log(&self, columns: &[String]) -> Result<()>;
    fn keys(&self) -> &[String];
    fn known_at(&self) -> &str;
    fn time_limit(&self) -> Duration;
}

impl<L: DataSource + std::fmt::Debug> Labelled for LabelledRequests<L> {
    fn labelled<'a>(&'a self, engine: &'a Engine) -> Reading<'a> {
        Box::pin(LabelledRequests::labelled(self, engine))
    }

    fn first_labels<'a>(&'a self, engine: &'a Engine, from_us: i64) -> Reading<'a> {
        Box::pin(LabelledRequests::first_labels(self, engine, from_us))
    }

    fn log(&self) -> FileSource {
        LabelledRequests::log(self)
    }

    fn check_log(&self, columns: &[String]) -> Result<()> {
        self.check_columns(columns, "log", &[])?;
        self.check_apart(columns)
    }

    fn keys(&self) -> &[String] {
        LabelledRequests::keys(self)
    }

    fn known_at(&self) -> &str {
        self.known_at_column()
    }

    fn time_limit(&self) -> Duration {
        LabelledRequests::time_limit(self)
    }
}

/// Labelled answers, in the order in which their labels came.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    target: Arc<Target>,
    /// `(n_rows)`: values, or indexes of classes.
    labels: Vec<f64>,
    /// `(n_rows, n_outputs)`.
    outputs: Array2<f64>,
    versions: Vec<u64>,
    /// The times of the requests, in microseconds since 1970-01-01T00:00:00Z.
    requested_at: Vec<i64>,
}

impl Answers {
    /// The answers that were given from a time on, in microseconds since 1970-01-01T00:00:00Z; `None` if nothing was logged or
    /// labelled yet. It reads the whole log.
    pub(super) async fn since(
        requests: &dyn Labelled,
        engine: &Engine,
        (target, label): (&Arc<Target>, &Label),
        since: i64,
    ) -> Result<Option<Self>> {
        let Some(rows) = requests.labelled(engine).await? else {
            return Ok(None);
        };
        let columns = names(&rows);
        let name = |name: &str| logged(name, &columns);
        let requested_at = name("requested_at");
        let rows = rows.filter(ident(&requested_at).gt_eq(view::at(since)))?;
        let order = [
            ("fourfold:id", ident(name("request_id"))),
            ("fourfold:row", ident(name("request_row"))),
        ];
        let columns = [
            ident(label.source_column()),
            timestamp(ident(requests.known_at())).alias("fourfold:known_at"),
            ident(name(view::outputs_column(target))).alias("fourfold:outputs"),
            ident(name("version")).alias("fourfold:version"),
            timestamp(ident(requested_at)).alias("fourfold:requested_at"),
        ];
        let of_order = order.map(|(alias, column)| column.alias(alias));
        let rows = rows.select(columns.into_iter().chain(of_order).collect::<Vec<_>>())?;
        let order = ["fourfold:known_at", "fourfold:id", "fourfold:row"];
        let rows = rows.sort(order.map(|alias| ident(alias).sort(true, true)).to_vec())?;
        let rows = view::collect(rows).await?;
        Answers::of(&rows, target, label).map(Some)
    }

    /// The answers of rows of label, time of the label, outputs, version and time of the request, and more columns.
    pub(super) fn of(rows: &RecordBatch, target: &Arc<Target>, label: &Label) -> Result<Self> {
        let rows = label.apply(rows, &label.schema(rows.schema_ref())?)?;
        let versions = cast(rows.column(3), &DataType::UInt64)?;
        let requested_at = cast(rows.column(4), &DataType::Int64)?;
        Ok(Answers {
            target: Arc::clone(target),
            labels: target.encode(rows.column(0))?,
            outputs: outputs_of(rows.column(2), target.n_outputs())?,
            versions: versions.as_primitive::<UInt64Type>().values().to_vec(),
            requested_at: requested_at.as_primitive::<Int64Type>().values().to_vec(),
        })
    }

    /// Adds answers whose labels have come later.
    pub(super) fn append(&mut self, later: Answers) {
        self.labels.extend(later.labels);
        self.versions.extend(later.versions);
        self.requested_at.extend(later.requested_at);
        let both = [self.outputs.view(), later.outputs.view()];
        // Both have the width of the target.
        if let Ok(outputs) = ndarray::concatenate(Axis(0), &both) {
            self.outputs = outputs;
        }
    }

    /// Forgets the answers that were given before a time.
    pub(super) fn forget_before(&mut self, time: i64) {
        if self.requested_at.iter().all(|at| *at >= time) {
            return;
        }
        let kept: Vec<usize> = self.rows_from(time).collect();
        self.labels = kept.iter().map(|row| self.labels[*row]).collect();
        self.outputs = self.outputs.select(Axis(0), &kept);
        self.versions = kept.iter().map(|row| self.versions[*row]).collect();
        self.requested_at = kept.iter().map(|row| self.requested_at[*row]).collect();
    }

    pub(super) fn n_bytes(&self) -> usize {
        size_of::<f64>() * (3 * self.labels.len() + self.outputs.len())
    }

    pub(super) fn task(&self) -> Task {
        self.target.task()
    }

    fn rows_from(&self, time: i64) -> impl Iterator<Item = usize> {
        let rows = self.requested_at.iter().enumerate();
        rows.filter(move |(_, at)| **at >= time).map(|(row, _)| row)
    }

    /// The loss of each answer since a time with its version, in the order of the labels.
    pub(super) fn losses(&self, loss: Loss, since: i64) -> impl Iterator<Item = (u64, f64)> {
        self.rows_from(since).map(move |row| {
            let (label, outputs) = (self.labels[row], self.outputs.row(row));
            (self.versions[row], loss.of(&self.target, label, outputs))
        })
    }

    /// The metrics of each version, of the answers since a time.
    pub(super) fn metrics(&self, since: i64) -> Result<Vec<LiveMetrics>> {
        let mut of_versions: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for row in self.rows_from(since) {
            of_versions.entry(self.versions[row]).or_default().push(row);
        }
        let of = |(version, rows): (u64, Vec<usize>)| -> Result<LiveMetrics> {
            let scored = Scored {
                labels: rows.iter().map(|row| self.labels[*row]).collect(),
                candidate: self.outputs.select(Axis(0), &rows),
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

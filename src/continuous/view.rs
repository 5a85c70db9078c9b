//! The part of the request log that was already read: each look reads the new files.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::compute::{
    SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, not, take_record_batch,
};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, JoinType, ident, lit};
use datafusion::prelude::DataFrame;

use super::labels::{aside, logged, names, timestamp};
use super::live::{Answers, Labelled};
use crate::data::DataSource;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Label, Target, Task};
use crate::schema::{normalize_batch, normalized_schema};

/// The most bytes that are held: of files that were not read yet, and of rows. Beyond, a log is read anew at each look.
const MAX_BYTES: u64 = 256 << 20;

/// The columns of rows that wait for a label, besides the keys.
const OUTPUTS: &str = "fourfold:outputs";
const VERSION: &str = "fourfold:version";
const REQUESTED_AT: &str = "fourfold:requested_at";
const ID: &str = "fourfold:id";
const ROW: &str = "fourfold:row";
const COLUMNS: [&str; 5] = [OUTPUTS, VERSION, REQUESTED_AT, ID, ROW];

/// The answers whose labels have come, and those that wait for one. It is of the files alone and in memory alone: a process
/// that begins again reads the log once more, and finds the same.
#[derive(Debug, Default)]
pub(super) struct View {
    target: Option<Arc<Target>>,
    /// The files that were read, by their paths.
    read: BTreeSet<String>,
    waiting: Option<RecordBatch>,
    answers: Option<Arc<Answers>>,
}

/// The arguments of [`View::update`].
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) requests: &'a dyn Labelled,
    pub(super) target: &'a Arc<Target>,
    pub(super) label: &'a Label,
    /// The time of the first request of interest, in microseconds since 1970-01-01T00:00:00Z.
    pub(super) horizon: i64,
    /// The current time, likewise.
    pub(super) now: i64,
}

impl View {
    /// The labelled answers.
    pub(super) fn answers(&self) -> Option<Arc<Answers>> {
        self.answers.clone()
    }

    /// Reads the new files, and joins waiting rows with their labels. Returns false if the rows are too many to hold; then none
    /// are held. The future may be dropped at any time.
    pub(super) async fn update(&mut self, engine: &Engine, wanted: Wanted<'_>) -> Result<bool> {
        let is_same = |target: &Arc<Target>| target.answers_as(wanted.target);
        if !self.target.as_ref().is_some_and(is_same) {
            *self = View::default();
            self.target = Some(Arc::clone(wanted.target));
        }
        let sizes = match wanted.requests.log().sizes(engine).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Default::default(),
            sizes => sizes?,
        };
        let is_new = |(file, _): &(&String, &u64)| !self.read.contains(*file);
        let new = sizes.iter().filter(is_new);
        let new_bytes: u64 = new.clone().map(|(_, n_bytes)| n_bytes).sum();
        if new_bytes.saturating_add(self.n_bytes()) > MAX_BYTES {
            *self = View::default();
            return Ok(false);
        }
        let new: BTreeSet<String> = new.map(|(file, _)| file.clone()).collect();
        if !new.is_empty() {
            let rows = logged_rows(engine, wanted, new.clone()).await?;
            if !self.wait_for(rows)? {
                *self = View::default();
                return Ok(false);
            }
            self.read.extend(new);
        }
        self.read.retain(|file| sizes.contains_key(file));
        self.label(engine, wanted).await?;
        if let Some(answers) = &mut self.answers {
            Arc::make_mut(answers).forget_before(wanted.horizon);
        }
        Ok(true)
    }

    fn n_bytes(&self) -> u64 {
        let waiting = self.waiting.as_ref();
        let waiting = waiting.map_or(0, RecordBatch::get_array_memory_size);
        let answers = self.answers.as_ref().map_or(0, |answers| answers.n_bytes());
        (waiting + answers) as u64
    }

    /// Adds rows; false if their keys have other types than those before.
    fn wait_for(&mut self, rows: Option<RecordBatch>) -> Result<bool> {
        self.waiting = match (self.waiting.take(), rows) {
            (Some(waiting), Some(rows)) if waiting.schema() == rows.schema() => {
                Some(concat_batches(&rows.schema(), [&waiting, &rows])?)
            }
            (Some(_), Some(_)) => return Ok(false),
            (waiting, rows) => waiting.or(rows),
        };
        Ok(true)
    }

    /// Joins the rows that wait with the labels that have come.
    async fn label(&mut self, engine: &Engine, wanted: Wanted<'_>) -> Result<()> {
        let Some(waiting) = &self.waiting else {
            return Ok(());
        };
        let Some(oldest) = arrow::compute::min(times(waiting, REQUESTED_AT)?) else {
            return Ok(());
        };
        let Some(labels) = wanted.requests.first_labels(engine, oldest).await? else {
            return Ok(());
        };
        let keys = wanted.requests.keys();
        let same = keys.iter().enumerate();
        let same = same.map(|(at, key)| ident(key_name(at)).eq(ident(aside(key))));
        let rows = engine.session().read_batch(waiting.clone())?;
        let rows = rows.join_on(labels, JoinType::Left, same)?;
        let known_at = wanted.requests.known_at();
        let found = [wanted.label.source_column(), known_at].map(ident);
        let others = waiting.schema();
        let others = others.fields().iter().map(|field| ident(field.name()));
        let rows = rows.select(found.into_iter().chain(others).collect::<Vec<_>>())?;
        let rows = collect(rows).await?;

        let (requested_at, known_at) = (times(&rows, REQUESTED_AT)?, times(&rows, known_at)?);
        let limit = micros(wanted.requests.time_limit());
        let in_time = requested_at.iter().zip(known_at).map(|(requested, known)| {
            let (requested, known) = (requested?, known?);
            Some(known >= requested && known <= requested.saturating_add(limit))
        });
        let in_time: BooleanArray = in_time.map(|it| Some(it == Some(true))).collect();
        let labelled = sorted(&filter_record_batch(&rows, &in_time)?)?;
        // A label may be late itself: its request waits for twice the time in which it counts.
        let first = wanted
            .horizon
            .max(wanted.now.saturating_sub(limit.saturating_mul(2)));
        let is_old = requested_at
            .iter()
            .map(|at| Some(at.is_none_or(|at| at < first)));
        let is_old: BooleanArray = is_old.collect();
        let left = not(&arrow::compute::or(&in_time, &is_old)?)?;
        let left = filter_record_batch(&rows, &left)?;
        let columns: Vec<usize> = (2..left.num_columns()).collect();
        let left = left.project(&columns)?;

        let answers = Answers::of(&labelled, wanted.target, wanted.label)?;
        match &mut self.answers {
            Some(known) => Arc::make_mut(known).append(answers),
            None => self.answers = Some(Arc::new(answers)),
        }
        self.waiting = Some(left);
        Ok(())
    }
}

/// The answers of files of the log, without the raw rows.
async fn logged_rows(
    engine: &Engine,
    wanted: Wanted<'_>,
    files: BTreeSet<String>,
) -> Result<Option<RecordBatch>> {
    let rows = match wanted.requests.log().only(files).read(engine).await {
        // They were removed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        rows => rows?,
    };
    let columns = names(&rows);
    wanted.requests.check_log(&columns)?;
    let requested_at = logged("requested_at", &columns);
    let rows = rows.filter(ident(&requested_at).gt_eq(at(wanted.horizon)))?;
    let of_request = [
        logged(outputs_column(wanted.target), &columns),
        logged("version", &columns),
        requested_at,
        logged("request_id", &columns),
        logged("request_row", &columns),
    ];
    let of_request = of_request.iter().zip(COLUMNS);
    let of_request = of_request.map(|(column, alias)| match alias {
        REQUESTED_AT => timestamp(ident(column)).alias(alias),
        _ => ident(column).alias(alias),
    });
    let keys = wanted.requests.keys().iter().enumerate();
    let keys = keys.map(|(place, key)| ident(key).alias(key_name(place)));
    let rows = rows.select(of_request.chain(keys).collect::<Vec<_>>())?;
    collect(rows).await.map(Some)
}

/// The column of the log that holds the outputs of a model.
pub(super) fn outputs_column(target: &Target) -> &'static str {
    match target.task() {
        Task::Regression => "prediction_value",
        Task::Binary => "prediction_probability",
        Task::Multiclass => "prediction_probabilities",
    }
}

/// The rows as one batch, in the types of the crate.
pub(super) async fn collect(rows: DataFrame) -> Result<RecordBatch> {
    let plain = normalized_schema(rows.schema().as_arrow());
    let batches = rows.collect().await?;
    let batches = batches.iter().map(|batch| normalize_batch(batch, &plain));
    let batches: Vec<RecordBatch> = batches.collect::<Result<_>>()?;
    Ok(concat_batches(&plain, &batches)?)
}

/// Sorts rows in the order in which the labels came; those of one time, by the request.
fn sorted(rows: &RecordBatch) -> Result<RecordBatch> {
    let order = [rows.column(1)].into_iter();
    let order = order.chain(
        [ID, ROW]
            .iter()
            .filter_map(|name| rows.column_by_name(name)),
    );
    let order = order.map(|values| SortColumn {
        values: Arc::clone(values),
        options: None,
    });
    let order = lexsort_to_indices(&order.collect::<Vec<_>>(), None)?;
    Ok(take_record_batch(rows, &order)?)
}

fn times<'a>(
    rows: &'a RecordBatch,
    column: &str,
) -> Result<&'a PrimitiveArray<TimestampMicrosecondType>> {
    let column = rows.column_by_name(column);
    column
        .and_then(|column| column.as_primitive_opt())
        .ok_or_else(|| Error::internal("a time that is none"))
}

fn key_name(place: usize) -> String {
    format!("fourfold:key:{place}")
}

/// A time in UTC, of microseconds since 1970-01-01T00:00:00Z.
pub(super) fn at(micros: i64) -> Expr {
    let zone = Some(Arc::from("UTC"));
    lit(ScalarValue::TimestampMicrosecond(Some(micros), zone))
}

/// A duration in microseconds.
pub(super) fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

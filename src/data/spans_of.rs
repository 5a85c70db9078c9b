//! Sources whose rows come in spans, and the newest of them as a window.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema as ArrowSchema;
use datafusion::prelude::{DataFrame, lit};
use serde::{Serialize, Serializer};

use super::{DataPipeline, DataSource, FileSource, Label, Spans, Split};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::runs::InputFile;
use crate::schema::Schema;
use crate::stage::{Stage, serialize_stage};
use crate::transform::TransformChoice;

/// A span that is there: which one, and which version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SpanId {
    /// The number of the span.
    pub number: i64,
    /// The newest version of it, if spans have versions.
    pub version: Option<u64>,
}

/// A source whose rows come in spans: days, months, deliveries. [`FileSource`] is one, of a path with the tokens of
/// [spans](Spans), and so are [rows in memory](SpanBatches).
pub trait SpanSource: DataSource + Clone {
    /// The spans that are there now, the oldest first; none is no error.
    ///
    /// # Errors
    /// If it cannot be looked.
    fn spans_there(&self, engine: &Engine) -> impl Future<Output = Result<Vec<SpanId>>> + Send;

    /// The same source with the rows of these spans alone.
    #[must_use]
    fn of_spans(&self, numbers: &[i64]) -> Self;
}

impl SpanSource for FileSource {
    async fn spans_there(&self, engine: &Engine) -> Result<Vec<SpanId>> {
        let all = self.clone().spans(Spans::range(i64::MIN..=i64::MAX));
        let found = match all.resolve(engine).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            found => found?,
        };
        let id = |span: &super::Span| SpanId {
            number: span.number,
            version: span.version,
        };
        Ok(found.iter().map(id).collect())
    }

    fn of_spans(&self, numbers: &[i64]) -> Self {
        self.clone().spans(Spans::only(numbers.iter().copied()))
    }
}

/// Spans of rows in memory, for tests and for applications that hold their rows. Clones share the rows.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use fourfold::data::SpanBatches;
///
/// # let x: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
/// # let rows = RecordBatch::try_from_iter([("x", x)])?;
/// let days = SpanBatches::new("days");
/// days.push(1, vec![rows]);
/// assert_eq!(days.numbers(), [1]);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SpanBatches {
    name: String,
    spans: Arc<Mutex<BTreeMap<i64, Vec<RecordBatch>>>>,
    chosen: Option<Vec<i64>>,
}

impl SpanBatches {
    /// No spans yet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        SpanBatches {
            name: name.into(),
            spans: Arc::default(),
            chosen: None,
        }
    }

    /// Adds rows to a span.
    pub fn push(&self, number: i64, batches: impl IntoIterator<Item = RecordBatch>) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.entry(number).or_default().extend(batches);
    }

    /// The numbers of the spans that are there, the smallest first.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.keys().copied().collect()
    }

    fn rows(&self) -> Vec<RecordBatch> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let is_chosen = |number: &i64| match &self.chosen {
            Some(chosen) => chosen.contains(number),
            None => true,
        };
        let chosen = spans.iter().filter(|(number, _)| is_chosen(number));
        chosen.flat_map(|(_, rows)| rows).cloned().collect()
    }
}

impl Serialize for SpanBatches {
    /// The name and which spans; the rows are content, not configuration.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, &self.chosen).serialize(serializer)
    }
}

impl Stage for SpanBatches {
    fn name(&self) -> &str {
        &self.name
    }
}

impl DataSource for SpanBatches {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        let rows = self.rows();
        if rows.is_empty() {
            return Err(Error::not_found(match &self.chosen {
                Some(chosen) => format!("there are no rows of the spans {chosen:?}"),
                None => "there are no spans".to_owned(),
            }));
        }
        Ok(engine.session().read_batches(rows)?)
    }
}

impl SpanSource for SpanBatches {
    async fn spans_there(&self, _engine: &Engine) -> Result<Vec<SpanId>> {
        let id = |number| SpanId {
            number,
            version: None,
        };
        Ok(self.numbers().into_iter().map(id).collect())
    }

    fn of_spans(&self, numbers: &[i64]) -> Self {
        SpanBatches {
            chosen: Some(numbers.to_vec()),
            ..self.clone()
        }
    }
}

impl<S: DataSource> DataPipeline<S> {
    /// The same over another source.
    pub(crate) fn over(&self, source: S) -> Self {
        DataPipeline {
            source,
            plan: self.plan.clone(),
        }
    }

    /// The schema that the data must fit, if it was given.
    pub(crate) fn given_schema(&self) -> Option<&Schema> {
        self.plan.schema.as_ref()
    }

    /// Returns true if a column is not to make features.
    pub(crate) fn is_excluded(&self, column: &str) -> bool {
        self.plan.exclude.iter().any(|excluded| excluded == column)
            || self.plan.not_features().any(|other| other == column)
    }

    /// The columns that a given transform reads; `None` if one is chosen.
    pub(crate) fn given_columns(&self) -> Option<Vec<&str>> {
        match &self.plan.transform {
            TransformChoice::Given(transform) => Some(transform.inputs()),
            TransformChoice::Auto(_) => None,
        }
    }
}

/// The newest spans of a source as one: all train, and of the newest a part judges. What a
/// continuous pipeline reads, and any other that is to learn of recent rows and be judged by the
/// newest.
///
/// ```
/// use fourfold::data::{FileSource, RollingWindow};
///
/// let data = RollingWindow::new(FileSource::parquet("flights/2013-{SPAN}.parquet"), 3).hold_out(0.3).label("late");
/// # let _ = data;
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(bound = "S: SpanSource")]
pub struct RollingWindow<S> {
    #[serde(serialize_with = "serialize_stage")]
    source: S,
    n_spans: usize,
    hold_out: f64,
    /// Those of the window, the newest last; the newest that are there by default.
    chosen: Option<Vec<i64>>,
}

/// The column that marks the rows of the newest span.
pub(super) const IS_NEWEST: &str = "fourfold:newest";

impl<S: SpanSource> RollingWindow<S> {
    /// The newest `n_spans` spans of a source, at least 1.
    #[must_use]
    pub fn new(source: S, n_spans: usize) -> Self {
        RollingWindow {
            source,
            n_spans,
            hold_out: 0.25,
            chosen: None,
        }
    }

    /// The share of the newest span's rows that judge and do not train, between 0 and 1 and in steps of a thousandth; 0.25
    /// by default.
    #[must_use]
    pub fn hold_out(mut self, share: f64) -> Self {
        self.hold_out = share;
        self
    }

    /// A data pipeline that learns to predict a column. Its split is [that of the newest span](Split::newest); the rest is as
    /// by [`DataPipeline::new`].
    #[must_use]
    pub fn label(self, label: impl Into<Label>) -> DataPipeline<Self> {
        let split = Split::newest(self.hold_out);
        DataPipeline::new(self).label(label).split(split)
    }

    /// The source of all spans.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The maximum number of spans.
    #[must_use]
    pub fn n_spans(&self) -> usize {
        self.n_spans
    }

    /// A window of these spans, the newest last, and of no others.
    #[must_use]
    pub fn fixed(&self, numbers: Vec<i64>) -> Self {
        RollingWindow {
            chosen: Some(numbers),
            ..self.clone()
        }
    }

    async fn numbers(&self, engine: &Engine) -> Result<Vec<i64>> {
        if let Some(chosen) = &self.chosen {
            return Ok(chosen.clone());
        }
        let there = self.source.spans_there(engine).await?;
        let from = there.len().saturating_sub(self.n_spans);
        Ok(there[from..].iter().map(|span| span.number).collect())
    }

    async fn all(&self, engine: &Engine) -> Result<S> {
        Ok(self.source.of_spans(&self.numbers(engine).await?))
    }
}

impl<S: SpanSource> Stage for RollingWindow<S> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn version(&self) -> u32 {
        self.source.version()
    }

    fn check(&self) -> Result<()> {
        if self.n_spans == 0 {
            return Err(Error::config(
                "`n_spans` of the window is 0, must be at least 1",
            ));
        }
        self.source.check()
    }
}

impl<S: SpanSource> DataSource for RollingWindow<S> {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        let numbers = self.numbers(engine).await?;
        let Some((newest, older)) = numbers.split_last() else {
            return Err(Error::not_found("there are no spans"));
        };
        let rows = self.source.of_spans(&[*newest]).read(engine).await?;
        let rows = rows.with_column(IS_NEWEST, lit(true))?;
        if older.is_empty() {
            return Ok(rows);
        }
        let others = self.source.of_spans(older).read(engine).await?;
        let others = others.with_column(IS_NEWEST, lit(false))?;
        // Columns that came or went are NULL where they are not.
        Ok(rows.union_by_name(others)?)
    }

    async fn snapshot(&self, engine: &Engine) -> Result<Option<Fingerprint>> {
        self.all(engine).await?.snapshot(engine).await
    }

    async fn files(&self, engine: &Engine) -> Result<Option<Vec<InputFile>>> {
        self.all(engine).await?.files(engine).await
    }

    fn explain(&self, error: Error, columns: &ArrowSchema) -> Error {
        self.source.explain(error, columns)
    }
}

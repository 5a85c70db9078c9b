//! Logged requests joined with labels that arrive later.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{first_value, min};
use datafusion::logical_expr::{Expr, JoinType, cast, ident, lit};
use datafusion::prelude::DataFrame;
use serde::Serialize;

use crate::data::{DataSource, FileSource, SpanId, SpanSource};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, near_names};
use crate::stage::{Stage, serialize_stage};

/// The requests of a [`RequestLog`](crate::serving::observe::RequestLog) whose labels have arrived: the raw rows, the answer with the
/// version that gave it, and the label.
///
/// Labels come from any source, as a table of a key, the label, and when it was known. By default the key is the
/// request's id; a key of the rows themselves, such as an order's number, is [named](LabelledRequests::on). A label counts if
/// it came after the request and [within](LabelledRequests::within) a time of it; of several for one key, the first. Rows
/// whose label is NULL wait for one.
///
/// It is what [live metrics](super::ContinuousBuilder::live) and canaries are judged by, and it is a source of
/// [spans](SpanSource), so that what was served trains the next model: span `n` holds the labels that came in the `n`th period
/// since 1970-01-01, however old their requests are. Labels that are late are in the next span, and none is lost.
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::continuous::LabelledRequests;
/// use fourfold::data::{FileSource, RollingWindow};
///
/// let labels = FileSource::parquet("labels/*.parquet"); // request_id, paid, known_at
/// let requests = LabelledRequests::new("log/loans", labels, "paid", "known_at")
///     .within(Duration::from_secs(90 * 86_400))
///     .period(Duration::from_secs(7 * 86_400));
/// // Weeks of labels, the last twelve of them as one.
/// let data = RollingWindow::new(requests, 12).label("paid");
/// # let _ = data;
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(bound = "L: DataSource")]
pub struct LabelledRequests<L> {
    log: PathBuf,
    #[serde(serialize_with = "serialize_stage")]
    labels: L,
    label: String,
    known_at: String,
    on: Vec<String>,
    within: Duration,
    period: Duration,
    /// The spans; all by default.
    chosen: Option<BTreeSet<i64>>,
}

impl<L: DataSource> LabelledRequests<L> {
    /// The requests of a model's log, such as `log/flights`, with labels that have a column of the key, one of the
    /// label, and one of the time at which it was known.
    #[must_use]
    pub fn new(
        log: impl Into<PathBuf>,
        labels: L,
        label: impl Into<String>,
        known_at: impl Into<String>,
    ) -> Self {
        LabelledRequests {
            log: log.into(),
            labels,
            label: label.into(),
            known_at: known_at.into(),
            on: vec!["request_id".to_owned()],
            within: Duration::from_secs(30 * 86_400),
            period: Duration::from_secs(86_400),
            chosen: None,
        }
    }

    /// The columns that log and labels have in common and are joined by, instead of `request_id`: `["request_id",
    /// "request_row"]` where requests have several rows, or the key of what the rows are of.
    #[must_use]
    pub fn on<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.on = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the longest time between a request and its label; 30 days by default. Later labels are not used.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Sets the length of a span; a day by default.
    #[must_use]
    pub fn period(mut self, time: Duration) -> Self {
        self.period = time;
        self
    }

    /// The label's column.
    #[must_use]
    pub fn label_column(&self) -> &str {
        &self.label
    }

    pub(super) fn known_at_column(&self) -> &str {
        &self.known_at
    }

    /// All labelled requests; `None` if nothing was logged or labelled yet.
    pub(super) async fn labelled(&self, engine: &Engine) -> Result<Option<DataFrame>> {
        let Some(log) = found(self.log().read(engine).await)? else {
            return Ok(None);
        };
        let Some(labels) = self.labels(engine).await? else {
            return Ok(None);
        };
        self.join(log, labels).map(Some)
    }

    /// The log.
    pub(super) fn log(&self) -> FileSource {
        FileSource::parquet(&self.log)
    }

    /// The columns that log and labels are joined by.
    pub(super) fn keys(&self) -> &[String] {
        &self.on
    }

    /// The longest time between a request and its label.
    pub(super) fn time_limit(&self) -> Duration {
        self.within
    }

    /// All labels as they are; `None` if there are none yet.
    async fn labels(&self, engine: &Engine) -> Result<Option<DataFrame>> {
        let labels = self.labels.read(engine).await;
        found(labels.map_err(|error| error.in_stage(self.labels.name())))
    }

    /// The first label of each key among those from a time on, with the keys under the names of [`aside`]; `None` if there are
    /// none yet.
    pub(super) async fn first_labels(
        &self,
        engine: &Engine,
        from_us: i64,
    ) -> Result<Option<DataFrame>> {
        let Some(labels) = self.labels(engine).await? else {
            return Ok(None);
        };
        let from = lit(ScalarValue::TimestampMicrosecond(
            Some(from_us),
            Some(Arc::from("UTC")),
        ));
        self.check_columns(&names(&labels), "labels", &[&self.label, &self.known_at])?;
        let labels = labels.filter(timestamp(ident(&self.known_at)).gt_eq(from))?;
        self.first(labels).map(Some)
    }

    /// Checks that the keys and these columns exist.
    pub(super) fn check_columns(
        &self,
        columns: &[String],
        of: &str,
        more: &[&String],
    ) -> Result<()> {
        let mut wanted = self.on.iter().chain(more.iter().copied());
        match wanted.find(|name| !columns.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Error::config(format!(
                "there is no column `{name}` in the {of}{}",
                near_names(name, columns.iter().map(String::as_str))
            ))),
        }
    }

    /// The first label of each key.
    fn first(&self, labels: DataFrame) -> Result<DataFrame> {
        let known_at = timestamp(ident(&self.known_at));
        let keys = self.on.iter().map(|key| ident(key).alias(aside(key)));
        let columns = keys.chain([ident(&self.label), known_at.alias(&self.known_at)]);
        let labels = labels.select(columns.collect::<Vec<_>>())?;
        let is_known = ident(&self.label)
            .is_not_null()
            .and(ident(&self.known_at).is_not_null());
        let labels = labels.filter(is_known)?;
        let first = vec![ident(&self.known_at).sort(true, false)];
        Ok(labels.aggregate(
            self.on.iter().map(|key| ident(aside(key))).collect(),
            vec![
                first_value(ident(&self.label), first).alias(&self.label),
                min(ident(&self.known_at)).alias(&self.known_at),
            ],
        )?)
    }

    /// The condition that a label came after the request, and within the time limit.
    pub(super) fn in_time(&self, requested_at: &str) -> Expr {
        let within = i64::try_from(self.within.as_nanos()).unwrap_or(i64::MAX);
        let within = IntervalMonthDayNano::new(0, 0, within);
        let within = lit(ScalarValue::IntervalMonthDayNano(Some(within)));
        let requested_at = || timestamp(ident(requested_at));
        let known_at = || ident(&self.known_at);
        known_at()
            .gt_eq(requested_at())
            .and(known_at().lt_eq(requested_at() + within))
    }

    fn join(&self, log: DataFrame, labels: DataFrame) -> Result<DataFrame> {
        let (of_log, of_labels) = (names(&log), names(&labels));
        self.check_columns(&of_log, "log", &[])?;
        self.check_columns(&of_labels, "labels", &[&self.label, &self.known_at])?;
        self.check_apart(&of_log)?;
        let labels = self.first(labels)?;
        let same = self.on.iter().map(|key| ident(key).eq(ident(aside(key))));
        let joined = log.join_on(labels, JoinType::Inner, same)?;
        let in_time = self.in_time(&logged("requested_at", &of_log));
        let columns = of_log.iter().chain([&self.label, &self.known_at]);
        let columns = columns.map(ident).collect::<Vec<_>>();
        let rows = joined.filter(in_time)?.select(columns)?;
        let Some(chosen) = &self.chosen else {
            return Ok(rows);
        };
        let chosen = chosen.iter().map(|number| lit(*number)).collect();
        Ok(rows.filter(self.span_of().in_list(chosen, false))?)
    }

    /// Checks that no column of the log has the name of the label or of its time.
    pub(super) fn check_apart(&self, of_log: &[String]) -> Result<()> {
        match [&self.label, &self.known_at]
            .into_iter()
            .find(|name| of_log.contains(name))
        {
            None => Ok(()),
            Some(name) => Err(Error::config(format!(
                "column `{name}` of the labels is in the log too; rename it in the labels"
            ))),
        }
    }

    /// The number of the span in which a label came.
    fn span_of(&self) -> Expr {
        let micros = i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX);
        // Before 1970 nothing was labelled.
        cast(timestamp(ident(&self.known_at)), DataType::Int64) / lit(micros.max(1))
    }
}

/// The names of the columns.
pub(super) fn names(rows: &DataFrame) -> Vec<String> {
    let fields = rows.schema().fields().iter();
    fields.map(|field| field.name().clone()).collect()
}

/// Rows that were read; `None` if there are none yet.
fn found(read: Result<DataFrame>) -> Result<Option<DataFrame>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// A time in microseconds, in UTC.
pub(super) fn timestamp(column: Expr) -> Expr {
    cast(
        column,
        DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
    )
}

/// The name of a key of the labels, beside that of the log.
pub(super) fn aside(key: &str) -> String {
    format!("fourfold:label:{key}")
}

/// The name of a column of the log: with `_` behind it where a raw column has the name.
pub(super) fn logged(name: &str, columns: &[String]) -> String {
    let mut name = name.to_owned();
    while columns.iter().any(|other| *other == format!("{name}_")) {
        name.push('_');
    }
    name
}

impl<L: DataSource> Stage for LabelledRequests<L> {
    fn name(&self) -> &str {
        "labelled_requests"
    }

    fn check(&self) -> Result<()> {
        if self.on.is_empty() {
            return Err(Error::config(
                "requests and labels are joined by no column, must be at least one",
            ));
        }
        for (name, time) in [("within", self.within), ("period", self.period)] {
            if time.as_micros() == 0 {
                return Err(Error::config(format!(
                    "`{name}` is {time:?}, must be at least 1 µs"
                )));
            }
        }
        self.labels.check()
    }
}

impl<L: DataSource> DataSource for LabelledRequests<L> {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        self.labelled(engine).await?.ok_or_else(|| {
            Error::not_found(format!(
                "there are no labelled requests in `{}` yet",
                self.log.display()
            ))
        })
    }
}

impl<L: DataSource + Clone> SpanSource for LabelledRequests<L> {
    async fn spans_there(&self, engine: &Engine) -> Result<Vec<SpanId>> {
        let Some(rows) = self.labelled(engine).await? else {
            return Ok(Vec::new());
        };
        let numbers = rows
            .select(vec![self.span_of().alias("span")])?
            .distinct()?;
        let mut found = BTreeSet::new();
        for batch in numbers.collect().await? {
            let column = batch.column(0).as_primitive::<Int64Type>();
            found.extend(column.iter().flatten());
        }
        let id = |number| SpanId {
            number,
            version: None,
        };
        Ok(found.into_iter().map(id).collect())
    }

    fn of_spans(&self, numbers: &[i64]) -> Self {
        LabelledRequests {
            chosen: Some(numbers.iter().copied().collect()),
            ..self.clone()
        }
    }
}

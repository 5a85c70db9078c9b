//! Looking for new spans, and checking them one by one.

use std::collections::BTreeSet;

use super::check::Checked;
use super::state::Store;
use super::step::{Ended, Step};
use super::{AlertKind, ContinuousPipeline};
use crate::data::{SpanId, SpanSource};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Validator;
use crate::serving::Server;
use crate::statistics::{Statistics, StatisticsAccumulator};
use crate::training::Trainer;

/// Returns true if a failure may be temporary.
pub(super) fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Unavailable
            | ErrorKind::ResourceExhausted
            | ErrorKind::DeadlineExceeded
    )
}

impl<S, T, V, R> ContinuousPipeline<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Looks once for labels and spans: decides about a canary, checks new spans, trains, and returns the steps taken. Each of
    /// several new spans is checked; the newest window is trained on once.
    ///
    /// The future may be dropped at any time: the next look repeats what was not finished.
    ///
    /// # Errors
    /// Only if the loop cannot continue: the spans cannot be listed, the state cannot be written, or the pipeline was
    /// [cancelled](crate::pipeline::PipelineBuilder::cancellation). Any other failure is a step or an alert.
    pub async fn look(&self) -> Result<Vec<Step>> {
        self.look_at(None).await
    }

    /// Looks at the spans that have arrived; at all spans if `arrived` is `None`.
    pub(super) async fn look_at(&self, arrived: Option<&BTreeSet<i64>>) -> Result<Vec<Step>> {
        let mut store = self.store.lock().await;
        let mut steps = Vec::new();
        steps.extend(self.watch(&mut store).await?);
        let engine = self.pipeline.engine()?;
        let there = self.window().source().spans_there(&engine).await?;
        let has_arrived = |span: &SpanId| arrived.is_none_or(|spans| spans.contains(&span.number));
        let due = there.into_iter().filter(has_arrived);
        let due: Vec<SpanId> = due.filter(|span| store.state.is_due(span)).collect();
        for (at, span) in due.iter().enumerate() {
            self.pipeline.cancellation().check()?;
            let is_last = at + 1 == due.len();
            steps.push(self.take(&mut store, &engine, span, is_last).await?);
        }
        if store.state.is_behind && store.state.canary.is_none() {
            let step = self.step(&store, "spans that waited".to_owned(), None);
            let state = store.state.clone();
            steps.push(self.train(&mut store, state, step).await?);
        }
        Ok(steps)
    }

    /// A new step.
    pub(super) fn step(&self, store: &Store, reason: String, span: Option<i64>) -> Step {
        Step {
            number: store.state.n_steps,
            at_ms: 0,
            reason,
            span,
            window: Vec::new(),
            anomalies: Vec::new(),
            too_far: Vec::new(),
            accepted: Vec::new(),
            ended: Ended::Noted,
            attempts: 0,
            metrics: std::collections::BTreeMap::new(),
            serving_metrics: std::collections::BTreeMap::new(),
            run: None,
            evidence: None,
        }
    }

    /// Checks a span, and trains on it if it is the last one.
    async fn take(
        &self,
        store: &mut Store,
        engine: &Engine,
        span: &SpanId,
        is_last: bool,
    ) -> Result<Step> {
        let number = span.number;
        let mut step = self.step(store, format!("span {number}"), Some(number));
        let mut state = store.state.clone();
        let (checked, statistics) = match self.checked(store, engine, number).await {
            Ok(checked) => checked,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => {
                state.note(span, false);
                step.ended = Ended::Failed {
                    error: format!("{error:#}"),
                };
                return self.finish(store, step, state).await;
            }
        };
        let is_good = checked.is_good();
        step.too_far = checked.too_far();
        step.anomalies = checked.anomalies;
        if !is_good {
            // The schema does not learn from a bad span.
            state.note(span, false);
            step.ended = Ended::BadSpan;
            let errors = step
                .anomalies
                .iter()
                .filter(|anomaly| anomaly.severity >= crate::schema::Severity::Error);
            let errors: Vec<String> = errors.map(ToString::to_string).collect();
            self.alert(AlertKind::BadSpan, Some(number), errors.join("; "));
            return self.finish(store, step, state).await;
        }
        step.accepted = checked.accepted;
        if !step.accepted.is_empty() {
            self.alert(AlertKind::NewValues, Some(number), step.accepted.join("; "));
        }
        if let Some(schema) = checked.schema {
            state.schema = Some(schema);
        }
        state.note(span, true);
        let n = self.window().n_spans();
        store.keep(number, statistics, n + 1).await?;
        state.is_behind |= state.window(n).contains(&number);
        if is_last && state.is_behind && state.canary.is_none() {
            self.train(store, state, step).await
        } else {
            self.finish(store, step, state).await
        }
    }

    /// Reads and checks a span, and retries temporary failures.
    async fn checked(
        &self,
        store: &Store,
        engine: &Engine,
        number: i64,
    ) -> Result<(Checked, Statistics)> {
        let mut failures = 0;
        loop {
            let error = match self.check_once(store, engine, number).await {
                Err(error) if error.kind() != ErrorKind::Cancelled => error,
                checked => return checked,
            };
            failures += 1;
            let message = format!("the span cannot be read: {error:#}");
            self.alert(AlertKind::SourceFailed, Some(number), message);
            if !may_pass(&error) || failures >= self.setup.back_off.n_attempts() {
                return Err(error);
            }
            let wait = self.setup.back_off.wait(failures);
            self.setup.clock.sleep(wait).await;
        }
    }

    async fn check_once(
        &self,
        store: &Store,
        engine: &Engine,
        number: i64,
    ) -> Result<(Checked, Statistics)> {
        let data = self.pipeline.data();
        let source = self.window().source().of_spans(&[number]);
        let explain = |error: Error, source: &S, schema: &arrow::datatypes::Schema| {
            source.explain(error, schema).in_stage(source.name())
        };
        let empty = arrow::datatypes::Schema::empty();
        let rows = source.read(engine).await;
        let rows = rows.map_err(|error| explain(error, &source, &empty))?;
        let columns = rows.schema().as_arrow().clone();
        let accumulator = StatisticsAccumulator::new(&columns);
        let statistics = engine.accumulate(rows, accumulator).await;
        let statistics = statistics.map_err(|error| explain(error, &source, &columns))?;
        let statistics = statistics.finish();
        let previous = match store.state.before(number) {
            Some(previous) => store.statistics(previous).await?,
            None => None,
        };
        let label = data.label_rule()?.source_column();
        let given = data.given_columns();
        let is_compared = |column: &str| match &given {
            Some(columns) => columns.contains(&column),
            None => column != label && !data.is_excluded(column),
        };
        let schemas = (data.given_schema(), store.state.schema.as_ref());
        let checked =
            (self.setup.check).run(&statistics, previous.as_ref(), schemas, is_compared)?;
        Ok((checked, statistics))
    }

    /// Records a step.
    pub(super) async fn finish(
        &self,
        store: &mut Store,
        mut step: Step,
        state: super::state::State,
    ) -> Result<Step> {
        step.at_ms = self.setup.clock.now_ms();
        store.finish(&step, state).await?;
        self.gauges().stepped(&self.name, &step);
        tracing::info!(pipeline = &*self.name, "{step}");
        Ok(step)
    }
}

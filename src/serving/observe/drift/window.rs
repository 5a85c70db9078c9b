//! A window of a version's rows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::array::RecordBatch;

use super::super::record::Record;
use super::{DriftOptions, DriftReport};
use crate::accumulate::Accumulate;
use crate::error::Result;
use crate::model::{Reference, Target, Task};
use crate::schema::{Anomaly, Field, FieldType, Schema, Validation};
use crate::statistics::{Statistics, StatisticsAccumulator};

/// The rows of one version since the last report, as statistics.
#[derive(Debug)]
pub(super) struct Window {
    model: String,
    version: u64,
    model_schema: Arc<Schema>,
    /// The model's, with a threshold for each field.
    schema: Schema,
    /// The same of the answers.
    answers_schema: Schema,
    reference: Reference,
    fresh: (StatisticsAccumulator, StatisticsAccumulator),
    rows: StatisticsAccumulator,
    answers: StatisticsAccumulator,
    pub(super) n_rows: u64,
    /// The time of the first row, by the monotonic clock.
    pub(super) since: Option<Instant>,
    /// The time of the last rows.
    pub(super) last: Instant,
    started: SystemTime,
    ended: SystemTime,
    previous: Option<Statistics>,
    /// The columns over their threshold in the last report.
    standing: BTreeSet<String>,
}

impl Window {
    pub(super) fn new(record: &Record, options: &DriftOptions) -> Self {
        // Read now: the directory may be missing when it is needed.
        if let Err(error) = record.reference.get() {
            tracing::warn!(
                model = record.model,
                version = record.version,
                error = ?error,
                "the statistics of a model cannot be read; its requests are not monitored for drift"
            );
        }
        // Fields without a type have no columns.
        let fields = record.schema.fields.iter();
        let fields: Vec<Field> = (fields.filter(|field| field.data_type().is_some()))
            .cloned()
            .collect();
        let schema = Schema {
            fields: options.defaults(fields),
            ..(*record.schema).clone()
        };
        let target = record.prediction.target();
        let fresh = (
            StatisticsAccumulator::new(&schema.arrow()),
            target.distribution(),
        );
        Window {
            model: record.model.clone(),
            version: record.version,
            model_schema: Arc::clone(&record.schema),
            answers_schema: Schema::new(options.defaults(fields_of_answers(target))),
            schema,
            reference: record.reference.clone(),
            rows: fresh.0.clone(),
            answers: fresh.1.clone(),
            fresh,
            n_rows: 0,
            since: None,
            last: Instant::now(),
            started: record.at,
            ended: record.at,
            previous: None,
            standing: BTreeSet::new(),
        }
    }

    pub(super) fn is_of(&self, record: &Record) -> bool {
        self.version == record.version && self.model == record.model
    }

    /// Returns `true` if the version is unchanged: its number may be given to another model while none is served.
    pub(super) fn is_as(&mut self, record: &Record) -> bool {
        if Arc::ptr_eq(&self.model_schema, &record.schema) {
            return true;
        }
        let same = self.model_schema == record.schema;
        if same {
            self.model_schema = Arc::clone(&record.schema);
        }
        same
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn key(&self) -> (String, u64) {
        (self.model.clone(), self.version)
    }

    pub(super) fn ended(&self) -> SystemTime {
        self.ended
    }

    /// Adds rows, and the answers to them.
    pub(super) fn take(
        &mut self,
        rows: &RecordBatch,
        answers: &RecordBatch,
        (from, to): (SystemTime, SystemTime),
    ) -> Result<()> {
        self.rows.update(rows)?;
        self.answers.update(answers)?;
        self.last = Instant::now();
        if self.since.is_none() {
            self.since = Some(self.last);
            self.started = from;
        }
        self.ended = to;
        self.n_rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        (self.rows, self.answers) = self.fresh.clone();
        self.n_rows = 0;
        self.since = None;
    }

    fn report(&self) -> DriftReport {
        DriftReport {
            model: self.model.clone(),
            version: self.version,
            started: self.started,
            ended: self.ended,
            n_rows: self.n_rows,
            has_enough_rows: false,
            without_reference: None,
            skew: Vec::new(),
            predictions: Vec::new(),
            previous: Vec::new(),
            anomalies: Vec::new(),
        }
    }

    /// Reports that there are too few rows; the window continues.
    pub(super) fn too_few(&mut self) -> DriftReport {
        self.since = Some(Instant::now());
        self.report()
    }

    /// Measures the rows, and begins anew.
    pub(super) fn close(&mut self) -> DriftReport {
        let (rows, answers) = (self.rows.finish(), self.answers.finish());
        let mut report = self.report();
        report.has_enough_rows = true;
        let anomalies = self.schema.validate(&rows).into_iter();
        let mut found: Vec<(&str, Anomaly)> = anomalies
            .filter(|anomaly| !anomaly.kind.needs_all_rows())
            .map(|anomaly| ("schema", anomaly))
            .collect();
        let mut measure = |scope, validation: &Validation<'_>, statistics: &Statistics| {
            let measured = validation.distances(statistics);
            found.extend(
                measured
                    .anomalies
                    .into_iter()
                    .map(|anomaly| (scope, anomaly)),
            );
            measured.comparisons
        };
        match self.reference.get() {
            Ok(Some(reference)) => {
                if let Some(training) = reference.training() {
                    let validation = Validation::new(&self.schema).serving(&rows);
                    report.skew = measure("skew", &validation, training);
                }
                if let Some(predictions) = reference.predictions() {
                    let validation = Validation::new(&self.answers_schema).serving(&answers);
                    report.predictions = measure("predictions", &validation, predictions);
                }
            }
            Ok(None) => {
                report.without_reference =
                    Some("the model was saved without statistics".to_owned());
            }
            Err(error) => report.without_reference = Some(error.to_string()),
        }
        if let Some(previous) = &self.previous {
            let validation = Validation::new(&self.schema).previous(previous);
            report.previous = measure("previous", &validation, &rows);
        }
        self.say(&found);
        report.anomalies = found.into_iter().map(|(_, anomaly)| anomaly).collect();
        self.previous = Some(rows);
        self.reset();
        report
    }

    /// Reports the anomalies that have appeared since the last report, and those that have disappeared.
    fn say(&mut self, found: &[(&str, Anomaly)]) {
        let (model, version) = (&self.model, self.version);
        let key = |(scope, anomaly): &(&str, Anomaly)| {
            format!("{scope} of `{}`: {}", anomaly.column, anomaly.kind)
        };
        for anomaly in found {
            if !self.standing.contains(&key(anomaly)) {
                let (scope, anomaly) = anomaly;
                tracing::warn!(model, version, scope, kind = %anomaly.kind, "drift: {anomaly}");
            }
        }
        let now: BTreeSet<String> = found.iter().map(key).collect();
        for gone in self.standing.difference(&now) {
            tracing::info!(model, version, "drift has ended: {gone}");
        }
        self.standing = now;
    }
}

/// The columns of [`Prediction::to_distribution`](crate::model::Prediction::to_distribution).
fn fields_of_answers(target: &Target) -> Vec<Field> {
    match target.task() {
        Task::Regression => vec![Field::new("prediction_value", FieldType::Float)],
        Task::Binary | Task::Multiclass => vec![
            Field::new("prediction_class", FieldType::Text),
            Field::new("prediction_probability", FieldType::Float),
        ],
    }
}

/// The part of a batch that a window has room for, and the rest.
pub(super) fn split(batch: &RecordBatch, at: usize) -> (RecordBatch, RecordBatch) {
    let at = at.min(batch.num_rows());
    (batch.slice(0, at), batch.slice(at, batch.num_rows() - at))
}

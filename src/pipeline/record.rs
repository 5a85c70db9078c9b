//! What a run leaves for people to read.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::temporal_conversions::timestamp_s_to_datetime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::facts::TrainFacts;
use crate::blessing::Verdict;
use crate::data::{DataFacts, DataPipeline, DataSource, PreparedData, Quarantined};
use crate::error::Result;
use crate::evaluation::{Detectable, Differences, Effect, Findings, Mistake, WorstSlice};
use crate::fingerprint::Fingerprint;
use crate::metrics::Evaluation;
use crate::model::Target;
use crate::progress::{Progress, Step};
use crate::runs::{Measured, ModelCard};
use crate::schema::{Anomaly, Comparison, Schema};
use crate::statistics::Statistics;
use crate::training::{Trainer, TrainingPipeline, TrainingRecord};
use crate::transform::Decision;
use crate::warning::Warning;

/// The record of a run: a JSON document, and what [reports](crate::report) are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// The pipeline's name.
    pub name: String,
    /// The run's id, if it was kept in a [root](crate::runs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The stages that were not run again, because what they make is on record: see [`runs`](crate::runs).
    #[serde(default)]
    pub reused: Vec<String>,
    /// The stages that ran.
    #[serde(default)]
    pub ran: Vec<String>,
    /// What the data was.
    pub data_fingerprint: Fingerprint,
    /// The labelled rows of each split.
    pub rows: BTreeMap<String, u64>,
    /// Rows without a label, in no split.
    pub unlabelled_rows: u64,
    /// What was predicted.
    pub target: Target,
    /// The features' names; of a model that takes raw rows, those of the columns that it reads.
    pub features: Vec<String>,
    /// The tag of the model's format.
    pub model_format: String,
    /// What each column became, and why, if the transform was chosen.
    pub decisions: Vec<Decision>,
    /// The schema.
    pub schema: Schema,
    /// The statistics of the `train` split, without their sketches.
    pub statistics: Statistics,
    /// What did not fit the schema in each split, and was let through.
    pub anomalies: BTreeMap<String, Vec<Anomaly>>,
    /// How far the `train` split is from the previous span's and from the data in serving.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// The rows that were set aside, if there are any.
    #[serde(default)]
    pub quarantined: Option<Quarantined>,
    /// What the program decided on its own or left out, in the order of the stages.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What people say of the model.
    #[serde(default, skip_serializing_if = "ModelCard::is_empty")]
    pub card: ModelCard,
    /// How the saved model did in the trial before its deployment, unless the evaluation was reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// How the model came to be. Its warnings are in [`RunRecord::warnings`].
    #[serde(default)]
    pub training: TrainingRecord,
    /// The candidate's metrics on the `eval` split.
    pub metrics: Evaluation,
    /// The serving model's metrics on the same rows, if there was one that could be evaluated.
    pub baseline_metrics: Option<Evaluation>,
    /// The candidate's metrics on the `test` split, if there is one: a score that nothing was judged or chosen by.
    #[serde(default)]
    pub test_metrics: Option<Evaluation>,
    /// The candidate's metrics less the serving model's, of those whose difference has an interval.
    #[serde(default)]
    pub changes: Option<Evaluation>,
    /// Where the candidate answers otherwise than what was serving.
    #[serde(default)]
    pub differences: Option<Differences>,
    /// The slices in which the candidate does worst, if they were searched.
    #[serde(default)]
    pub worst_slices: Option<Vec<WorstSlice>>,
    /// The rows of the `eval` split that the candidate answers worst, at most ten, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
    /// How the candidate's answers depend on columns, if that was [asked
    /// for](crate::evaluation::EvaluationPipeline::partial_dependence).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// What the `eval` split was likely to show, as it was said before training.
    #[serde(default)]
    pub detectable: Vec<Detectable>,
    /// The verdict.
    pub verdict: Verdict,
    /// The seconds each step took.
    pub timings_s: BTreeMap<Step, f64>,
    /// How the run was set up, and when it ended.
    #[serde(default)]
    pub setup: Setup,
}

/// How a run was set up, and when it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Setup {
    /// When it ended, in UTC, such as `2026-11-27T16:05:12Z`.
    pub ended: String,
    /// The version of this crate.
    pub crate_version: String,
    /// The trainer, see [`Stage::describe`](crate::Stage::describe).
    pub trainer: Value,
    /// How rows were divided, such as `by row: 8 train, 1 eval, 1 test`.
    pub split: String,
}

impl Setup {
    pub(super) fn new<S: DataSource>(
        data: &DataPipeline<S>,
        trainer: &impl Trainer,
    ) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
        let ended = timestamp_s_to_datetime(seconds);
        Ok(Setup {
            ended: ended.map(|ended| format!("{ended:?}Z")).unwrap_or_default(),
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            trainer: trainer.describe()?,
            split: data.split_rule().to_string(),
        })
    }
}

impl RunRecord {
    pub(super) fn new(name: &str, data: DataFacts, trained: TrainFacts) -> Self {
        let warnings = data.warnings.into_iter().chain(trained.warnings);
        RunRecord {
            name: name.to_owned(),
            id: None,
            reused: Vec::new(),
            ran: Vec::new(),
            data_fingerprint: data.fingerprint,
            rows: data.rows,
            unlabelled_rows: data.n_unlabelled,
            target: trained.target,
            features: trained.features,
            model_format: trained.model_format,
            decisions: trained.decisions,
            schema: data.schema,
            statistics: data.statistics,
            anomalies: data.anomalies,
            comparisons: data.comparisons,
            quarantined: data.quarantined,
            warnings: warnings.collect(),
            card: ModelCard::new(),
            measured: None,
            training: trained.training,
            metrics: Evaluation::default(),
            baseline_metrics: None,
            changes: None,
            test_metrics: None,
            detectable: Vec::new(),
            differences: None,
            worst_slices: None,
            mistakes: Vec::new(),
            effects: Vec::new(),
            verdict: Verdict::new(),
            timings_s: BTreeMap::new(),
            setup: Setup::default(),
        }
    }

    pub(super) fn judged(
        &mut self,
        findings: Findings,
        verdict: Verdict,
        detectable: Vec<Detectable>,
    ) {
        self.metrics = findings.metrics;
        self.baseline_metrics = findings.baseline_metrics;
        self.changes = findings.changes;
        self.differences = findings.differences;
        self.worst_slices = findings.worst_slices;
        self.mistakes = findings.mistakes;
        self.effects = findings.effects;
        self.measured = findings.measured;
        let warnings = detectable.iter().filter_map(Detectable::warning);
        self.warnings.extend(warnings);
        self.detectable = detectable;
        match findings.test {
            Some(Ok(metrics)) => self.test_metrics = Some(metrics),
            // The verdict does not depend on it.
            Some(Err(reason)) => {
                let message = format!("the `test` split is not scored: {reason}");
                let warning = Warning::new("evaluate", "test_not_scored", message);
                self.warnings.push(warning);
            }
            None => {}
        }
        self.verdict = verdict;
    }

    pub(super) fn timed(&mut self, progress: &Progress) {
        self.timings_s = Step::ALL.into_iter().map(|step| (step, 0.0)).collect();
        for (step, elapsed) in progress.timings() {
            *self.timings_s.entry(step).or_default() += elapsed.as_secs_f64();
        }
    }

    /// What is saved with the model of where it came from.
    pub(super) fn lineage(
        data: &PreparedData,
        training: &TrainingPipeline<impl Trainer>,
    ) -> Result<BTreeMap<String, Value>> {
        let rows: BTreeMap<&str, usize> = data
            .splits()
            .iter()
            .map(|(name, examples)| (name.as_str(), examples.n_rows()))
            .collect();
        Ok(BTreeMap::from([
            (
                "data".to_owned(),
                json!({"fingerprint": data.fingerprint(), "rows": rows}),
            ),
            ("trainer".to_owned(), training.trainer().describe()?),
            ("seed".to_owned(), json!(training.configured_seed())),
            ("crate_version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ]))
    }
}

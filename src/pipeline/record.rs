//! The record of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::facts::TrainFacts;
use crate::blessing::Verdict;
use crate::clock::{Clock, SystemClock, rfc3339};
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

/// The record of a run: a JSON document, and the source of its [report](crate::report).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// The name of the pipeline.
    pub name: String,
    /// The id of the run, if the pipeline has a [root](crate::runs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The stages whose recorded outputs were reused: see [`runs`](crate::runs).
    #[serde(default)]
    pub reused: Vec<String>,
    /// The stages that ran.
    #[serde(default)]
    pub ran: Vec<String>,
    /// The fingerprint of the data.
    pub data_fingerprint: Fingerprint,
    /// The number of labelled rows of each split.
    pub rows: BTreeMap<String, u64>,
    /// The number of rows without a label, which are in no split.
    pub unlabelled_rows: u64,
    /// The target.
    pub target: Target,
    /// The names of the features; for a model that takes raw rows, of the columns that it reads.
    pub features: Vec<String>,
    /// The tag of the model's format.
    pub model_format: String,
    /// The steps chosen for each column, with the reasons, if the transform was chosen automatically.
    pub decisions: Vec<Decision>,
    /// The schema.
    pub schema: Schema,
    /// The statistics of the `train` split, without their sketches.
    pub statistics: Statistics,
    /// The anomalies of each split that the policy let through.
    pub anomalies: BTreeMap<String, Vec<Anomaly>>,
    /// Distances of the `train` split from the previous span and from serving data.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// The rows that were set aside, if any.
    #[serde(default)]
    pub quarantined: Option<Quarantined>,
    /// Warnings about automatic decisions and omissions, in the order of the stages.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The card of the model.
    #[serde(default, skip_serializing_if = "ModelCard::is_empty")]
    pub card: ModelCard,
    /// Measurements of the trial before the deployment, unless the evaluation was reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The record of the training. Its warnings are in [`RunRecord::warnings`].
    #[serde(default)]
    pub training: TrainingRecord,
    /// The candidate's metrics on the `eval` split.
    pub metrics: Evaluation,
    /// The serving model's metrics on the same rows, if there is one that can be evaluated.
    pub baseline_metrics: Option<Evaluation>,
    /// The candidate's metrics on the `test` split, if there is one. They affect no choice and no verdict.
    #[serde(default)]
    pub test_metrics: Option<Evaluation>,
    /// The candidate's metrics minus the serving model's, where the difference has an interval.
    #[serde(default)]
    pub changes: Option<Evaluation>,
    /// Differences between the predictions of the candidate and the serving model.
    #[serde(default)]
    pub differences: Option<Differences>,
    /// The candidate's worst slices, if they were searched.
    #[serde(default)]
    pub worst_slices: Option<Vec<WorstSlice>>,
    /// The rows of the `eval` split with the worst predictions, at most ten, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
    /// The [partial dependence](crate::evaluation::EvaluationPipeline::partial_dependence) of the candidate's predictions on
    /// columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// The effects that the `eval` split was likely to detect, as computed before training.
    #[serde(default)]
    pub detectable: Vec<Detectable>,
    /// The verdict.
    pub verdict: Verdict,
    /// The duration of each step in seconds.
    pub timings_s: BTreeMap<Step, f64>,
    /// The setup of the run, and its end.
    #[serde(default)]
    pub setup: Setup,
}

/// The setup of a run, and its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Setup {
    /// The time at which it ended, in UTC, such as `2026-11-27T16:05:12Z`.
    pub ended: String,
    /// The version of this crate.
    pub crate_version: String,
    /// The trainer, as [`Stage::describe`](crate::Stage::describe) describes it.
    pub trainer: Value,
    /// The rule that divided rows into splits, such as `by row: 8 train, 1 eval, 1 test`.
    pub split: String,
    /// The seed of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Setup {
    pub(super) fn new<S: DataSource>(
        data: &DataPipeline<S>,
        training: &TrainingPipeline<impl Trainer>,
    ) -> Result<Self> {
        Ok(Setup {
            ended: rfc3339(SystemClock.now_ms()),
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            trainer: training.trainer().describe()?,
            split: data.split_rule().to_string(),
            seed: Some(training.configured_seed()),
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

    /// The lineage that is saved with the model.
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

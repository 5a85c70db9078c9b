//! What a run leaves for people to read.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::temporal_conversions::timestamp_s_to_datetime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::optimization;
use crate::blessing::Verdict;
use crate::data::{DataPipeline, DataSource, PreparedData, Quarantined, TRAIN};
use crate::error::Result;
use crate::evaluation::Baseline;
use crate::fingerprint::Fingerprint;
use crate::metrics::Evaluation;
use crate::model::{Servable, Target};
use crate::progress::{Progress, Step};
use crate::schema::{Anomaly, Comparison, Schema};
use crate::statistics::Statistics;
use crate::training::{Trainer, TrainingRecord};
use crate::transform::{Decision, FittedPlan};
use crate::warning::Warning;

/// The record of a run: a JSON document, and what [reports](crate::report) are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// The pipeline's name.
    pub name: String,
    /// What the data was.
    pub data_fingerprint: Fingerprint,
    /// The labelled rows of each split.
    pub rows: BTreeMap<String, u64>,
    /// Rows without a label, in no split.
    pub unlabelled_rows: u64,
    /// What was predicted.
    pub target: Target,
    /// The features' names.
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
    pub(super) fn new(name: &str, data: &PreparedData, candidate: &Servable) -> Self {
        let rows = data
            .splits()
            .iter()
            .map(|(name, examples)| (name.clone(), examples.n_rows() as u64))
            .collect();
        RunRecord {
            name: name.to_owned(),
            data_fingerprint: data.fingerprint().clone(),
            rows,
            unlabelled_rows: data.n_unlabelled(),
            target: candidate.manifest().target.clone(),
            features: candidate.transform().features().to_vec(),
            model_format: candidate.manifest().model_format.clone(),
            decisions: Vec::new(),
            schema: data.schema().clone(),
            statistics: data
                .statistics()
                .get(TRAIN)
                .map(Statistics::without_sketches)
                .unwrap_or_default(),
            anomalies: data.anomalies().clone(),
            comparisons: data.comparisons().to_vec(),
            quarantined: data.quarantined().cloned(),
            warnings: (optimization::warning().into_iter())
                .chain(data.warnings().iter().cloned())
                .collect(),
            training: TrainingRecord::default(),
            metrics: Evaluation::default(),
            baseline_metrics: None,
            changes: None,
            test_metrics: None,
            verdict: Verdict::new(),
            timings_s: BTreeMap::new(),
            setup: Setup::default(),
        }
    }

    pub(super) fn trained(&mut self, fitted: &FittedPlan, mut training: TrainingRecord) {
        self.decisions = fitted.decisions().to_vec();
        self.warnings.extend(fitted.warnings());
        self.warnings.append(&mut training.warnings);
        self.training = training;
    }

    pub(super) fn evaluated(&mut self, metrics: Evaluation, baseline: &Baseline, verdict: Verdict) {
        self.metrics = metrics;
        if let Baseline::Evaluated {
            metrics, changes, ..
        } = baseline
        {
            self.baseline_metrics = Some(metrics.clone());
            self.changes = Some(changes.clone());
        }
        self.verdict = verdict;
    }

    pub(super) fn tested(&mut self, scored: Result<Evaluation>) {
        match scored {
            Ok(metrics) => self.test_metrics = Some(metrics),
            // The verdict does not depend on it.
            Err(error) => {
                let message = format!("the `test` split is not scored: {error:#}");
                let warning = Warning::new("evaluate", "test_not_scored", message);
                self.warnings.push(warning);
            }
        }
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
        trainer: &impl Trainer,
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
            ("trainer".to_owned(), trainer.describe()?),
            ("crate_version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ]))
    }
}

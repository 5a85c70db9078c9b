//! The findings about a candidate as artifacts, which a pipeline with a root keeps and judges again without predicting.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

use super::compare::with_answers;
use super::resample::Resampling;
use super::{
    Assessed, Baseline, Differences, Effect, EvaluationPipeline, Mistake, Predictions, SliceBy,
    Trial, Validator, WorstSlice, WorstSlices,
};
use crate::blessing::{Candidate, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Catalogue, Evaluation};
use crate::model::{Model, Servable, Target, load_json, save_json};
use crate::runs::{Artifact, ArtifactId, Measured, Root, Task};
use crate::stage::Configuration;
use crate::statistics::{ColumnStatistics, Statistics};

pub(crate) const EVALUATION: &str = Findings::KIND;
pub(crate) const PREDICTIONS: &str = Predictions::KIND;
pub(crate) const VERDICT: &str = Verdict::KIND;

/// Raised when the meaning of evaluating changes while its form does not.
const EVALUATE_VERSION: u32 = 3;

/// Metrics, those of the baseline, and whether it serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) metrics: Evaluation,
    #[serde(default)]
    pub(crate) baseline_metrics: Option<Evaluation>,
    #[serde(default)]
    pub(crate) changes: Option<Evaluation>,
    /// On the `test` split: its metrics, or why there are none.
    #[serde(default)]
    pub(crate) test: Option<Result<Evaluation, String>>,
    #[serde(default)]
    pub(crate) differences: Option<Differences>,
    #[serde(default)]
    pub(crate) worst_slices: Option<Vec<WorstSlice>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mistakes: Vec<Mistake>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) effects: Vec<Effect>,
    /// The label's statistics on the `eval` split, which determine what its rows are likely to show.
    #[serde(default)]
    pub(crate) label: Option<ColumnStatistics>,
    trial: Verdict,
    baseline: SavedBaseline,
    /// Times are of the run and not of what it is keyed by: they are in its record.
    #[serde(skip)]
    pub(crate) measured: Option<Measured>,
}

/// The baseline without its model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedBaseline {
    None,
    Unknown,
    Unusable(String),
    Evaluated,
}

impl Artifact for Findings {
    const KIND: &'static str = "evaluation";
    const VERSION: u32 = 1;

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "evaluation.json", self)
    }

    fn load(dir: &Path) -> Result<Self> {
        load_json(dir, "evaluation.json")
    }
}

impl Artifact for Verdict {
    const KIND: &'static str = "verdict";
    const VERSION: u32 = 1;

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "verdict.json", self)
    }

    fn load(dir: &Path) -> Result<Self> {
        load_json(dir, "verdict.json")
    }
}

/// The columns as an Arrow stream, the target and the statistics of the answers as JSON.
impl Artifact for Predictions {
    const KIND: &'static str = "predictions";
    const VERSION: u32 = 1;

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "target.json", &*self.target)?;
        save_json(dir, "distribution.json", &self.distribution)?;
        let Some(first) = self.batches.first() else {
            return Ok(());
        };
        let path = dir.join(STREAM);
        let failed = |error| Error::io(format!("writing `{}`", path.display()), error);
        let file = BufWriter::new(File::create(&path).map_err(failed)?);
        let mut writer = StreamWriter::try_new(file, &first.schema())?;
        (self.batches.iter()).try_for_each(|batch| writer.write(batch))?;
        writer.finish()?;
        let file = writer.into_inner()?.into_inner();
        file.map(drop).map_err(|error| failed(error.into_error()))
    }

    fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(STREAM);
        let damaged = |error| {
            Error::corrupt(format!("`{}` cannot be read", path.display())).with_source(error)
        };
        let batches = match File::open(&path) {
            Ok(file) => StreamReader::try_new(BufReader::new(file), None)
                .map_err(damaged)?
                .collect::<Result<Vec<_>, _>>()
                .map_err(damaged)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io(format!("reading `{}`", path.display()), error)),
        };
        let target: Target = load_json(dir, "target.json")?;
        let distribution: Statistics = load_json(dir, "distribution.json")?;
        Ok(Predictions {
            target: Arc::new(target),
            batches,
            distribution,
        })
    }
}

const STREAM: &str = "predictions.arrow";

impl Findings {
    /// The findings, with the score on the `test` split.
    pub(crate) fn of(
        assessed: &Assessed,
        test: Option<Result<Evaluation, String>>,
        label: Option<ColumnStatistics>,
    ) -> Self {
        let (baseline, compared) = match &assessed.baseline {
            Baseline::None => (SavedBaseline::None, None),
            Baseline::Unknown => (SavedBaseline::Unknown, None),
            Baseline::Unusable(error) => (SavedBaseline::Unusable(error.to_string()), None),
            Baseline::Evaluated {
                metrics, changes, ..
            } => (
                SavedBaseline::Evaluated,
                Some((metrics.clone(), changes.clone())),
            ),
        };
        let (baseline_metrics, changes) = compared.unzip();
        Findings {
            metrics: assessed.metrics.clone(),
            baseline_metrics,
            changes,
            test,
            differences: assessed.differences.clone(),
            worst_slices: assessed.worst_slices.clone(),
            mistakes: assessed.mistakes.clone(),
            effects: assessed.effects.clone(),
            label,
            trial: assessed.trial.clone(),
            baseline,
            measured: assessed.measured.clone(),
        }
    }

    /// Returns true if the candidate was compared with a model, which validators may look at.
    pub(crate) fn is_compared(&self) -> bool {
        matches!(self.baseline, SavedBaseline::Evaluated)
    }

    /// The findings about a candidate, to be judged again; `serving` is the model that it was compared with.
    pub(crate) fn restore<M: Model>(
        self,
        root: &Root,
        predictions: &ArtifactId,
        candidate: Candidate<M>,
        serving: Option<Arc<Servable>>,
    ) -> Result<(Candidate<M>, Assessed)> {
        let predictions: Predictions = root.get(predictions)?;
        let baseline = match (self.baseline, serving) {
            (SavedBaseline::None, _) => Baseline::None,
            (SavedBaseline::Unknown, _) => Baseline::Unknown,
            (SavedBaseline::Unusable(message), _) => {
                Baseline::Unusable(Error::new(ErrorKind::Model, message))
            }
            (SavedBaseline::Evaluated, Some(servable)) => Baseline::Evaluated {
                servable,
                metrics: self.baseline_metrics.unwrap_or_default(),
                changes: self.changes.unwrap_or_default(),
            },
            (SavedBaseline::Evaluated, None) => {
                return Err(Error::internal("the model that was compared with is gone"));
            }
        };
        let candidate = with_answers(candidate, &predictions)?;
        let assessed = Assessed {
            predictions,
            metrics: self.metrics,
            baseline,
            differences: self.differences,
            worst_slices: self.worst_slices,
            mistakes: self.mistakes,
            effects: self.effects,
            trial: self.trial,
            measured: self.measured,
        };
        Ok((candidate, assessed))
    }
}

/// The statistics of the answers of a candidate, as its evaluation has kept them.
pub(crate) fn answered<M: Model>(
    root: &Root,
    predictions: &ArtifactId,
    candidate: Candidate<M>,
) -> Result<Candidate<M>> {
    with_answers(candidate, &root.get::<Predictions>(predictions)?)
}

impl<V> EvaluationPipeline<V> {
    /// The evaluation as an execution, without the model that is serving. In it is what the validator has computed that is
    /// not computed anyway, and not what it says of that: its bounds and margins.
    pub(crate) fn evaluate_task<M: Model>(
        &self,
        model: &ArtifactId,
        examples: &ArtifactId,
    ) -> Result<Task>
    where
        V: Validator<M>,
    {
        #[derive(Serialize)]
        struct Configured<'a> {
            slice_by: &'a [SliceBy],
            of_gates: &'a [SliceBy],
            protected: &'a [String],
            resampling: Option<&'a Resampling>,
            worst_slices: Option<&'a WorstSlices>,
            #[serde(skip_serializing_if = "Option::is_none")]
            partial_dependence: Option<&'a [String]>,
            trial: &'a Trial,
            metrics: Vec<String>,
            own_metrics: Vec<String>,
            baseline: Option<&'a Path>,
        }
        let needs = self.validator.needs();
        let asked = needs.names().chain(self.compute.iter().map(String::as_str));
        let asked = asked.filter(|name| Catalogue::is_computed_when_asked(name));
        let mut metrics: Vec<String> = asked.map(str::to_owned).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let own = self.catalogue.own().iter();
        let configuration = Configured {
            slice_by: &self.slice_by,
            of_gates: needs.slices(),
            protected: &self.protected,
            resampling: self.resampling.as_ref(),
            worst_slices: self.worst_slices.as_ref(),
            partial_dependence: self.effects.as_deref(),
            trial: &self.trial,
            metrics,
            own_metrics: own.map(|metric| format!("{metric:?}")).collect(),
            baseline: self.baseline.as_deref(),
        }
        .to_value()?;
        let task = Task::new(
            "evaluate",
            "evaluation_pipeline",
            EVALUATE_VERSION,
            configuration,
        );
        Ok(task.inputs([model, examples]))
    }

    /// The verdict as an execution.
    pub(crate) fn verdict_task<M: Model>(&self, inputs: &[&ArtifactId]) -> Result<Task>
    where
        V: Validator<M>,
    {
        let task = Task::of_stage("verdict", &self.validator)?;
        Ok(task.inputs(inputs.iter().copied()))
    }

    /// The name of the validator.
    pub(crate) fn validator_name<M: Model>(&self) -> &str
    where
        V: Validator<M>,
    {
        self.validator.name()
    }

    /// The directory of the model that is compared with, instead of the one that is serving.
    pub(crate) fn baseline_dir(&self) -> Option<&Path> {
        self.baseline.as_deref()
    }
}

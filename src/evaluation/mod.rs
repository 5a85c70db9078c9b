//! The evaluation pipeline: candidate and baseline in, verdict out.
//!
//! [`EvaluationPipeline`] computes [metrics](crate::metrics) of a candidate on the `eval` split, and of the model
//! that is serving now, loads the candidate back from disk as a server would and queries it, and asks a
//! [`Validator`] for its [`Verdict`]. Only if every check passed does a [`Blessed`] model come out.
//!
//! # Writing your own validator
//!
//! ```
//! use fourfold::blessing::Verdict;
//! use fourfold::evaluation::{EvalArgs, Validator};
//! use fourfold::model::LinearModel;
//! use fourfold::{Result, Stage};
//! use serde::{Serialize, Serializer};
//!
//! /// No weight may be larger than a limit.
//! #[derive(Serialize)]
//! struct SmallWeights {
//!     limit: f64,
//! }
//!
//! impl Stage for SmallWeights {
//!     fn name(&self) -> &str {
//!         "small_weights"
//!     }
//! }
//!
//! impl Validator<LinearModel> for SmallWeights {
//!     fn validate(&self, args: EvalArgs<'_, LinearModel>) -> Result<Verdict> {
//!         let largest = args.candidate().model().weights().iter().flatten().fold(0.0_f64, |a, w| a.max(w.abs()));
//!         let message = format!("the largest weight is {largest}, must be at most {}", self.limit);
//!         Ok(Verdict::new().check("weights", largest <= self.limit, message))
//!     }
//! }
//! ```
//!
//! Some properties are visible only in the rows: [`EvalArgs::predictions`] has them with the outputs of the candidate and of the
//! baseline, batch by batch.
//!
//! ```
//! use fourfold::arrow::array::AsArray;
//! use fourfold::arrow::datatypes::Float64Type;
//! use fourfold::blessing::Verdict;
//! use fourfold::evaluation::{EvalArgs, Validator};
//! use fourfold::model::Model;
//! use fourfold::{Error, ErrorKind, Result, Stage};
//! use serde::Serialize;
//!
//! /// No parcel of more than 50 kg may be given less than an even chance to be late.
//! #[derive(Serialize)]
//! struct HeavyIsLate;
//!
//! impl Stage for HeavyIsLate {
//!     fn name(&self) -> &str {
//!         "heavy_is_late"
//!     }
//! }
//!
//! impl<M: Model> Validator<M> for HeavyIsLate {
//!     fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
//!         let predictions = args.predictions();
//!         let predictions = predictions.ok_or_else(|| Error::new(ErrorKind::Config, "there are no predictions"))?;
//!         let mut wrong = 0;
//!         for rows in predictions.rows(args.eval()) {
//!             let rows = rows?;
//!             let kilograms = rows.raw()["kilograms"].as_primitive::<Float64Type>();
//!             let late = rows.candidate()?;
//!             let late = late.column(0);
//!             let heavy = kilograms.iter().zip(late).filter(|(kilograms, _)| kilograms.is_some_and(|kg| kg > 50.0));
//!             wrong += heavy.filter(|(_, late)| **late < 0.5).count();
//!         }
//!         Ok(Verdict::new().check("heavy", wrong == 0, format!("{wrong} heavy parcels are said to be on time")))
//!     }
//! }
//! ```
//!
//! Validators side by side are a validator: `(Thresholds::new().at_least("auc", 0.7), SmallWeights { limit: 9.0 })`.

mod approval;
mod args;
mod checks;
mod compare;
mod detectable;
mod differences;
mod effect;
mod fair;
mod gate_list;
mod judge;
mod kept;
mod margin;
mod mistakes;
mod needs;
mod no_harm;
mod no_worse;
mod predictions;
mod resample;
mod saved;
mod serving;
mod several;
mod thresholds;
mod trial;
mod worst_slices;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use self::approval::{Approval, ApprovalRequest, Decision, RubberStamp};
pub use self::args::EvalArgs;
pub use self::detectable::Detectable;
pub use self::differences::{ChangedRow, Differences};
pub use self::effect::{Effect, EffectPoint};
pub use self::fair::Fair;
pub use self::gate_list::Gates;
pub(crate) use self::judge::{Assessed, bless};
pub(crate) use self::kept::{EVALUATION, Findings, PREDICTIONS, VERDICT, answered};
pub use self::margin::Margin;
pub use self::mistakes::Mistake;
pub use self::needs::Needs;
pub use self::no_harm::{Correction, NoEvidenceOfHarm};
pub use self::no_worse::ProveNoWorse;
pub use self::predictions::{PredictedRows, Predictions};
use self::resample::Resampling;
pub use self::saved::labelled;
pub use self::thresholds::Thresholds;
pub use self::trial::Trial;
pub use self::worst_slices::{WorstSlice, WorstSlices};
use crate::blessing::{Blessed, Candidate, Verdict};
use crate::error::{Error, Result, task_panic_text};
use crate::examples::Examples;
use crate::features::Direction;
use crate::metrics::{Catalogue, Evaluation, Metric, SliceBy};
use crate::model::{Model, Servable};
use crate::stage::{Stage, StageFn, serialize_stage};

/// Candidate and baseline in, verdict out: the stage of the evaluation pipeline that a user implements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not validate models of type `{M}`",
    label = "this is not a `Validator<{M}>`",
    note = "the trainer of this pipeline makes `{M}`; implement `fourfold::evaluation::Validator<{M}>`, \
            or use `Thresholds`, which validates every model"
)]
pub trait Validator<M: Model>: Stage {
    /// Judges a candidate. A model that is not good enough is a verdict with a failed check, not an error. It runs off the
    /// async threads, and may take as long as it likes.
    ///
    /// # Errors
    /// If the candidate could not be judged at all.
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict>;

    /// The metrics and comparisons that it needs; nothing by default. `build()` asks, before anything runs.
    fn needs(&self) -> Needs {
        Needs::new()
    }
}

impl<F, M> Validator<M> for StageFn<F, M>
where
    F: Fn(EvalArgs<'_, M>) -> Result<Verdict> + Send + Sync + 'static,
    M: Model,
{
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        (self.call)(args)
    }
}

/// The model that is serving now.
#[derive(Debug, Default)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a run")]
pub enum Baseline {
    /// There is none yet.
    #[default]
    None,
    /// It was evaluated on the same rows.
    Evaluated {
        /// The model.
        servable: Arc<Servable>,
        /// Its metrics.
        metrics: Evaluation,
        /// The candidate's metrics less its own, of those whose difference has an interval.
        changes: Evaluation,
    },
    /// It is not known whether there is one.
    Unknown,
    /// There is one, and it cannot be compared with: it is damaged, or asks for other data.
    Unusable(Error),
}

impl<M: Model> Serialize for dyn Validator<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_stage(self, serializer)
    }
}

/// The default evaluation pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationPipeline<V> {
    validator: V,
    slice_by: Vec<SliceBy>,
    baseline: Option<PathBuf>,
    compute: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    directions: BTreeMap<String, Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resampling: Option<Resampling>,
    protected: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst_slices: Option<WorstSlices>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The columns whose effects are found, the first ones if it is empty.
    effects: Option<Vec<String>>,
    trial: Trial,
    #[serde(skip)]
    catalogue: Catalogue,
}

/// The result of an evaluation.
#[derive(Debug)]
pub struct Evaluated<M> {
    /// The candidate's metrics.
    pub metrics: Evaluation,
    /// The baseline.
    pub baseline: Baseline,
    /// The verdict of the validator and of the trial in a server.
    pub verdict: Verdict,
    /// The differences of the candidate's answers from the baseline's, if there is one.
    pub differences: Option<Differences>,
    /// The slices in which the candidate does worst, if [they were searched](EvaluationPipeline::worst_slices).
    pub worst_slices: Option<Vec<WorstSlice>>,
    /// The blessed model, or the rejected candidate.
    pub model: Result<Blessed<M>, Candidate<M>>,
}

impl<V: Stage> EvaluationPipeline<V> {
    /// A pipeline of a validator.
    #[must_use]
    pub fn new(validator: V) -> Self {
        EvaluationPipeline {
            validator,
            slice_by: Vec::new(),
            baseline: None,
            compute: Vec::new(),
            directions: BTreeMap::new(),
            resampling: None,
            protected: Vec::new(),
            worst_slices: None,
            effects: Some(Vec::new()),
            trial: Trial::new(),
            catalogue: Catalogue::new(),
        }
    }

    /// The number of resamples of the rows.
    pub const REPLICATES: u32 = 200;

    /// Gives an interval to metrics that have none of their own, such as those of the application, and to the changes of
    /// all metrics against the baseline: by resampling the rows (Poisson bootstrap), which takes as long as evaluating them
    /// [200 times](Self::REPLICATES). Equal rows give equal intervals on any number of threads.
    #[must_use]
    pub fn bootstrap(mut self) -> Self {
        let cluster = self.resampling.and_then(|by| by.cluster);
        self.resampling = Some(Resampling {
            replicates: Self::REPLICATES,
            cluster,
        });
        self
    }

    /// Rows with one value of this raw column belong together, such as those of a customer: intervals that take them for
    /// independent are too narrow. Those of all metrics and changes are had by resampling whole groups instead, as by
    /// [`bootstrap`](Self::bootstrap). Rows in which the column is NULL are one group.
    #[must_use]
    pub fn cluster_by(mut self, column: impl Into<String>) -> Self {
        self.resampling = Some(Resampling {
            replicates: Self::REPLICATES,
            cluster: Some(column.into()),
        });
        self
    }

    /// Computes metrics for each value of these raw columns too; for bins and crosses, see [`SliceBy`].
    #[must_use]
    pub fn slice_by<C: Into<SliceBy>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.slice_by.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Computes how differently the groups of these raw columns are treated, into [`Evaluation::fairness`]: groups of 30 rows
    /// or more, of two classes. For a gate, see [`Fair`].
    #[must_use]
    pub fn protected<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.protected.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Searches the slices in which the candidate does worst, into [`Evaluated::worst_slices`] and the record of the run.
    #[must_use]
    pub fn worst_slices(mut self, search: WorstSlices) -> Self {
        self.worst_slices = Some(search);
        self
    }

    /// Finds how the candidate's answers depend on these raw columns, for the record of the run: see [`Effect`]. By default
    /// these are the first twenty that it takes, and fewer of rows of more than 200 columns. It takes 2,000 predictions for each
    /// column.
    #[must_use]
    pub fn partial_dependence<C: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.effects = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves [partial dependence](Self::partial_dependence) out, for models that take long to answer.
    #[must_use]
    pub fn without_partial_dependence(mut self) -> Self {
        self.effects = None;
        self
    }

    /// Sets how the candidate is tried out, as a server would query it.
    #[must_use]
    pub fn trial(mut self, trial: Trial) -> Self {
        self.trial = trial;
        self
    }

    /// Adds a custom metric, for thresholds, slices and reports.
    #[must_use]
    pub fn metric(mut self, metric: impl Metric) -> Self {
        self.catalogue = self.catalogue.with(Arc::new(metric));
        self
    }

    /// Computes metrics with parameters, such as `pinball(0.9)`, that no threshold asks for.
    #[must_use]
    pub fn compute<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.compute.extend(names.into_iter().map(Into::into));
        self
    }

    /// Wants predictions to rise, or to fall, with these features. It is the trainer that keeps directions, such as
    /// [`GradientBoosting::monotone`](crate::training::GradientBoosting::monotone): a pipeline whose trainer does not
    /// keep them is refused by `build()`.
    #[must_use]
    pub fn monotone<F: Into<String>>(
        mut self,
        directions: impl IntoIterator<Item = (F, Direction)>,
    ) -> Self {
        let directions = directions.into_iter();
        (self.directions)
            .extend(directions.map(|(feature, direction)| (feature.into(), direction)));
        self
    }

    /// Compares with the saved model of a directory, instead of the one that is serving.
    #[must_use]
    pub fn baseline(mut self, dir: impl Into<PathBuf>) -> Self {
        self.baseline = Some(dir.into());
        self
    }

    /// The metrics of a model on some rows, in all and by slice: a score for the record, which decides nothing.
    ///
    /// # Errors
    /// If the model cannot be evaluated on them.
    pub async fn score(
        self: Arc<Self>,
        servable: Arc<Servable>,
        rows: &Examples,
    ) -> Result<Evaluation> {
        let rows = rows.clone();
        let score = move || {
            let evaluating = self.evaluating(&Needs::new(), &servable, &rows)?;
            let predicted = predictions::predict(&servable, None, &rows, &evaluating.columns())?;
            Ok(evaluating.found(&predicted.predictions)?.metrics)
        };
        tokio::task::spawn_blocking(score)
            .await
            .map_err(|error| {
                Error::model(format!("evaluating panicked{}", task_panic_text(error)))
            })?
            .map_err(|error: Error| error.in_stage("evaluate"))
    }
}

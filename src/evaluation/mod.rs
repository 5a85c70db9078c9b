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
//! What no metric says is in the rows: [`EvalArgs::predictions`] has them with the outputs of the candidate and of the
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

mod compare;
mod gate_list;
mod gates;
mod infra;
mod judge;
mod kept;
mod needs;
mod predictions;
mod saved;
mod thresholds;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::Schema as ArrowSchema;
use serde::{Serialize, Serializer};

use self::compare::weight_of;
pub use self::gate_list::Gates;
pub use self::gates::{NoEvidenceOfHarm, ProveNoWorse};
pub(crate) use self::judge::{Assessed, bless};
pub(crate) use self::kept::{EVALUATION, Findings, PREDICTIONS, VERDICT, answered};
pub use self::needs::Needs;
pub use self::predictions::{PredictedRows, Predictions};
pub use self::saved::labelled;
pub use self::thresholds::Thresholds;
use crate::blessing::{Blessed, Candidate, Verdict};
use crate::error::{Error, Result, near_names, task_panic_text};
use crate::examples::Examples;
use crate::metrics::{Catalogue, Evaluation, Evaluator, Metric, SliceBy};
use crate::model::{Model, Servable, Target};
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

    /// What it needs of the evaluation; nothing by default. `build()` asks, before anything runs.
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

/// What a validator is given.
#[derive(Debug)]
pub struct EvalArgs<'a, M> {
    candidate: &'a Candidate<M>,
    eval: &'a Examples,
    metrics: &'a Evaluation,
    baseline: &'a Baseline,
    predictions: Option<&'a Predictions>,
    catalogue: &'a Catalogue,
}

impl<M> Clone for EvalArgs<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for EvalArgs<'_, M> {}

/// No baseline, for arguments that have none.
static NO_BASELINE: Baseline = Baseline::None;

/// The metrics of this crate, for arguments that bring none of their own.
static OURS: LazyLock<Catalogue> = LazyLock::new(Catalogue::new);

impl<'a, M> EvalArgs<'a, M> {
    /// Arguments to ask a validator with, in a test or within a validator of one's own: a candidate, the labelled raw
    /// rows, and its metrics on them. What is said of it is a verdict and no blessing: those come out of the
    /// [evaluation pipeline](EvaluationPipeline) only.
    #[must_use]
    pub fn new(candidate: &'a Candidate<M>, eval: &'a Examples, metrics: &'a Evaluation) -> Self {
        EvalArgs {
            candidate,
            eval,
            metrics,
            baseline: &NO_BASELINE,
            predictions: None,
            catalogue: &OURS,
        }
    }

    /// The same with a baseline; by default none is serving yet.
    #[must_use]
    pub fn with_baseline(mut self, baseline: &'a Baseline) -> Self {
        self.baseline = baseline;
        self
    }

    /// The same with the predictions that the metrics are of.
    #[must_use]
    pub fn with_predictions(mut self, predictions: &'a Predictions) -> Self {
        self.predictions = Some(predictions);
        self
    }

    /// The predictions of the candidate and the baseline for the labelled rows; `None` where the arguments were made by hand
    /// without them.
    #[must_use]
    pub fn predictions(&self) -> Option<&'a Predictions> {
        self.predictions
    }

    /// The metrics that there are.
    #[must_use]
    pub fn catalogue(&self) -> &'a Catalogue {
        self.catalogue
    }

    /// The model that is judged.
    #[must_use]
    pub fn candidate(&self) -> &'a Candidate<M> {
        self.candidate
    }

    /// The labelled raw rows it is judged on.
    #[must_use]
    pub fn eval(&self) -> &'a Examples {
        self.eval
    }

    /// Its metrics on them.
    #[must_use]
    pub fn metrics(&self) -> &'a Evaluation {
        self.metrics
    }

    /// The model that is serving now, with its metrics on the same rows.
    #[must_use]
    pub fn baseline(&self) -> &'a Baseline {
        self.baseline
    }
}

/// The model that is serving now.
#[derive(Debug, Default)]
#[non_exhaustive]
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
    /// Whether there is one is not known.
    Unknown,
    /// There is one, and it cannot be compared with: it is damaged, or asks for other data.
    Unusable(Error),
}

impl<M: Model> Serialize for dyn Validator<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_stage(self, serializer)
    }
}

impl<M: Model, V: Validator<M> + ?Sized> Validator<M> for Box<V>
where
    Box<V>: Serialize,
{
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        (**self).validate(args)
    }

    fn needs(&self) -> Needs {
        (**self).needs()
    }
}

/// Any number of validators side by side; none at all checks nothing, and so blesses nothing.
impl<M: Model, V: Validator<M>> Validator<M> for Vec<V>
where
    Vec<V>: Serialize,
{
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let mut parts = self.iter().map(|validator| part(validator, args));
        parts.try_fold(Verdict::new(), |verdict, part| Ok(verdict.and(part?)))
    }

    fn needs(&self) -> Needs {
        let parts = self.iter().map(Validator::needs);
        parts.fold(Needs::new(), Needs::and)
    }
}

/// The verdict of one of several validators, which must have checked something.
fn part<M: Model>(validator: &impl Validator<M>, args: EvalArgs<'_, M>) -> Result<Verdict> {
    let name = validator.name();
    let part = validator.validate(args);
    let part = part.map_err(|error| error.in_stage(name))?;
    Ok(match part.checks() {
        [] => part.check(name, false, format!("`{name}` has checked nothing")),
        _ => part,
    })
}

macro_rules! tuple_validator {
    ($($name:ident . $index:tt),+) => {
        impl<M: Model, $($name: Validator<M>),+> Validator<M> for ($($name,)+)
        where
            ($($name,)+): Serialize,
        {
            fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
                let mut verdict = Verdict::new();
                $(verdict = verdict.and(part(&self.$index, args)?);)+
                Ok(verdict)
            }

            fn needs(&self) -> Needs {
                Needs::new() $(.and(self.$index.needs()))+
            }
        }
    };
}
tuple_validator!(A.0, B.1);
tuple_validator!(A.0, B.1, C.2);

/// The default evaluation pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationPipeline<V> {
    validator: V,
    slice_by: Vec<SliceBy>,
    baseline: Option<PathBuf>,
    compute: Vec<String>,
    #[serde(skip)]
    catalogue: Catalogue,
}

/// What an evaluation has found.
#[derive(Debug)]
pub struct Evaluated<M> {
    /// The candidate's metrics.
    pub metrics: Evaluation,
    /// The baseline.
    pub baseline: Baseline,
    /// What the validator and the trial in a server say.
    pub verdict: Verdict,
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
            catalogue: Catalogue::new(),
        }
    }

    /// Computes metrics for each value of these raw columns too; for bins and crosses, see [`SliceBy`].
    #[must_use]
    pub fn slice_by<C: Into<SliceBy>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.slice_by.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Adds a metric of one's own, for thresholds, slices and reports.
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

    /// Compares with the saved model of a directory, instead of the one that is serving.
    #[must_use]
    pub fn baseline(mut self, dir: impl Into<PathBuf>) -> Self {
        self.baseline = Some(dir.into());
        self
    }

    /// Whether it compares with the model that is serving, which the server must then know.
    #[must_use]
    pub fn asks_for_serving<M: Model>(&self) -> bool
    where
        V: Validator<M>,
    {
        self.baseline.is_none() && self.validator.needs().is_compared()
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// As [`Stage::check`], naming the validator; [`ErrorKind::Config`](crate::ErrorKind::Config) if a metric that it
    /// needs is not there, or is compared with a bound that it cannot have.
    pub fn check<M: Model>(&self) -> Result<()>
    where
        V: Validator<M>,
    {
        self.validator
            .check()
            .and_then(|()| self.validator.needs().check(&self.catalogue))
            .map_err(|error| error.in_stage(self.validator.name()))?;
        let computed =
            (self.compute.iter()).try_for_each(|name| self.catalogue.find(name).map(drop));
        (self.slice_by.iter())
            .try_for_each(SliceBy::check)
            .and(computed)
            .and(self.catalogue.check())
            .map_err(|error| error.in_stage("evaluate"))?;
        match &self.baseline {
            Some(dir) if !dir.is_dir() => Err(Error::config(format!(
                "`baseline` is `{}`, must be the directory of a saved model",
                dir.display()
            ))
            .in_stage("evaluate")),
            _ => Ok(()),
        }
    }

    /// The metrics of a model on some rows, in all and by slice: a score for the record, which decides nothing.
    ///
    /// # Errors
    /// If the model cannot be evaluated on them.
    pub async fn score(&self, servable: Arc<Servable>, rows: &Examples) -> Result<Evaluation> {
        let (slice_by, rows) = (self.slice_by.clone(), rows.clone());
        let (catalogue, asked) = (self.catalogue.clone(), self.compute.clone());
        let score = move || {
            let slice_by = predictions::close(&slice_by, &rows)?;
            let weight = weight_of(&servable, &rows);
            let predicted = predictions::predict(&servable, None, &rows, weight, &slice_by)?;
            let target = Arc::clone(servable.target());
            let evaluator = Evaluator::new(target, catalogue, asked, slice_by);
            predicted.predictions.evaluate(&evaluator)?.finish()
        };
        tokio::task::spawn_blocking(score)
            .await
            .map_err(|error| {
                Error::model(format!("evaluating panicked{}", task_panic_text(error)))
            })?
            .map_err(|error| error.in_stage("evaluate"))
    }

    /// Checks the configuration against the data, before anything is trained on it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a metric is none of the target's task, or a column to slice by
    /// is not there.
    pub fn check_data<M: Model>(&self, target: &Target, columns: &ArrowSchema) -> Result<()>
    where
        V: Validator<M>,
    {
        self.validator
            .needs()
            .check_task(&self.catalogue, target.task())
            .map_err(|error| error.in_stage(self.validator.name()))?;
        let known = || columns.fields().iter().map(|field| field.name().as_str());
        let mut asked = self.slice_by.iter().flat_map(SliceBy::columns);
        match asked.find(|column| !known().any(|name| name == *column)) {
            Some(missing) => Err(Error::config(format!(
                "column `{missing}` to slice by is not in the data{}",
                near_names(missing, known())
            ))
            .in_stage("evaluate")),
            None => Ok(()),
        }
    }
}

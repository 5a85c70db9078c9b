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
//! Validators side by side are a validator: `(Thresholds::new().at_least("auc", 0.7), SmallWeights { limit: 9.0 })`.

mod infra;
mod needs;
mod thresholds;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use serde::{Serialize, Serializer};

pub use self::needs::Needs;
pub use self::thresholds::Thresholds;
use crate::blessing::{Blessed, Candidate, Serving, Verdict};
use crate::engine::Engine;
use crate::error::{Error, Result, near_names};
use crate::examples::Examples;
use crate::metrics::{Evaluation, Evaluator};
use crate::model::{Loaders, Model, ReferenceStatistics, Servable, Target};
use crate::progress::{Progress, Step};
use crate::stage::{Stage, StageFn, serialize_stage};

/// Candidate and baseline in, verdict out: the stage of the evaluation pipeline that a user implements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not validate models of type `{M}`",
    label = "this is not a `Validator<{M}>`",
    note = "the trainer of this pipeline makes `{M}`; implement `fourfold::evaluation::Validator<{M}>`, \
            or use `Thresholds`, which validates every model"
)]
pub trait Validator<M: Model>: Stage {
    /// Judges a candidate. A model that is not good enough is a verdict with a failed check, not an error.
    ///
    /// # Errors
    /// If the candidate could not be judged at all.
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict>;

    /// What it needs of the evaluation; nothing, unless told. `build()` asks, before anything runs.
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
}

impl<M> Clone for EvalArgs<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for EvalArgs<'_, M> {}

/// No baseline, for arguments that have none.
static NO_BASELINE: Baseline = Baseline::None;

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
        }
    }

    /// The same with a baseline; none is serving yet unless told.
    #[must_use]
    pub fn with_baseline(mut self, baseline: &'a Baseline) -> Self {
        self.baseline = baseline;
        self
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
    slice_by: Vec<String>,
    baseline: Option<PathBuf>,
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
        }
    }

    /// Computes metrics for each value of these raw columns too.
    #[must_use]
    pub fn slice_by<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.slice_by.extend(columns.into_iter().map(Into::into));
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
    /// needs is not there, or is held against a bound that it cannot have.
    pub fn check<M: Model>(&self) -> Result<()>
    where
        V: Validator<M>,
    {
        self.validator
            .check()
            .and_then(|()| self.validator.needs().check())
            .map_err(|error| error.in_stage(self.validator.name()))?;
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
    pub async fn score(
        &self,
        servable: Arc<Servable>,
        rows: &Examples,
        engine: &Engine,
    ) -> Result<Evaluation> {
        let evaluator = Evaluator::new(servable, &self.slice_by);
        let evaluated = evaluate(evaluator, rows, engine).await;
        Ok(evaluated
            .map_err(|error| error.in_stage("evaluate"))?
            .finish())
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
            .check_task(target.task())
            .map_err(|error| error.in_stage(self.validator.name()))?;
        let known = || columns.fields().iter().map(|field| field.name().as_str());
        match (self.slice_by.iter()).find(|column| !known().any(|name| name == column.as_str())) {
            Some(missing) => Err(Error::config(format!(
                "column `{missing}` to slice by is not in the data{}",
                near_names(missing, known())
            ))
            .in_stage("evaluate")),
            None => Ok(()),
        }
    }

    /// Evaluates and validates a candidate. `serving` is what the server says of the model that is serving now, or why
    /// it cannot be had.
    ///
    /// # Errors
    /// If the candidate cannot be evaluated, or the validator fails. A candidate that is not good enough is no
    /// error.
    pub async fn run<M: Model>(
        self: Arc<Self>,
        candidate: Candidate<M>,
        eval: &Examples,
        serving: Result<Serving>,
        engine: &Engine,
        progress: &Progress,
    ) -> Result<Evaluated<M>>
    where
        V: Validator<M>,
    {
        let _step = progress.step(Step::Evaluate);
        let in_stage = |error: Error| error.in_stage("evaluate");
        let evaluator =
            |servable: &Arc<Servable>| Evaluator::new(Arc::clone(servable), &self.slice_by);
        let candidates = evaluator(candidate.servable()).with_predictions();
        let evaluated = evaluate(candidates, eval, engine).await.map_err(in_stage)?;
        let metrics = evaluated.finish();
        let candidate = match evaluated.predictions() {
            Some(predictions) => {
                let reference = candidate.servable().reference().map_err(in_stage)?;
                let reference = reference.cloned().unwrap_or_else(ReferenceStatistics::new);
                candidate.with_reference(&reference.with_predictions(predictions))
            }
            None => candidate,
        };
        let serving = match &self.baseline {
            Some(dir) => load(dir.clone(), candidate.loaders().clone()).await,
            None => serving,
        };
        let baseline = match serving {
            Ok(Serving::None) => Baseline::None,
            Ok(Serving::Unknown) => Baseline::Unknown,
            Ok(Serving::Model(servable)) => {
                match evaluate(evaluator(&servable), eval, engine).await {
                    Ok(evaluated) => Baseline::Evaluated {
                        metrics: evaluated.finish(),
                        servable,
                    },
                    Err(error) => Baseline::Unusable(error),
                }
            }
            Err(error) => Baseline::Unusable(error),
        };
        let eval = eval.clone();
        let judge = move || {
            let args = EvalArgs {
                candidate: &candidate,
                eval: &eval,
                metrics: &metrics,
                baseline: &baseline,
            };
            let name = self.validator.name();
            let verdict = self
                .validator
                .validate(args)
                .map_err(|error| error.in_stage(name))?;
            // The trial in a server blesses nobody that a validator has not looked at.
            let verdict = if verdict.checks().is_empty() {
                verdict
            } else {
                verdict.and(infra::validate(&candidate, &eval)?)
            };
            let verdict = notes(&metrics, &baseline)
                .into_iter()
                .fold(verdict, Verdict::note);
            let model =
                Blessed::mint(candidate, verdict.clone()).map_err(|(candidate, _)| candidate);
            Ok(Evaluated {
                metrics,
                baseline,
                verdict,
                model,
            })
        };
        tokio::task::spawn_blocking(judge)
            .await
            .map_err(|error| Error::model("the validator panicked").with_source(error))?
    }
}

async fn evaluate(evaluator: Evaluator, eval: &Examples, engine: &Engine) -> Result<Evaluator> {
    engine
        .accumulate(eval.data_frame(engine).await?, evaluator)
        .await
}

/// Loads the model that is compared with.
async fn load(dir: PathBuf, loaders: Loaders) -> Result<Serving> {
    let load = move || Servable::load(&dir, &loaders);
    let loaded = tokio::task::spawn_blocking(load)
        .await
        .map_err(|error| Error::model("loading the baseline panicked").with_source(error))?;
    Ok(Serving::Model(Arc::new(loaded?)))
}

/// What is worth knowing beside the checks.
fn notes(metrics: &Evaluation, baseline: &Baseline) -> Vec<String> {
    let mut notes = Vec::new();
    if !metrics.unseen_classes.is_empty() {
        let classes: Vec<String> = (metrics.unseen_classes.iter().take(20))
            .map(|(class, rows)| format!("`{class}` ({rows} rows)"))
            .collect();
        let more = metrics.unseen_classes.len() - classes.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        notes.push(format!(
            "classes of the `eval` split are not among the training rows, so the model never answers them: {}{more}",
            classes.join(", ")
        ));
    }
    if matches!(baseline, Baseline::None) {
        notes.push("nothing is serving yet: this would be the first deployment".to_owned());
    }
    notes
}

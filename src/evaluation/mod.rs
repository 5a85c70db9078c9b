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
mod thresholds;

use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use self::thresholds::Thresholds;
use crate::blessing::{Blessed, Candidate, Verdict};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::metrics::{Evaluation, Evaluator};
use crate::model::{Model, ReferenceStatistics, Servable};
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

impl<'a, M> EvalArgs<'a, M> {
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
        }
    }

    /// Computes metrics for each value of these raw columns too.
    #[must_use]
    pub fn slice_by<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.slice_by.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// As [`Stage::check`], naming the validator.
    pub fn check(&self) -> Result<()> {
        self.validator
            .check()
            .map_err(|error| error.in_stage(self.validator.name()))
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

    /// Evaluates and validates a candidate. `baseline` is the model that is serving now, if any, or why it cannot be
    /// had.
    ///
    /// # Errors
    /// If the candidate cannot be evaluated, or the validator fails. A candidate that is not good enough is no
    /// error.
    pub async fn run<M: Model>(
        self: Arc<Self>,
        candidate: Candidate<M>,
        eval: &Examples,
        baseline: Result<Option<Arc<Servable>>>,
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
        let baseline = match baseline {
            Ok(None) => Baseline::None,
            Ok(Some(servable)) => match evaluate(evaluator(&servable), eval, engine).await {
                Ok(evaluated) => Baseline::Evaluated {
                    metrics: evaluated.finish(),
                    servable,
                },
                Err(error) => Baseline::Unusable(error),
            },
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

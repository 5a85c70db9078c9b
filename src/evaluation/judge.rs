//! The steps of an evaluation: the findings, the verdict, the blessing.

use std::sync::Arc;

use super::compare::{Compared, load, notes};
use super::effect::{Effect, effects};
use super::mistakes::{self, Mistake};
use super::{
    Baseline, Differences, EvalArgs, Evaluated, EvaluationPipeline, Predictions, Validator,
    WorstSlice,
};
use crate::blessing::{Blessed, Candidate, Serving, Verdict};
use crate::error::{Error, Result, task_panic_text};
use crate::examples::Examples;
use crate::metrics::Evaluation;
use crate::model::Model;
use crate::progress::{Progress, Step};
use crate::runs::Measured;
use crate::stage::Stage;

impl<V: Stage> EvaluationPipeline<V> {
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
        progress: &Progress,
    ) -> Result<Evaluated<M>>
    where
        V: Validator<M>,
    {
        let _step = progress.step(Step::Evaluate);
        let serving = match &self.baseline {
            Some(dir) => load(dir.clone(), candidate.loaders().clone()).await,
            None => serving,
        };
        let eval = eval.clone();
        let judge = move || {
            let (candidate, assessed) = self.assess(candidate, &eval, serving)?;
            let verdict = self.judge(&candidate, &eval, &assessed)?;
            let model = bless(candidate, verdict.clone());
            Ok(Evaluated {
                metrics: assessed.metrics,
                baseline: assessed.baseline,
                verdict,
                differences: assessed.differences,
                worst_slices: assessed.worst_slices,
                model,
            })
        };
        tokio::task::spawn_blocking(judge).await.map_err(|error| {
            Error::model(format!("the validator panicked{}", task_panic_text(error)))
        })?
    }

    /// Finds out what there is to be judged: metrics, those of the baseline beside them, and whether it serves.
    pub(crate) fn assess<M: Model>(
        &self,
        candidate: Candidate<M>,
        eval: &Examples,
        serving: Result<Serving>,
    ) -> Result<(Candidate<M>, Assessed)>
    where
        V: Validator<M>,
    {
        let in_stage = |error: Error| error.in_stage("evaluate");
        let (candidate, compared) = self.compare(candidate, eval, serving).map_err(in_stage)?;
        let Compared {
            predictions,
            metrics,
            baseline,
        } = compared;
        let differences = match &baseline {
            Baseline::Evaluated { changes, .. } => {
                Differences::of(&predictions, eval, changes).map_err(in_stage)?
            }
            _ => None,
        };
        let search = self.worst_slices.as_ref();
        let worst_slices = search.map(|search| search.search(&predictions, eval));
        let worst_slices = worst_slices.transpose().map_err(in_stage)?;
        let mistakes = mistakes::worst(&predictions, eval).map_err(in_stage)?;
        let effects = match &self.effects {
            None => Vec::new(),
            // Effects that were not requested fail no evaluation.
            Some(first) if first.is_empty() => effects(candidate.servable(), eval, first)
                .unwrap_or_else(|error| {
                    tracing::warn!(error = %format!("{error:#}"), "no partial dependence");
                    Vec::new()
                }),
            Some(columns) => effects(candidate.servable(), eval, columns).map_err(in_stage)?,
        };
        let (trial, measured) = self.trial.validate(&candidate, eval)?;
        let assessed = Assessed {
            predictions,
            metrics,
            baseline,
            differences,
            worst_slices,
            mistakes,
            effects,
            trial,
            measured,
        };
        Ok((candidate, assessed))
    }

    /// Asks the validator.
    pub(crate) fn judge<M: Model>(
        &self,
        candidate: &Candidate<M>,
        eval: &Examples,
        assessed: &Assessed,
    ) -> Result<Verdict>
    where
        V: Validator<M>,
    {
        let args = EvalArgs {
            candidate,
            eval,
            metrics: &assessed.metrics,
            baseline: &assessed.baseline,
            predictions: Some(&assessed.predictions),
            catalogue: &self.catalogue,
        };
        let name = self.validator.name();
        let verdict = self
            .validator
            .validate(args)
            .map_err(|error| error.in_stage(name))?;
        // The trial in a server blesses no candidate that a validator has not judged.
        let verdict = if verdict.checks().is_empty() {
            verdict
        } else {
            verdict.and(assessed.trial.clone())
        };
        let notes = notes(&assessed.metrics, &assessed.baseline);
        Ok(notes.into_iter().fold(verdict, Verdict::note))
    }
}

/// The findings about a candidate, before it is judged.
#[derive(Debug)]
pub(crate) struct Assessed {
    pub(crate) predictions: Predictions,
    pub(crate) metrics: Evaluation,
    pub(crate) baseline: Baseline,
    pub(super) differences: Option<Differences>,
    pub(super) worst_slices: Option<Vec<WorstSlice>>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) effects: Vec<Effect>,
    /// The checks that it could be saved, loaded and queried as a server does it.
    pub(super) trial: Verdict,
    /// The measurements of the trial.
    pub(super) measured: Option<Measured>,
}

/// Blesses a candidate that was judged, if the verdict allows it.
pub(crate) fn bless<M: Model>(
    candidate: Candidate<M>,
    verdict: Verdict,
) -> Result<Blessed<M>, Candidate<M>> {
    Blessed::mint(candidate, verdict).map_err(|(candidate, _)| candidate)
}

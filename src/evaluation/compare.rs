//! Candidate and baseline, side by side.

use std::path::PathBuf;
use std::sync::Arc;

use super::predictions::Columns;
use super::resample::{Found, Resampling};
use super::{Baseline, EvaluationPipeline, Needs, Predictions, Validator, predictions};
use crate::blessing::{Candidate, Serving};
use crate::error::{Error, Result, task_panic_text};
use crate::examples::Examples;
use crate::metrics::{Catalogue, Evaluation, Evaluator, Fairness, SliceBy};
use crate::model::{Loaders, Model, ReferenceStatistics, Servable, Target};

/// The metrics of a candidate and of its baseline.
pub(super) struct Compared {
    pub(super) predictions: Predictions,
    pub(super) metrics: Evaluation,
    pub(super) baseline: Baseline,
}

impl<V> EvaluationPipeline<V> {
    /// Predicts once, with the candidate and the baseline side by side, and scores the predictions.
    pub(super) fn compare<M: Model>(
        &self,
        candidate: Candidate<M>,
        eval: &Examples,
        serving: Result<Serving>,
    ) -> Result<(Candidate<M>, Compared)>
    where
        V: Validator<M>,
    {
        let (servable, other) = match serving {
            Ok(Serving::Model(servable)) => match other_question(&candidate, &servable) {
                Some(error) => (None, Baseline::Unusable(error)),
                None => (Some(servable), Baseline::None),
            },
            Ok(Serving::None) => (None, Baseline::None),
            Ok(Serving::Unknown) => (None, Baseline::Unknown),
            Err(error) => (None, Baseline::Unusable(error)),
        };
        let needs = self.validator.needs();
        let mut evaluating = self.evaluating(&needs, candidate.servable(), eval)?;
        if let Some(servable) = &servable {
            let threshold = servable.target().threshold();
            evaluating.evaluator = evaluating.evaluator.with_baseline_threshold(threshold);
        }
        let predictions::Predicted {
            predictions,
            unusable,
        } = predictions::predict(
            candidate.servable(),
            servable.as_deref(),
            eval,
            &evaluating.columns(),
        )?;
        let found = evaluating.found(&predictions)?;
        let baseline = match (servable, unusable) {
            (None, _) => other,
            (Some(_), Some(error)) => Baseline::Unusable(error),
            (Some(servable), None) => Baseline::Evaluated {
                servable,
                metrics: found.baseline,
                changes: found.changes,
            },
        };
        let candidate = with_answers(candidate, &predictions)?;
        let compared = Compared {
            metrics: found.metrics,
            predictions,
            baseline,
        };
        Ok((candidate, compared))
    }
}

/// An error if a baseline's outputs mean something else than the candidate's.
fn other_question<M: Model>(candidate: &Candidate<M>, baseline: &Servable) -> Option<Error> {
    let (ours, theirs) = (candidate.servable().target(), baseline.target());
    let of = |target: &Target| match target.classes() {
        [] => format!("a {} task", target.task()),
        classes => format!("the classes `{}`", classes.join("`, `")),
    };
    (!ours.answers_as(theirs)).then(|| {
        Error::model(format!(
            "its outputs are of {}, the candidate's of {}",
            of(theirs),
            of(ours)
        ))
    })
}

/// A candidate with the statistics of its answers, which are saved with it.
pub(super) fn with_answers<M: Model>(
    candidate: Candidate<M>,
    predictions: &Predictions,
) -> Result<Candidate<M>> {
    let reference = candidate.servable().reference()?.cloned();
    let reference = reference.unwrap_or_else(ReferenceStatistics::new);
    let reference = reference.with_predictions(predictions.distribution().clone());
    Ok(candidate.with_reference(&reference))
}

/// The configuration of an evaluation of rows.
pub(super) struct Evaluating<'a> {
    weight: Option<String>,
    resampling: Option<&'a Resampling>,
    slice_by: Vec<SliceBy>,
    evaluator: Evaluator,
    catalogue: &'a Catalogue,
    protected: &'a [String],
}

/// The rows that a group of people must have to be compared.
const MIN_GROUP: u64 = 30;

impl<V> EvaluationPipeline<V> {
    /// The evaluation of the rows for a model.
    pub(super) fn evaluating(
        &self,
        needs: &Needs,
        servable: &Servable,
        rows: &Examples,
    ) -> Result<Evaluating<'_>> {
        let mut slice_by = self.slice_by.clone();
        let protected = self.protected.iter().map(SliceBy::from);
        for by in needs.slices().iter().cloned().chain(protected) {
            if !slice_by.contains(&by) {
                slice_by.push(by);
            }
        }
        let slice_by = predictions::close(&slice_by, rows)?;
        let asked = needs.names().chain(self.compute.iter().map(String::as_str));
        let weight = servable.target().weight().map(str::to_owned);
        Ok(Evaluating {
            weight: weight.filter(|column| rows.schema().index_of(column).is_ok()),
            resampling: self.resampling.as_ref(),
            evaluator: Evaluator::new(
                Arc::clone(servable.target()),
                self.catalogue.clone(),
                asked.map(str::to_owned).collect(),
                slice_by.clone(),
            ),
            slice_by,
            catalogue: &self.catalogue,
            protected: &self.protected,
        })
    }
}

impl Evaluating<'_> {
    pub(super) fn columns(&self) -> Columns<'_> {
        Columns {
            weight: self.weight.as_deref(),
            cluster: self.resampling.and_then(|by| by.cluster.as_deref()),
            slice_by: &self.slice_by,
        }
    }

    /// The metrics of both models, and their differences.
    pub(super) fn found(&self, predictions: &Predictions) -> Result<Found> {
        let evaluated = predictions.evaluate(&self.evaluator)?;
        let mut found = Found {
            metrics: evaluated.finish()?,
            baseline: evaluated.finish_baseline()?,
            changes: evaluated.finish_changes()?,
        };
        predictions.compare_areas(&evaluated, &mut found.changes)?;
        found.metrics.details.residuals = predictions.residuals()?;
        if let Some(resampling) = self.resampling {
            let evaluators = (&self.evaluator, &evaluated);
            resampling.intervals(predictions, evaluators, self.catalogue, &mut found)?;
        }
        let fairness = self.protected.iter();
        let fairness = fairness.map(|column| Fairness::of(&found.metrics, column, MIN_GROUP));
        found.metrics.fairness = fairness.collect();
        Ok(found)
    }
}

/// Loads the model that is compared with.
pub(super) async fn load(dir: PathBuf, loaders: Loaders) -> Result<Serving> {
    let load = move || Servable::load(&dir, &loaders);
    let loaded = tokio::task::spawn_blocking(load).await.map_err(|error| {
        Error::model(format!(
            "loading the baseline panicked{}",
            task_panic_text(error)
        ))
    })?;
    Ok(Serving::Model(Arc::new(loaded?)))
}

/// Notes of a verdict beside the checks.
pub(super) fn notes(metrics: &Evaluation, baseline: &Baseline) -> Vec<String> {
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

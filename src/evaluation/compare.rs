//! Candidate and baseline, side by side.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Baseline, EvaluationPipeline, Predictions, Validator, predictions};
use crate::blessing::{Candidate, Serving};
use crate::error::{Error, Result, task_panic_text};
use crate::examples::Examples;
use crate::metrics::{Evaluation, Evaluator, auc_change};
use crate::model::{Loaders, Model, ReferenceStatistics, Servable, Target};

/// What was found of a candidate.
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
        let slice_by = predictions::close(&self.slice_by, eval)?;
        let weight = weight_of(candidate.servable(), eval);
        let predictions::Predicted {
            predictions,
            unusable,
        } = predictions::predict(
            candidate.servable(),
            servable.as_deref(),
            eval,
            weight,
            &slice_by,
        )?;
        let needs = self.validator.needs();
        let asked = needs.names().chain(self.compute.iter().map(String::as_str));
        let evaluator = Evaluator::new(
            Arc::clone(predictions.target()),
            self.catalogue.clone(),
            asked.map(str::to_owned).collect(),
            slice_by,
        );
        let evaluator = match &servable {
            Some(servable) => evaluator.with_baseline_threshold(servable.target().threshold()),
            None => evaluator,
        };
        let evaluated = predictions.evaluate(&evaluator)?;
        let baseline = match (servable, unusable) {
            (None, _) => other,
            (Some(_), Some(error)) => Baseline::Unusable(error),
            (Some(servable), None) => {
                let mut changes = evaluated.finish_changes()?;
                if let Some(ranks) = evaluated.ranks()
                    && let Some(change) = auc_change(predictions.batches(), &ranks)?
                {
                    changes.overall.insert("auc".to_owned(), change);
                }
                Baseline::Evaluated {
                    servable,
                    metrics: evaluated.finish_baseline()?,
                    changes,
                }
            }
        };
        let candidate = with_answers(candidate, &predictions)?;
        let compared = Compared {
            metrics: evaluated.finish()?,
            predictions,
            baseline,
        };
        Ok((candidate, compared))
    }
}

/// That a baseline's outputs do not mean what the candidate's do.
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

/// The column of how much each row counts, if the rows have it.
pub(super) fn weight_of<'a>(servable: &'a Servable, rows: &Examples) -> Option<&'a str> {
    let column = servable.target().weight();
    column.filter(|column| rows.schema().index_of(column).is_ok())
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

/// What is worth knowing beside the checks.
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

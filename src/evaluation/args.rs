//! The arguments of validators.

use std::sync::LazyLock;

use super::{Baseline, Predictions};
use crate::blessing::Candidate;
use crate::examples::Examples;
use crate::metrics::{Catalogue, Evaluation};

/// The arguments of a validator.
#[derive(Debug)]
pub struct EvalArgs<'a, M> {
    pub(super) candidate: &'a Candidate<M>,
    pub(super) eval: &'a Examples,
    pub(super) metrics: &'a Evaluation,
    pub(super) baseline: &'a Baseline,
    pub(super) predictions: Option<&'a Predictions>,
    pub(super) catalogue: &'a Catalogue,
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
    /// [evaluation pipeline](super::EvaluationPipeline) only.
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

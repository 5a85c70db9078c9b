//! Observers of requests and answers.

use std::fmt::Debug;
use std::time::SystemTime;

use arrow::array::RecordBatch;

use super::shadow::Difference;
use crate::model::Prediction;
use crate::serving::Predictor;

/// Receives every answered request: request logs and drift monitors are observers.
///
/// It is called on the thread that answered, so it must be quick and must not block.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Receives an answered request.
    fn observe(&self, observation: &Observation<'_>);

    /// Receives the answer of a shadow version to the same rows, after the request was answered; called on a thread of its own.
    fn observe_shadow(&self, _observation: &ShadowObservation<'_>) {}
}

/// An answered request.
#[derive(Debug)]
pub struct Observation<'a> {
    predictor: &'a Predictor,
    rows: &'a RecordBatch,
    prediction: &'a Prediction,
    id: Option<&'a str>,
    at: SystemTime,
}

impl<'a> Observation<'a> {
    pub(crate) fn new(
        predictor: &'a Predictor,
        rows: &'a RecordBatch,
        prediction: &'a Prediction,
        id: Option<&'a str>,
    ) -> Self {
        Observation {
            predictor,
            rows,
            prediction,
            id,
            at: SystemTime::now(),
        }
    }

    /// The version that answered.
    #[must_use]
    pub fn predictor(&self) -> &Predictor {
        self.predictor
    }

    /// The raw rows as they were sent: the columns of the request, in its order.
    #[must_use]
    pub fn rows(&self) -> &RecordBatch {
        self.rows
    }

    /// The answer.
    #[must_use]
    pub fn prediction(&self) -> &Prediction {
        self.prediction
    }

    /// The request's id, where it had one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id
    }

    /// The time of the answer.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }
}

/// The answer of a shadow version to the rows of a request, with the answer that was returned.
#[derive(Debug)]
pub struct ShadowObservation<'a> {
    pub(super) version: u64,
    pub(super) shadow: &'a Predictor,
    pub(super) rows: &'a RecordBatch,
    pub(super) prediction: &'a Prediction,
    pub(super) shadow_prediction: &'a Prediction,
    pub(super) difference: Difference,
    pub(super) id: Option<&'a str>,
}

impl<'a> ShadowObservation<'a> {
    /// The version that answered. It may have been unloaded since.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The shadow version.
    #[must_use]
    pub fn shadow(&self) -> &'a Predictor {
        self.shadow
    }

    /// The raw rows.
    #[must_use]
    pub fn rows(&self) -> &'a RecordBatch {
        self.rows
    }

    /// The answer that was given.
    #[must_use]
    pub fn prediction(&self) -> &'a Prediction {
        self.prediction
    }

    /// The answer of the shadow version.
    #[must_use]
    pub fn shadow_prediction(&self) -> &'a Prediction {
        self.shadow_prediction
    }

    /// The number of rows with another class; in a regression, with another value.
    #[must_use]
    pub fn n_differing(&self) -> usize {
        self.difference.n_differing
    }

    /// The largest absolute difference of an output; infinite where the two versions predict different things.
    #[must_use]
    pub fn largest_difference(&self) -> f64 {
        self.difference.largest
    }

    /// The request's id, where it had one.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        self.id
    }
}

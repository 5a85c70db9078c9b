//! Who sees what was asked and answered.

use std::fmt::Debug;
use std::time::SystemTime;

use arrow::array::RecordBatch;

use crate::model::Prediction;
use crate::serving::Predictor;

/// Sees every answered request: request logs and drift monitors are observers, and yours may be.
///
/// It is called on the thread that answered, so it must be quick and must not block.
pub trait Observer: Debug + Send + Sync + 'static {
    /// A request was answered.
    fn observe(&self, observation: &Observation<'_>);
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

    /// The raw rows as they were sent: the columns that were there, in the order of the request.
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

    /// When it was answered.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }
}

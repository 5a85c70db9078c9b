//! Handles that a request holds while it is answered.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::model::{Prediction, Servable};

/// A handle to a version of a model. Cheap to clone; keeps its version alive.
#[derive(Clone, Debug)]
pub struct Predictor {
    version: u64,
    servable: Arc<Servable>,
}

impl Predictor {
    /// A handle to a model that no [`Manager`](super::Manager) has loaded.
    #[must_use]
    pub fn new(version: u64, servable: Arc<Servable>) -> Self {
        Predictor { version, servable }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.servable.manifest().name
    }

    /// The version that answers.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The model with its transform and schema.
    #[must_use]
    pub fn servable(&self) -> &Servable {
        &self.servable
    }

    /// The model, to keep it.
    pub(super) fn into_servable(self) -> Arc<Servable> {
        self.servable
    }

    /// Answers raw rows.
    ///
    /// # Errors
    /// As [`Servable::predict`].
    pub fn predict(&self, rows: &RecordBatch) -> Result<Prediction> {
        self.servable.predict(rows)
    }
}

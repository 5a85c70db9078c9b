//! Answering within the application.

use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use super::Server;
use crate::blessing::Blessed;
use crate::error::Result;
use crate::model::{Model, Prediction, Servable};
use crate::stage::Stage;

/// A handle to a version of a model. Cheap to clone; keeps its version alive.
#[derive(Clone, Debug)]
pub struct Predictor {
    version: u64,
    servable: Arc<Servable>,
}

impl Predictor {
    pub(crate) fn new(version: u64, servable: Arc<Servable>) -> Self {
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

    /// Answers raw rows.
    ///
    /// # Errors
    /// As [`Servable::predict`].
    pub fn predict(&self, rows: &RecordBatch) -> Result<Prediction> {
        self.servable.predict(rows)
    }
}

/// The server that hands the model back to the application, which answers with it itself.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct InProcess;

impl Stage for InProcess {
    fn name(&self) -> &str {
        "in_process"
    }
}

impl<M: Model> Server<M> for InProcess {
    type Endpoint = Predictor;

    async fn deploy(&self, model: Blessed<M>) -> Result<Predictor> {
        Ok(Predictor::new(1, Arc::clone(model.servable())))
    }
}

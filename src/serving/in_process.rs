//! Answering within the application.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Predictor, Server};
use crate::blessing::Blessed;
use crate::error::Result;
use crate::model::Model;
use crate::stage::Stage;

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

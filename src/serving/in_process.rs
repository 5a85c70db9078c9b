//! Answering within the application.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Predictor, Server, Serving};
use crate::blessing::Blessed;
use crate::error::Result;
use crate::model::{Loaders, Model, Servable};
use crate::stage::Stage;

/// The server that hands the model back to the application, which answers with it itself.
///
/// It remembers the last model of each name that it has deployed, for the validators of the next run to compare with.
/// Clones share what they remember; two that are made by [`InProcess::new`] do not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InProcess {
    #[serde(skip)]
    deployed: Arc<Mutex<BTreeMap<String, Deployed>>>,
}

/// The version and the model.
type Deployed = (u64, Arc<Servable>);

impl InProcess {
    /// A server that has deployed nothing yet.
    #[must_use]
    pub fn new() -> Self {
        InProcess::default()
    }
}

impl Stage for InProcess {
    fn name(&self) -> &str {
        "in_process"
    }
}

impl<M: Model> Server<M> for InProcess {
    type Endpoint = Predictor;

    async fn deploy(&self, model: Blessed<M>) -> Result<Predictor> {
        let servable = Arc::clone(model.servable());
        let mut deployed = self.deployed.lock().unwrap_or_else(PoisonError::into_inner);
        let version = deployed.get(model.name()).map_or(1, |(last, _)| last + 1);
        deployed.insert(model.name().to_owned(), (version, Arc::clone(&servable)));
        Ok(Predictor::new(version, servable))
    }

    fn knows_serving(&self) -> bool {
        true
    }

    async fn serving(&self, name: &str, _loaders: &Loaders) -> Result<Serving> {
        let deployed = self.deployed.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match deployed.get(name) {
            Some((_, servable)) => Serving::Model(Arc::clone(servable)),
            None => Serving::None,
        })
    }
}

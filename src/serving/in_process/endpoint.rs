//! The endpoint of a deployed model.

#[cfg(feature = "http")]
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::running::Running;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Prediction;
#[cfg(feature = "http")]
use crate::serving::ServerCore;
use crate::serving::{Manager, Predictor};

/// A model of an [`InProcess`](super::InProcess) server, whichever of its versions answers now. Cheap to clone; the server stops when the last
/// endpoint of its stage is dropped.
#[derive(Clone, Debug)]
#[must_use = "the server stops when its last endpoint is dropped"]
pub struct Endpoint {
    running: Arc<Running>,
    model: String,
    version: Option<u64>,
}

impl Endpoint {
    pub(super) fn new(running: Arc<Running>, model: String, version: Option<u64>) -> Self {
        Endpoint {
            running,
            model,
            version,
        }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.model
    }

    /// The version whose deployment returned this; `None` if it was [opened](super::InProcess::open).
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The version that answers now. A request takes it once and keeps it; this does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if none was deployed yet; else as [`Manager::get`].
    pub fn predictor(&self) -> Result<Predictor> {
        let manager = &self.running.manager;
        manager.get(&self.model, None).map_err(|error| {
            if manager.state(&self.model).is_ok() {
                return error;
            }
            let message = format!("model `{}` has not been deployed yet", self.model);
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    /// Answers raw rows with the version that answers now.
    ///
    /// # Errors
    /// As [`Endpoint::predictor`] and [`Predictor::predict`].
    pub fn predict(&self, rows: &RecordBatch) -> Result<Prediction> {
        self.predictor()?.predict(rows)
    }

    /// The manager of the served models, with their states, labels and traffic.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        &self.running.manager
    }

    /// The core that answers with limits, batching and metrics; [`http::router`](crate::serving::http::router) puts it into a router
    /// of the application's.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn core(&self) -> &ServerCore {
        &self.running.core
    }

    /// The address that is listened on, with its real port.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the server does not [listen](super::InProcess::listen).
    #[cfg(feature = "http")]
    pub fn address(&self) -> Result<SocketAddr> {
        self.port().map(|port| port.address)
    }

    /// The address as a URL, such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    /// As [`Endpoint::address`].
    #[cfg(feature = "http")]
    pub fn url(&self) -> Result<String> {
        self.port().map(|port| port.url.clone())
    }

    #[cfg(feature = "http")]
    fn port(&self) -> Result<&super::running::Port> {
        let port = self.running.port.as_ref();
        port.ok_or_else(|| {
            Error::config("the server does not listen: set an address with `InProcess::listen`")
        })
    }

    /// Ends what is answered over the port as [`ServerHandle::shutdown`](crate::serving::transport::ServerHandle::shutdown) does, for
    /// all endpoints; in process they continue to answer until they are dropped.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "http")]
    pub async fn shutdown(self) -> Result<()> {
        match self.running.stop() {
            Some(handle) => handle.shutdown().await,
            None => Ok(()),
        }
    }
}

//! The stage: a blessed model in, a port that answers out.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blessing::Blessed;
use crate::error::Result;
use crate::model::{Loaders, Model};
use crate::serving::transport::{Ports, Spoken, check_address};
use crate::serving::{
    Manager, ModelRepository, Predictor, PushedModel, Server, ServerCore, ServerHandle,
    ServerOptions, Serving,
};
use crate::stage::Stage;

/// Answers over HTTP with the models of a manager, with the defaults of [`ServerOptions`].
///
/// The address is such as `127.0.0.1:8000`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// As [`ServerOptions::serve`].
pub async fn serve(core: impl Into<ServerCore>, address: &str) -> Result<ServerHandle> {
    ServerOptions::default().serve_http(core, address).await
}

/// The server that pushes a model to a repository and answers over HTTP with everything that is in it.
///
/// It runs on the tokio runtime that deploys. The address must be free: to bring another version to a server that is
/// running, push it with [`ModelRepository`], and the running one takes it up within
/// a second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpServer {
    repository: ModelRepository,
    address: String,
    #[serde(default)]
    options: ServerOptions,
}

impl HttpServer {
    /// A server of a repository on an address, such as `127.0.0.1:8000`; port 0 is any free port.
    #[must_use]
    pub fn new(repository: ModelRepository, address: impl Into<String>) -> Self {
        HttpServer {
            repository,
            address: address.into(),
            options: ServerOptions::default(),
        }
    }

    /// Sets limits, TLS, tokens and admin routes.
    #[must_use]
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }
}

impl Stage for HttpServer {
    fn name(&self) -> &str {
        "http_server"
    }

    fn check(&self) -> Result<()> {
        self.repository.check()?;
        self.options.check()?;
        check_address("address", &self.address)
    }
}

impl<M: Model> Server<M> for HttpServer {
    type Endpoint = HttpEndpoint;

    async fn deploy(&self, model: Blessed<M>) -> Result<HttpEndpoint> {
        // The port first: where it is taken, nothing is pushed.
        let ports = Ports::bind(&self.options, &self.address).await?;
        let pushed = self.repository.push(&model)?;
        let loaders = self.repository.loaders(model.loaders());
        let manager = Manager::open(self.repository.clone(), loaders)?;
        manager.get(&pushed.name, Some(pushed.version))?;
        let core = ServerCore::new(Arc::new(manager));
        Ok(HttpEndpoint {
            pushed,
            handle: ports.serve(&self.options, &core, Spoken::Http)?,
        })
    }

    fn knows_serving(&self) -> bool {
        true
    }

    async fn serving(&self, name: &str, loaders: &Loaders) -> Result<Serving> {
        Server::<M>::serving(&self.repository, name, loaders).await
    }

    async fn prepare(&self) -> Result<()> {
        Server::<M>::prepare(&self.repository).await?;
        // Bound and let go: that the addresses are free is all that is asked.
        Ports::bind(&self.options, &self.address).await.map(drop)
    }
}

/// A deployed model that answers over HTTP. Dropping it stops the server; see [`ServerHandle`].
#[derive(Debug)]
#[must_use = "the server stops when its endpoint is dropped"]
pub struct HttpEndpoint {
    pushed: PushedModel,
    handle: ServerHandle,
}

impl HttpEndpoint {
    /// The address that is listened on, with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// The address as a URL, such as `http://127.0.0.1:8000`.
    #[must_use]
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// The version that was deployed.
    #[must_use]
    pub fn pushed(&self) -> &PushedModel {
        &self.pushed
    }

    /// What is served.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        self.handle.manager()
    }

    /// The version of the model that answers now, to ask it without a network.
    ///
    /// # Errors
    /// As [`Manager::get`].
    pub fn predictor(&self) -> Result<Predictor> {
        self.manager().get(&self.pushed.name, None)
    }

    /// As [`ServerHandle::shutdown`].
    ///
    /// # Errors
    /// As [`ServerHandle::shutdown`].
    pub async fn shutdown(self) -> Result<()> {
        self.handle.shutdown().await
    }

    /// As [`ServerHandle::wait`].
    ///
    /// # Errors
    /// As [`ServerHandle::wait`].
    pub async fn wait(self) -> Result<()> {
        self.handle.wait().await
    }
}

//! The server of this process.

mod endpoint;
mod memory;
mod running;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};

pub use self::endpoint::Endpoint;
use self::memory::Memory;
use self::running::Running;
use super::blocking::off_async_threads;
#[cfg(feature = "http")]
use super::metrics::Metrics;
#[cfg(feature = "http")]
use super::requests::ServerCoreBuilder;
#[cfg(feature = "http")]
use super::transport::ServerOptions;
#[cfg(feature = "http")]
use super::transport::{Ports, check_address};
use super::{ModelRepository, Server};
use crate::blessing::{Blessed, Serving};
use crate::error::{Error, Result};
use crate::model::{Loaders, Model};
use crate::stage::Stage;

/// The server of this process: it loads a deployed model at once, beside the one that answers, and swaps them; requests
/// finish on the version that they began with. It answers the application through an [`Endpoint`], and, if it
/// [listens](InProcess::listen), over HTTP and gRPC on one port.
///
/// Models are kept [in memory](InProcess::new), or in a [repository](InProcess::at), where the next process finds them. All
/// endpoints of a stage and its clones share one server. It starts with the first of them, which may be
/// [opened](InProcess::open) before there is any model, and stops with the last.
///
/// ```
/// use fourfold::prelude::*;
///
/// # fn main() -> fourfold::Result<()> {
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let models = tempfile::tempdir()?;
/// # let models = models.path();
/// let server = InProcess::at(models).keep_newest(3);
/// // For the routes of the application; what an earlier process has left answers from here on.
/// let endpoint = server.open("late-flights").await?;
/// assert_eq!(endpoint.predictor().unwrap_err().kind(), ErrorKind::Unavailable);
/// // For each run: `Pipeline::builder("late-flights")...serve(server.clone())`.
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InProcess {
    models: Place,
    #[cfg(feature = "http")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[cfg(feature = "http")]
    #[serde(default)]
    options: ServerOptions,
    #[cfg(feature = "http")]
    #[serde(skip)]
    core: Option<running::CoreSetup>,
    /// The metrics of all servers that this stage starts, one after the other.
    #[cfg(feature = "http")]
    #[serde(skip)]
    metrics: Metrics,
    #[serde(skip)]
    loaders: Loaders,
    /// State that all endpoints share, while there is one.
    #[serde(skip)]
    running: Arc<Mutex<Weak<Running>>>,
}

/// The storage of models.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Memory {
        keep_newest: usize,
        #[serde(skip)]
        models: Arc<Memory>,
    },
    Repository(ModelRepository),
}

impl Default for InProcess {
    fn default() -> Self {
        InProcess::new()
    }
}

impl InProcess {
    /// A server that keeps models in memory: by default the version that answers and the one before; see
    /// [`keep_newest`](InProcess::keep_newest).
    #[must_use]
    pub fn new() -> Self {
        InProcess::of(Place::Memory {
            keep_newest: 2,
            models: Arc::default(),
        })
    }

    /// A server that keeps models in a repository, such as `InProcess::at("models")`: the directory is created if it is
    /// missing. Versions that other processes push to it are loaded within a second.
    #[must_use]
    pub fn at(repository: impl Into<ModelRepository>) -> Self {
        InProcess::of(Place::Repository(repository.into()))
    }

    fn of(models: Place) -> Self {
        InProcess {
            models,
            #[cfg(feature = "http")]
            address: None,
            #[cfg(feature = "http")]
            options: ServerOptions::default(),
            #[cfg(feature = "http")]
            core: None,
            #[cfg(feature = "http")]
            metrics: Metrics::new(),
            loaders: Loaders::default(),
            running: Arc::default(),
        }
    }

    /// Keeps the newest `n` versions of a model, at least 1, and removes older ones after each deployment. The version
    /// that answers, its rollback target and those named by labels or traffic stay, however old. By default, a
    /// repository keeps everything; see [`ModelRepository::collect_garbage`].
    #[must_use]
    pub fn keep_newest(mut self, n: usize) -> Self {
        self.models = match self.models {
            Place::Memory { models, .. } => Place::Memory {
                keep_newest: n,
                models,
            },
            Place::Repository(repository) => Place::Repository(repository.keep_newest(n)),
        };
        self
    }

    /// The loaders of models that an earlier process has deployed, of types of the application's own. That of the
    /// pipeline's model is known once one is deployed.
    #[must_use]
    pub fn loaders(mut self, loaders: Loaders) -> Self {
        self.loaders = loaders;
        self
    }

    /// Answers over HTTP, and over gRPC where that is built in, at an address such as `127.0.0.1:8000`; port 0 is any free
    /// port. It runs on the tokio runtime of the first endpoint.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets limits, TLS, tokens and admin routes of the port.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets limits, batching and observers of what answers over the port, and by [`Endpoint::core`].
    #[cfg(feature = "http")]
    #[must_use]
    pub fn core(
        mut self,
        set: impl Fn(ServerCoreBuilder) -> ServerCoreBuilder + Send + Sync + 'static,
    ) -> Self {
        self.core = Some(running::CoreSetup(Arc::new(set)));
        self
    }

    /// An endpoint of a model, which need not be there yet. The server is started unless it runs.
    ///
    /// # Errors
    /// Those of [`check`](Stage::check); [`ErrorKind::Io`](crate::ErrorKind::Io) if the address or the directory cannot be
    /// had. A model that is there and cannot be loaded is no error: see
    /// [`Manager::states`](super::Manager::states).
    pub async fn open(&self, name: impl Into<String>) -> Result<Endpoint> {
        self.check()?;
        let (stage, name) = (self.clone(), name.into());
        off_async_threads(move || {
            let running = stage.start(&Loaders::empty())?;
            Ok(Endpoint::new(running, name, None))
        })
        .await
    }

    /// The server, if it runs.
    fn current(&self) -> Option<Arc<Running>> {
        let running = self.lock().upgrade();
        running.filter(|running| !running.is_stopped())
    }

    /// The server, which is started unless it runs, with these loaders too. It blocks.
    fn start(&self, loaders: &Loaders) -> Result<Arc<Running>> {
        let mut shared = self.lock();
        if let Some(running) = shared.upgrade().filter(|running| !running.is_stopped()) {
            running.learn(loaders);
            return Ok(running);
        }
        let running = Arc::new(Running::start(
            self,
            &self.loaders.clone().with_all(loaders),
        )?);
        *shared = Arc::downgrade(&running);
        Ok(running)
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage for InProcess {
    fn name(&self) -> &str {
        "in_process"
    }

    fn check(&self) -> Result<()> {
        match &self.models {
            Place::Memory { keep_newest: 0, .. } => {
                return Err(Error::config("`keep_newest` is 0, must be at least 1"));
            }
            Place::Memory { .. } => {}
            Place::Repository(repository) => repository.check()?,
        }
        #[cfg(feature = "http")]
        {
            self.options.check()?;
            self.address
                .iter()
                .try_for_each(|address| check_address("address", address))?;
        }
        Ok(())
    }
}

impl<M: Model> Server<M> for InProcess {
    type Endpoint = Endpoint;

    async fn deploy(&self, model: Blessed<M>) -> Result<Endpoint> {
        let stage = self.clone();
        off_async_threads(move || {
            // The port first: where it is taken, nothing is pushed.
            let running = stage.start(model.loaders())?;
            let version = match &stage.models {
                Place::Memory {
                    keep_newest,
                    models,
                } => models.push(model.name(), Arc::clone(model.servable()), *keep_newest),
                Place::Repository(repository) => repository.push(&model)?.version,
            };
            running.manager.load_pushed(model.name(), version)?;
            Ok(Endpoint::new(
                running,
                model.name().to_owned(),
                Some(version),
            ))
        })
        .await
    }

    fn knows_serving(&self) -> bool {
        true
    }

    async fn serving(&self, name: &str, loaders: &Loaders) -> Result<Serving> {
        let answering = self
            .current()
            .and_then(|running| running.manager.answering(name));
        if let Some(predictor) = answering {
            return Ok(Serving::Model(predictor.into_servable()));
        }
        match &self.models {
            Place::Memory { models, .. } => Ok(match models.newest(name) {
                Some(servable) => Serving::Model(servable),
                None => Serving::None,
            }),
            Place::Repository(repository) => Server::<M>::serving(repository, name, loaders).await,
        }
    }

    /// Answers only for a running server: to start one is to deploy.
    async fn deployed(&self, name: &str, artifact: &str) -> Result<Option<Endpoint>> {
        let running = self.current();
        let found = running.and_then(|running| {
            let answering = running.manager.answering(name)?;
            let version = answering.version();
            let is_it = answering.servable().manifest().artifact() == Some(artifact);
            is_it.then(|| Endpoint::new(running, name.to_owned(), Some(version)))
        });
        Ok(found)
    }

    fn deployed_version(&self, endpoint: &Endpoint) -> Option<u64> {
        endpoint.version()
    }

    /// The metrics of the running server, which may have been [set](InProcess::core); else those that it will have.
    #[cfg(feature = "http")]
    fn metrics(&self) -> Option<Metrics> {
        let running = self.current();
        let metrics = running.map(|running| running.core.metrics().clone());
        Some(metrics.unwrap_or_else(|| self.metrics.clone()))
    }

    async fn prepare(&self) -> Result<()> {
        if let Place::Repository(repository) = &self.models {
            Server::<M>::prepare(repository).await?;
        }
        #[cfg(feature = "http")]
        if let (Some(address), None) = (&self.address, self.current()) {
            // Bound and released: only that the addresses are free is checked.
            Ports::bind(&self.options, address).await.map(drop)?;
        }
        Ok(())
    }
}

//! State that all endpoints of a stage share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::memory::InMemory;
use super::{InProcess, Place};
use crate::error::{Error, Result};
use crate::model::Loaders;
use crate::serving::Manager;
#[cfg(feature = "http")]
use crate::serving::ServerCore;
use crate::serving::lifecycle::{FoundVersion, Loader, Router, SourceAdapter};
#[cfg(feature = "http")]
use crate::serving::requests::ServerCoreBuilder;
#[cfg(feature = "http")]
use crate::serving::transport::{Ports, ServerHandle, Spoken};

/// A server that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) manager: Arc<Manager>,
    #[cfg(feature = "http")]
    pub(super) core: ServerCore,
    /// The port, until it is shut down.
    #[cfg(feature = "http")]
    pub(super) port: Option<Port>,
    known: Arc<Known>,
    is_stopped: AtomicBool,
}

/// A port that is listened on.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(super) struct Port {
    pub(super) address: std::net::SocketAddr,
    pub(super) url: String,
    handle: Mutex<Option<ServerHandle>>,
}

/// The function that configures the core.
#[cfg(feature = "http")]
#[derive(Clone)]
pub(super) struct CoreSetup(
    pub(super) Arc<dyn Fn(ServerCoreBuilder) -> ServerCoreBuilder + Send + Sync>,
);

#[cfg(feature = "http")]
impl std::fmt::Debug for CoreSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CoreSetup")
    }
}

impl Running {
    /// Starts a server. It blocks: existing models are loaded first.
    pub(super) fn start(stage: &InProcess, loaders: &Loaders) -> Result<Self> {
        #[cfg(feature = "http")]
        let ports = match &stage.address {
            Some(address) => Some(bind(stage, address)?),
            None => None,
        };
        let known = Arc::new(Known::default());
        known.learn(loaders);
        let builder = match &stage.models {
            Place::Memory { models, .. } => {
                let models = InMemory(Arc::clone(models));
                // No other caller changes it.
                Manager::builder(models.clone())
                    .source_adapter(models)
                    .poll_interval(None)
            }
            Place::Repository(repository) => {
                let root = repository.root();
                std::fs::create_dir_all(root)
                    .map_err(|error| Error::io(format!("making `{}`", root.display()), error))?;
                known.learn(&repository.loaders(&Loaders::empty()));
                Manager::builder(repository.clone()).source_adapter(Shared(Arc::clone(&known)))
            }
        };
        #[cfg(feature = "http")]
        let metrics = stage.metrics.clone();
        #[cfg(feature = "http")]
        let builder = builder.listener(Arc::new(metrics.clone()));
        let manager = Arc::new(builder.open()?);
        #[cfg(feature = "http")]
        let core = {
            let builder = ServerCore::builder(Arc::clone(&manager)).metrics(metrics);
            match &stage.core {
                Some(CoreSetup(set)) => set(builder).build()?,
                None => builder.build()?,
            }
        };
        #[cfg(feature = "http")]
        let port = match ports {
            Some(ports) => {
                let handle = ports.serve(&stage.options, &core, Spoken::All)?;
                Some(Port {
                    address: handle.address(),
                    url: handle.url(),
                    handle: Mutex::new(Some(handle)),
                })
            }
            None => None,
        };
        Ok(Running {
            manager,
            #[cfg(feature = "http")]
            core,
            #[cfg(feature = "http")]
            port,
            known,
            is_stopped: AtomicBool::new(false),
        })
    }

    /// Loads by these too from here on.
    pub(super) fn learn(&self, loaders: &Loaders) {
        self.known.learn(loaders);
    }

    /// Returns `true` if its port was shut down: the next endpoint starts another server.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// The handle of the port, for the first caller to shut it down.
    #[cfg(feature = "http")]
    pub(super) fn stop(&self) -> Option<ServerHandle> {
        self.is_stopped.store(true, Ordering::Release);
        let port = self.port.as_ref()?;
        let mut handle = port.handle.lock().unwrap_or_else(PoisonError::into_inner);
        handle.take()
    }
}

/// Holds the ports of a stage, on a thread that may block.
#[cfg(feature = "http")]
fn bind(stage: &InProcess, address: &str) -> Result<Ports> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
        Error::config("a server must be started within a tokio runtime").with_source(error)
    })?;
    runtime.block_on(Ports::bind(&stage.options, address))
}

/// The loaders that are known so far.
#[derive(Debug)]
struct Known(Mutex<Loaders>);

impl Default for Known {
    fn default() -> Self {
        Known(Mutex::new(Loaders::default()))
    }
}

impl Known {
    fn learn(&self, loaders: &Loaders) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = known.clone().with_all(loaders);
    }
}

/// Loads by what is known when a version is loaded.
#[derive(Debug)]
struct Shared(Arc<Known>);

impl SourceAdapter for Shared {
    fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>> {
        let known = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let router = Router::new(known.clone());
        drop(known);
        router.adapt(model, version)
    }
}

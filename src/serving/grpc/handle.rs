//! A running server: its port, its task, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::GrpcOptions;
use super::accept::Accepting;
use super::connection::{self, Protocols};
use super::front::Front;
use super::routes;
use super::standing::Phase;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "tls")]
use crate::serving::http::Encryption;
use crate::serving::{Manager, ServerCore};

/// Answers over gRPC with the models of a manager, with the defaults of [`GrpcOptions`].
///
/// The address is such as `127.0.0.1:8001`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// As [`GrpcOptions::serve`].
pub async fn serve(core: impl Into<ServerCore>, address: &str) -> Result<GrpcHandle> {
    GrpcOptions::default().serve(core, address).await
}

impl GrpcOptions {
    /// Answers over gRPC with the models of a core.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the address cannot be listened on;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) outside of a tokio runtime, for options that cannot be, and
    /// for tokens or certificates that are none; what reading their files gives.
    pub async fn serve(&self, core: impl Into<ServerCore>, address: &str) -> Result<GrpcHandle> {
        self.check()?;
        let core = core.into();
        tokio::runtime::Handle::try_current().map_err(|error| {
            Error::config("a server must be started within a tokio runtime").with_source(error)
        })?;
        // Whatever is wrong with an address, what was not found is no file.
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("listening on `{address}`")).with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (phase, now) = watch::channel(Phase::Serving);
        let (inference, others) = routes::services(core.clone(), self, Some(now))?;
        let protocols = Protocols {
            front: Arc::new(Front::new(inference, others, self.tokens()?)),
            http2: connection::builder(self),
            handshake_time: self.handshake_time(),
            #[cfg(feature = "tls")]
            encryption: self.tls.clone().map(Encryption::new).transpose()?,
        };
        let accepting = Accepting::new(protocols, self.clone());
        let task = tokio::spawn(accepting.run(listener, phase.clone()));
        tracing::info!(%address, "serving over gRPC");
        Ok(GrpcHandle {
            address,
            core,
            phase,
            task,
        })
    }
}

/// A server that is running. Dropping it stops the server: no new connection is taken, and calls that are being
/// answered are finished as long as the runtime lives.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct GrpcHandle {
    address: SocketAddr,
    core: ServerCore,
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

impl Drop for GrpcHandle {
    fn drop(&mut self) {
        self.leave();
    }
}

impl GrpcHandle {
    fn leave(&self) {
        self.phase.send_if_modified(|phase| {
            let is_serving = *phase == Phase::Serving;
            *phase = Phase::Leaving.max(*phase);
            is_serving
        });
    }

    /// The address that is listened on, with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is served.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        self.core.manager()
    }

    /// What answers, to answer by another protocol as well.
    #[must_use]
    pub fn core(&self) -> &ServerCore {
        &self.core
    }

    /// Stops: says that its core is [draining](ServerCore::drain), and goes on answering for the [delay](GrpcOptions::drain_delay); then takes no
    /// new call, finishes those that are being answered, ends streams, and returns. It waits for them for at most the
    /// [time](GrpcOptions::drain_timeout) of the options.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the server had failed before.
    pub async fn shutdown(mut self) -> Result<()> {
        self.core.drain();
        self.leave();
        (&mut self.task).await.map_err(lost)
    }

    /// Serves until the server fails, so in practice until this future is dropped, which stops the server.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the server fails.
    pub async fn wait(mut self) -> Result<()> {
        (&mut self.task).await.map_err(lost)
    }
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::internal("the server's task is gone").with_source(error)
}

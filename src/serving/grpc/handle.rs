//! A running server: its port, its task, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::GrpcOptions;
use super::connection::Opening;
use super::health::Stopping;
use super::routes::{self, Services};
use crate::error::{Error, ErrorKind, Result};
use crate::serving::{Manager, ServerCore};

/// How much may be on its way before the receiver says that it read it: for one call, and for a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The most bytes of a frame: fewer frames for large tensors, and small calls do not wait long behind one.
const FRAME: u32 = 64 << 10;

/// How long taking connections pauses when the system has no more of them.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers over gRPC with the models of a manager, with the default [options](GrpcOptions).
///
/// The address is such as `127.0.0.1:8001`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if the address cannot be listened on;
/// [`ErrorKind::Config`](crate::ErrorKind::Config) outside of a tokio runtime.
pub async fn serve(core: impl Into<ServerCore>, address: &str) -> Result<GrpcHandle> {
    serve_with(core, address, &GrpcOptions::default()).await
}

/// As [`serve`], with options.
///
/// # Errors
/// As [`serve`], and as [`GrpcOptions::check`].
pub async fn serve_with(
    core: impl Into<ServerCore>,
    address: &str,
    options: &GrpcOptions,
) -> Result<GrpcHandle> {
    options.check()?;
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
    let (stop, stopping) = Stopping::channel();
    let (inference, others) = routes::services(core.clone(), options, &stopping)?;
    let server = Arc::new(Server {
        services: Services { inference, others },
        options: options.clone(),
    });
    let task = tokio::spawn(server.run(listener, stopping));
    tracing::info!(%address, "serving over gRPC");
    Ok(GrpcHandle {
        address,
        core,
        stop,
        task,
    })
}

/// A server that is running. Dropping it stops the server: no new connection is taken, and calls that are being
/// answered are finished as long as the runtime lives.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct GrpcHandle {
    address: SocketAddr,
    core: ServerCore,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for GrpcHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl GrpcHandle {
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

    /// Stops: says that it is not ready, takes no new call, finishes the calls that are being answered, ends streams,
    /// and returns. The [options](GrpcOptions) say how long it waits.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the server had failed before.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stop.send_replace(true);
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

struct Server {
    services: Services,
    options: GrpcOptions,
}

impl Server {
    async fn run(self: Arc<Self>, listener: TcpListener, stopping: Stopping) {
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let drained = async {
            stopping.wait().await;
            tokio::time::sleep(self.options.drain_before()).await;
        };
        tokio::select! {
            () = self.take(&listener, &graceful, &mut connections) => {}
            () = drained => {}
        }
        drop(listener);
        let finished = tokio::time::timeout(self.options.drain_time(), graceful.shutdown());
        if finished.await.is_err() {
            tracing::warn!("stopped with calls unanswered");
        }
        connections.shutdown().await;
    }

    /// Takes connections for ever.
    async fn take(
        self: &Arc<Self>,
        listener: &TcpListener,
        graceful: &GracefulShutdown,
        connections: &mut JoinSet<()>,
    ) {
        let places = self.options.max_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let connection = match listener.accept().await {
                Ok((connection, _)) => connection,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let server = Arc::clone(self);
            let watcher = graceful.watcher();
            connections.spawn(async move {
                if let Err(error) = connection.set_nodelay(true) {
                    tracing::debug!(%error, "answers may be delayed");
                }
                let serving = server.serve_connection(connection);
                if let Err(error) = watcher.watch(serving).await {
                    tracing::debug!(%error, "a connection failed");
                }
                drop(place);
            });
        }
    }

    fn serve_connection(
        &self,
        connection: TcpStream,
    ) -> http2::Connection<TokioIo<Opening<TcpStream>>, TowerToHyperService<Services>, TokioExecutor>
    {
        let options = &self.options;
        let connection = Opening::new(connection, options.handshake_time());
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(options.max_streams)
            .keep_alive_interval(options.keep_alive_interval())
            .keep_alive_timeout(options.keep_alive_time())
            .serve_connection(
                TokioIo::new(connection),
                TowerToHyperService::new(self.services.clone()),
            )
    }
}

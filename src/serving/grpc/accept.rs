//! The accepting task: takes connections, sets them up, and ends.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::GrpcOptions;
use super::connection::Opening;
use super::front::Front;
use super::health::Stopping;
#[cfg(feature = "tls")]
use crate::serving::http::Encryption;

/// How much may be on its way before the receiver says that it read it: for one call, and for a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The most bytes of a frame: fewer frames for large tensors, and small calls do not wait long behind one.
const FRAME: u32 = 64 << 10;

/// How long taking connections pauses when the system has no more of them.
const PAUSE: Duration = Duration::from_millis(50);

/// How often certificates are looked at.
#[cfg(feature = "tls")]
const CERTIFICATES: Duration = Duration::from_secs(10);

/// What the connections of a port have in common.
#[derive(Debug)]
pub(super) struct Accepting {
    pub(super) front: Front,
    pub(super) options: GrpcOptions,
    #[cfg(feature = "tls")]
    pub(super) encryption: Option<Encryption>,
}

impl Accepting {
    /// Takes connections until the server stops, and then waits for the calls that are there.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, stopping: Stopping) {
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let drained = async {
            stopping.wait().await;
            tokio::time::sleep(self.options.drain_before()).await;
        };
        tokio::select! {
            () = self.take(&listener, &graceful, &mut connections) => {}
            () = self.look_at_certificates() => {}
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
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let serving = Arc::clone(self).serve(stream, peer, graceful.watcher());
            connections.spawn(async move {
                serving.await;
                drop(place);
            });
        }
    }

    /// Serves until the client or the server ends it.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
        #[cfg(feature = "tls")]
        if let Some(encryption) = &self.encryption {
            let shaking = encryption.acceptor().accept(stream);
            match tokio::time::timeout(self.options.handshake_time(), shaking).await {
                Ok(Ok(stream)) => Box::pin(self.speak(stream, peer, watcher)).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
            }
            return;
        }
        self.speak(stream, peer, watcher).await;
    }

    fn speak<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        watcher: Watcher,
    ) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let options = &self.options;
        let stream = TokioIo::new(Opening::new(stream, options.handshake_time()));
        let front = self.front.of(peer);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(options.max_streams)
            .keep_alive_interval(options.keep_alive_interval())
            .keep_alive_timeout(options.keep_alive_time())
            .serve_connection(stream, TowerToHyperService::new(front));
        let served = watcher.watch(connection);
        async move {
            if let Err(error) = served.await {
                tracing::debug!(%peer, %error, "a connection failed");
            }
        }
    }

    #[cfg(feature = "tls")]
    async fn look_at_certificates(self: &Arc<Self>) {
        if self.encryption.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(CERTIFICATES).await;
            let looking = Arc::clone(self);
            let looked = tokio::task::spawn_blocking(move || {
                if let Some(encryption) = &looking.encryption {
                    encryption.refresh();
                }
            });
            if let Err(error) = looked.await {
                tracing::warn!(%error, "certificates were not looked at");
            }
        }
    }

    #[cfg(not(feature = "tls"))]
    async fn look_at_certificates(self: &Arc<Self>) {
        std::future::pending().await
    }
}

//! A running server: its port, its task, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::router;
use crate::error::{Error, Result};
use crate::serving::Manager;

/// How often a server looks for new versions in its repository.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// How long [`HttpHandle::shutdown`] waits for requests that are being answered.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// Answers over HTTP with the models of a manager, and looks for new versions every [`REFRESH_INTERVAL`].
///
/// The address is such as `127.0.0.1:8000`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if the address cannot be listened on;
/// [`ErrorKind::Config`](crate::ErrorKind::Config) outside of a tokio runtime.
pub async fn serve(manager: Arc<Manager>, address: &str) -> Result<HttpHandle> {
    Listener::bind(address).await?.serve(manager)
}

/// A server that is running. Dropping it stops the server: no new connection is taken, and requests that are being
/// answered are finished as long as the runtime lives.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct HttpHandle {
    address: SocketAddr,
    manager: Arc<Manager>,
    /// The server stops when this is dropped.
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

impl HttpHandle {
    /// The address that is listened on, with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL, such as `http://127.0.0.1:8000`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is served.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    /// Stops: takes no new connection, finishes the requests that are being answered, and returns. It waits for them
    /// for at most [`SHUTDOWN_LIMIT`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the server had failed before.
    pub async fn shutdown(self) -> Result<()> {
        let HttpHandle { stop, mut task, .. } = self;
        drop(stop);
        match tokio::time::timeout(SHUTDOWN_LIMIT, &mut task).await {
            Ok(ended) => ended.unwrap_or_else(|error| Err(lost(error))),
            Err(_) => {
                task.abort();
                tracing::warn!("stopped with requests unanswered");
                Ok(())
            }
        }
    }

    /// Serves until the server fails, so in practice until this future is dropped, which stops the server.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the server fails.
    pub async fn wait(self) -> Result<()> {
        let HttpHandle { stop, task, .. } = self;
        let ended = task.await;
        drop(stop);
        ended.unwrap_or_else(|error| Err(lost(error)))
    }
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::internal("the server's task is gone").with_source(error)
}

/// A port that is held and not answered on yet.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(super) async fn bind(address: &str) -> Result<Self> {
        tokio::runtime::Handle::try_current().map_err(|error| {
            Error::config("a server must be started within a tokio runtime").with_source(error)
        })?;
        // Whatever is wrong with an address, what was not found is no file.
        let failed = |error: std::io::Error| {
            Error::new(crate::ErrorKind::Io, format!("listening on `{address}`")).with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listener { listener, address })
    }

    pub(super) fn serve(self, manager: Arc<Manager>) -> Result<HttpHandle> {
        let Listener { listener, address } = self;
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "answers may be delayed");
            }
        });
        let serving = axum::serve(listener, router(Arc::clone(&manager))).with_graceful_shutdown(
            async move {
                // It ends with an error when the sender is dropped, which is how a server is stopped.
                let _ = stopped.await;
            },
        );
        let refreshing = refresh_for_ever(Arc::clone(&manager));
        let task = tokio::spawn(async move {
            tokio::select! {
                ended = serving => ended.map_err(|error| Error::io("serving over HTTP", error)),
                () = refreshing => Ok(()),
            }
        });
        tracing::info!(%address, "serving");
        Ok(HttpHandle {
            address,
            manager,
            stop,
            task,
        })
    }
}

async fn refresh_for_ever(manager: Arc<Manager>) {
    let mut ticks = tokio::time::interval(REFRESH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let manager = Arc::clone(&manager);
        let failed = match tokio::task::spawn_blocking(move || manager.refresh()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("{error:?}")),
            Err(error) => Some(error.to_string()),
        };
        // Once for each spell of failures, not every second.
        if let Some(error) = failed.as_ref().filter(|_| !failing) {
            tracing::warn!(%error, "the repository cannot be looked at; what is loaded goes on serving");
        }
        failing = failed.is_some();
    }
}

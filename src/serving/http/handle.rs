//! A running server: its ports, its tasks, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::Router;
use hyper::server::conn::http1;
#[cfg(feature = "grpc")]
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::accept::Accepting;
use super::activity::Patience;
use super::answers::{Answers, Shared};
use super::body::Budget;
use super::connection::Protocols;
use super::front::{App, Front};
#[cfg(feature = "tls")]
use super::tls::Encryption;
use super::{Admin, BearerToken, HttpOptions};
use crate::error::{Error, Result};
use crate::serving::readiness::Probe;
use crate::serving::{Manager, ServerCore};

/// How many requests of a connection are answered at once over HTTP/2.
#[cfg(feature = "grpc")]
const MAX_STREAMS: u32 = 256;

/// The most bytes of a path that is read at all.
const MAX_URI_BYTES: usize = 64 << 10;

/// Answers over HTTP with the models of a manager, with the defaults of [`HttpOptions`].
///
/// The address is such as `127.0.0.1:8000`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// As [`HttpOptions::serve`].
pub async fn serve(core: impl Into<ServerCore>, address: &str) -> Result<HttpHandle> {
    HttpOptions::default().serve(core, address).await
}

impl HttpOptions {
    /// Answers over HTTP with the models of a core.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if an address cannot be listened on;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) outside of a tokio runtime, for options that cannot be, and
    /// for tokens or certificates that are none; what reading their files gives.
    pub async fn serve(&self, core: impl Into<ServerCore>, address: &str) -> Result<HttpHandle> {
        let core = core.into();
        Listeners::bind(self, address)
            .await?
            .serve(self, &core, None)
    }

    /// Answers over HTTP with a router of the application's, in which [`router`](super::router) and whatever else is
    /// mounted, below the application's layers. Limits on bodies and times are those of the router's own routes.
    ///
    /// # Errors
    /// As [`HttpOptions::serve`].
    pub async fn serve_router(
        &self,
        router: Router,
        core: impl Into<ServerCore>,
        address: &str,
    ) -> Result<HttpHandle> {
        let core = core.into();
        let listeners = Listeners::bind(self, address).await?;
        listeners.serve(self, &core, Some(router))
    }

    /// Answers for a port of this crate's.
    fn answers_of_port(
        &self,
        core: &ServerCore,
        inference: bool,
        admin: bool,
        tokens: Option<&BearerToken>,
    ) -> Answers {
        if admin && tokens.is_none() {
            tracing::warn!(
                "admin routes are open to everybody who reaches the port: there is no token"
            );
        }
        let hosts = tokens.is_none().then(|| self.admin_hosts.clone());
        self.answers(core, inference, admin, hosts)
    }

    pub(super) fn answers(
        &self,
        core: &ServerCore,
        inference: bool,
        admin: bool,
        admin_hosts: Option<Vec<String>>,
    ) -> Answers {
        Answers {
            shared: Arc::new(Shared {
                core: core.clone(),
                max_body_bytes: self.max_body_bytes,
                body_time: self.body_time(),
                bodies: Budget::new(self.max_buffered_bytes),
                request_time: self.request_time(),
                metrics: self.metrics,
                probe: Probe::new(self.readiness),
                inference,
                admin,
                admin_hosts,
            }),
        }
    }
}

/// A server that is running. Dropping it stops the server: no new connection is taken, and requests that are being
/// answered are finished as long as the runtime lives.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct HttpHandle {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    scheme: &'static str,
    core: ServerCore,
    n_connections: Vec<Arc<AtomicUsize>>,
    options: HttpOptions,
    /// The server stops when this is dropped.
    stop: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
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
        format!("{}://{}", self.scheme, self.address)
    }

    /// The address of the admin routes where they have a port of their own: see [`Admin::Address`].
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
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

    /// How many connections are open.
    #[must_use]
    pub fn n_connections(&self) -> usize {
        let counts = self.n_connections.iter();
        counts.map(|count| count.load(Relaxed)).sum()
    }

    /// Stops: says that it is not ready, and goes on answering for the [delay](HttpOptions::drain_delay); then takes
    /// no new connection, finishes the requests that are being answered, and returns. It waits for them for at most
    /// the [time](HttpOptions::drain_timeout) of the options.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the server had failed before.
    pub async fn shutdown(mut self) -> Result<()> {
        self.core.drain();
        let delay = self.options.drain_before();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // Every connection hears of it; dropping the sender would do as well.
        self.stop.send_replace(());
        let mut tasks = std::mem::take(&mut self.tasks);
        let all = async {
            for task in &mut tasks {
                task.await.map_err(lost)?;
            }
            Ok(())
        };
        match tokio::time::timeout(self.options.drain_time(), all).await {
            Ok(ended) => ended,
            Err(_) => {
                for task in &tasks {
                    task.abort();
                }
                tracing::warn!("stopped with requests unanswered");
                Ok(())
            }
        }
    }

    /// Serves until the server fails, so in practice until this future is dropped, which stops the server.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the server fails.
    pub async fn wait(mut self) -> Result<()> {
        for task in std::mem::take(&mut self.tasks) {
            task.await.map_err(lost)?;
        }
        Ok(())
    }
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::internal("the server's task is gone").with_source(error)
}

/// Ports that are held and not answered on yet.
pub(super) struct Listeners {
    main: Listener,
    admin: Option<Listener>,
}

struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listeners {
    pub(super) async fn bind(options: &HttpOptions, address: &str) -> Result<Self> {
        options.check()?;
        tokio::runtime::Handle::try_current().map_err(|error| {
            Error::config("a server must be started within a tokio runtime").with_source(error)
        })?;
        let admin = match &options.admin {
            Admin::Address(address) => Some(Listener::bind(address).await?),
            Admin::Off | Admin::SamePort => None,
        };
        Ok(Listeners {
            main: Listener::bind(address).await?,
            admin,
        })
    }

    pub(super) fn serve(
        self,
        options: &HttpOptions,
        core: &ServerCore,
        router: Option<Router>,
    ) -> Result<HttpHandle> {
        let (stop, stopped) = watch::channel(());
        let tokens = options.tokens()?;
        let app = match router {
            Some(router) => App::Router(router),
            None => {
                let is_admin = options.admin == Admin::SamePort;
                App::Answers(options.answers_of_port(core, true, is_admin, tokens.as_ref()))
            }
        };
        let address = self.main.address;
        let mut ports = vec![(self.main, app)];
        let admin_address = self.admin.as_ref().map(|listener| listener.address);
        if let Some(listener) = self.admin {
            let answers = options.answers_of_port(core, false, true, tokens.as_ref());
            ports.push((listener, App::Answers(answers)));
        }
        let patience = Patience::new(options.header_time(), options.idle_time());
        // All that can fail comes before the first task.
        let accepting = ports.into_iter().map(|(port, app)| {
            let protocols = protocols(options, app, tokens.clone())?;
            let stopped = stopped.clone();
            let accepting = Accepting::new(protocols, stopped, options.max_connections, patience);
            Ok((accepting, port.listener))
        });
        let accepting = accepting.collect::<Result<Vec<_>>>()?;
        let n_connections = accepting
            .iter()
            .map(|(accepting, _)| accepting.n_connections())
            .collect();
        let tasks = accepting
            .into_iter()
            .map(|(accepting, listener)| tokio::spawn(accepting.run(listener)))
            .collect();
        #[cfg(feature = "tls")]
        let is_encrypted = options.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let is_encrypted = false;
        tracing::info!(%address, "serving");
        Ok(HttpHandle {
            address,
            admin_address,
            scheme: if is_encrypted { "https" } else { "http" },
            core: core.clone(),
            n_connections,
            options: options.clone(),
            stop,
            tasks,
        })
    }
}

impl Listener {
    async fn bind(address: &str) -> Result<Self> {
        // Whatever is wrong with an address, what was not found is no file.
        let failed = |error: std::io::Error| {
            Error::new(crate::ErrorKind::Io, format!("listening on `{address}`")).with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listener { listener, address })
    }
}

fn protocols(options: &HttpOptions, app: App, tokens: Option<BearerToken>) -> Result<Protocols> {
    let mut http1 = http1::Builder::new();
    http1
        // More than a head may have, so that it is known what of it is too long.
        .max_header_size(options.max_header_bytes + MAX_URI_BYTES)
        .half_close(false);
    Ok(Protocols {
        front: Front {
            app,
            tokens,
            max_header_bytes: options.max_header_bytes,
        },
        http1,
        #[cfg(feature = "grpc")]
        http2: http2(options),
        #[cfg(feature = "tls")]
        encryption: options.tls.clone().map(Encryption::new).transpose()?,
    })
}

#[cfg(feature = "grpc")]
fn http2(options: &HttpOptions) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        // A client that answers no ping is gone.
        .keep_alive_interval(options.idle_time())
        .keep_alive_timeout(options.header_time())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX));
    http2
}

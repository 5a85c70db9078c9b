//! A running server: its ports, its tasks, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::accept::Accepting;
use super::activity::Patience;
use super::budget::Budget;
use super::connection::Protocols;
use super::front::{App, Front, Own};
use super::listener::Listener;
use super::phase::Phase;
use super::security::Security;
use super::{Admin, BearerToken, ServerOptions};
use crate::error::{Error, Result};
use crate::serving::http::{Answers, Routes};
use crate::serving::{Manager, ServerCore};

/// The protocols of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serving) enum Spoken {
    /// HTTP and, where it is built in, gRPC.
    All,
    Http,
    #[cfg(feature = "grpc")]
    Grpc,
}

impl ServerOptions {
    /// Answers with the models of a core: over HTTP and, with the feature `grpc`, over gRPC on the same port.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if an address cannot be listened on;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) outside of a tokio runtime, for options that cannot be, and
    /// for tokens or certificates that are none; what reading their files gives.
    pub async fn serve(&self, core: impl Into<ServerCore>, address: &str) -> Result<ServerHandle> {
        self.serve_as(Spoken::All, core.into(), address).await
    }

    /// As [`serve`](ServerOptions::serve), over HTTP alone.
    ///
    /// # Errors
    /// As [`ServerOptions::serve`].
    pub async fn serve_http(
        &self,
        core: impl Into<ServerCore>,
        address: &str,
    ) -> Result<ServerHandle> {
        self.serve_as(Spoken::Http, core.into(), address).await
    }

    /// As [`serve`](ServerOptions::serve), over gRPC alone. Admin calls are answered where admin routes would be:
    /// on the [same port](Admin::SamePort).
    ///
    /// # Errors
    /// As [`ServerOptions::serve`].
    #[cfg(feature = "grpc")]
    pub async fn serve_grpc(
        &self,
        core: impl Into<ServerCore>,
        address: &str,
    ) -> Result<ServerHandle> {
        self.serve_as(Spoken::Grpc, core.into(), address).await
    }

    async fn serve_as(
        &self,
        spoken: Spoken,
        core: ServerCore,
        address: &str,
    ) -> Result<ServerHandle> {
        // Admin routes are of HTTP: where it is not spoken, they have no port.
        let options = match (&self.admin, spoken.is_http()) {
            (Admin::Address(_), false) => &self.clone().admin(Admin::Off),
            _ => self,
        };
        Ports::bind(options, address)
            .await?
            .serve(options, &core, spoken)
    }

    /// Answers with a router of the application's, in which [`http::router`](crate::serving::http::router) and whatever
    /// else is mounted, below the application's layers. Limits on bodies and times are those of the router's own routes.
    ///
    /// # Errors
    /// As [`ServerOptions::serve`].
    pub async fn serve_router(
        &self,
        router: Router,
        core: impl Into<ServerCore>,
        address: &str,
    ) -> Result<ServerHandle> {
        let core = core.into();
        let ports = Ports::bind(self, address).await?;
        ports.serve_app(self, &core, |_, _| Ok(App::Router(router)))
    }
}

/// A server that is running. Dropping it stops the server: no new connection is taken, and requests that are being
/// answered are finished as long as the runtime lives.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct ServerHandle {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    scheme: &'static str,
    core: ServerCore,
    n_connections: Vec<Arc<AtomicUsize>>,
    options: ServerOptions,
    phase: watch::Sender<Phase>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Ending);
    }
}

impl ServerHandle {
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

    /// The manager of the served models.
    #[must_use]
    pub fn manager(&self) -> &Arc<Manager> {
        self.core.manager()
    }

    /// The core, to serve it over another protocol as well.
    #[must_use]
    pub fn core(&self) -> &ServerCore {
        &self.core
    }

    /// The number of open connections.
    #[must_use]
    pub fn n_connections(&self) -> usize {
        let counts = self.n_connections.iter();
        counts.map(|count| count.load(Relaxed)).sum()
    }

    /// Stops: reports that it is not ready, and still answers for the [delay](ServerOptions::drain_delay); then takes
    /// no new connection, finishes the requests that are being answered, ends streams, and returns. It waits for them for
    /// at most the [time](ServerOptions::drain_timeout) of the options.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the server had failed before.
    pub async fn shutdown(mut self) -> Result<()> {
        self.core.drain();
        self.phase.send_replace(Phase::Leaving);
        let delay = self.options.drain_delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.phase.send_replace(Phase::Ending);
        let mut tasks = std::mem::take(&mut self.tasks);
        let all = async {
            for task in &mut tasks {
                task.await.map_err(lost)?;
            }
            Ok(())
        };
        match tokio::time::timeout(self.options.drain_timeout, all).await {
            Ok(ended) => ended,
            Err(_) => {
                for task in &tasks {
                    task.abort();
                }
                tracing::warn!("the server stopped with unanswered requests");
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
    Error::internal("the task of the server ended").with_source(error)
}

/// Ports that are held and not answered on yet.
pub(in crate::serving) struct Ports {
    main: Listener,
    admin: Option<Listener>,
}

impl Ports {
    pub(in crate::serving) async fn bind(options: &ServerOptions, address: &str) -> Result<Self> {
        options.check()?;
        tokio::runtime::Handle::try_current().map_err(|error| {
            Error::config("a server must be started within a tokio runtime").with_source(error)
        })?;
        let admin = match &options.admin {
            Admin::Address(address) => Some(Listener::bind(address).await?),
            Admin::Off | Admin::SamePort => None,
        };
        Ok(Ports {
            main: Listener::bind(address).await?,
            admin,
        })
    }

    pub(in crate::serving) fn serve(
        self,
        options: &ServerOptions,
        core: &ServerCore,
        spoken: Spoken,
    ) -> Result<ServerHandle> {
        let is_admin = options.admin == Admin::SamePort;
        self.serve_app(options, core, |tokens, start| {
            let mut own = Own::default();
            if spoken.is_http() {
                let routes = Routes {
                    inference: true,
                    admin: is_admin,
                };
                own.http = Some(answers(options, core, routes, tokens, start));
            }
            #[cfg(feature = "grpc")]
            if spoken != Spoken::Http {
                own.grpc = Some(crate::serving::grpc::Calls::new(core, options, start)?);
            }
            Ok(App::Own(own))
        })
    }

    fn serve_app(
        self,
        options: &ServerOptions,
        core: &ServerCore,
        app: impl FnOnce(Option<&BearerToken>, &Start) -> Result<App>,
    ) -> Result<ServerHandle> {
        let (phase, now) = watch::channel(Phase::Serving);
        let tokens = options.tokens()?;
        // Everything that can fail precedes the first task.
        let start = || Start {
            phase: now.clone(),
            budget: Budget::new(options.max_buffered_bytes),
        };
        let main = start();
        let app = app(tokens.as_ref(), &main)?;
        let address = self.main.address;
        let mut ports = vec![(self.main, app, main)];
        let admin_address = self.admin.as_ref().map(|listener| listener.address);
        if let Some(listener) = self.admin {
            let own = start();
            let routes = Routes {
                inference: false,
                admin: true,
            };
            let http = Some(answers(options, core, routes, tokens.as_ref(), &own));
            let app = Own {
                http,
                #[cfg(feature = "grpc")]
                grpc: None,
            };
            ports.push((listener, App::Own(app), own));
        }
        let patience = Patience::new(options.header_timeout, options.idle_timeout);
        let accepting = ports.into_iter().map(|(listener, app, start)| {
            let front = Front {
                app,
                tokens: tokens.clone(),
                max_header_bytes: options.max_header_bytes,
            };
            let security = Security::new(options)?;
            let protocols = Protocols::new(options, front, security, start.budget);
            let most = options.max_connections;
            Ok((
                Accepting::new(protocols, start.phase, most, patience),
                listener,
            ))
        });
        let accepting = accepting.collect::<Result<Vec<_>>>()?;
        let counts = accepting
            .iter()
            .map(|(accepting, _)| accepting.n_connections());
        let n_connections = counts.collect();
        let tasks = accepting
            .into_iter()
            .map(|(accepting, listener)| tokio::spawn(accepting.run(listener)))
            .collect();
        tracing::info!(%address, "serving");
        Ok(ServerHandle {
            address,
            admin_address,
            scheme: if options.is_encrypted() {
                "https"
            } else {
                "http"
            },
            core: core.clone(),
            n_connections,
            options: options.clone(),
            phase,
            tasks,
        })
    }
}

impl Spoken {
    fn is_http(self) -> bool {
        match self {
            Spoken::All | Spoken::Http => true,
            #[cfg(feature = "grpc")]
            Spoken::Grpc => false,
        }
    }
}

/// State that the protocols of a port start with.
#[derive(Debug)]
pub(in crate::serving) struct Start {
    pub(in crate::serving) phase: watch::Receiver<Phase>,
    pub(in crate::serving) budget: Arc<Budget>,
}

/// The answers of a port over HTTP.
fn answers(
    options: &ServerOptions,
    core: &ServerCore,
    routes: Routes,
    tokens: Option<&BearerToken>,
    start: &Start,
) -> Answers {
    if routes.admin && tokens.is_none() {
        tracing::warn!("admin routes have no token: everybody who reaches the port can use them");
    }
    let hosts = tokens.is_none().then(|| options.admin_hosts.clone());
    Answers::new(options, core, routes, hosts, &start.budget)
}

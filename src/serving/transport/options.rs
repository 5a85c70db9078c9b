//! Options of a server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BearerToken;
#[cfg(feature = "tls")]
use super::Tls;
use crate::error::{Error, Result};
use crate::serving::durations::{millis, optional_millis};
use crate::serving::readiness::Readiness;

/// Limits, protection and extras of a server, over HTTP and gRPC alike. The defaults suit a server behind a proxy or in a trusted
/// network; options that a file leaves out have their defaults.
///
/// | option | default | what happens beyond it (over gRPC) |
/// | --- | --- | --- |
/// | `max_body_bytes` | 64 MiB | 413 (`OUT_OF_RANGE`, for answers, too); a model's [`Limits`](crate::serving::requests::Limits) may have less |
/// | `max_buffered_bytes` | 1 GiB | 503 (`RESOURCE_EXHAUSTED`), and the connection that the server waits for with the most buffered bytes is closed |
/// | `max_header_bytes` | 64 KiB | 431, or 414 if the path alone is longer |
/// | `header_timeout_ms` | 10 s | a connection that does not send a whole head is closed |
/// | `body_timeout_ms` | 30 s | 408 (`DEADLINE_EXCEEDED`, for each message of a stream) |
/// | `idle_timeout_ms` | 75 s | a connection without a request, or whose client does not read, is closed |
/// | `request_timeout_ms` | none | 504 (`DEADLINE_EXCEEDED`); a client may ask for less with `Request-Timeout` (`grpc-timeout`) |
/// | `max_connections` | 8,192 | the connection that has waited for its client the longest is closed; without one, 503 |
/// | `max_streams` | 256 | further requests of a connection of HTTP/2 wait in its client |
/// | `keep_alive_ms` | 60 s | the time after which a silent client of HTTP/2 is pinged |
/// | `keep_alive_timeout_ms` | 20 s | a connection that does not answer the ping is closed |
/// | `drain_delay_ms` | 0 | the time for which a stopping server reports that it is not ready, and still answers |
/// | `drain_timeout_ms` | 10 s | requests that are unanswered after it are dropped |
/// | `metrics` | on | `GET /metrics` |
/// | `reflection` | on | clients of gRPC can ask for the protocol's description |
/// | `readiness` | `loaded` | what `GET /v2/health/ready`, `ServerReady` and health checks answer by: see [`Readiness`] |
/// | `admin` | off | see [`Admin`] |
/// | `admin_hosts` | none | 403 for admin requests, where there are no tokens, whose `Host` is not `localhost`, an address or listed here |
/// | `dashboard` | off | `GET /dashboard` where the admin routes are |
/// | `token_file` | none | see [`BearerToken`] |
/// | `tls` | none | see `Tls` (feature `tls`) |
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::serving::http::{Admin, BearerToken, ServerOptions};
///
/// let options = ServerOptions::default()
///     .max_body_bytes(1 << 20)
///     .idle_timeout(Duration::from_secs(30))
///     .admin(Admin::Address("127.0.0.1:9000".to_owned()))
///     .auth(BearerToken::new(["a long random text"]));
/// options.check()?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerOptions {
    pub(in crate::serving) max_body_bytes: usize,
    pub(in crate::serving) max_buffered_bytes: usize,
    pub(in crate::serving) max_header_bytes: usize,
    #[serde(rename = "header_timeout_ms", with = "millis")]
    pub(super) header_timeout: Duration,
    #[serde(rename = "body_timeout_ms", with = "millis")]
    pub(in crate::serving) body_timeout: Duration,
    #[serde(rename = "idle_timeout_ms", with = "millis")]
    pub(super) idle_timeout: Duration,
    #[serde(rename = "request_timeout_ms", with = "optional_millis")]
    pub(in crate::serving) request_timeout: Option<Duration>,
    pub(super) max_connections: usize,
    pub(super) max_streams: u32,
    #[serde(rename = "keep_alive_ms", with = "millis")]
    pub(super) keep_alive: Duration,
    #[serde(rename = "keep_alive_timeout_ms", with = "millis")]
    pub(super) keep_alive_timeout: Duration,
    #[serde(rename = "drain_delay_ms", with = "millis")]
    pub(super) drain_delay: Duration,
    #[serde(rename = "drain_timeout_ms", with = "millis")]
    pub(super) drain_timeout: Duration,
    pub(in crate::serving) metrics: bool,
    pub(in crate::serving) reflection: bool,
    pub(in crate::serving) readiness: Readiness,
    pub(in crate::serving) admin: Admin,
    pub(in crate::serving) admin_hosts: Vec<String>,
    pub(in crate::serving) dashboard: bool,
    token_file: Option<PathBuf>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
    #[serde(skip)]
    auth: Option<BearerToken>,
}

/// The place of the admin routes, which change what is served: loading, unloading, rolling back, labels and traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admin {
    /// Nowhere.
    #[default]
    Off,
    /// Beside the others. Protect it: see [`BearerToken::admin`].
    SamePort,
    /// On a port of its own, with the metrics, such as `127.0.0.1:9000`. It has the same TLS and tokens.
    Address(String),
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            max_body_bytes: 64 << 20,
            max_buffered_bytes: 1 << 30,
            max_header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            request_timeout: None,
            max_connections: 8192,
            max_streams: 256,
            keep_alive: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(20),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            metrics: true,
            reflection: true,
            readiness: Readiness::Loaded,
            admin: Admin::Off,
            admin_hosts: Vec::new(),
            dashboard: false,
            token_file: None,
            #[cfg(feature = "tls")]
            tls: None,
            auth: None,
        }
    }
}

impl ServerOptions {
    /// The most bytes that the body of a request may have.
    #[must_use]
    pub fn max_body_bytes(mut self, n_bytes: usize) -> Self {
        self.max_body_bytes = n_bytes;
        self
    }

    /// The most bytes that a port holds for its clients: bodies of requests until they are answered, answers until they are
    /// written. A body that arrives at once is not counted, and a connection that holds at most 16 KiB is never refused.
    /// It must be at least that of one body.
    ///
    /// Once seven eighths are used, the connection that holds the most is closed if its client is awaited. A client that
    /// leaves more than a sixteenth of it unread, or 8 MiB, gets no turn of a model until it reads.
    #[must_use]
    pub fn max_buffered_bytes(mut self, n_bytes: usize) -> Self {
        self.max_buffered_bytes = n_bytes;
        self
    }

    /// The most bytes that the head of a request may have: its path and its headers.
    #[must_use]
    pub fn max_header_bytes(mut self, n_bytes: usize) -> Self {
        self.max_header_bytes = n_bytes;
        self
    }

    /// The time within which a client must send the head of a request, and complete the TLS handshake.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// The time within which a client must send the body of a request.
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// The time after which a connection is closed that has no request, or whose client does not read its answer.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// The time within which a request must be answered once its body has arrived.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// The most connections that are open at once. The process's limit on open files counts, too.
    #[must_use]
    pub fn max_connections(mut self, n: usize) -> Self {
        self.max_connections = n;
        self
    }

    /// The most requests that one connection of HTTP/2 may have open at once.
    #[must_use]
    pub fn max_streams(mut self, n: u32) -> Self {
        self.max_streams = n;
        self
    }

    /// The time of silence after which a client of HTTP/2 is pinged, and the time within which it must answer.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keep_alive = interval;
        self.keep_alive_timeout = timeout;
        self
    }

    /// The time for which a stopping server reports that it is not ready before it accepts no more connections, for load balancers
    /// to notice.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// The time for which a stopping server waits for unanswered requests.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Sets whether `GET /metrics` is answered.
    #[must_use]
    pub fn metrics(mut self, on: bool) -> Self {
        self.metrics = on;
        self
    }

    /// Sets whether gRPC clients can use server reflection.
    #[must_use]
    pub fn reflection(mut self, on: bool) -> Self {
        self.reflection = on;
        self
    }

    /// The condition under which the server reports that it is ready, over HTTP and gRPC.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// The place of the admin routes.
    #[must_use]
    pub fn admin(mut self, admin: Admin) -> Self {
        self.admin = admin;
        self
    }

    /// The host names under which clients of admin routes reach the server, beside `localhost` and addresses. They are checked
    /// where there are no tokens: otherwise a web page, in the browser of a user who can reach the port, could rebind a
    /// name of its own to this server and change what is served.
    #[must_use]
    pub fn admin_hosts<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.admin_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Answers `GET /dashboard` where the admin routes are: versions, traffic, latency, drift, live metrics and recent alerts
    /// as a page that a browser reloads every few seconds. Where there are tokens, it needs one that allows admin requests.
    #[must_use]
    pub fn dashboard(mut self) -> Self {
        self.dashboard = true;
        self
    }

    /// Answers only clients with a token.
    #[must_use]
    pub fn auth(mut self, tokens: BearerToken) -> Self {
        self.auth = Some(tokens);
        self
    }

    /// Answers only clients with a token of a file, read when the server starts: see [`BearerToken::from_file`].
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// Encrypts connections.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Checks the values. Files are read when the server starts.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the option, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        let refuse = |option: &str, value: u64, allowed: &str| {
            Err(Error::config(format!(
                "`{option}` is {value}, must be {allowed}"
            )))
        };
        if !(1024..=1 << 24).contains(&self.max_header_bytes) {
            let value = self.max_header_bytes as u64;
            return refuse("max_header_bytes", value, "from 1024 to 16777216");
        }
        for (option, value) in [
            ("max_body_bytes", self.max_body_bytes as u64),
            ("max_connections", self.max_connections as u64),
            ("max_streams", u64::from(self.max_streams)),
        ] {
            if value == 0 {
                return refuse(option, value, "at least 1");
            }
        }
        for (option, time) in [
            ("keep_alive_ms", Some(self.keep_alive)),
            ("keep_alive_timeout_ms", Some(self.keep_alive_timeout)),
            ("header_timeout_ms", Some(self.header_timeout)),
            ("body_timeout_ms", Some(self.body_timeout)),
            ("idle_timeout_ms", Some(self.idle_timeout)),
            ("request_timeout_ms", self.request_timeout),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                return refuse(option, 0, "at least 1");
            }
        }
        if self.max_buffered_bytes < self.max_body_bytes {
            let allowed = format!("at least `max_body_bytes`, {}", self.max_body_bytes);
            return refuse(
                "max_buffered_bytes",
                self.max_buffered_bytes as u64,
                &allowed,
            );
        }
        if self.auth.is_some() && self.token_file.is_some() {
            return Err(Error::config(
                "both `token_file` and tokens are set, must be one of them",
            ));
        }
        if self.dashboard && self.admin == Admin::Off {
            return Err(Error::config(
                "`dashboard` is on and `admin` is off, `admin` must be `same_port` or an address",
            ));
        }
        if let Admin::Address(address) = &self.admin {
            check_address("admin.address", address)?;
        }
        Ok(())
    }

    /// The tokens, read from their file if there is one.
    pub(super) fn tokens(&self) -> Result<Option<BearerToken>> {
        match &self.token_file {
            Some(path) => BearerToken::from_file(path).map(Some),
            None => Ok(self.auth.clone()),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        #[cfg(feature = "tls")]
        let is_encrypted = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let is_encrypted = false;
        is_encrypted
    }
}

/// Checks an address to listen on.
pub(in crate::serving) fn check_address(named: &str, address: &str) -> Result<()> {
    let host_and_port = address.rsplit_once(':');
    let is_named = host_and_port.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', '/', ' ']) && port.parse::<u16>().is_ok()
    });
    if is_named || address.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    Err(Error::config(format!(
        "`{named}` is `{address}`, must be a host and a port, such as `127.0.0.1:8000`"
    )))
}

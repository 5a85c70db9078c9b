//! What an operator sets of a server.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BearerToken;
#[cfg(feature = "tls")]
use super::Tls;
use crate::error::{Error, Result};
use crate::serving::Readiness;

/// Limits, protection and extras of a server over HTTP. The defaults suit a server behind a proxy or in a trusted
/// network; in a file, what is left out has its default.
///
/// | option | default | what happens beyond it |
/// | --- | --- | --- |
/// | `max_body_bytes` | 64 MiB | 413; a model's [`Limits`](crate::serving::Limits) may have less |
/// | `max_buffered_bytes` | 1 GiB | 503 |
/// | `max_header_bytes` | 64 KiB | 431, or 414 if the path alone is longer |
/// | `header_timeout_ms` | 10 s | a connection that does not send a whole head is closed |
/// | `body_timeout_ms` | 30 s | 408 |
/// | `idle_timeout_ms` | 75 s | a connection without a request, or whose client does not read, is closed |
/// | `request_timeout_ms` | none | 504; a client may ask for less with the header `Request-Timeout` |
/// | `max_connections` | 8,192 | the longest idle connection is closed; without one, 503 |
/// | `drain_delay_ms` | 0 | how long a stopping server says that it is not ready, and goes on answering |
/// | `drain_timeout_ms` | 10 s | requests that are unanswered then are dropped |
/// | `metrics` | on | `GET /metrics` |
/// | `readiness` | `loaded` | what `GET /v2/health/ready` answers by: see [`Readiness`] |
/// | `admin` | off | see [`Admin`] |
/// | `admin_hosts` | none | 403 for admin requests without tokens that call the server by a name that is not `localhost`, an address or here |
/// | `token_file` | none | see [`BearerToken`] |
/// | `tls` | none | see `Tls` (feature `tls`) |
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::serving::http::{Admin, BearerToken, HttpOptions};
///
/// let options = HttpOptions::default()
///     .max_body_bytes(1 << 20)
///     .idle_timeout(Duration::from_secs(30))
///     .admin(Admin::Address("127.0.0.1:9000".to_owned()))
///     .auth(BearerToken::new(["a long random text"]));
/// options.check()?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    pub(super) max_body_bytes: usize,
    pub(super) max_buffered_bytes: usize,
    pub(super) max_header_bytes: usize,
    header_timeout_ms: u64,
    body_timeout_ms: u64,
    idle_timeout_ms: u64,
    request_timeout_ms: Option<u64>,
    pub(super) max_connections: usize,
    drain_delay_ms: u64,
    drain_timeout_ms: u64,
    pub(super) metrics: bool,
    pub(super) readiness: Readiness,
    pub(super) admin: Admin,
    pub(super) admin_hosts: Vec<String>,
    token_file: Option<PathBuf>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
    #[serde(skip)]
    auth: Option<BearerToken>,
}

/// Where the routes that change what is served are answered: loading, unloading, rolling back, labels and traffic.
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

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            max_body_bytes: super::BODY_LIMIT,
            max_buffered_bytes: 1 << 30,
            max_header_bytes: 64 << 10,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 75_000,
            request_timeout_ms: None,
            max_connections: 8192,
            drain_delay_ms: 0,
            drain_timeout_ms: 10_000,
            metrics: true,
            readiness: Readiness::Loaded,
            admin: Admin::Off,
            admin_hosts: Vec::new(),
            token_file: None,
            #[cfg(feature = "tls")]
            tls: None,
            auth: None,
        }
    }
}

impl HttpOptions {
    /// The most bytes that the body of a request may have.
    #[must_use]
    pub fn max_body_bytes(mut self, n_bytes: usize) -> Self {
        self.max_body_bytes = n_bytes;
        self
    }

    /// The most bytes that the bodies of all requests of a port take together while they are read and answered. Bodies
    /// of at most 64 KiB are not counted. It must be at least that of one body.
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

    /// How long a client may take to send the head of a request, and to shake hands.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout_ms = millis(timeout);
        self
    }

    /// How long a client may take to send the body of a request.
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout_ms = millis(timeout);
        self
    }

    /// How long a connection is kept that has no request, or whose client does not read its answer.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout_ms = millis(timeout);
        self
    }

    /// How long a request may take once its body is there.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout_ms = Some(millis(timeout));
        self
    }

    /// The most connections that are open at once. The process's limit on open files counts, too.
    #[must_use]
    pub fn max_connections(mut self, n: usize) -> Self {
        self.max_connections = n;
        self
    }

    /// How long a server that stops says that it is not ready before it takes no more connections, for load balancers
    /// to notice.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay_ms = millis(delay);
        self
    }

    /// How long a server that stops waits for the requests that are being answered.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout_ms = millis(timeout);
        self
    }

    /// Whether `GET /metrics` is answered.
    #[must_use]
    pub fn metrics(mut self, on: bool) -> Self {
        self.metrics = on;
        self
    }

    /// When `GET /v2/health/ready` answers 200.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// Where the admin routes are.
    #[must_use]
    pub fn admin(mut self, admin: Admin) -> Self {
        self.admin = admin;
        self
    }

    /// The names that clients of admin routes call the server by, beside `localhost` and addresses. They are asked for where
    /// there are no tokens: else a web page, in the browser of somebody who reaches the port, could give this server a
    /// name of its own and change what is served.
    #[must_use]
    pub fn admin_hosts<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.admin_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Answers only who has a token.
    #[must_use]
    pub fn auth(mut self, tokens: BearerToken) -> Self {
        self.auth = Some(tokens);
        self
    }

    /// Answers only who has a token of a file, read when the server starts: see [`BearerToken::from_file`].
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// Encrypts.
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
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("request_timeout_ms", self.request_timeout_ms.unwrap_or(1)),
        ] {
            if value == 0 {
                return refuse(option, value, "at least 1");
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
                "`token_file` is set beside tokens, there must be one of them",
            ));
        }
        if let Admin::Address(address) = &self.admin {
            super::server::check_address("admin.address", address)?;
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

    pub(super) fn header_time(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(super) fn body_time(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(super) fn idle_time(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(super) fn request_time(&self) -> Option<Duration> {
        self.request_timeout_ms.map(Duration::from_millis)
    }

    pub(super) fn drain_before(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    pub(super) fn drain_time(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// Whole milliseconds, at least one of what is more than nothing.
fn millis(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    millis.max(u64::from(!time.is_zero()))
}

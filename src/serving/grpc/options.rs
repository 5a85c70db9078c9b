//! What an operator sets of a server.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::body::MessageLimits;
use crate::error::{Error, Result};
use crate::serving::Readiness;
use crate::serving::http::BearerToken;
#[cfg(feature = "tls")]
use crate::serving::http::Tls;

/// Limits, protection and extras of a server over gRPC. The defaults suit a server in a trusted network; in a file, what
/// is left out has its default.
///
/// | option | default | what happens beyond it |
/// | --- | --- | --- |
/// | `max_message_bytes` | 64 MiB | `OUT_OF_RANGE` |
/// | `max_buffered_bytes` | 512 MiB | `RESOURCE_EXHAUSTED`: what all messages over 64 KiB that are on their way may have |
/// | `body_timeout_ms` | 30 s | `DEADLINE_EXCEEDED` for a message that does not come in time |
/// | `max_streams` | 256 | a connection's further calls wait in its client |
/// | `max_connections` | 8,192 | the connection on which nothing was called for the longest is closed, or else the new one |
/// | `request_timeout_ms` | none | `DEADLINE_EXCEEDED` for a call, and for each request of a stream; a client may ask for less with `grpc-timeout` |
/// | `handshake_timeout_ms` | 10 s | a connection that is not set up is closed |
/// | `keep_alive_ms` | 60 s | a client that is silent for so long is asked whether it is there |
/// | `keep_alive_timeout_ms` | 20 s | a connection whose client does not answer that is closed |
/// | `idle_timeout_ms` | 15 min | a connection on which nothing is called for so long is closed: clients open another |
/// | `drain_delay_ms` | 0 | how long a stopping server says that it is not ready, and goes on answering |
/// | `drain_timeout_ms` | 10 s | calls that are unanswered then are dropped |
/// | `readiness` | `loaded` | what `ServerReady` and health answer by: see [`Readiness`] |
/// | `reflection` | on | clients can ask for the protocol's description |
/// | `admin` | off | `PERMISSION_DENIED` for `RepositoryModelLoad` and `RepositoryModelUnload` |
/// | `token_file` | none | see [`BearerToken`] |
/// | `tls` | none | see `Tls` (feature `tls`) |
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::serving::grpc::GrpcOptions;
///
/// let options = GrpcOptions::default()
///     .max_message_bytes(1 << 20)
///     .request_timeout(Duration::from_secs(1));
/// options.check()?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcOptions {
    pub(super) max_message_bytes: usize,
    max_buffered_bytes: usize,
    body_timeout_ms: u64,
    pub(super) max_streams: u32,
    pub(super) max_connections: usize,
    request_timeout_ms: Option<u64>,
    handshake_timeout_ms: u64,
    keep_alive_ms: u64,
    keep_alive_timeout_ms: u64,
    idle_timeout_ms: u64,
    drain_delay_ms: u64,
    drain_timeout_ms: u64,
    pub(super) readiness: Readiness,
    pub(super) reflection: bool,
    pub(super) admin: bool,
    token_file: Option<PathBuf>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
    #[serde(skip)]
    auth: Option<BearerToken>,
}

impl Default for GrpcOptions {
    fn default() -> Self {
        GrpcOptions {
            max_message_bytes: 64 << 20,
            max_buffered_bytes: 512 << 20,
            body_timeout_ms: 30_000,
            max_streams: 256,
            max_connections: 8192,
            request_timeout_ms: None,
            handshake_timeout_ms: 10_000,
            keep_alive_ms: 60_000,
            keep_alive_timeout_ms: 20_000,
            idle_timeout_ms: 900_000,
            drain_delay_ms: 0,
            drain_timeout_ms: 10_000,
            readiness: Readiness::Loaded,
            reflection: true,
            admin: false,
            token_file: None,
            #[cfg(feature = "tls")]
            tls: None,
            auth: None,
        }
    }
}

impl GrpcOptions {
    /// The most bytes that a message may have, in either direction.
    #[must_use]
    pub fn max_message_bytes(mut self, n_bytes: usize) -> Self {
        self.max_message_bytes = n_bytes;
        self
    }

    /// The most bytes that the messages of all connections which are on their way may have together; those of up to
    /// 64 KiB are not counted. A call counts from when its message begins to come until it is answered, a stream's
    /// message until it is there.
    #[must_use]
    pub fn max_buffered_bytes(mut self, n_bytes: usize) -> Self {
        self.max_buffered_bytes = n_bytes;
        self
    }

    /// How long a message may take to come: that of a call from the call's beginning, those of a stream each from its
    /// first byte.
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout_ms = millis(timeout);
        self
    }

    /// The most calls that one connection may have open at once.
    #[must_use]
    pub fn max_streams(mut self, n: u32) -> Self {
        self.max_streams = n;
        self
    }

    /// The most connections that are open at once. The process's limit on open files counts, too.
    #[must_use]
    pub fn max_connections(mut self, n: usize) -> Self {
        self.max_connections = n;
        self
    }

    /// How long a call, or a request of a stream, may take once its message is there.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout_ms = Some(millis(timeout));
        self
    }

    /// How long a client may take to set up its connection.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout_ms = millis(timeout);
        self
    }

    /// After how long without a word a client is asked whether it is there, and how long it may take to answer.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keep_alive_ms = millis(interval);
        self.keep_alive_timeout_ms = millis(timeout);
        self
    }

    /// How long a connection may be there without a call on it. A client opens another when it needs one.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout_ms = millis(timeout);
        self
    }

    /// How long a server that stops says that it is not ready before it takes no more calls, for load balancers to
    /// notice.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay_ms = millis(delay);
        self
    }

    /// How long a server that stops waits for the calls that are being answered.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout_ms = millis(timeout);
        self
    }

    /// When `ServerReady` and health say that the server is ready.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// Whether clients can ask for the protocol's description.
    #[must_use]
    pub fn reflection(mut self, on: bool) -> Self {
        self.reflection = on;
        self
    }

    /// Whether models are loaded and unloaded by call.
    #[must_use]
    pub fn admin(mut self, on: bool) -> Self {
        self.admin = on;
        self
    }

    /// Answers only who has a token, as metadata `authorization: Bearer ..`.
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
        for (option, value) in [
            ("max_message_bytes", self.max_message_bytes as u64),
            ("max_buffered_bytes", self.max_buffered_bytes as u64),
            ("body_timeout_ms", self.body_timeout_ms),
            ("max_streams", u64::from(self.max_streams)),
            ("max_connections", self.max_connections as u64),
            ("request_timeout_ms", self.request_timeout_ms.unwrap_or(1)),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("keep_alive_ms", self.keep_alive_ms),
            ("keep_alive_timeout_ms", self.keep_alive_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
        ] {
            if value == 0 {
                return Err(Error::config(format!(
                    "`{option}` is 0, must be at least 1"
                )));
            }
        }
        if self.auth.is_some() && self.token_file.is_some() {
            return Err(Error::config(
                "`token_file` is set beside tokens, there must be one of them",
            ));
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

    pub(super) fn messages(&self) -> MessageLimits {
        let timeout = Duration::from_millis(self.body_timeout_ms);
        MessageLimits::new(self.max_message_bytes, timeout, self.max_buffered_bytes)
    }

    pub(super) fn request_time(&self) -> Option<Duration> {
        self.request_timeout_ms.map(Duration::from_millis)
    }

    pub(super) fn handshake_time(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(super) fn keep_alive_interval(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    pub(super) fn keep_alive_time(&self) -> Duration {
        Duration::from_millis(self.keep_alive_timeout_ms)
    }

    pub(super) fn idle_time(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_file_and_checked() {
        let options: GrpcOptions = toml::from_str("max_streams = 8\nadmin = true").unwrap();
        assert!(options.admin && options.reflection);
        assert_eq!(options.max_streams, 8);
        options.check().unwrap();
        assert!(toml::from_str::<GrpcOptions>("max_stream = 8").is_err());
        let error = options.max_streams(0).check().unwrap_err();
        assert_eq!(error.to_string(), "`max_streams` is 0, must be at least 1");
    }
}

//! Answering over HTTP alone.

use crate::error::Result;
use crate::serving::ServerCore;
use crate::serving::transport::{ServerHandle, ServerOptions};

/// Answers over HTTP with the models of a manager, with the defaults of [`ServerOptions`].
///
/// The address is such as `127.0.0.1:8000`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// As [`ServerOptions::serve`].
pub async fn serve(core: impl Into<ServerCore>, address: &str) -> Result<ServerHandle> {
    ServerOptions::default().serve_http(core, address).await
}

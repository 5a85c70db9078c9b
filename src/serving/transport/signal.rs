//! Signals that stop a server.

use crate::error::{Error, ErrorKind, Result};

/// Waits until the process is asked to end: by Ctrl-C, or by SIGTERM where there is such a thing, which is what service
/// managers and containers send. The signal has no other effect from the first call on.
///
/// ```no_run
/// # async fn serve(manager: std::sync::Arc<fourfold::serving::Manager>) -> fourfold::Result<()> {
/// use fourfold::serving::http;
/// use fourfold::serving::http::shutdown_signal;
///
/// let server = http::serve(manager, "127.0.0.1:8000").await?;
/// shutdown_signal().await?;
/// server.shutdown().await
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::Io`] if signals cannot be waited for.
pub async fn shutdown_signal() -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Io, "waiting for a shutdown signal").with_source(error)
    };
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            interrupted = interrupted => interrupted.map_err(failed),
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    interrupted.await.map_err(failed)
}

//! Work that waits for a disk, off the async threads.

use crate::error::Result;

/// Runs the work on a blocking thread of the caller's runtime; without a runtime, on this thread.
pub(super) async fn off_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    #[cfg(any(feature = "datafusion", feature = "http", feature = "object-store"))]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        return runtime.spawn_blocking(work).await.map_err(|error| {
            crate::error::Error::internal("work on a blocking thread panicked").with_source(error)
        })?;
    }
    work()
}

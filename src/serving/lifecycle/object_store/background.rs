//! Waiting for futures from anywhere.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// Threads for the futures of an object store. Waiting for one blocks the caller's thread and nothing else, so it may be
/// done on any thread, also one of another runtime, where [`Runtime::block_on`] would panic.
#[derive(Debug)]
pub(super) struct Background(Option<Runtime>);

impl Background {
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fourfold-object-store")
            .enable_all()
            .build()
            .map_err(|error| Error::io("starting a thread for an object store", error))?;
        Ok(Background(Some(runtime)))
    }

    fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let runtime = self.0.as_ref();
        let runtime =
            runtime.ok_or_else(|| Error::internal("the thread of the object store ended"))?;
        Ok(runtime.spawn(future))
    }

    /// Runs it, and blocks until it is done or the time is over.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, done) = mpsc::sync_channel(1);
        let task = self.spawn(async move {
            // A dropped receiver no longer waits.
            let _ = sender.send(future.await);
        })?;
        match done.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                task.abort();
                Err(timed_out(limit))
            }
            Err(RecvTimeoutError::Disconnected) => Err(panicked()),
        }
    }

    /// Does it, whichever runtime waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.spawn(future)?.await.map_err(|_| panicked())?
    }
}

/// The error of a store that did not answer by the deadline.
pub(super) fn timed_out(limit: Duration) -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        format!("the object store did not answer within {limit:?}"),
    )
}

pub(super) fn panicked() -> Error {
    Error::internal("the object store panicked")
}

impl Drop for Background {
    /// Does not wait: that would panic on a thread of another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

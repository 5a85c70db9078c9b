//! Telling work that takes long to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// A flag that long work looks at between its iterations. Clones share the flag; it cannot be taken back. A
/// [`child`](Cancellation::child) stops a part of the work.
///
/// ```
/// use fourfold::{Cancellation, ErrorKind};
///
/// let cancellation = Cancellation::new();
/// let of_the_work = cancellation.clone();
/// assert!(of_the_work.check().is_ok());
/// cancellation.cancel();
/// assert_eq!(of_the_work.check().unwrap_err().kind(), ErrorKind::Cancelled);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    flag: Arc<AtomicBool>,
    parent: Option<Arc<Cancellation>>,
}

impl Cancellation {
    /// A cancellation that has not been requested.
    #[must_use]
    pub fn new() -> Self {
        Cancellation::default()
    }

    /// Asks all work that shares this flag to stop.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// A flag of its own, which is also up when this one is.
    #[must_use]
    pub fn child(&self) -> Self {
        Cancellation {
            flag: Arc::default(),
            parent: Some(Arc::new(self.clone())),
        }
    }

    /// Returns true if work should stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire)
            || self
                .parent
                .as_ref()
                .is_some_and(|parent| parent.is_cancelled())
    }

    /// For `cancellation.check()?` in a loop.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if work should stop.
    pub fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "it was cancelled")),
            false => Ok(()),
        }
    }

    /// Cancels when the guard is dropped: where a future that waits for work on another thread is dropped, so is the
    /// guard it holds.
    #[cfg(feature = "datafusion")]
    pub(crate) fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

/// See [`Cancellation::on_drop`].
#[cfg(feature = "datafusion")]
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Cancellation);

#[cfg(feature = "datafusion")]
impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

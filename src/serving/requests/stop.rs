//! Cancellation of work whose answer is no longer wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// An indicator that an answer is still wanted: work checks it between its steps and between blocks of rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    deadline: Option<Instant>,
    /// Set when no client waits any longer; `None` for work on the waiting thread itself.
    dropped: Option<Arc<AtomicBool>>,
}

/// Signals the work that no client waits, when it is dropped.
#[derive(Debug)]
pub(super) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Stop {
    /// A stop at a deadline only.
    pub(super) fn at(deadline: Option<Instant>) -> Self {
        Stop {
            deadline,
            dropped: None,
        }
    }

    /// A stop at a deadline, or when the guard is dropped.
    pub(super) fn with_guard(deadline: Option<Instant>) -> (Self, StopOnDrop) {
        let dropped = Arc::new(AtomicBool::new(false));
        let stop = Stop {
            deadline,
            dropped: Some(Arc::clone(&dropped)),
        };
        (stop, StopOnDrop(dropped))
    }

    /// Returns `true` if no client waits any longer.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped_at(Instant::now)
    }

    /// The same, by a clock that is looked at if it has to be.
    pub(super) fn is_stopped_at(&self, now: impl FnOnce() -> Instant) -> bool {
        self.is_dropped() || self.deadline.is_some_and(|deadline| now() >= deadline)
    }

    fn is_dropped(&self) -> bool {
        let dropped = self.dropped.as_ref();
        dropped.is_some_and(|dropped| dropped.load(Ordering::Acquire))
    }

    /// Fails if no client waits any longer.
    pub(super) fn check(&self, model: &str) -> Result<()> {
        if self.is_stopped() {
            return Err(deadline_exceeded(model));
        }
        Ok(())
    }
}

/// The deadline has passed.
pub(super) fn deadline_exceeded(model: &str) -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        format!("model `{model}` did not answer before the deadline"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_is_stopped_by_its_deadline_and_by_the_end_of_its_client() {
        assert!(!Stop::at(None).is_stopped());
        assert!(Stop::at(Some(Instant::now())).is_stopped());
        let later = Instant::now() + Duration::from_secs(3_600);
        let (stop, guard) = Stop::with_guard(Some(later));
        stop.check("m").unwrap();
        drop(guard);
        let error = stop.check("m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        assert_eq!(
            error.to_string(),
            "model `m` did not answer before the deadline"
        );
    }
}

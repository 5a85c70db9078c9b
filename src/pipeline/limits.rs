//! Time limits and retries of stages.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result, near_names};

/// Retries of a stage after transient failures, see [`PipelineBuilder::retry`](super::PipelineBuilder::retry).
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::pipeline::Retry;
///
/// // Up to three retries, after one, two and four seconds.
/// let retry = Retry::times(3).back_off(Duration::from_secs(1));
/// # let _ = retry;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    times: u32,
    back_off: Duration,
}

impl Retry {
    /// Up to `times` retries: the first after a second, each later one after twice the time.
    #[must_use]
    pub fn times(times: u32) -> Self {
        Retry {
            times,
            back_off: Duration::from_secs(1),
        }
    }

    /// Sets the wait before the first retry.
    #[must_use]
    pub fn back_off(mut self, first: Duration) -> Self {
        self.back_off = first;
        self
    }
}

/// The limits of all stages.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    retries: BTreeMap<String, Retry>,
    times: BTreeMap<String, Duration>,
}

impl Limits {
    pub(super) fn retry(&mut self, stage: String, retry: Retry) {
        self.retries.insert(stage, retry);
    }

    pub(super) fn time(&mut self, stage: String, limit: Duration) {
        self.times.insert(stage, limit);
    }

    /// Checks that all stages exist.
    pub(super) fn check(&self) -> Result<()> {
        let mut named = self.retries.keys().chain(self.times.keys());
        match named.find(|stage| !super::STAGES.contains(&stage.as_str())) {
            Some(stage) => Err(Error::config(format!(
                "there is no stage `{stage}` to limit{}",
                near_names(stage, super::STAGES)
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn time_of(&self, stage: &str) -> Option<Duration> {
        self.times.get(stage).copied()
    }

    /// The wait before a stage is retried that failed `failed` times in a row; `None` if it is not retried.
    pub(super) fn wait(&self, stage: &str, failed: u32, error: &Error) -> Option<Duration> {
        let may_pass = matches!(
            error.kind(),
            ErrorKind::Io
                | ErrorKind::Unavailable
                | ErrorKind::ResourceExhausted
                | ErrorKind::DeadlineExceeded
        );
        let retry = self.retries.get(stage)?;
        let again = may_pass && failed <= retry.times;
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1));
        again.then(|| retry.back_off.saturating_mul(factor))
    }
}

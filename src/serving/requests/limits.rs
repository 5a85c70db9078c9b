//! Limits of a model's requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::serving::durations::millis;

/// Limits of the requests of one model, so that no model keeps another from answering.
///
/// | field | default | range | unit |
/// | --- | --- | --- | --- |
/// | `max_concurrency` | twice the processor's cores, at least 4 | from 1 | requests or batches |
/// | `max_queue` | 256 | from 0 | requests |
/// | `max_rows` | 100,000 | from 1 | rows of one request |
/// | `max_body_bytes` | 67,108,864 (64 MiB) | from 1 | bytes of one request |
/// | `timeout_ms` | 30,000 | from 0; 0 is none | milliseconds |
///
/// A request that is expected to be quick (see [`ServerCoreBuilder::inline_below`](super::ServerCoreBuilder::inline_below))
/// is answered on the thread that took it and waits for none of the others. Of the rest, those that take longer than 10 ms
/// leave one permit to the others, and half of the queue.
///
/// A request that arrives while `max_concurrency` are being answered waits; one that arrives while `max_queue` wait is
/// rejected with [`ErrorKind::ResourceExhausted`](crate::ErrorKind::ResourceExhausted), which HTTP answers as 429
/// with `Retry-After`. So what is accepted waits for at most `max_queue` others. A request that has not been answered
/// after `timeout_ms`, or at its own earlier deadline, gets
/// [`ErrorKind::DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded), and its work stops.
///
/// In a file every field is optional:
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::serving::http::Limits;
///
/// let limits: Limits = serde_json::from_str(r#"{"max_concurrency": 2, "timeout_ms": 500}"#)?;
/// let same = Limits::default().max_concurrency(2).timeout(Duration::from_millis(500));
/// assert_eq!(limits, same);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub(super) max_concurrency: usize,
    pub(super) max_queue: usize,
    pub(super) max_rows: usize,
    #[serde(alias = "max_body")]
    pub(in crate::serving) max_body_bytes: usize,
    #[serde(rename = "timeout_ms", with = "millis")]
    timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            max_concurrency: (2 * cores).max(4),
            max_queue: 256,
            max_rows: 100_000,
            max_body_bytes: 64 << 20,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The most that `max_concurrency` and `max_queue` may be.
    const MOST: usize = 1 << 20;

    /// The most requests or batches that are computed at a time.
    #[must_use]
    pub fn max_concurrency(mut self, requests: usize) -> Self {
        self.max_concurrency = requests;
        self
    }

    /// The most requests that wait.
    #[must_use]
    pub fn max_queue(mut self, requests: usize) -> Self {
        self.max_queue = requests;
        self
    }

    /// The most rows of a request.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// The most bytes of a request.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// The time within which a request must be answered; [`Duration::ZERO`] is no limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The time within which a request must be answered, if it is limited.
    pub(super) fn longest(&self) -> Option<Duration> {
        (!self.timeout.is_zero()).then_some(self.timeout)
    }

    pub(super) fn check(&self) -> Result<()> {
        within("max_concurrency", self.max_concurrency, 1, Self::MOST)?;
        within("max_queue", self.max_queue, 0, Self::MOST)?;
        within("max_rows", self.max_rows, 1, usize::MAX)?;
        within("max_body_bytes", self.max_body_bytes, 1, usize::MAX)
    }
}

/// Checks that a value is in its range; the error names field, value and range.
pub(super) fn within(field: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let range = if most == usize::MAX {
        format!("at least {least}")
    } else {
        format!("from {least} to {most}")
    };
    Err(Error::config(format!(
        "`{field}` is {value}, must be {range}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_name_the_field_and_the_range() {
        let error = Limits::default().max_concurrency(0).check();
        assert_eq!(
            error.unwrap_err().to_string(),
            "`max_concurrency` is 0, must be from 1 to 1048576"
        );
        let error = Limits::default().max_rows(0).check().unwrap_err();
        assert_eq!(error.to_string(), "`max_rows` is 0, must be at least 1");
        Limits::default().max_queue(0).check().unwrap();
    }

    #[test]
    fn unknown_fields_are_errors() {
        let error = serde_json::from_str::<Limits>(r#"{"max_rowz": 1}"#).unwrap_err();
        assert!(error.to_string().contains("max_rowz"), "{error}");
    }
}

//! What a model may take of the process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How much of the process the requests of one model may take, so that no model keeps another from answering.
///
/// | field | default | range | unit |
/// | --- | --- | --- | --- |
/// | `max_concurrency` | twice the processor's cores, at least 4 | from 1 | requests or batches |
/// | `max_queue` | 256 | from 0 | requests |
/// | `max_rows` | 100,000 | from 1 | rows of one request |
/// | `max_body` | 67,108,864 (64 MiB) | from 1 | bytes of one request |
/// | `timeout_ms` | 30,000 | from 0; 0 is none | milliseconds |
///
/// A request that is expected to be quick (see [`ServerCoreBuilder::inline_below`](super::ServerCoreBuilder::inline_below))
/// is answered on the thread that took it and waits for none of the others. Of the rest, those that take longer than 10 ms
/// leave the others a turn, and half of the queue.
///
/// A request that comes while `max_concurrency` are being answered waits; one that comes while `max_queue` wait is
/// turned away with [`ErrorKind::ResourceExhausted`](crate::ErrorKind::ResourceExhausted), which HTTP answers as 429
/// with `Retry-After`. So what is accepted waits for at most `max_queue` others. A request that has not been answered
/// after `timeout_ms`, or at its own earlier deadline, gets
/// [`ErrorKind::DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded), and its work stops.
///
/// In a file every field may be left out:
///
/// ```
/// use fourfold::serving::Limits;
///
/// let limits: Limits = serde_json::from_str(r#"{"max_concurrency": 2, "timeout_ms": 500}"#)?;
/// assert_eq!(limits, Limits::default().with_max_concurrency(2).with_timeout_ms(500));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    max_concurrency: usize,
    max_queue: usize,
    max_rows: usize,
    max_body: usize,
    timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            max_concurrency: (2 * cores).max(4),
            max_queue: 256,
            max_rows: 100_000,
            max_body: 64 << 20,
            timeout_ms: 30_000,
        }
    }
}

impl Limits {
    /// The most that `max_concurrency` and `max_queue` may be.
    const MOST: usize = 1 << 20;

    /// How many requests or batches are computed at a time.
    #[must_use]
    pub fn with_max_concurrency(mut self, requests: usize) -> Self {
        self.max_concurrency = requests;
        self
    }

    /// How many requests may wait.
    #[must_use]
    pub fn with_max_queue(mut self, requests: usize) -> Self {
        self.max_queue = requests;
        self
    }

    /// How many rows a request may have.
    #[must_use]
    pub fn with_max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// How many bytes a request may have.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How long a request may take, in milliseconds; 0 for as long as it wants.
    #[must_use]
    pub fn with_timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout_ms = milliseconds;
        self
    }

    /// How many requests or batches are computed at a time.
    #[must_use]
    pub fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// How many requests may wait.
    #[must_use]
    pub fn max_queue(&self) -> usize {
        self.max_queue
    }

    /// How many rows a request may have.
    #[must_use]
    pub fn max_rows(&self) -> usize {
        self.max_rows
    }

    /// How many bytes a request may have.
    #[must_use]
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// How long a request may take; `None` for as long as it wants.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        (self.timeout_ms > 0).then(|| Duration::from_millis(self.timeout_ms))
    }

    pub(super) fn check(&self) -> Result<()> {
        within("max_concurrency", self.max_concurrency, 1, Self::MOST)?;
        within("max_queue", self.max_queue, 0, Self::MOST)?;
        within("max_rows", self.max_rows, 1, usize::MAX)?;
        within("max_body", self.max_body, 1, usize::MAX)
    }
}

/// That a value is in its range; the error names all of them.
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
        let error = Limits::default().with_max_concurrency(0).check();
        assert_eq!(
            error.unwrap_err().to_string(),
            "`max_concurrency` is 0, must be from 1 to 1048576"
        );
        let error = Limits::default().with_max_rows(0).check().unwrap_err();
        assert_eq!(error.to_string(), "`max_rows` is 0, must be at least 1");
        Limits::default().with_max_queue(0).check().unwrap();
    }

    #[test]
    fn unknown_fields_are_errors() {
        let error = serde_json::from_str::<Limits>(r#"{"max_rowz": 1}"#).unwrap_err();
        assert!(error.to_string().contains("max_rowz"), "{error}");
    }
}

//! Options of a request log.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::serving::durations::seconds;

/// Options of a [`RequestLog`](super::RequestLog): which requests are logged, the size of its files and of all of them.
///
/// By default every request is logged, in files of at most a million rows, 64 MiB and five minutes, 1 GiB in all, with at
/// most 65,536 rows and 64 MiB waiting to be written.
///
/// ```
/// use fourfold::serving::observe::RequestLogOptions;
///
/// // As it may stand in a file.
/// let options: RequestLogOptions = serde_json::from_str(r#"{"share": 0.01, "models": {"flights": 1.0}}"#)?;
/// assert_eq!(options, RequestLogOptions::default().share(0.01).model_share("flights", 1.0));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLogOptions {
    pub(super) share: f64,
    pub(super) models: BTreeMap<String, f64>,
    pub(super) max_file_rows: u64,
    pub(super) max_file_bytes: u64,
    #[serde(rename = "max_file_seconds", with = "seconds")]
    pub(super) max_file_age: Duration,
    pub(super) max_bytes: u64,
    pub(super) max_queued_rows: usize,
    pub(super) max_queued_bytes: usize,
}

impl Default for RequestLogOptions {
    fn default() -> Self {
        RequestLogOptions {
            share: 1.0,
            models: BTreeMap::new(),
            max_file_rows: 1_000_000,
            max_file_bytes: 64 << 20,
            max_file_age: Duration::from_secs(300),
            max_bytes: 1 << 30,
            max_queued_rows: 1 << 16,
            max_queued_bytes: 64 << 20,
        }
    }
}

impl RequestLogOptions {
    /// The share of the requests that are logged, in `0..=1`; of models without one of their own.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// The share of a model's requests that are logged, in `0..=1`.
    #[must_use]
    pub fn model_share(mut self, model: impl Into<String>, share: f64) -> Self {
        self.models.insert(model.into(), share);
        self
    }

    /// Sets the number of rows at which a file is closed.
    #[must_use]
    pub fn max_file_rows(mut self, rows: u64) -> Self {
        self.max_file_rows = rows;
        self
    }

    /// Sets the approximate number of bytes at which a file is closed.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// A file is closed so long after it was begun: what is logged can be read after that. In the file of options it is
    /// `max_file_seconds`.
    #[must_use]
    pub fn max_file_age(mut self, age: Duration) -> Self {
        self.max_file_age = age;
        self
    }

    /// The most bytes of closed files of all models. Beyond, the oldest files of the model that has the most are
    /// removed.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The most rows that wait for the thread that writes. Beyond, rows are dropped and counted; no request waits.
    #[must_use]
    pub fn max_queued_rows(mut self, rows: usize) -> Self {
        self.max_queued_rows = rows;
        self
    }

    /// The most bytes of rows and answers that wait for the thread, in memory. Beyond, rows are dropped and counted.
    #[must_use]
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let seconds = self.max_file_age.as_secs_f64();
        if !(seconds > 0.0 && seconds <= 1e9) {
            return Err(Error::config(format!(
                "request log: `max_file_seconds` is {seconds}, must be above 0 and at most 1e9"
            )));
        }
        for (name, value) in [
            ("max_file_rows", self.max_file_rows),
            ("max_file_bytes", self.max_file_bytes),
            ("max_bytes", self.max_bytes),
            ("max_queued_rows", self.max_queued_rows as u64),
            ("max_queued_bytes", self.max_queued_bytes as u64),
        ] {
            if value == 0 {
                return Err(Error::config(format!(
                    "request log: `{name}` is 0, must be at least 1"
                )));
            }
        }
        Ok(())
    }
}

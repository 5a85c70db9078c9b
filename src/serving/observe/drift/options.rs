//! Options of a drift monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::{Comparator, Field, FieldType, Schema};
use crate::serving::durations::seconds;

/// Options of a [`DriftMonitor`](super::DriftMonitor): which requests it watches, the size of its windows, and thresholds.
///
/// By default it watches every request, in windows of 10,000 rows or ten minutes with at least 500 rows. Categories may be 0.1
/// from those of training by the L-infinity distance and by the Jensen-Shannon divergence; numbers 0.1 by that divergence, 0.25
/// by the population stability index and 0.15 by the Kolmogorov-Smirnov distance.
///
/// A field of the model's schema with thresholds of its own (`skew`) is compared with those and no others. The rest are
/// compared with the defaults here; dates and timestamps are only measured, for they advance with time.
///
/// ```
/// use fourfold::serving::observe::DriftOptions;
///
/// // As it may stand in a file.
/// let text = r#"{"window_rows": 5000, "numbers": {"population_stability_index": 0.2}}"#;
/// let options: DriftOptions = serde_json::from_str(text)?;
/// # let _ = options;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriftOptions {
    pub(super) share: f64,
    pub(super) models: BTreeMap<String, f64>,
    pub(super) window_rows: u64,
    #[serde(rename = "window_seconds", with = "seconds")]
    pub(super) window_time: Duration,
    pub(super) min_rows: u64,
    pub(super) max_queued_rows: usize,
    pub(super) max_queued_bytes: usize,
    pub(super) categories: Comparator,
    pub(super) numbers: Comparator,
}

impl Default for DriftOptions {
    fn default() -> Self {
        DriftOptions {
            share: 1.0,
            models: BTreeMap::new(),
            window_rows: 10_000,
            window_time: Duration::from_secs(600),
            min_rows: 500,
            max_queued_rows: 1 << 16,
            max_queued_bytes: 64 << 20,
            categories: Comparator::of_categories(),
            numbers: Comparator::of_numbers(),
        }
    }
}

impl DriftOptions {
    /// Sets the share of the requests that are observed, in `0..=1`, for models without a share of their own.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets the share of a model's requests that are observed, in `0..=1`.
    #[must_use]
    pub fn model_share(mut self, model: impl Into<String>, share: f64) -> Self {
        self.models.insert(model.into(), share);
        self
    }

    /// Sets the number of rows at which a window is measured.
    #[must_use]
    pub fn window_rows(mut self, rows: u64) -> Self {
        self.window_rows = rows;
        self
    }

    /// Sets the time after its first row at which a window is measured, if it has
    /// [enough rows](DriftOptions::min_rows) by then. In the file of options it is `window_seconds`.
    #[must_use]
    pub fn window_time(mut self, time: Duration) -> Self {
        self.window_time = time;
        self
    }

    /// Sets the fewest rows for a comparison. A window with fewer at the end of its time reports so and continues until
    /// it has them.
    #[must_use]
    pub fn min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// The most rows that wait for the thread that counts them. Beyond, rows are dropped; no request waits.
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

    /// The largest distances of categories from those of training, and of answered classes from those of evaluation.
    #[must_use]
    pub fn categories(mut self, thresholds: Comparator) -> Self {
        self.categories = thresholds;
        self
    }

    /// The largest distances of numbers from those of training, and of answered numbers from those of evaluation.
    #[must_use]
    pub fn numbers(mut self, thresholds: Comparator) -> Self {
        self.numbers = thresholds;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |name: &str, value: &dyn std::fmt::Display, must: &str| {
            Err(Error::config(format!(
                "drift: `{name}` is {value}, must be {must}"
            )))
        };
        let seconds = self.window_time.as_secs_f64();
        if !(seconds > 0.0 && seconds <= 1e9) {
            let must = "above 0 and at most 1e9";
            return wrong("window_seconds", &seconds, must);
        }
        if self.min_rows == 0 {
            return wrong("min_rows", &self.min_rows, "at least 1");
        }
        if self.window_rows < self.min_rows {
            let must = format!("at least `min_rows`, which is {}", self.min_rows);
            return wrong("window_rows", &self.window_rows, &must);
        }
        if self.max_queued_rows == 0 {
            return wrong("max_queued_rows", &self.max_queued_rows, "at least 1");
        }
        if self.max_queued_bytes == 0 {
            return wrong("max_queued_bytes", &self.max_queued_bytes, "at least 1");
        }
        // The schema knows which thresholds go with which fields.
        Schema::new(self.defaults([
            Field::new("categories", FieldType::Text),
            Field::new("numbers", FieldType::Float),
        ]))
        .check()
    }

    /// The fields with a threshold each, where one goes with them.
    pub(super) fn defaults(&self, fields: impl IntoIterator<Item = Field>) -> Vec<Field> {
        let with_default = |mut field: Field| {
            if field.skew == Comparator::default() {
                if field.is_categorical() {
                    field.skew = self.categories;
                } else if field.field_type.is_numeric() {
                    field.skew = self.numbers;
                }
            }
            field
        };
        fields.into_iter().map(with_default).collect()
    }
}

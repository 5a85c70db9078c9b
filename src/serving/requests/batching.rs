//! Options of batching.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::within;
use crate::error::Result;
use crate::serving::durations::micros;

/// Options of batching: one call of a model for the rows of several requests.
///
/// | field | default | range | unit |
/// | --- | --- | --- | --- |
/// | `max_batch_size` | 512 | from 1 to 100,000; 1 turns batching off | rows |
/// | `max_delay_us` | 0 | from 0 to 10,000,000 | microseconds |
/// | `max_enqueued` | 1,024 | from 1 to 1,048,576 | requests |
/// | `adaptive` | `true` | | |
///
/// A batch is made of what waits: while one is being computed requests gather, and the next batch takes them all, up
/// to `max_batch_size` rows. A request that finds the model idle is not delayed, unless `max_delay_us` says that the
/// first of a batch waits for others that long.
///
/// Batching pays only where a call has a cost of its own, whatever number of rows it has. `adaptive` measures that
/// for each version: a model that answers a row within [200 µs](Batching::PAYS_ABOVE), and one whose time grows with
/// the rows, is called for each request alone. Otherwise every request goes through a batch.
///
/// Each request is decoded, checked and transformed on its own, so a bad one fails alone; a batch that fails is tried
/// again request by request. Answers are the same, to the bit, as without batching, since rows do not influence
/// [each other](crate::model::Predict::predict).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batching {
    pub(super) max_batch_size: usize,
    #[serde(rename = "max_delay_us", with = "micros")]
    pub(super) max_delay: Duration,
    pub(super) max_enqueued: usize,
    pub(super) adaptive: bool,
}

impl Default for Batching {
    fn default() -> Self {
        Batching {
            max_batch_size: 512,
            max_delay: Duration::ZERO,
            max_enqueued: 1_024,
            adaptive: true,
        }
    }
}

impl Batching {
    /// Adaptive batching leaves models alone that answer faster than this: handing a request to another thread and
    /// back would take about as long.
    pub const PAYS_ABOVE: Duration = Duration::from_micros(200);

    /// No batching: a call for each request.
    #[must_use]
    pub fn off() -> Self {
        Batching::default().max_batch_size(1)
    }

    /// The most rows of a batch; 1 disables batching.
    #[must_use]
    pub fn max_batch_size(mut self, rows: usize) -> Self {
        self.max_batch_size = rows;
        self
    }

    /// The time that the first request of a batch waits for others.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// The most requests that wait for a batch.
    #[must_use]
    pub fn max_enqueued(mut self, requests: usize) -> Self {
        self.max_enqueued = requests;
        self
    }

    /// Sets whether a version is batched only if measurements show that batching pays. If `false`, every request goes
    /// through a batch.
    #[must_use]
    pub fn adaptive(mut self, adaptive: bool) -> Self {
        self.adaptive = adaptive;
        self
    }

    /// Returns `true` if batching is enabled.
    pub(super) fn is_on(&self) -> bool {
        self.max_batch_size > 1
    }

    pub(super) fn check(&self) -> Result<()> {
        within("max_batch_size", self.max_batch_size, 1, 100_000)?;
        let delay = usize::try_from(self.max_delay.as_micros()).unwrap_or(usize::MAX);
        within("max_delay_us", delay, 0, 10_000_000)?;
        within("max_enqueued", self.max_enqueued, 1, 1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_name_the_field_and_the_range() {
        let of = |batching: Batching| batching.check().unwrap_err().to_string();
        assert_eq!(
            of(Batching::default().max_batch_size(0)),
            "`max_batch_size` is 0, must be from 1 to 100000"
        );
        assert_eq!(
            of(Batching::default().max_delay(Duration::from_micros(10_000_001))),
            "`max_delay_us` is 10000001, must be from 0 to 10000000"
        );
        assert_eq!(
            of(Batching::default().max_enqueued(0)),
            "`max_enqueued` is 0, must be from 1 to 1048576"
        );
        Batching::off().check().unwrap();
    }
}

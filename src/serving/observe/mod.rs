//! Observation of a server: metrics, statistics, request logs and drift.
//!
//! [`Metrics`] are the series that Prometheus scrapes. An [`Observer`] is called with the rows and the answer of each request,
//! on the thread that answered. The observers here, [`RequestLog`] (feature `request-log`) and [`DriftMonitor`], copy a
//! sample into a bounded queue and work on a thread of their own; rows for which the queue has no room are dropped and
//! counted, and no request waits.

mod drift;
#[cfg(all(test, feature = "http", feature = "request-log"))]
mod end_to_end;
mod queue;
mod record;
#[cfg(feature = "request-log")]
mod request_log;
mod sampling;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;

pub use self::drift::{DriftMeasure, DriftMonitor, DriftOptions, DriftReport};
#[cfg(feature = "request-log")]
pub use self::request_log::{RequestLog, RequestLogCounts, RequestLogOptions};
use super::Predictor;
pub use super::metrics::{Alert, Counter, Gauge, Metrics};
pub use super::protocol::{
    BatchStatistics, InferenceStatistics, ModelStatistics, StatisticDuration,
};
pub use super::requests::{Observation, Observer, ShadowObservation};
use crate::error::Result;
use crate::model::Prediction;

impl Predictor {
    /// Answers raw rows and shows the answer to an observer, as a server does: for models that are asked in process and
    /// are to be logged or watched all the same.
    ///
    /// ```
    /// use fourfold::arrow::array::RecordBatch;
    /// use fourfold::model::Prediction;
    /// use fourfold::serving::observe::DriftMonitor;
    /// use fourfold::serving::Predictor;
    ///
    /// fn answer(
    ///     model: &Predictor,
    ///     rows: &RecordBatch,
    ///     monitor: &DriftMonitor,
    /// ) -> fourfold::Result<Prediction> {
    ///     model.predict_observed(rows, None, monitor)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Predictor::predict`]; rows without an answer are not observed.
    pub fn predict_observed(
        &self,
        rows: &RecordBatch,
        id: Option<&str>,
        observer: &dyn Observer,
    ) -> Result<Prediction> {
        let prediction = self.predict(rows)?;
        observer.observe(&Observation::new(self, rows, &prediction, id));
        Ok(prediction)
    }
}

//! A copy of an observation, queued for a thread.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::queue::Size;
use crate::error::Result;
use crate::model::{Prediction, Reference};
use crate::schema::Schema;
use crate::serving::requests::Observation;

/// An observation without its handle: a queued record must not keep a version from being unloaded.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) model: String,
    pub(super) version: u64,
    pub(super) schema: Arc<Schema>,
    pub(super) reference: Reference,
    pub(super) rows: RecordBatch,
    pub(super) prediction: Prediction,
    #[cfg(feature = "request-log")]
    pub(super) id: Option<String>,
    pub(super) at: SystemTime,
}

impl Record {
    pub(super) fn new(observation: &Observation<'_>) -> Self {
        let servable = observation.predictor().servable();
        Record {
            model: observation.predictor().name().to_owned(),
            version: observation.predictor().version(),
            schema: Arc::clone(servable.shared_schema()),
            reference: servable.shared_reference().clone(),
            rows: observation.rows().clone(),
            prediction: observation.prediction().clone(),
            #[cfg(feature = "request-log")]
            id: observation.id().map(str::to_owned),
            at: observation.at(),
        }
    }

    #[cfg(feature = "request-log")]
    pub(super) fn n_rows(&self) -> usize {
        self.rows.num_rows()
    }

    pub(super) fn size(&self) -> Size {
        Size::of(&self.rows, &self.prediction)
    }

    /// The time of the answer, in microseconds since 1970-01-01 in UTC.
    pub(super) fn micros(&self) -> i64 {
        micros(self.at)
    }

    pub(super) fn day(&self) -> i64 {
        self.micros().div_euclid(86_400_000_000)
    }
}

/// Microseconds since 1970-01-01 in UTC.
pub(super) fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// Neighbours of one version and one day (in UTC) whose rows have the same columns.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) records: Vec<Record>,
}

impl Run {
    /// Parts records into runs, in their order.
    pub(super) fn all(records: Vec<Record>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for record in records {
            // Versions alternate. Within one the order is kept.
            let of_version = runs.iter_mut().rev().find(|run| run.is_of_version(&record));
            match of_version.filter(|run| run.takes(&record)) {
                Some(run) => run.records.push(record),
                None => runs.push(Run {
                    records: vec![record],
                }),
            }
        }
        runs
    }

    fn is_of_version(&self, record: &Record) -> bool {
        let first = self.records.first();
        first.is_some_and(|first| first.version == record.version && first.model == record.model)
    }

    /// Returns `true` if a record of the same version fits.
    fn takes(&self, record: &Record) -> bool {
        self.records.first().is_some_and(|first| {
            first.day() == record.day()
                && Arc::ptr_eq(&first.schema, &record.schema)
                && first.rows.schema_ref() == record.rows.schema_ref()
        })
    }

    #[cfg(feature = "request-log")]
    pub(super) fn n_rows(&self) -> usize {
        self.records.iter().map(Record::n_rows).sum()
    }

    /// The raw rows of all records in the shape of the model's schema.
    pub(super) fn rows(&self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.records.first() else {
            return Ok(None);
        };
        let rows = self.records.iter().map(|record| &record.rows);
        let rows = concat_batches(first.rows.schema_ref(), rows)?;
        first.schema.conform(&rows).map(Some)
    }
}

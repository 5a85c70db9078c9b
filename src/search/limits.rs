//! Limits on the size and latency of models.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{AnyModel, Predict, save_model};
use crate::store::n_bytes;
use crate::training::Dataset;

/// The number of predictions that latency is the minimum of: the minimum is least disturbed by other work.
const ANSWERS: usize = 20;

/// The largest size and latency that are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) row_time: Option<Duration>,
}

/// The size and latency of a model, those that are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cost {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) row_seconds: Option<f64>,
}

impl Limits {
    pub(super) fn check(&self) -> Result<()> {
        if self.bytes == Some(0) {
            return Err(Error::config("`max_bytes` is 0, must be at least 1"));
        }
        if self.row_time.is_some_and(|time| time.is_zero()) {
            return Err(Error::config("`max_row_time` is 0, must be above 0"));
        }
        Ok(())
    }

    /// Measures a model, for rows behind its transform.
    pub(super) fn measure(&self, model: &AnyModel, rows: &Dataset) -> Result<Cost> {
        Ok(Cost {
            bytes: match self.bytes {
                Some(_) => Some(saved_bytes(model, rows)?),
                None => None,
            },
            row_seconds: match self.row_time {
                Some(_) => Some(row_seconds(model, rows)?),
                None => None,
            },
        })
    }

    /// Returns true if everything that is limited was measured.
    pub(super) fn are_measured(&self, cost: &Cost) -> bool {
        (self.bytes.is_none() || cost.bytes.is_some())
            && (self.row_time.is_none() || cost.row_seconds.is_some())
    }

    /// The limit that a model exceeds, in words.
    pub(super) fn exceeded(&self, cost: &Cost) -> Option<String> {
        if let (Some(limit), Some(bytes)) = (self.bytes, cost.bytes)
            && bytes > limit
        {
            return Some(format!(
                "infeasible: the model has {bytes} bytes, at most {limit} are allowed"
            ));
        }
        if let (Some(limit), Some(seconds)) = (self.row_time, cost.row_seconds)
            && seconds > limit.as_secs_f64()
        {
            return Some(format!(
                "infeasible: the model takes {:.3} ms for a row, at most {:.3} ms are allowed",
                1e3 * seconds,
                1e3 * limit.as_secs_f64()
            ));
        }
        None
    }
}

impl Cost {
    /// The cost of two models that answer together.
    pub(super) fn plus(self, other: Cost) -> Cost {
        Cost {
            bytes: self.bytes.zip(other.bytes).map(|(a, b)| a + b),
            row_seconds: self.row_seconds.zip(other.row_seconds).map(|(a, b)| a + b),
        }
    }

    /// The cost of the dearer of two models, one of which will answer.
    pub(super) fn or(self, other: Cost) -> Cost {
        let dearer = |(a, b): (f64, f64)| a.max(b);
        Cost {
            bytes: self.bytes.zip(other.bytes).map(|(a, b)| a.max(b)),
            row_seconds: self.row_seconds.zip(other.row_seconds).map(dearer),
        }
    }
}

/// The bytes of the files of a model and its transform.
fn saved_bytes(model: &AnyModel, rows: &Dataset) -> Result<u64> {
    let dir = tempfile::tempdir()
        .map_err(|error| Error::io("making a directory to measure a model in", error))?;
    save_model(dir.path(), "model", model)?;
    let transform = serde_json::to_vec(&**rows.transform())
        .map_err(|error| Error::internal("a transform cannot be written").with_source(error))?;
    Ok(n_bytes(dir.path()) + transform.len() as u64)
}

/// The shortest time from a raw row to its prediction.
fn row_seconds(model: &AnyModel, rows: &Dataset) -> Result<f64> {
    let Some(row) = rows.first_row()? else {
        return Err(Error::data("there is no row to measure the time of"));
    };
    let mut shortest = f64::INFINITY;
    for _ in 0..ANSWERS {
        let start = Instant::now();
        let features = rows.transform().apply_as(&row, model.takes())?;
        model.predict(&features)?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_a_limit_says_so() {
        let limits = Limits {
            bytes: Some(1_000),
            row_time: Some(Duration::from_millis(1)),
        };
        let cost = |bytes, row_seconds| Cost {
            bytes: Some(bytes),
            row_seconds: Some(row_seconds),
        };
        assert_eq!(limits.exceeded(&cost(1_000, 1e-3)), None);
        assert_eq!(
            limits.exceeded(&cost(1_001, 0.0)).unwrap(),
            "infeasible: the model has 1001 bytes, at most 1000 are allowed"
        );
        assert_eq!(
            limits.exceeded(&cost(1, 0.002)).unwrap(),
            "infeasible: the model takes 2.000 ms for a row, at most 1.000 ms are allowed"
        );
        let both = cost(600, 1e-4).plus(cost(600, 1e-4));
        assert!(limits.exceeded(&both).is_some());
        assert!(
            limits
                .exceeded(&cost(600, 1e-4).or(cost(900, 1e-4)))
                .is_none()
        );
        assert!(!limits.are_measured(&Cost::default()));
        assert!(Limits::default().are_measured(&Cost::default()));
        let none = Limits {
            bytes: Some(0),
            row_time: None,
        };
        assert!(none.check().is_err());
    }
}

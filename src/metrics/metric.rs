//! Custom metrics.

use std::any::Any;
use std::fmt::Debug;

use ndarray::ArrayView1;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Direction, MetricValue};
use crate::error::{Error, Result};
use crate::model::{Target, Task};

/// A metric that an application adds: as good as this crate's in thresholds, slices and reports.
///
/// It counts rows into a [`MetricState`] of its own, of which there is one for all rows and one for each slice, for the
/// candidate and for the baseline. Added by
/// [`EvaluationPipeline::metric`](../evaluation/struct.EvaluationPipeline.html#method.metric).
///
/// ```
/// use fourfold::metrics::{AnyState, Direction, Metric, MetricState, MetricValue, ScoredRow};
/// use fourfold::model::{Target, Task};
/// use serde::{Deserialize, Serialize};
///
/// /// The share of values that are met within 10 %.
/// #[derive(Debug)]
/// struct Near;
///
/// #[derive(Clone, Debug, Default, Serialize, Deserialize)]
/// struct Counts {
///     near: f64,
///     all: f64,
///     rows: u64,
/// }
///
/// impl Metric for Near {
///     fn name(&self) -> &str {
///         "near"
///     }
///
///     fn direction(&self) -> Direction {
///         Direction::Higher
///     }
///
///     fn range(&self) -> (f64, f64) {
///         (0.0, 1.0)
///     }
///
///     fn tasks(&self) -> &[Task] {
///         &[Task::Regression]
///     }
///
///     fn start(&self, _target: &Target) -> AnyState {
///         AnyState::new(Counts::default())
///     }
/// }
///
/// impl MetricState for Counts {
///     fn add(&mut self, row: &ScoredRow<'_>) {
///         let near = (row.label() - row.outputs()[0]).abs() <= 0.1 * row.label().abs();
///         self.near += row.weight() * f64::from(near);
///         self.all += row.weight();
///         self.rows += 1;
///     }
///
///     fn merge(&mut self, other: Self) {
///         self.near += other.near;
///         self.all += other.all;
///         self.rows += other.rows;
///     }
///
///     fn finish(&self) -> Option<MetricValue> {
///         (self.all > 0.0).then(|| MetricValue::new(self.near / self.all, self.rows))
///     }
/// }
/// ```
pub trait Metric: Debug + Send + Sync + 'static {
    /// Its name, by which thresholds and reports know it: none of this crate's.
    fn name(&self) -> &str;

    /// The direction in which values are better.
    fn direction(&self) -> Direction;

    /// The lowest and the highest value it can have; bounds outside are refused.
    fn range(&self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }

    /// The unit of its values, such as `minutes`; none for a plain number.
    fn unit(&self) -> &str {
        ""
    }

    /// The tasks that it is for; all by default.
    fn tasks(&self) -> &[Task] {
        &[Task::Binary, Task::Multiclass, Task::Regression]
    }

    /// The state before the first row.
    fn start(&self, target: &Target) -> AnyState;
}

/// The mergeable state of a metric. Partitions of the rows are counted concurrently, possibly in several processes, and
/// merged.
pub trait MetricState:
    Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Takes in a row.
    fn add(&mut self, row: &ScoredRow<'_>);

    /// Takes in what was counted of other rows.
    fn merge(&mut self, other: Self);

    /// The value; `None` if it is not defined for the rows.
    fn finish(&self) -> Option<MetricValue>;
}

/// A row with its prediction, as metrics see it.
#[derive(Clone, Copy, Debug)]
pub struct ScoredRow<'a> {
    label: f64,
    outputs: ArrayView1<'a, f64>,
    weight: f64,
}

impl<'a> ScoredRow<'a> {
    /// A row of a label, the outputs of a model for it, and its weight.
    #[must_use]
    pub fn new(label: f64, outputs: ArrayView1<'a, f64>, weight: f64) -> Self {
        ScoredRow {
            label,
            outputs,
            weight,
        }
    }

    /// The value of a regression, else the index of the class; NaN for a class that the target does not know.
    #[must_use]
    pub fn label(&self) -> f64 {
        self.label
    }

    /// The model's outputs `(n_outputs)`: the value; the positive class's probability; or each class's.
    #[must_use]
    pub fn outputs(&self) -> ArrayView1<'a, f64> {
        self.outputs
    }

    /// The weight of the row; 1 unless the data has weights.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// The state of any metric.
#[derive(Debug)]
pub struct AnyState(Inner);

#[derive(Debug)]
enum Inner {
    Live(Box<dyn Erased>),
    /// The state as it came from another place; a live one knows its type.
    Stored(Vec<u8>),
}

impl AnyState {
    /// Wraps a custom state.
    #[must_use]
    pub fn new(state: impl MetricState) -> Self {
        AnyState(Inner::Live(Box::new(state)))
    }

    pub(super) fn add(&mut self, row: &ScoredRow<'_>) {
        if let Inner::Live(state) = &mut self.0 {
            state.add_row(row);
        }
    }

    pub(super) fn merge(&mut self, other: AnyState) -> Result<()> {
        let Inner::Live(mine) = &mut self.0 else {
            return Err(Error::internal("a metric's state without its metric"));
        };
        match other.0 {
            Inner::Live(theirs) => mine.merge_any(theirs.into_any()),
            Inner::Stored(bytes) => mine.merge_stored(&bytes),
        }
    }

    pub(super) fn finish(&self) -> Option<MetricValue> {
        match &self.0 {
            Inner::Live(state) => state.value(),
            Inner::Stored(_) => None,
        }
    }
}

impl Clone for AnyState {
    fn clone(&self) -> Self {
        AnyState(match &self.0 {
            Inner::Live(state) => Inner::Live(state.cloned()),
            Inner::Stored(bytes) => Inner::Stored(bytes.clone()),
        })
    }
}

impl Serialize for AnyState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Inner::Live(state) => {
                let bytes = state.stored().map_err(serde::ser::Error::custom)?;
                bytes.serialize(serializer)
            }
            Inner::Stored(bytes) => bytes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AnyState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|bytes| AnyState(Inner::Stored(bytes)))
    }
}

trait Erased: Debug + Send + Sync {
    fn add_row(&mut self, row: &ScoredRow<'_>);
    fn merge_any(&mut self, other: Box<dyn Any>) -> Result<()>;
    fn merge_stored(&mut self, bytes: &[u8]) -> Result<()>;
    fn value(&self) -> Option<MetricValue>;
    fn stored(&self) -> Result<Vec<u8>>;
    fn cloned(&self) -> Box<dyn Erased>;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<S: MetricState> Erased for S {
    fn add_row(&mut self, row: &ScoredRow<'_>) {
        self.add(row);
    }

    fn merge_any(&mut self, other: Box<dyn Any>) -> Result<()> {
        let other = other
            .downcast::<S>()
            .map_err(|_| Error::internal("states of different metrics merged"))?;
        self.merge(*other);
        Ok(())
    }

    fn merge_stored(&mut self, bytes: &[u8]) -> Result<()> {
        let other = ciborium::from_reader(bytes).map_err(|error| {
            Error::internal("a metric's state cannot be read").with_source(error)
        })?;
        self.merge(other);
        Ok(())
    }

    fn value(&self) -> Option<MetricValue> {
        self.finish()
    }

    fn stored(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).map_err(|error| {
            Error::internal("a metric's state cannot be written").with_source(error)
        })?;
        Ok(bytes)
    }

    fn cloned(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

//! Options of statistics.

use arrow::datatypes::{DataType, Schema as ArrowSchema};
use serde::{Deserialize, Serialize};

use super::StatisticsAccumulator;
use crate::error::{Error, Result, near_names};
use crate::field_type::FieldType;

/// The options of [`Statistics`](super::Statistics) beyond those of every column: weights, slices, pairs of columns,
/// association with a label. All are computed in the same pass; all are off by default, since each has a cost.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
/// use fourfold::accumulate::Accumulate;
/// use fourfold::statistics::Statistics;
///
/// # let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 3.0, 5.0]));
/// # let kind: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
/// # let batch = RecordBatch::try_from_iter([("fare", fare), ("kind", kind)])?;
/// let mut accumulator = Statistics::options()
///     .slice_by(["kind"])
///     .label("kind")
///     .accumulator(&batch.schema())?;
/// accumulator.update(&batch)?;
/// let statistics = accumulator.finish();
/// assert_eq!(statistics.slices[0].slice, "kind=a");
/// assert_eq!(statistics.slices[0].statistics.n_rows, 2);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatisticsOptions {
    pub(super) weight: Option<String>,
    pub(super) label: Option<String>,
    pub(super) label_boundaries: Vec<f64>,
    pub(super) slices: Vec<Vec<String>>,
    pub(super) pairs: Pairing,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Pairing {
    #[default]
    None,
    All,
    Listed(Vec<(String, String)>),
}

impl StatisticsOptions {
    /// The largest number of slices, all together. More are an error: a slice costs as much memory as the statistics of all rows
    /// with few values, up to a megabyte.
    pub const MAX_SLICES: usize = 100;
    /// The largest number of values of a label. More are an error: use [boundaries](StatisticsOptions::label_boundaries).
    pub const MAX_LABELS: usize = 100;
    /// The largest number of columns of numbers for statistics of all pairs. More are an error: list the pairs.
    pub const MAX_PAIRED: usize = 64;

    /// The largest weight of a row, so that the sum over any number of rows is finite.
    pub const MAX_WEIGHT: f64 = 1e280;

    /// The default: statistics of every column.
    #[must_use]
    pub fn new() -> Self {
        StatisticsOptions::default()
    }

    /// Sets the column of the weights of rows in the [weighted
    /// statistics](super::WeightedStatistics). A row without a weight, or with one that is negative, not finite or
    /// above [`StatisticsOptions::MAX_WEIGHT`], is an error.
    #[must_use]
    pub fn weight(mut self, column: impl Into<String>) -> Self {
        self.weight = Some(column.into());
        self
    }

    /// Sets the label, whose [association](super::Association) with the other columns is computed. Rows where it is NULL
    /// take no part.
    #[must_use]
    pub fn label(mut self, column: impl Into<String>) -> Self {
        self.label = Some(column.into());
        self
    }

    /// Divides a label of numbers into buckets: `[a, b]` makes `(-inf, a)`, `[a, b)` and `[b, inf)`. Without them every
    /// value is a label of its own.
    #[must_use]
    pub fn label_boundaries(mut self, boundaries: impl IntoIterator<Item = f64>) -> Self {
        self.label_boundaries = boundaries.into_iter().collect();
        self
    }

    /// Adds statistics of the rows of each value of these columns, one column at a time. Rows where the column is NULL are
    /// in no slice of it.
    #[must_use]
    pub fn slice_by<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(|column| vec![column.into()]);
        self.slices.extend(columns);
        self
    }

    /// Adds statistics of the rows of each combination of values of these columns. A slice is identified by its name
    /// alone: a string with `, ` and the name of another column in it may give two slices the same name.
    #[must_use]
    pub fn slice_by_all<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.slices
            .push(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Adds covariance and correlation of all pairs of columns of numbers (booleans too) with a single value per row.
    #[must_use]
    pub fn all_pairs(mut self) -> Self {
        self.pairs = Pairing::All;
        self
    }

    /// Adds covariance and correlation of these pairs of columns.
    #[must_use]
    pub fn pairs<A: Into<String>, B: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (A, B)>,
    ) -> Self {
        let pairs = pairs.into_iter().map(|(a, b)| (a.into(), b.into()));
        self.pairs = Pairing::Listed(pairs.collect());
        self
    }

    /// The analysis, for batches of an Arrow schema.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a missing column, with similar names, or one whose
    /// type does not fit its use.
    pub fn accumulator(&self, schema: &ArrowSchema) -> Result<StatisticsAccumulator> {
        StatisticsAccumulator::with_options(schema, self)
    }

    /// The checked positions of the columns.
    pub(super) fn plan(&self, schema: &ArrowSchema) -> Result<Plan> {
        let of = |part: &str, column: &String, may: fn(FieldType) -> bool, must: &str| {
            let (at, field) = schema.column_with_name(column).ok_or_else(|| {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                let near = near_names(column, names);
                Error::config(format!(
                    "statistics: there is no {part} column `{column}`{near}"
                ))
            })?;
            if may(FieldType::of(field.data_type())) {
                return Ok(at);
            }
            Err(Error::config(format!(
                "statistics: {part} column `{column}` is of type {}, must be {must}",
                field.data_type()
            )))
        };
        let single = |field_type| field_type != FieldType::Other;
        let value = "a single value per row";
        let boundaries = &self.label_boundaries;
        if !boundaries.is_sorted() || boundaries.iter().any(|boundary| boundary.is_nan()) {
            return Err(Error::config(format!(
                "statistics: label boundaries are {boundaries:?}, must be increasing"
            )));
        }
        let label = match &self.label {
            Some(column) if boundaries.is_empty() => Some(of("label", column, single, value)?),
            Some(column) => Some(of("label", column, FieldType::is_numeric, "a number")?),
            None => None,
        };
        let weight = self.weight.as_ref();
        let weight = weight.map(|column| of("weight", column, FieldType::is_numeric, "a number"));
        let mut slices = Vec::new();
        for columns in &self.slices {
            let places = columns
                .iter()
                .map(|column| of("slice", column, single, value));
            let places = places.collect::<Result<Vec<usize>>>()?;
            // Rows count once even if the columns are requested twice.
            if !slices.contains(&places) {
                slices.push(places);
            }
        }
        Ok(Plan {
            weight: weight.transpose()?,
            label,
            slices,
            pairs: self.paired(schema, |column| {
                of("paired", column, FieldType::is_numeric, "a number")
            })?,
        })
    }

    fn paired(
        &self,
        schema: &ArrowSchema,
        of: impl Fn(&String) -> Result<usize>,
    ) -> Result<Vec<(usize, usize)>> {
        match &self.pairs {
            Pairing::None => Ok(Vec::new()),
            Pairing::Listed(pairs) => pairs.iter().map(|(a, b)| Ok((of(a)?, of(b)?))).collect(),
            Pairing::All => {
                let number = |data_type: &DataType| FieldType::of(data_type).is_numeric();
                let fields = schema.fields().iter().enumerate();
                let numbers: Vec<usize> = fields
                    .filter(|(_, field)| number(field.data_type()))
                    .map(|(at, _)| at)
                    .collect();
                if numbers.len() > Self::MAX_PAIRED {
                    return Err(Error::config(format!(
                        "statistics: all pairs of {} columns of numbers, at most {}; list the pairs",
                        numbers.len(),
                        Self::MAX_PAIRED
                    )));
                }
                let with_later = |(i, a): (usize, &usize)| {
                    let a = *a;
                    numbers
                        .iter()
                        .skip(i + 1)
                        .map(move |b| (a, *b))
                        .collect::<Vec<_>>()
                };
                Ok(numbers.iter().enumerate().flat_map(with_later).collect())
            }
        }
    }
}

/// The positions of the columns of the options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) weight: Option<usize>,
    pub(super) label: Option<usize>,
    pub(super) slices: Vec<Vec<usize>>,
    pub(super) pairs: Vec<(usize, usize)>,
}

//! Predictions as columns: what metrics read, with no model in it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeListArray, Float64Array, RecordBatch,
    StringArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, UInt64Type};
use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};

const LABEL: &str = "label";
const UNSEEN: &str = "unseen";
const CANDIDATE: &str = "candidate";
const BASELINE: &str = "baseline";
const INTERVAL: &str = "interval";
const BASELINE_INTERVAL: &str = "baseline_interval";
const CLUSTER: &str = "cluster";
const WEIGHT: &str = "weight";
const SLICE: &str = "slice_";

/// The parts of a batch of scored rows.
#[derive(Debug, Default)]
pub(crate) struct Scored {
    /// `(n_rows)`: values, or indexes of classes; NaN for a class that the target does not know.
    pub(crate) labels: Vec<f64>,
    /// `(n_rows)`: the class, where the target does not know it.
    pub(crate) unseen: Option<Vec<Option<String>>>,
    /// `(n_rows, n_outputs)`.
    pub(crate) candidate: Array2<f64>,
    /// The same of the baseline.
    pub(crate) baseline: Option<Array2<f64>>,
    /// `(n_rows, 2)`: the ends of the candidate's intervals, and of the baseline's.
    pub(crate) intervals: [Option<Array2<f64>>; 2],
    /// `(n_rows)`.
    pub(crate) weights: Option<Vec<f64>>,
    /// `(n_rows)`: a hash of what the row belongs to; rows of one belong together.
    pub(crate) clusters: Option<Vec<u64>>,
    /// For each way of slicing, the key of each row.
    pub(crate) keys: Vec<ArrayRef>,
}

impl Scored {
    /// As the columns `label`, `unseen`, `candidate`, `baseline`, `interval`, `baseline_interval`, `cluster`, `weight`,
    /// `slice_0` and so on; those that are not there are left out.
    pub(crate) fn into_batch(self) -> Result<RecordBatch> {
        let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
        let numbers = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        columns.push((LABEL.to_owned(), numbers(self.labels), false));
        if let Some(unseen) = self.unseen {
            columns.push((UNSEEN.to_owned(), Arc::new(StringArray::from(unseen)), true));
        }
        columns.push((CANDIDATE.to_owned(), to_lists(self.candidate)?, false));
        if let Some(baseline) = self.baseline {
            columns.push((BASELINE.to_owned(), to_lists(baseline)?, false));
        }
        for (name, intervals) in [INTERVAL, BASELINE_INTERVAL]
            .into_iter()
            .zip(self.intervals)
        {
            if let Some(intervals) = intervals {
                columns.push((name.to_owned(), to_lists(intervals)?, false));
            }
        }
        if let Some(clusters) = self.clusters {
            let clusters = Arc::new(UInt64Array::from(clusters));
            columns.push((CLUSTER.to_owned(), clusters, false));
        }
        if let Some(weights) = self.weights {
            columns.push((WEIGHT.to_owned(), numbers(weights), false));
        }
        for (at, keys) in self.keys.into_iter().enumerate() {
            columns.push((format!("{SLICE}{at}"), keys, false));
        }
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}

fn to_lists(outputs: Array2<f64>) -> Result<ArrayRef> {
    let width = i32::try_from(outputs.ncols()).unwrap_or(i32::MAX);
    let item = Arc::new(Field::new("item", DataType::Float64, false));
    let values: Vec<f64> = match outputs.is_standard_layout() {
        true => outputs.into_raw_vec_and_offset().0,
        false => outputs.iter().copied().collect(),
    };
    let values = Arc::new(Float64Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(
        item, width, values, None,
    )?))
}

/// A batch of scored rows, read.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) labels: &'a [f64],
    unseen: Option<&'a StringArray>,
    pub(crate) candidate: ArrayView2<'a, f64>,
    pub(crate) baseline: Option<ArrayView2<'a, f64>>,
    /// The ends of the candidate's intervals and of the baseline's.
    pub(crate) intervals: [Option<ArrayView2<'a, f64>>; 2],
    pub(crate) clusters: Option<&'a [u64]>,
    weights: Option<&'a [f64]>,
    pub(crate) keys: Vec<&'a DictionaryArray<Int32Type>>,
}

impl<'a> View<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self> {
        let missing = |name: &str| Error::internal(format!("scored rows without `{name}`"));
        let find = |name: &str| batch.column_by_name(name);
        let numbers =
            |column: &'a ArrayRef| -> &'a [f64] { column.as_primitive::<Float64Type>().values() };
        let matrix = |name: &str, column: &'a ArrayRef| -> Result<ArrayView2<'a, f64>> {
            let lists = column
                .as_fixed_size_list_opt()
                .ok_or_else(|| missing(name))?;
            let width = usize::try_from(lists.value_length()).unwrap_or(1);
            let values = lists.values().as_primitive::<Float64Type>().values();
            ArrayView2::from_shape((lists.len(), width), values)
                .map_err(|error| missing(name).with_source(error))
        };
        let interval = |name: &str| find(name).map(|column| matrix(name, column)).transpose();
        let mut keys = Vec::new();
        while let Some(column) = find(&format!("{SLICE}{}", keys.len())) {
            let dictionary = column.as_dictionary_opt::<Int32Type>();
            keys.push(dictionary.ok_or_else(|| missing("slices"))?);
        }
        Ok(View {
            labels: numbers(find(LABEL).ok_or_else(|| missing(LABEL))?),
            unseen: find(UNSEEN).and_then(|column| column.as_string_opt::<i32>()),
            candidate: matrix(
                CANDIDATE,
                find(CANDIDATE).ok_or_else(|| missing(CANDIDATE))?,
            )?,
            baseline: find(BASELINE)
                .map(|column| matrix(BASELINE, column))
                .transpose()?,
            intervals: [interval(INTERVAL)?, interval(BASELINE_INTERVAL)?],
            clusters: find(CLUSTER).map(|column| &**column.as_primitive::<UInt64Type>().values()),
            weights: find(WEIGHT).map(numbers),
            keys,
        })
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    pub(crate) fn weights(&self) -> Option<&'a [f64]> {
        self.weights
    }

    /// The same rows with other weights.
    pub(crate) fn reweighted(batch: &RecordBatch, weights: Vec<f64>) -> Result<RecordBatch> {
        let schema = batch.schema();
        let weights: ArrayRef = Arc::new(Float64Array::from(weights));
        let mut columns: Vec<(&str, ArrayRef, bool)> = Vec::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if field.name() != WEIGHT {
                columns.push((field.name(), Arc::clone(column), field.is_nullable()));
            }
        }
        columns.push((WEIGHT, weights, false));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// The class of a row, if the target does not know it.
    pub(crate) fn unseen(&self, row: usize) -> Option<&'a str> {
        self.unseen
            .filter(|unseen| unseen.is_valid(row))
            .map(|unseen| unseen.value(row))
    }
}

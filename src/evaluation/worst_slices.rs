//! The slices in which a model does worst, found on one half of the rows and confirmed on the other.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type};
use fourfold_kernels::hash::xxh64;
use fourfold_kernels::slice_line::Search;
use serde::{Deserialize, Serialize};

use super::Predictions;
use super::no_harm::{Correction, normal_below};
use super::predictions::close;
use crate::blessing::Z;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::metrics::{Mean, MetricValue, Slice, SliceBy, View, row_losses};
use crate::model::Target;
use crate::schema::FieldType;

/// The most values of a column that slices are made of.
const MAX_VALUES: usize = 100;
/// The bins of a number.
const BINS: u32 = 5;

/// Searches the slices in which a model does worst: conjunctions of values of raw columns, numbers in five bins of equally
/// many rows (SliceLine: Sagadeeva and Boehm 2021).
///
/// The worst of many slices look worse than they are. So they are found on one half of the rows, and held on the other
/// against the rest of it (one-sided, Welch 1947), with a rate of false alarms over all of them (Benjamini and Hochberg 1995);
/// only what holds is reported, with the losses of the other half. Which half a row is in follows from its place, or, where
/// rows [belong together](super::EvaluationPipeline::cluster_by), from its group.
///
/// ```
/// use fourfold::evaluation::{EvaluationPipeline, Thresholds, WorstSlices};
///
/// let evaluation = EvaluationPipeline::new(Thresholds::new().at_least("auc", 0.7))
///     .worst_slices(WorstSlices::default().max_values(2));
/// # let _ = evaluation;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorstSlices {
    columns: Vec<String>,
    alpha: f64,
    min_rows: usize,
    max_values: usize,
    n_candidates: usize,
    q: f64,
}

impl Default for WorstSlices {
    /// All raw columns but the label, slices of up to three values and of at least a hundredth of a half's rows, 30 or more;
    /// of the 20 with the highest scores those that hold at a rate of 0.05.
    fn default() -> Self {
        WorstSlices {
            columns: Vec::new(),
            alpha: 0.95,
            min_rows: 30,
            max_values: 3,
            n_candidates: 20,
            q: 0.05,
        }
    }
}

impl WorstSlices {
    /// Searches values of these columns only.
    #[must_use]
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The weight of the loss relative to the size of the slice, above 0 and at most 1; 0.95 by default.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The least rows of a slice in each half.
    #[must_use]
    pub fn min_rows(mut self, rows: usize) -> Self {
        self.min_rows = rows;
        self
    }

    /// The most values that a slice is the conjunction of, from 1 to 5.
    #[must_use]
    pub fn max_values(mut self, values: usize) -> Self {
        self.max_values = values;
        self
    }

    /// The rate of false alarms.
    #[must_use]
    pub fn q(mut self, q: f64) -> Self {
        self.q = q;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::config(format!("the worst slices' {what}")));
        if !(self.alpha > 0.0 && self.alpha <= 1.0) {
            return wrong(format!(
                "`alpha` is {}, must be above 0 and at most 1",
                self.alpha
            ));
        }
        if !(self.q > 0.0 && self.q < 1.0) {
            return wrong(format!("`q` is {}, must be above 0 and below 1", self.q));
        }
        if !(1..=5).contains(&self.max_values) {
            return wrong(format!(
                "`max_values` is {}, must be from 1 to 5",
                self.max_values
            ));
        }
        if self.min_rows < 2 {
            return wrong(format!(
                "`min_rows` is {}, must be at least 2",
                self.min_rows
            ));
        }
        Ok(())
    }

    pub(super) fn asked_columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// The ways of slicing that are searched.
    fn ways(&self, target: &Target, rows: &Examples) -> Result<Vec<SliceBy>> {
        let fields = rows.schema().fields().iter();
        let asked = |name: &str| match self.columns.as_slice() {
            [] => {
                name != target.label()
                    && target.weight() != Some(name)
                    && !name.starts_with("fourfold:")
            }
            columns => columns.iter().any(|column| column == name),
        };
        let ways =
            fields
                .filter(|field| asked(field.name()))
                .filter_map(|field| match FieldType::of(field.data_type()) {
                    FieldType::Integer | FieldType::Float => {
                        Some(SliceBy::quantiles(field.name(), BINS))
                    }
                    FieldType::Text | FieldType::Boolean => Some(SliceBy::from(field.name())),
                    _ => None,
                });
        close(&ways.collect::<Vec<_>>(), rows)
    }

    /// The slices that hold, from the largest difference down.
    pub(super) fn search(
        &self,
        predictions: &Predictions,
        rows: &Examples,
    ) -> Result<Vec<WorstSlice>> {
        let target = Arc::clone(predictions.target());
        let ways = self.ways(&target, rows)?;
        let coded = Coded::of(&ways, predictions, rows)?;
        let halves = [0, 1].map(|half| coded.half(half));
        let [first, second] = &halves;
        let search = Search {
            alpha: self.alpha,
            min_rows: self.min_rows.max(first.losses.len() / 100),
            max_values: self.max_values,
            n_best: self.n_candidates,
            max_looked_at: 20_000,
        };
        let columns: Vec<&[u32]> = first.columns.iter().map(Vec::as_slice).collect();
        let found = search.run(&columns, &first.losses);
        let mut held: Vec<WorstSlice> = found
            .iter()
            .filter_map(|found| {
                let values = found.values.iter();
                let slice = values.map(|(column, code)| coded.slice(*column, *code));
                let slice = slice.reduce(|all, one| {
                    one.conditions()
                        .iter()
                        .fold(all, |all, (column, value)| all.and(column, value))
                })?;
                second.hold(&found.values, slice, self.min_rows)
            })
            .collect();
        held.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
        let p_values: Vec<f64> = held.iter().map(|slice| slice.p_value).collect();
        held.truncate(Correction::BenjaminiHochberg.n_found(&p_values, self.q));
        held.sort_by(|a, b| b.difference.value.total_cmp(&a.difference.value));
        Ok(held)
    }
}

/// A slice in which the model does worse than in the rest of the rows, confirmed on rows by which it was not found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorstSlice {
    /// The slice.
    pub slice: Slice,
    /// The mean loss in it: log loss of classes, absolute error of values.
    pub loss: MetricValue,
    /// The mean loss of the rest.
    pub rest: f64,
    /// The one less the other.
    pub difference: MetricValue,
    /// The probability of a difference so large if there were none.
    pub p_value: f64,
}

/// Rows as codes of their values.
struct Coded {
    ways: Vec<SliceBy>,
    names: Vec<Vec<String>>,
    columns: Vec<Vec<u32>>,
    losses: Vec<f64>,
    weights: Vec<f64>,
    halves: Vec<u8>,
}

/// One half of the rows.
struct Half {
    columns: Vec<Vec<u32>>,
    losses: Vec<f64>,
    weights: Vec<f64>,
}

impl Coded {
    fn of(ways: &[SliceBy], predictions: &Predictions, rows: &Examples) -> Result<Self> {
        let mut coded = Coded {
            ways: Vec::new(),
            names: Vec::new(),
            columns: Vec::new(),
            losses: Vec::new(),
            weights: Vec::new(),
            halves: Vec::new(),
        };
        for (start, chunk) in predictions.chunks()? {
            let view = View::of(&chunk)?;
            coded.losses.extend(row_losses(predictions.target(), &view));
            for row in 0..view.n_rows() {
                coded.weights.push(view.weight(row));
                let place = start + row as u64;
                let group = view.clusters.map_or(place, |clusters| clusters[row]);
                let hash = xxh64(1, &group.to_le_bytes());
                coded.halves.push((hash & 1) as u8);
            }
        }
        for way in ways {
            if let Some((names, codes)) = codes_of(way, rows)? {
                coded.ways.push(way.clone());
                coded.names.push(names);
                coded.columns.push(codes);
            }
        }
        match coded
            .columns
            .iter()
            .find(|codes| codes.len() != coded.losses.len())
        {
            Some(_) => Err(Error::internal("predictions of other rows")),
            None => Ok(coded),
        }
    }

    fn half(&self, half: u8) -> Half {
        fn taken<T: Copy>(values: &[T], halves: &[u8], half: u8) -> Vec<T> {
            let kept = values.iter().zip(halves).filter(|(_, of)| **of == half);
            kept.map(|(value, _)| *value).collect()
        }
        let columns = self.columns.iter();
        Half {
            columns: columns
                .map(|codes| taken(codes, &self.halves, half))
                .collect(),
            losses: taken(&self.losses, &self.halves, half),
            weights: taken(&self.weights, &self.halves, half),
        }
    }

    fn slice(&self, column: usize, code: u32) -> Slice {
        let name = self.names[column].get(code as usize);
        self.ways[column].slice(name.map_or("", String::as_str))
    }
}

/// The values of a way of slicing and each row's; `None` if there are too many of them.
fn codes_of(way: &SliceBy, rows: &Examples) -> Result<Option<(Vec<String>, Vec<u32>)>> {
    let mut names: Vec<String> = Vec::new();
    let mut codes = Vec::with_capacity(rows.n_rows());
    let columns: Vec<&str> = way.columns().collect();
    for batch in rows.batches(&columns) {
        let keys = way.keys(&utf8(&batch?)?)?;
        let keys = keys
            .as_dictionary_opt::<Int32Type>()
            .ok_or_else(|| Error::internal("keys that are no dictionary"))?;
        let mut places = Vec::with_capacity(keys.values().len());
        for name in keys.values().as_string::<i32>().iter() {
            let name = name.unwrap_or_default();
            let place = match names.iter().position(|known| known == name) {
                Some(place) => place,
                None if names.len() >= MAX_VALUES => return Ok(None),
                None => {
                    names.push(name.to_owned());
                    names.len() - 1
                }
            };
            places.push(place as u32);
        }
        codes.extend(
            keys.keys()
                .values()
                .iter()
                .map(|code| places[*code as usize]),
        );
    }
    Ok(Some((names, codes)))
}

/// Leaves columns as they are, since keys are made of any type. A dictionary column is read as its values.
fn utf8(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let column = match column.data_type() {
                DataType::Dictionary(_, _) => arrow::compute::cast(column, &DataType::Utf8)?,
                _ => Arc::clone(column),
            };
            Ok((field.name().clone(), column, true))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

impl Half {
    fn hold(&self, values: &[(usize, u32)], slice: Slice, min_rows: usize) -> Option<WorstSlice> {
        let (mut inside, mut rest) = (Side::default(), Side::default());
        for (row, (loss, weight)) in self.losses.iter().zip(&self.weights).enumerate() {
            let held = values
                .iter()
                .all(|(column, code)| self.columns[*column][row] == *code);
            let side = if held { &mut inside } else { &mut rest };
            side.rows += 1;
            side.losses.add(*loss, *weight);
        }
        if inside.rows < min_rows as u64 || rest.rows < 2 {
            return None;
        }
        let difference = inside.losses.mean() - rest.losses.mean();
        let (of_slice, of_both) = (
            inside.losses.variance().sqrt(),
            (inside.losses.variance() + rest.losses.variance()).sqrt(),
        );
        let p_value = match of_both {
            error if error > 0.0 => normal_below(-difference / error),
            _ if difference > 0.0 => 0.0,
            _ => 1.0,
        };
        let (mean, rows) = (inside.losses.mean(), inside.rows);
        Some(WorstSlice {
            slice,
            loss: MetricValue::new(mean, rows)
                .with_interval(mean - Z * of_slice, mean + Z * of_slice),
            rest: rest.losses.mean(),
            difference: MetricValue::new(difference, rows)
                .with_interval(difference - Z * of_both, difference + Z * of_both),
            p_value,
        })
    }
}

/// The rows on one side.
#[derive(Default)]
struct Side {
    rows: u64,
    losses: Mean,
}

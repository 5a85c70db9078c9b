//! The analysis that makes statistics.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Schema as ArrowSchema};
use fourfold_kernels::sketches::number::Scratch;
use serde::{Deserialize, Serialize};

use super::association::association;
use super::column::ColumnAccumulator;
use super::groups::{by_columns, by_label};
use super::options::Plan;
use super::pairs::PairsAccumulator;
use super::saved::Sketches;
use super::{SliceStatistics, Statistics, StatisticsOptions};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::field_type::FieldType;

/// The analysis that makes [`Statistics`], of all columns in one pass, in memory that does not grow with the rows:
/// about 100 KB a column, and the longest strings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatisticsAccumulator {
    options: StatisticsOptions,
    plan: Plan,
    n_rows: u64,
    columns: Vec<ColumnAccumulator>,
    pairs: PairsAccumulator,
    slices: BTreeMap<String, StatisticsAccumulator>,
    labels: BTreeMap<String, StatisticsAccumulator>,
    /// The empty statistics that those of each slice begin with.
    fresh: Option<Box<StatisticsAccumulator>>,
    #[serde(skip)]
    scratch: Scratch,
}

impl StatisticsAccumulator {
    /// For batches of an Arrow schema.
    #[must_use]
    pub fn new(schema: &ArrowSchema) -> Self {
        StatisticsAccumulator::of(schema, StatisticsOptions::default(), Plan::default())
    }

    pub(super) fn with_options(schema: &ArrowSchema, options: &StatisticsOptions) -> Result<Self> {
        let plan = options.plan(schema)?;
        let mut whole = StatisticsAccumulator::of(schema, options.clone(), plan.clone());
        if !plan.slices.is_empty() || plan.label.is_some() {
            let options = StatisticsOptions {
                weight: options.weight.clone(),
                ..StatisticsOptions::default()
            };
            let plan = Plan {
                weight: plan.weight,
                ..Plan::default()
            };
            let fresh = StatisticsAccumulator::of(schema, options, plan);
            whole.fresh = Some(Box::new(fresh));
        }
        Ok(whole)
    }

    fn of(schema: &ArrowSchema, options: StatisticsOptions, plan: Plan) -> Self {
        let weighted = plan.weight.is_some();
        let column = |field: &arrow::datatypes::FieldRef| {
            ColumnAccumulator::new(field.name(), field.data_type(), weighted)
        };
        StatisticsAccumulator {
            n_rows: 0,
            columns: schema.fields().iter().map(column).collect(),
            pairs: PairsAccumulator::new(plan.pairs.len()),
            slices: BTreeMap::new(),
            labels: BTreeMap::new(),
            fresh: None,
            scratch: Scratch::default(),
            options,
            plan,
        }
    }

    /// The statistics of what was seen.
    #[must_use]
    pub fn finish(&self) -> Statistics {
        let mut columns = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let place = columns.len();
            column.finish(&mut columns);
            if self.plan.label.is_some_and(|label| label != at)
                && column.is_single()
                && let Some(statistics) = columns.get_mut(place)
            {
                let by_label: Vec<(&str, &ColumnAccumulator)> = self
                    .labels
                    .iter()
                    .filter_map(|(label, part)| Some((label.as_str(), part.columns.get(at)?)))
                    .collect();
                statistics.association = association(column, &by_label);
            }
        }
        let name = |at: usize| {
            self.columns
                .get(at)
                .map_or("", |column| column.name.as_str())
        };
        let pairs: Vec<(&str, &str)> = self
            .plan
            .pairs
            .iter()
            .map(|(a, b)| (name(*a), name(*b)))
            .collect();
        let slice = |(slice, part): (&String, &StatisticsAccumulator)| SliceStatistics {
            slice: slice.clone(),
            statistics: part.finish(),
        };
        Statistics {
            n_rows: self.n_rows,
            columns,
            pairs: self.pairs.finish(&pairs),
            slices: self.slices.iter().map(slice).collect(),
            sketches: Sketches::new(self.without_slices()),
        }
    }

    fn without_slices(&self) -> Self {
        StatisticsAccumulator {
            options: self.options.clone(),
            plan: self.plan.clone(),
            n_rows: self.n_rows,
            columns: self.columns.clone(),
            pairs: self.pairs.clone(),
            slices: BTreeMap::new(),
            labels: self.labels.clone(),
            fresh: self.fresh.clone(),
            scratch: Scratch::default(),
        }
    }

    pub(super) fn put_slice(&mut self, name: String, part: StatisticsAccumulator) {
        self.slices.insert(name, part);
    }

    /// All columns, each before those nested in it.
    pub(super) fn flat(&self) -> Vec<&ColumnAccumulator> {
        let mut columns = Vec::new();
        self.columns
            .iter()
            .for_each(|column| column.flat(&mut columns));
        columns
    }

    /// Returns true if what was read from outside is valid.
    pub(super) fn is_whole(&self) -> bool {
        let parts = self.slices.values().chain(self.labels.values());
        self.columns.iter().all(ColumnAccumulator::is_whole)
            && parts
                .chain(self.fresh.as_deref())
                .all(StatisticsAccumulator::is_whole)
    }

    fn weights(&self, batch: &RecordBatch) -> Result<Option<Vec<f64>>> {
        let (Some(at), Some(name)) = (self.plan.weight, &self.options.weight) else {
            return Ok(None);
        };
        let column = FieldType::Float.normalize(name, batch.column(at))?;
        let weight = |weight: Option<f64>| match weight {
            Some(weight) if (0.0..=StatisticsOptions::MAX_WEIGHT).contains(&weight) => Ok(weight),
            Some(weight) if weight > 0.0 && weight.is_finite() => Err(Error::data(format!(
                "weight column `{name}` is {weight:e} in a row, must be at most {:e}",
                StatisticsOptions::MAX_WEIGHT
            ))),
            Some(weight) => Err(Error::data(format!(
                "weight column `{name}` is {weight} in a row, must be a finite number of at least 0"
            ))),
            None => Err(Error::data(format!(
                "weight column `{name}` is NULL in a row, must be a finite number of at least 0"
            ))),
        };
        let weights = column.as_primitive::<Float64Type>().iter().map(weight);
        weights.collect::<Result<_>>().map(Some)
    }

    fn update_parts(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(fresh) = self.fresh.as_deref() else {
            return Ok(());
        };
        let options = &self.options;
        if let Some(label) = self.plan.label {
            for (name, rows) in by_label(batch, label, &options.label_boundaries)? {
                if !self.labels.contains_key(&name) {
                    check_labels(options, self.labels.len() + 1)?;
                }
                let part = self.labels.entry(name).or_insert_with(|| fresh.clone());
                part.update(&rows)?;
            }
        }
        for columns in &self.plan.slices {
            for (name, rows) in by_columns(batch, columns)? {
                if !self.slices.contains_key(&name) {
                    check_slices(options, self.slices.len() + 1)?;
                }
                let part = self.slices.entry(name).or_insert_with(|| fresh.clone());
                part.update(&rows)?;
            }
        }
        Ok(())
    }
}

fn check_labels(options: &StatisticsOptions, n: usize) -> Result<()> {
    if n > StatisticsOptions::MAX_LABELS {
        return Err(Error::data(format!(
            "label `{}` has more than {} values; cut it by label boundaries",
            options.label.as_deref().unwrap_or_default(),
            StatisticsOptions::MAX_LABELS
        )));
    }
    Ok(())
}

fn check_slices(options: &StatisticsOptions, n: usize) -> Result<()> {
    if n > StatisticsOptions::MAX_SLICES {
        let by: Vec<String> = options.slices.iter().map(|by| by.join(", ")).collect();
        return Err(Error::data(format!(
            "slicing by `{}` makes more than {} slices; slice by columns with fewer values",
            by.join("`, `"),
            StatisticsOptions::MAX_SLICES
        )));
    }
    Ok(())
}

impl Accumulate for StatisticsAccumulator {
    fn size(&self) -> usize {
        let columns = self.columns.iter();
        let columns = columns.map(|column| size_of_val(column) + column.held_bytes());
        let parts = self.slices.iter().chain(&self.labels);
        let parts = parts.map(|(name, part)| size_of::<String>() + name.capacity() + part.size());
        size_of_val(self)
            + columns.sum::<usize>()
            + self.pairs.held_bytes()
            + parts.sum::<usize>()
            + self.fresh.as_ref().map_or(0, |fresh| fresh.size())
            + self.scratch.held_bytes()
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::internal(
                "statistics of batches of different schemas",
            ));
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let weights = self.weights(batch)?;
        self.n_rows = self.n_rows.saturating_add(batch.num_rows() as u64);
        for (accumulator, column) in self.columns.iter_mut().zip(batch.columns()) {
            accumulator.update(column, weights.as_deref(), &mut self.scratch)?;
        }
        if !self.plan.pairs.is_empty() {
            self.pairs.update(batch, &self.plan.pairs)?;
        }
        self.update_parts(batch)
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.columns.len() != other.columns.len() || self.plan != other.plan {
            return Err(Error::data(
                "statistics of different columns or options cannot be merged",
            ));
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.merge(theirs)?;
        }
        self.n_rows = self.n_rows.saturating_add(other.n_rows);
        self.pairs.merge(&other.pairs)?;
        for (parts, others) in [
            (&mut self.slices, other.slices),
            (&mut self.labels, other.labels),
        ] {
            for (name, theirs) in others {
                match parts.get_mut(&name) {
                    Some(mine) => mine.merge(theirs)?,
                    None => {
                        parts.insert(name, theirs);
                    }
                }
            }
        }
        check_labels(&self.options, self.labels.len())?;
        check_slices(&self.options, self.slices.len())
    }
}

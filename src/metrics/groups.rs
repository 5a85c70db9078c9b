//! The counts of the rows of a slice.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::binary::{self, Binary};
use super::catalogue::{parse, unasked};
use super::estimate::{Mean, Point};
use super::multiclass::{self, Multiclass};
use super::regression::{self, Regression};
use super::{AnyState, Catalogue, Depth, Evaluator, Metrics, SliceBy};
use crate::error::{Error, Result};
use crate::model::Target;

/// The metrics to compute.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) target: Arc<Target>,
    /// The threshold of the baseline, for two classes.
    pub(super) baseline_threshold: f64,
    pub(super) catalogue: Catalogue,
    /// Names with parameters, which are computed only on request.
    pub(super) asked: Vec<String>,
    pub(super) slice_by: Vec<SliceBy>,
}

/// The slices of one way of slicing, by key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Slices {
    pub(super) groups: Vec<(String, Group)>,
    #[serde(skip)]
    pub(super) places: HashMap<String, usize>,
}

/// The rows that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rows {
    All,
    Slice,
}

/// The rows of a slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    of: Rows,
    pub(super) candidate: Counts,
    pub(super) baseline: Option<Counts>,
    pub(super) paired: Paired,
}

/// The counts of one model's answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) sums: Sums,
    pub(super) own: Vec<AnyState>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Sums {
    Binary(Binary),
    Multiclass(Multiclass),
    Regression(Regression),
}

/// The differences of candidate and baseline, row by row: of three losses, and whether the answers differ.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Paired {
    pub(super) losses: [Mean; 3],
    pub(super) flips: Mean,
}

/// A row as its task counts it.
pub(super) enum Row<'a> {
    Binary(binary::Row),
    Multiclass(multiclass::Row<'a>),
    Regression(regression::Row),
}

impl Row<'_> {
    pub(super) fn key(&self) -> u32 {
        match self {
            Row::Binary(row) => row.key(),
            Row::Multiclass(_) => 0,
            Row::Regression(row) => row.key(),
        }
    }

    pub(super) fn losses(&self) -> [f64; 3] {
        match self {
            Row::Binary(row) => row.losses(),
            Row::Multiclass(row) => row.losses(),
            Row::Regression(row) => row.losses(),
        }
    }
}

impl Sums {
    fn new(target: &Target, of: Rows) -> Self {
        match target.classes() {
            [] => Sums::Regression(Regression::default()),
            [_, _] => Sums::Binary(Binary::default()),
            classes => {
                let n = classes.len();
                let areas = of == Rows::All || n <= Evaluator::MAX_CLASSES_OF_AREAS;
                Sums::Multiclass(Multiclass::new(n, areas))
            }
        }
    }

    pub(super) fn add(&mut self, row: &Row<'_>) {
        match (self, row) {
            (Sums::Binary(sums), Row::Binary(row)) => sums.add(row),
            (Sums::Multiclass(sums), Row::Multiclass(row)) => sums.add(row),
            (Sums::Regression(sums), Row::Regression(row)) => sums.add(row),
            _ => {}
        }
    }

    pub(super) fn end_batch(&mut self) {
        match self {
            Sums::Binary(sums) => sums.end_batch(),
            Sums::Multiclass(sums) => sums.end_batch(),
            Sums::Regression(sums) => sums.end_batch(),
        }
    }

    pub(super) fn merge(&mut self, other: &Sums) -> Result<()> {
        match (self, other) {
            (Sums::Binary(mine), Sums::Binary(theirs)) => mine.merge(theirs),
            (Sums::Multiclass(mine), Sums::Multiclass(theirs)) => mine.merge(theirs),
            (Sums::Regression(mine), Sums::Regression(theirs)) => mine.merge(theirs),
            _ => return Err(Error::internal("metrics of different tasks merged")),
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Sums::Binary(sums) => sums.rows(),
            Sums::Multiclass(sums) => sums.rows(),
            Sums::Regression(sums) => sums.rows(),
        }
    }

    fn values(&self, metrics: &[(&str, Vec<f64>)], depth: Depth) -> Vec<Option<Point>> {
        let each = |of: &dyn Fn(&str, &[f64]) -> Option<Point>| {
            let metrics = metrics.iter();
            metrics.map(|(name, args)| of(name, args)).collect()
        };
        match self {
            Sums::Binary(sums) => sums.values(metrics, depth.n_buckets()),
            Sums::Multiclass(sums) => each(&|name, args| sums.value(name, args)),
            Sums::Regression(sums) => each(&|name, args| sums.value(name, args)),
        }
    }
}

impl Counts {
    fn new(setup: &Setup, of: Rows) -> Self {
        let own = setup.catalogue.own().iter();
        Counts {
            sums: Sums::new(&setup.target, of),
            own: own
                .filter(|metric| metric.tasks().contains(&setup.target.task()))
                .map(|metric| metric.start(&setup.target))
                .collect(),
        }
    }

    pub(super) fn merge(&mut self, other: Counts) -> Result<()> {
        self.sums.merge(&other.sums)?;
        for (mine, theirs) in self.own.iter_mut().zip(other.own) {
            mine.merge(theirs)?;
        }
        Ok(())
    }

    pub(super) fn finish(&self, setup: &Setup, depth: Depth) -> Metrics {
        let rows = self.sums.rows();
        let task = setup.target.task();
        let mut names: Vec<&str> = unasked(task).collect();
        names.extend(setup.asked.iter().map(String::as_str));
        names.retain(|name| parse(name).is_some());
        let parsed: Vec<(&str, Vec<f64>)> = names.iter().filter_map(|name| parse(name)).collect();
        let values = self.sums.values(&parsed, depth);
        let ours = names.into_iter().zip(values).filter_map(|(name, value)| {
            let value = value?.with_support(rows)?;
            Some((name.to_owned(), value))
        });
        let metrics = setup.catalogue.own().iter();
        let metrics = metrics.filter(|metric| metric.tasks().contains(&task));
        let own = metrics.zip(&self.own).filter_map(|(metric, state)| {
            let value = state.finish().filter(|value| value.value.is_finite())?;
            Some((metric.name().to_owned(), value))
        });
        ours.chain(own).collect()
    }
}

impl Group {
    pub(super) fn new(setup: &Setup, of: Rows) -> Self {
        Group {
            of,
            candidate: Counts::new(setup, of),
            baseline: None,
            paired: Paired::default(),
        }
    }

    pub(super) fn counts(&mut self, which: Which, setup: &Setup) -> &mut Counts {
        match which {
            Which::Candidate => &mut self.candidate,
            Which::Baseline => self
                .baseline
                .get_or_insert_with(|| Counts::new(setup, self.of)),
        }
    }

    pub(super) fn end_batch(&mut self) {
        self.candidate.sums.end_batch();
        if let Some(baseline) = &mut self.baseline {
            baseline.sums.end_batch();
        }
    }

    pub(super) fn merge(&mut self, other: Group, setup: &Setup) -> Result<()> {
        self.candidate.merge(other.candidate)?;
        if let Some(theirs) = other.baseline {
            self.counts(Which::Baseline, setup).merge(theirs)?;
        }
        for (mine, theirs) in self.paired.losses.iter_mut().zip(&other.paired.losses) {
            mine.merge(theirs);
        }
        self.paired.flips.merge(&other.paired.flips);
        Ok(())
    }

    /// The candidate's metrics less the baseline's, of those that are means of a loss of each row.
    pub(super) fn changes(&self, setup: &Setup) -> Metrics {
        let rows = self.candidate.sums.rows();
        let names: [&str; 3] = match self.candidate.sums {
            Sums::Binary(_) | Sums::Multiclass(_) => ["log_loss", "brier", "accuracy"],
            Sums::Regression(_) => ["mae", "mse", ""],
        };
        let flips = match setup.target.classes() {
            [] => "mean_change",
            _ => "flip_rate",
        };
        let losses = names.iter().zip(&self.paired.losses);
        losses
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, mean)| (*name, mean.point()))
            .chain([(flips, self.paired.flips.point())])
            .filter_map(|(name, point)| Some((name.to_owned(), point.with_support(rows)?)))
            .collect()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Candidate,
    Baseline,
}

impl Setup {
    /// The probability of the positive class from which a model answers it.
    pub(super) fn threshold(&self, which: Which) -> f64 {
        match which {
            Which::Candidate => self.target.threshold(),
            Which::Baseline => self.baseline_threshold,
        }
    }
}

impl Slices {
    /// The place of each key of a dictionary.
    pub(super) fn places(
        &mut self,
        keys: &arrow::array::StringArray,
        by: &SliceBy,
        setup: &Setup,
    ) -> Result<Vec<usize>> {
        let mut places = Vec::with_capacity(keys.len());
        for key in keys.iter().map(Option::unwrap_or_default) {
            places.push(self.place(key, by, setup)?);
        }
        Ok(places)
    }

    pub(super) fn place(&mut self, key: &str, by: &SliceBy, setup: &Setup) -> Result<usize> {
        if let Some(place) = self.places.get(key) {
            return Ok(*place);
        }
        let place = self.groups.len();
        if place >= Evaluator::MAX_SLICES {
            let columns: Vec<&str> = by.columns().collect();
            return Err(Error::data(format!(
                "column `{}` has more than {} values, too many to slice by",
                columns.join("`, `"),
                Evaluator::MAX_SLICES
            )));
        }
        self.groups
            .push((key.to_owned(), Group::new(setup, Rows::Slice)));
        self.places.insert(key.to_owned(), place);
        Ok(place)
    }
}

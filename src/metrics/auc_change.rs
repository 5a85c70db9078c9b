//! The paired difference of two models' areas under the curve, over all rows and by slice.
//!
//! It takes a second look at the rows: DeLong's components of each row are known once both models' ranks are.

use arrow::array::RecordBatch;
use fourfold_kernels::scores::{self, Paired, Ranks};

use super::estimate::Point;
use super::groups::{Group, Slices, Sums};
use super::scored::View;
use super::{Evaluation, Evaluator, MetricValue, Slice};
use crate::error::Result;

/// The ranks of both models in each group of rows. Cheap to look at from several threads; see [`AucChange`].
pub(crate) struct BothRanks {
    overall: Option<(Ranks, Ranks)>,
    /// For each way of slicing, those of each slice, in the order of the evaluator's groups.
    slices: Vec<Vec<Option<(Ranks, Ranks)>>>,
}

/// The sums of a part of the rows.
pub(crate) struct AucChange {
    overall: (Paired, u64),
    slices: Vec<Vec<(Paired, u64)>>,
}

fn of_group(group: &Group) -> Option<(Ranks, Ranks)> {
    match (&group.candidate.sums, &group.baseline.as_ref()?.sums) {
        (Sums::Binary(candidate), Sums::Binary(baseline)) => Some((
            Ranks::new(candidate.buckets())?,
            Ranks::new(baseline.buckets())?,
        )),
        _ => None,
    }
}

impl BothRanks {
    /// `None` without a baseline or without both classes.
    pub(crate) fn of(evaluator: &Evaluator) -> Option<Self> {
        let of_slices = |slices: &Slices| {
            let groups = slices.groups.iter();
            groups.map(|(_, group)| of_group(group)).collect()
        };
        let ranks = BothRanks {
            overall: of_group(evaluator.overall()),
            slices: evaluator.slices().iter().map(of_slices).collect(),
        };
        ranks.overall.is_some().then_some(ranks)
    }

    pub(crate) fn start(&self) -> AucChange {
        let zeros = |slices: &Vec<_>| vec![(Paired::default(), 0); slices.len()];
        AucChange {
            overall: (Paired::default(), 0),
            slices: self.slices.iter().map(zeros).collect(),
        }
    }

    /// The differences, by the names of the evaluator's slices.
    pub(crate) fn finish(
        &self,
        evaluator: &Evaluator,
        sums: &AucChange,
        changes: &mut Evaluation,
    ) -> Result<()> {
        let name = || "auc".to_owned();
        let overall = self.overall.as_ref();
        if let Some(change) = overall.and_then(|ranks| difference(ranks, sums.overall)) {
            changes.overall.insert(name(), change);
        }
        for (at, (ranks, sums)) in self.slices.iter().zip(&sums.slices).enumerate() {
            let found = ranks.iter().zip(sums).enumerate();
            let found = found.filter_map(|(group, (ranks, sums))| {
                Some((group, difference(ranks.as_ref()?, *sums)?))
            });
            for (group, change) in found {
                let slice: Slice = evaluator.slice(at, group)?;
                let of_slice = changes.slices.iter_mut().find(|of| of.slice == slice);
                if let Some(of_slice) = of_slice {
                    of_slice.metrics.insert(name(), change);
                }
            }
        }
        Ok(())
    }
}

fn difference((ours, theirs): &(Ranks, Ranks), (sums, rows): (Paired, u64)) -> Option<MetricValue> {
    let found = sums.difference(ours, theirs);
    Point::normal(found.value, found.variance, rows as f64).with_support(rows)
}

impl AucChange {
    /// Takes in rows that the evaluator has seen.
    pub(crate) fn add(
        &mut self,
        ranks: &BothRanks,
        evaluator: &Evaluator,
        batch: &RecordBatch,
    ) -> Result<()> {
        let view = View::of(batch)?;
        let Some(baseline) = view.baseline else {
            return Ok(());
        };
        let places = evaluator.known_places(&view)?;
        for (at, label) in view.labels.iter().enumerate() {
            if label.is_nan() {
                continue;
            }
            let keys = (
                scores::key_of(view.candidate[(at, 0)]),
                scores::key_of(baseline[(at, 0)]),
            );
            let (positive, weight) = (*label > 0.5, view.weight(at));
            let add = |ranks: &Option<(Ranks, Ranks)>, sums: &mut (Paired, u64)| {
                if let Some((ours, theirs)) = ranks {
                    sums.0.add(ours, theirs, positive, weight, keys);
                    sums.1 += 1;
                }
            };
            add(&ranks.overall, &mut self.overall);
            for (by, (places, keys)) in places.iter().zip(&view.keys).enumerate() {
                let place = places[keys.keys().value(at) as usize];
                add(&ranks.slices[by][place], &mut self.slices[by][place]);
            }
        }
        Ok(())
    }

    /// Takes in another part of the rows.
    pub(crate) fn merge(&mut self, other: &AucChange) {
        let ours = self.slices.iter_mut().flatten();
        let theirs = other.slices.iter().flatten();
        let pairs = ours
            .zip(theirs)
            .chain([(&mut self.overall, &other.overall)]);
        for (mine, theirs) in pairs {
            mine.0.merge(&theirs.0);
            mine.1 += theirs.1;
        }
    }
}

//! The accumulator that scores predictions.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, DictionaryArray, RecordBatch};
use arrow::datatypes::Int32Type;
use fourfold_kernels::scores;
use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::groups::{Group, Row, Rows, Setup, Slices, Which};
use super::scored::View;
use super::{
    Catalogue, Depth, Details, Evaluation, Metrics, ScoredRow, Slice, SliceBy, SliceMetrics,
    binary, count_unseen, multiclass, regression,
};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::model::Target;

/// The work allowed for intervals, of all rows and of a slice.
const FULL: (Depth, Depth) = (Depth::Full, Depth::Slice);
const QUICK: (Depth, Depth) = (Depth::Quick, Depth::Quick);

/// Scores predictions that are columns: the metrics of a candidate, and of a baseline beside it row by row, overall and by
/// slice. It holds no model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluator {
    #[serde(skip)]
    setup: Option<Arc<Setup>>,
    overall: Group,
    slices: Vec<Slices>,
    unseen: BTreeMap<String, u64>,
}

impl Evaluator {
    /// The metrics whose difference from the baseline has an interval without resampling.
    pub const PAIRED: [&str; 6] = ["auc", "log_loss", "brier", "accuracy", "mae", "mse"];
    /// The most values that a column to slice by may have.
    pub const MAX_SLICES: usize = 10_000;
    /// The largest number of classes with which slices, too, have areas under curves, `auc_ovr`.
    pub const MAX_CLASSES_OF_AREAS: usize = 10;
    /// The most classes that the target does not know and that are named.
    pub const MAX_UNSEEN: usize = 1_000;

    /// An evaluator of predictions of a target. `asked` are the names of metrics with parameters, which are computed when
    /// asked for only.
    #[must_use]
    pub fn new(
        target: Arc<Target>,
        catalogue: Catalogue,
        asked: Vec<String>,
        slice_by: Vec<SliceBy>,
    ) -> Self {
        let setup = Setup {
            baseline_threshold: target.threshold(),
            target,
            catalogue,
            asked: asked
                .into_iter()
                .filter(|name| Catalogue::is_computed_when_asked(name))
                .collect(),
            slice_by,
        };
        Evaluator {
            overall: Group::new(&setup, Rows::All),
            slices: vec![Slices::default(); setup.slice_by.len()],
            unseen: BTreeMap::new(),
            setup: Some(Arc::new(setup)),
        }
    }

    /// The same with the decision threshold of the baseline, by default that of the target.
    #[must_use]
    pub fn with_baseline_threshold(mut self, threshold: f64) -> Self {
        if let Some(setup) = self.setup.as_mut().and_then(Arc::get_mut) {
            setup.baseline_threshold = threshold;
        }
        self
    }

    fn setup(&self) -> Result<Arc<Setup>> {
        let setup = self.setup.clone();
        setup.ok_or_else(|| Error::internal("an evaluator without its target"))
    }

    /// The metrics of the candidate.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) never for an evaluator that was made by [`Evaluator::new`].
    pub fn finish(&self) -> Result<Evaluation> {
        let setup = self.setup()?;
        let mut evaluation = self.evaluation(&setup, FULL, |group, depth| {
            Some(group.candidate.finish(&setup, depth))
        });
        evaluation.unseen_classes.clone_from(&self.unseen);
        evaluation.details = Details::of(&setup.target, &self.overall.candidate.sums);
        Ok(evaluation)
    }

    /// The metrics of the baseline; empty if there is none.
    ///
    /// # Errors
    /// As [`Evaluator::finish`].
    pub fn finish_baseline(&self) -> Result<Evaluation> {
        let setup = self.setup()?;
        let mut evaluation = self.evaluation(&setup, FULL, |group, depth| {
            Some(group.baseline.as_ref()?.finish(&setup, depth))
        });
        evaluation.unseen_classes.clone_from(&self.unseen);
        Ok(evaluation)
    }

    /// The metrics of the candidate less those of the baseline, of the metrics whose difference has an interval: both
    /// models answer the same rows, so the interval of the difference is narrower than those of the two.
    ///
    /// # Errors
    /// As [`Evaluator::finish`].
    pub fn finish_changes(&self) -> Result<Evaluation> {
        let setup = self.setup()?;
        Ok(self.evaluation(&setup, QUICK, |group, _| {
            group.baseline.as_ref()?;
            Some(group.changes(&setup))
        }))
    }

    /// The candidate's metrics and the baseline's, without what takes resampling.
    pub(crate) fn quick(&self) -> Result<(Evaluation, Evaluation)> {
        let setup = self.setup()?;
        let candidate = self.evaluation(&setup, QUICK, |group, depth| {
            Some(group.candidate.finish(&setup, depth))
        });
        let baseline = self.evaluation(&setup, QUICK, |group, depth| {
            Some(group.baseline.as_ref()?.finish(&setup, depth))
        });
        Ok((candidate, baseline))
    }

    fn evaluation(
        &self,
        setup: &Setup,
        (of_all, of_slice): (Depth, Depth),
        of: impl Fn(&Group, Depth) -> Option<Metrics>,
    ) -> Evaluation {
        let mut slices: Vec<SliceMetrics> = Vec::new();
        for (by, found) in setup.slice_by.iter().zip(&self.slices) {
            let found = found.groups.iter().filter_map(|(key, group)| {
                Some(SliceMetrics {
                    slice: by.slice(key),
                    metrics: of(group, of_slice)?,
                })
            });
            let start = slices.len();
            slices.extend(found);
            slices[start..].sort_by(|a, b| a.slice.cmp(&b.slice));
        }
        Evaluation {
            overall: of(&self.overall, of_all).unwrap_or_default(),
            slices,
            ..Evaluation::default()
        }
    }

    pub(super) fn overall(&self) -> &Group {
        &self.overall
    }

    pub(super) fn slices(&self) -> &[Slices] {
        &self.slices
    }

    /// The slice of a group of a way of slicing.
    pub(crate) fn slice(&self, by: usize, group: usize) -> Result<Slice> {
        let setup = self.setup()?;
        let found = self.slices.get(by).and_then(|by| by.groups.get(group));
        let found = found.zip(setup.slice_by.get(by));
        found
            .map(|((key, _), by)| by.slice(key))
            .ok_or_else(|| Error::internal("a slice that is not there"))
    }

    /// For each way of slicing, the place of each key of rows that were counted.
    pub(crate) fn known_places(&self, view: &View<'_>) -> Result<Vec<Vec<usize>>> {
        let unknown = || Error::internal("rows of a slice that was not counted");
        let of = |(slices, keys): (&Slices, &&DictionaryArray<Int32Type>)| {
            let names = keys.values().as_string_opt::<i32>().ok_or_else(unknown)?;
            let place = |name: Option<&str>| {
                let place = slices.places.get(name.unwrap_or_default());
                place.copied().ok_or_else(unknown)
            };
            names.iter().map(place).collect()
        };
        self.slices.iter().zip(&view.keys).map(of).collect()
    }

    fn rows<'a>(
        setup: &Setup,
        which: Which,
        view: &View<'a>,
        outputs: ArrayView2<'a, f64>,
    ) -> Vec<Row<'a>> {
        let threshold = setup.threshold(which);
        let [ours, theirs] = view.intervals;
        let intervals = match which {
            Which::Candidate => ours,
            Which::Baseline => theirs,
        };
        let interval = |at: usize| intervals.map(|ends| (ends[(at, 0)], ends[(at, 1)]));
        let row = |(at, label): (usize, &f64)| {
            let outputs = outputs.index_axis_move(Axis(0), at);
            let weight = view.weight(at);
            match setup.target.classes() {
                [] => {
                    let row = regression::Row::new(*label, outputs[0], weight, interval(at));
                    Row::Regression(row)
                }
                [_, _] => Row::Binary(binary::Row::new(*label, outputs[0], weight, threshold)),
                _ => {
                    let unseen = view.unseen(at);
                    Row::Multiclass(multiclass::Row::new(*label, unseen, outputs, weight))
                }
            }
        };
        view.labels.iter().enumerate().map(row).collect()
    }

    fn add(
        &mut self,
        setup: &Setup,
        which: Which,
        (view, outputs): (&View<'_>, ArrayView2<'_, f64>),
        rows: &[Row<'_>],
        places: &[Vec<usize>],
    ) {
        let keys: Vec<u32> = rows.iter().map(Row::key).collect();
        let order = scores::order(&keys);
        let codes: Vec<&[i32]> = view
            .keys
            .iter()
            .map(|keys| &**keys.keys().values())
            .collect();
        for at in order.into_iter().map(|at| at as usize) {
            self.overall.counts(which, setup).sums.add(&rows[at]);
            for ((slices, places), codes) in self.slices.iter_mut().zip(places).zip(&codes) {
                let place = places[codes[at] as usize];
                slices.groups[place]
                    .1
                    .counts(which, setup)
                    .sums
                    .add(&rows[at]);
            }
        }
        if self.overall.candidate.own.is_empty() {
            return;
        }
        for (at, (label, outputs)) in view.labels.iter().zip(outputs.rows()).enumerate() {
            let row = ScoredRow::new(*label, outputs, view.weight(at));
            let count = |group: &mut Group| {
                for state in &mut group.counts(which, setup).own {
                    state.add(&row);
                }
            };
            count(&mut self.overall);
            for ((slices, places), codes) in self.slices.iter_mut().zip(places).zip(&codes) {
                count(&mut slices.groups[places[codes[at] as usize]].1);
            }
        }
    }

    fn add_paired(
        &mut self,
        setup: &Setup,
        view: &View<'_>,
        baseline: ArrayView2<'_, f64>,
        rows: (&[Row<'_>], &[Row<'_>]),
        places: &[Vec<usize>],
    ) {
        for at in 0..view.n_rows() {
            let (ours, theirs) = (rows.0[at].losses(), rows.1[at].losses());
            let (a, b) = (view.candidate.row(at), baseline.row(at));
            let flip = match setup.target.classes() {
                [] => (a[0] - b[0]).abs(),
                [_, _] => f64::from(
                    (a[0] > setup.threshold(Which::Candidate))
                        != (b[0] > setup.threshold(Which::Baseline)),
                ),
                _ => f64::from(crate::model::most_probable(a) != crate::model::most_probable(b)),
            };
            let weight = view.weight(at);
            let count = |group: &mut Group| {
                for (mean, (ours, theirs)) in
                    group.paired.losses.iter_mut().zip(ours.iter().zip(&theirs))
                {
                    mean.add(ours - theirs, weight);
                }
                group.paired.flips.add(flip, weight);
            };
            count(&mut self.overall);
            for ((slices, places), keys) in self.slices.iter_mut().zip(places).zip(&view.keys) {
                count(&mut slices.groups[places[keys.keys().value(at) as usize]].1);
            }
        }
    }
}

impl Accumulate for Evaluator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let setup = self.setup()?;
        let view = View::of(batch)?;
        if view.keys.len() != self.slices.len() {
            return Err(Error::internal("scored rows of other slices"));
        }
        let mut places = Vec::with_capacity(self.slices.len());
        for ((slices, keys), by) in self.slices.iter_mut().zip(&view.keys).zip(&setup.slice_by) {
            let names = keys.values().as_string_opt::<i32>();
            let names =
                names.ok_or_else(|| Error::internal("keys of slices that are not strings"))?;
            places.push(slices.places(names, by, &setup)?);
        }
        let rows = Self::rows(&setup, Which::Candidate, &view, view.candidate);
        self.add(
            &setup,
            Which::Candidate,
            (&view, view.candidate),
            &rows,
            &places,
        );
        if let Some(baseline) = view.baseline {
            let theirs = Self::rows(&setup, Which::Baseline, &view, baseline);
            self.add(&setup, Which::Baseline, (&view, baseline), &theirs, &places);
            self.add_paired(&setup, &view, baseline, (&rows, &theirs), &places);
        }
        for row in 0..view.n_rows() {
            if let Some(class) = view.unseen(row) {
                count_unseen(&mut self.unseen, Some(class), 1);
            }
        }
        self.overall.end_batch();
        for (_, group) in self.slices.iter_mut().flat_map(|slices| &mut slices.groups) {
            group.end_batch();
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        let setup = self.setup()?;
        self.overall.merge(other.overall, &setup)?;
        for ((mine, theirs), by) in self
            .slices
            .iter_mut()
            .zip(other.slices)
            .zip(&setup.slice_by)
        {
            for (key, group) in theirs.groups {
                let place = mine.place(&key, by, &setup)?;
                mine.groups[place].1.merge(group, &setup)?;
            }
        }
        for (class, rows) in &other.unseen {
            count_unseen(&mut self.unseen, Some(class), *rows);
        }
        Ok(())
    }
}

/// The candidate's loss for each row: log loss of classes, absolute error of values.
pub(crate) fn row_losses(target: &Target, view: &View<'_>) -> Vec<f64> {
    let rows = view.labels.iter().zip(view.candidate.rows()).enumerate();
    let losses = rows.map(|(at, (label, outputs))| {
        let loss = match target.classes() {
            [] => regression::Row::new(*label, outputs[0], 1.0, None).losses(),
            [_, _] => binary::Row::new(*label, outputs[0], 1.0, target.threshold()).losses(),
            _ => multiclass::Row::new(*label, view.unseen(at), outputs, 1.0).losses(),
        };
        loss[0]
    });
    losses.collect()
}

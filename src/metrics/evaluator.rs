//! The accumulator that scores predictions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use fourfold_kernels::scores::{self, Ranks};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::binary::{self, Binary};
use super::catalogue::{parse, unasked};
use super::estimate::{Mean, Point};
use super::multiclass::{self, Multiclass};
use super::regression::{self, Regression};
use super::scored::View;
use super::{
    AnyState, Catalogue, Depth, Evaluation, MetricValue, Metrics, ScoredRow, SliceBy, SliceMetrics,
    count_unseen,
};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::model::Target;

/// What is to be computed.
#[derive(Debug)]
struct Setup {
    target: Arc<Target>,
    catalogue: Catalogue,
    /// Names with parameters, which are computed when asked for only.
    asked: Vec<String>,
    slice_by: Vec<SliceBy>,
}

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

/// The slices of one way of slicing, by key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Slices {
    groups: Vec<(String, Group)>,
    #[serde(skip)]
    places: HashMap<String, usize>,
}

/// The rows of a slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    candidate: Counts,
    baseline: Option<Counts>,
    paired: Paired,
}

/// What is counted of one model's answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counts {
    sums: Sums,
    own: Vec<AnyState>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Sums {
    Binary(Binary),
    Multiclass(Multiclass),
    Regression(Regression),
}

/// The differences of candidate and baseline, row by row: of three losses, and whether the answers differ.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Paired {
    losses: [Mean; 3],
    flips: Mean,
}

/// A row as its task counts it.
enum Row<'a> {
    Binary(binary::Row),
    Multiclass(multiclass::Row<'a>),
    Regression(regression::Row),
}

impl Row<'_> {
    fn key(&self) -> u32 {
        match self {
            Row::Binary(row) => row.key(),
            Row::Multiclass(_) => 0,
            Row::Regression(row) => row.key(),
        }
    }

    fn losses(&self) -> [f64; 3] {
        match self {
            Row::Binary(row) => row.losses(),
            Row::Multiclass(row) => row.losses(),
            Row::Regression(row) => row.losses(),
        }
    }
}

impl Sums {
    fn new(target: &Target) -> Self {
        match target.classes() {
            [] => Sums::Regression(Regression::default()),
            [_, _] => Sums::Binary(Binary::default()),
            classes => Sums::Multiclass(Multiclass::new(classes.len())),
        }
    }

    fn add(&mut self, row: &Row<'_>) {
        match (self, row) {
            (Sums::Binary(sums), Row::Binary(row)) => sums.add(row),
            (Sums::Multiclass(sums), Row::Multiclass(row)) => sums.add(row),
            (Sums::Regression(sums), Row::Regression(row)) => sums.add(row),
            _ => {}
        }
    }

    fn end_batch(&mut self) {
        match self {
            Sums::Binary(sums) => sums.end_batch(),
            Sums::Multiclass(_) => {}
            Sums::Regression(sums) => sums.end_batch(),
        }
    }

    fn merge(&mut self, other: &Sums) -> Result<()> {
        match (self, other) {
            (Sums::Binary(mine), Sums::Binary(theirs)) => mine.merge(theirs),
            (Sums::Multiclass(mine), Sums::Multiclass(theirs)) => mine.merge(theirs),
            (Sums::Regression(mine), Sums::Regression(theirs)) => mine.merge(theirs),
            _ => return Err(Error::internal("metrics of different tasks merged")),
        }
        Ok(())
    }

    fn rows(&self) -> u64 {
        match self {
            Sums::Binary(sums) => sums.rows(),
            Sums::Multiclass(sums) => sums.rows(),
            Sums::Regression(sums) => sums.rows(),
        }
    }

    fn value(&self, name: &str, args: &[f64], depth: Depth) -> Option<Point> {
        match self {
            Sums::Binary(sums) => sums.value(name, args, depth),
            Sums::Multiclass(sums) => sums.value(name, args),
            Sums::Regression(sums) => sums.value(name, args),
        }
    }
}

impl Counts {
    fn new(setup: &Setup) -> Self {
        let own = setup.catalogue.own().iter();
        Counts {
            sums: Sums::new(&setup.target),
            own: own
                .filter(|metric| metric.tasks().contains(&setup.target.task()))
                .map(|metric| metric.start(&setup.target))
                .collect(),
        }
    }

    fn merge(&mut self, other: Counts) -> Result<()> {
        self.sums.merge(&other.sums)?;
        for (mine, theirs) in self.own.iter_mut().zip(other.own) {
            mine.merge(theirs)?;
        }
        Ok(())
    }

    fn finish(&self, setup: &Setup, depth: Depth) -> Metrics {
        let rows = self.sums.rows();
        let task = setup.target.task();
        let mut names: Vec<&str> = unasked(task).collect();
        names.extend(setup.asked.iter().map(String::as_str));
        let ours = names.into_iter().filter_map(|name| {
            let (base, args) = parse(name)?;
            let value = self.sums.value(base, &args, depth)?.with_support(rows)?;
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
    fn new(setup: &Setup) -> Self {
        Group {
            candidate: Counts::new(setup),
            baseline: None,
            paired: Paired::default(),
        }
    }

    fn counts(&mut self, which: Which, setup: &Setup) -> &mut Counts {
        match which {
            Which::Candidate => &mut self.candidate,
            Which::Baseline => self.baseline.get_or_insert_with(|| Counts::new(setup)),
        }
    }

    fn end_batch(&mut self) {
        self.candidate.sums.end_batch();
        if let Some(baseline) = &mut self.baseline {
            baseline.sums.end_batch();
        }
    }

    fn merge(&mut self, other: Group, setup: &Setup) -> Result<()> {
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
    fn changes(&self, setup: &Setup) -> Metrics {
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
enum Which {
    Candidate,
    Baseline,
}

impl Slices {
    /// The place of each key of a dictionary.
    fn places(
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

    fn place(&mut self, key: &str, by: &SliceBy, setup: &Setup) -> Result<usize> {
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
        self.groups.push((key.to_owned(), Group::new(setup)));
        self.places.insert(key.to_owned(), place);
        Ok(place)
    }
}

impl Evaluator {
    /// The most values that a column to slice by may have.
    pub const MAX_SLICES: usize = 10_000;
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
            target,
            catalogue,
            asked: asked
                .into_iter()
                .filter(|name| name.contains('('))
                .collect(),
            slice_by,
        };
        Evaluator {
            overall: Group::new(&setup),
            slices: vec![Slices::default(); setup.slice_by.len()],
            unseen: BTreeMap::new(),
            setup: Some(Arc::new(setup)),
        }
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
        let mut evaluation = self.evaluation(&setup, |group, depth| {
            Some(group.candidate.finish(&setup, depth))
        });
        evaluation.unseen_classes.clone_from(&self.unseen);
        Ok(evaluation)
    }

    /// The metrics of the baseline; empty if there is none.
    ///
    /// # Errors
    /// As [`Evaluator::finish`].
    pub fn finish_baseline(&self) -> Result<Evaluation> {
        let setup = self.setup()?;
        let mut evaluation = self.evaluation(&setup, |group, depth| {
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
        Ok(self.evaluation(&setup, |group, _| {
            group.baseline.as_ref()?;
            Some(group.changes(&setup))
        }))
    }

    /// Without what takes resampling.
    #[cfg(test)]
    pub(super) fn quick(&self) -> Result<Evaluation> {
        let setup = self.setup()?;
        Ok(self.evaluation(&setup, |group, _| {
            Some(group.candidate.finish(&setup, Depth::Quick))
        }))
    }

    fn evaluation(
        &self,
        setup: &Setup,
        of: impl Fn(&Group, Depth) -> Option<Metrics>,
    ) -> Evaluation {
        let mut slices: Vec<SliceMetrics> = Vec::new();
        for (by, found) in setup.slice_by.iter().zip(&self.slices) {
            let found = found.groups.iter().filter_map(|(key, group)| {
                Some(SliceMetrics {
                    slice: by.slice(key),
                    metrics: of(group, Depth::Quick)?,
                })
            });
            let start = slices.len();
            slices.extend(found);
            slices[start..].sort_by(|a, b| a.slice.cmp(&b.slice));
        }
        Evaluation {
            overall: of(&self.overall, Depth::Full).unwrap_or_default(),
            slices,
            unseen_classes: BTreeMap::new(),
        }
    }

    /// Both models' ranks over all rows, for what takes a second look at the rows; `None` without a baseline or without
    /// both classes.
    pub(crate) fn ranks(&self) -> Option<(Ranks, Ranks)> {
        match (
            &self.overall.candidate.sums,
            &self.overall.baseline.as_ref()?.sums,
        ) {
            (Sums::Binary(candidate), Sums::Binary(baseline)) => Some((
                Ranks::new(candidate.buckets())?,
                Ranks::new(baseline.buckets())?,
            )),
            _ => None,
        }
    }

    fn rows<'a>(setup: &Setup, view: &View<'a>, outputs: ArrayView2<'a, f64>) -> Vec<Row<'a>> {
        let rows = view.labels.iter().zip(outputs.rows()).enumerate();
        let row = |(at, (label, outputs)): (usize, (&f64, ndarray::ArrayView1<'_, f64>))| {
            let weight = view.weight(at);
            match setup.target.classes() {
                [] => Row::Regression(regression::Row::new(*label, outputs[0], weight)),
                [_, _] => {
                    let row =
                        binary::Row::new(*label, outputs[0], weight, setup.target.threshold());
                    Row::Binary(row)
                }
                _ => {
                    let unseen = view.unseen(at);
                    Row::Multiclass(multiclass::Row::new(*label, unseen, outputs, weight))
                }
            }
        };
        rows.map(row).collect()
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
                    (a[0] > setup.target.threshold()) != (b[0] > setup.target.threshold()),
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
            let names = names.ok_or_else(|| Error::internal("keys of slices that are no texts"))?;
            places.push(slices.places(names, by, &setup)?);
        }
        let rows = Self::rows(&setup, &view, view.candidate);
        self.add(
            &setup,
            Which::Candidate,
            (&view, view.candidate),
            &rows,
            &places,
        );
        if let Some(baseline) = view.baseline {
            let theirs = Self::rows(&setup, &view, baseline);
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

/// The difference of the areas under two models' curves, over all rows.
pub(crate) fn auc_change(
    batches: &[RecordBatch],
    ranks: &(Ranks, Ranks),
) -> Result<Option<MetricValue>> {
    let mut paired = scores::Paired::default();
    let mut rows = 0;
    for batch in batches {
        let view = View::of(batch)?;
        let Some(baseline) = view.baseline else {
            return Ok(None);
        };
        for (at, label) in view
            .labels
            .iter()
            .enumerate()
            .filter(|(_, label)| !label.is_nan())
        {
            let keys = (
                scores::key_of(view.candidate[(at, 0)]),
                scores::key_of(baseline[(at, 0)]),
            );
            paired.add(&ranks.0, &ranks.1, *label > 0.5, view.weight(at), keys);
            rows += 1;
        }
    }
    let found = paired.difference(&ranks.0, &ranks.1);
    Ok(Point::normal(found.value, found.variance, rows as f64).with_support(rows))
}

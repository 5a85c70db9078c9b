//! Intervals from whole resamples of the rows: for custom metrics, and for rows that belong together.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int32Type;
use fourfold_kernels::hash::xxh64;
use fourfold_kernels::scores::times_drawn;
use serde::Serialize;

use super::Predictions;
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::metrics::{
    Catalogue, Evaluation, Evaluator, MetricValue, Metrics, Slice, SliceBy, SliceMetrics, View,
};
use crate::parallel::side_by_side;

/// The seed of all resampling.
const SEED: u64 = 20_131_127;
/// The number of resamples in one job.
const AT_A_TIME: u32 = 8;

/// The resampling of rows: one by one, or all of those that have one value of a column at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Resampling {
    pub(super) replicates: u32,
    pub(super) cluster: Option<String>,
}

/// A hash of each row's value of a column; rows without one share one.
pub(super) fn clusters_of(column: &str, rows: &RecordBatch) -> Result<Vec<u64>> {
    let keys = SliceBy::from(column).keys(rows)?;
    let keys = keys
        .as_dictionary_opt::<Int32Type>()
        .ok_or_else(|| Error::internal("keys that are no dictionary"))?;
    let names = keys.values().as_string::<i32>().iter();
    let hashes: Vec<u64> = names
        .map(|name| xxh64(SEED, name.unwrap_or_default().as_bytes()))
        .collect();
    let codes = keys.keys().values().iter();
    Ok(codes.map(|code| hashes[*code as usize]).collect())
}

/// The metrics of the candidate, of the baseline, and of their differences.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) metrics: Evaluation,
    pub(super) baseline: Evaluation,
    pub(super) changes: Evaluation,
}

/// A metric's deviations from its value, over resamples, and their squares.
#[derive(Clone, Copy, Debug, Default)]
struct Deviations {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Deviations {
    fn variance(&self) -> f64 {
        (self.squares - self.sum * self.sum / self.n).max(0.0) / (self.n - 1.0)
    }
}

type OfSlice = BTreeMap<String, Deviations>;

#[derive(Clone, Debug, Default)]
struct Sums {
    overall: OfSlice,
    slices: HashMap<Slice, OfSlice>,
}

impl Sums {
    fn add(&mut self, found: &Evaluation, resampled: &Evaluation) {
        add(&mut self.overall, &found.overall, &resampled.overall);
        let centers: HashMap<&Slice, &Metrics> = (found.slices.iter())
            .map(|of| (&of.slice, &of.metrics))
            .collect();
        for SliceMetrics { slice, metrics } in &resampled.slices {
            if let Some(centers) = centers.get(slice) {
                let sums = self.slices.entry(slice.clone()).or_default();
                add(sums, centers, metrics);
            }
        }
    }

    fn merge(&mut self, other: Sums) {
        merge(&mut self.overall, other.overall);
        for (slice, theirs) in other.slices {
            merge(self.slices.entry(slice).or_default(), theirs);
        }
    }
}

fn merge(mine: &mut OfSlice, theirs: OfSlice) {
    for (name, theirs) in theirs {
        let mine = mine.entry(name).or_default();
        mine.n += theirs.n;
        mine.sum += theirs.sum;
        mine.squares += theirs.squares;
    }
}

fn add(sums: &mut OfSlice, centers: &Metrics, resampled: &Metrics) {
    for (name, value) in resampled {
        if let Some(center) = centers.get(name) {
            let deviation = value.value - center.value;
            let sum = sums.entry(name.clone()).or_default();
            sum.n += 1.0;
            sum.sum += deviation;
            sum.squares += deviation * deviation;
        }
    }
}

/// The candidate's metrics less the baseline's, of all that both have.
fn difference(candidate: &Evaluation, baseline: &Evaluation) -> Evaluation {
    let less = |ours: &Metrics, theirs: &Metrics| -> Metrics {
        let ours = ours.iter().filter(|(name, _)| *name != "example_count");
        ours.filter_map(|(name, ours)| {
            let value = ours.value - theirs.get(name)?.value;
            Some((name.clone(), MetricValue::new(value, ours.support)))
        })
        .collect()
    };
    let theirs: HashMap<&Slice, &Metrics> = (baseline.slices.iter())
        .map(|of| (&of.slice, &of.metrics))
        .collect();
    let slices = candidate.slices.iter().filter_map(|of| {
        Some(SliceMetrics {
            slice: of.slice.clone(),
            metrics: less(&of.metrics, theirs.get(&of.slice)?),
        })
    });
    Evaluation {
        overall: less(&candidate.overall, &baseline.overall),
        slices: slices.collect(),
        ..Evaluation::default()
    }
}

/// Adds the metrics that are not there yet.
fn complete(changes: &mut Evaluation, all: Evaluation) {
    for (name, value) in all.overall {
        changes.overall.entry(name).or_insert(value);
    }
    let mut others: HashMap<Slice, Metrics> = (all.slices.into_iter())
        .map(|of| (of.slice, of.metrics))
        .collect();
    for of in &mut changes.slices {
        for (name, value) in others.remove(&of.slice).unwrap_or_default() {
            of.metrics.entry(name).or_insert(value);
        }
    }
}

/// The number of groups drawn, in all and of each slice.
struct Sizes {
    overall: f64,
    slices: HashMap<Slice, f64>,
}

impl Resampling {
    /// Gives intervals to what has been found: to all of it if rows belong together, else to what has none. Changes of
    /// metrics that had none are added. `evaluator` has seen no row yet, `evaluated` all.
    pub(super) fn intervals(
        &self,
        predictions: &Predictions,
        (evaluator, evaluated): (&Evaluator, &Evaluator),
        catalogue: &Catalogue,
        found: &mut Found,
    ) -> Result<()> {
        let chunks = predictions.chunks()?;
        let sizes = self.sizes(&chunks, evaluated)?;
        let compared = !found.baseline.overall.is_empty();
        if compared {
            let all = difference(&found.metrics, &found.baseline);
            complete(&mut found.changes, all);
        }
        let jobs = self.replicates.div_ceil(AT_A_TIME);
        let centers = &*found;
        let parts = side_by_side(0, (0..jobs).collect(), |job| {
            let mut sums = [Sums::default(), Sums::default(), Sums::default()];
            let first = job * AT_A_TIME;
            for replicate in first..(first + AT_A_TIME).min(self.replicates) {
                let (candidate, baseline) = self.draw(&chunks, evaluator, replicate)?.quick()?;
                if compared {
                    let changes = difference(&candidate, &baseline);
                    sums[1].add(&centers.baseline, &baseline);
                    sums[2].add(&centers.changes, &changes);
                }
                sums[0].add(&centers.metrics, &candidate);
            }
            Ok(sums)
        })?;
        let mut whole = [Sums::default(), Sums::default(), Sums::default()];
        for part in parts {
            for (mine, theirs) in whole.iter_mut().zip(part) {
                mine.merge(theirs);
            }
        }
        let [candidate, baseline, changes] = &whole;
        let range = |name: &str| {
            let known = catalogue.find(name);
            known.map_or((f64::NEG_INFINITY, f64::INFINITY), |known| known.range)
        };
        self.apply(&mut found.metrics, candidate, &sizes, range);
        self.apply(&mut found.baseline, baseline, &sizes, range);
        self.apply(&mut found.changes, changes, &sizes, |_| {
            (f64::NEG_INFINITY, f64::INFINITY)
        });
        Ok(())
    }

    fn groups<'a>(&self, view: &View<'a>, start: u64) -> impl Fn(usize) -> u64 + 'a {
        let clusters = view.clusters;
        move |row| clusters.map_or(start + row as u64, |clusters| clusters[row])
    }

    fn sizes(&self, chunks: &[(u64, RecordBatch)], evaluated: &Evaluator) -> Result<Sizes> {
        let mut all = HashSet::new();
        let mut of_slices: HashMap<(usize, usize), HashSet<u64>> = HashMap::new();
        for (start, chunk) in chunks {
            let view = View::of(chunk)?;
            let group = self.groups(&view, *start);
            let places = evaluated.known_places(&view)?;
            for row in 0..view.n_rows() {
                all.insert(group(row));
                for (by, (places, keys)) in places.iter().zip(&view.keys).enumerate() {
                    let place = places[keys.keys().value(row) as usize];
                    of_slices.entry((by, place)).or_default().insert(group(row));
                }
            }
        }
        let slices = of_slices
            .into_iter()
            .map(|((by, place), groups)| Ok((evaluated.slice(by, place)?, groups.len() as f64)));
        Ok(Sizes {
            overall: all.len() as f64,
            slices: slices.collect::<Result<_>>()?,
        })
    }

    /// An evaluator that has seen a resample.
    fn draw(
        &self,
        chunks: &[(u64, RecordBatch)],
        evaluator: &Evaluator,
        replicate: u32,
    ) -> Result<Evaluator> {
        let mut drawn = evaluator.clone();
        for (start, chunk) in chunks {
            let view = View::of(chunk)?;
            let group = self.groups(&view, *start);
            let times = |row: usize| f64::from(times_drawn(group(row), replicate, SEED));
            let weights: Vec<f64> = (0..view.n_rows())
                .map(|row| view.weight(row) * times(row))
                .collect();
            let kept: BooleanArray = weights.iter().map(|weight| Some(*weight > 0.0)).collect();
            let rows = filter_record_batch(&View::reweighted(chunk, weights)?, &kept)?;
            if rows.num_rows() > 0 {
                drawn.update(&rows)?;
            }
        }
        Ok(drawn)
    }

    fn apply(
        &self,
        found: &mut Evaluation,
        sums: &Sums,
        sizes: &Sizes,
        range: impl Fn(&str) -> (f64, f64),
    ) {
        let apply = |metrics: &mut Metrics, sums: Option<&OfSlice>, n: f64| {
            let Some(sums) = sums else {
                return;
            };
            for (name, value) in metrics.iter_mut() {
                let known = value.lower.is_some() && self.cluster.is_none();
                let enough = |sum: &&Deviations| sum.n * 10.0 >= f64::from(self.replicates) * 9.0;
                let sum = sums.get(name).filter(enough);
                if let Some(sum) = sum.filter(|_| !known && n > 1.0 && name != "example_count") {
                    // Drawn with a Poisson number of times, n groups vary as n - 1 would.
                    let variance = sum.variance() * n / (n - 1.0);
                    *value = value.with_variance(variance, n, range(name));
                } else if self.cluster.is_some() {
                    // An interval that takes rows for independent would be too narrow.
                    (value.lower, value.upper) = (None, None);
                }
            }
        };
        apply(&mut found.overall, Some(&sums.overall), sizes.overall);
        for SliceMetrics { slice, metrics } in &mut found.slices {
            let n = sizes.slices.get(slice).copied().unwrap_or(0.0);
            apply(metrics, sums.slices.get(slice), n);
        }
    }
}

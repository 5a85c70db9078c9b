//! Features as bytes: the bins that splits lie between.

use std::ops::Range;

use super::random::mix;
use super::tree_width;
use crate::columns::{Column, MISSING_CODE};
use crate::parallel;

/// The bin of missing values, and of categories that have no bin of their own.
pub(super) const MISSING_BIN: usize = 0;

/// The number of rows from which cut points are learned.
const SAMPLE: usize = 200_000;

/// The bins of the features that can be split.
#[derive(Debug)]
pub(super) struct Bins {
    pub(super) features: Vec<FeatureBins>,
}

#[derive(Debug)]
pub(super) struct FeatureBins {
    /// Its place in a row of the forest.
    pub(super) feature: u32,
    /// Bins including [`MISSING_BIN`].
    pub(super) n_bins: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Bin `b > 0` holds the values up to `cuts[b - 1]`; the last bin holds the rest.
    Numbers {
        cuts: Vec<f32>,
        /// Whether training has seen a missing value.
        missing: bool,
    },
    /// Bin `b > 0` holds the category `codes[b - 1]`.
    Codes { codes: Vec<u32> },
}

/// The columns, each feature by itself.
pub(super) struct Expanded<'a> {
    columns: &'a [Column<'a>],
    /// The entries of each sparse column by id.
    by_id: Vec<ById>,
    /// The column and the id of each feature.
    features: Vec<(usize, u32)>,
}

#[derive(Default)]
struct ById {
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

enum Values<'a> {
    Numbers(&'a [f32]),
    Codes(&'a [u32], u32),
    /// Rows that are not here hold 0.
    Entries(&'a [(u32, f32)]),
}

impl<'a> Expanded<'a> {
    pub(super) fn new(columns: &'a [Column<'a>]) -> Self {
        let widths = columns.iter().enumerate();
        let features = widths
            .flat_map(|(at, column)| (0..tree_width(column) as u32).map(move |id| (at, id)))
            .collect();
        Expanded {
            columns,
            by_id: columns.iter().map(ById::of).collect(),
            features,
        }
    }

    pub(super) fn n_features(&self) -> usize {
        self.features.len()
    }

    fn values(&self, feature: usize) -> Values<'_> {
        let (column, id) = self.features[feature];
        match &self.columns[column] {
            Column::Numbers(values) => Values::Numbers(values),
            Column::Codes {
                codes,
                n_categories,
            } => Values::Codes(codes, *n_categories),
            Column::Sparse { .. } => {
                let by_id = &self.by_id[column];
                let id = id as usize;
                Values::Entries(&by_id.entries[by_id.starts[id]..by_id.starts[id + 1]])
            }
        }
    }
}

impl ById {
    fn of(column: &Column<'_>) -> Self {
        let Column::Sparse {
            offsets,
            ids,
            values,
            width,
        } = column
        else {
            return ById::default();
        };
        let mut starts = vec![0; *width as usize + 1];
        for id in *ids {
            starts[*id as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); ids.len()];
        for (row, bounds) in offsets.windows(2).enumerate() {
            for at in bounds[0]..bounds[1] {
                let place = &mut next[ids[at] as usize];
                entries[*place] = (row as u32, values[at]);
                *place += 1;
            }
        }
        ById { starts, entries }
    }
}

impl Bins {
    /// At most `max_bins` (2 to 255) bins of values a feature. Features of one value are left out.
    pub(super) fn learn(
        expanded: &Expanded<'_>,
        n_rows: usize,
        max_bins: usize,
        threads: usize,
    ) -> Self {
        let sample = sample(n_rows);
        let all: Vec<usize> = (0..expanded.n_features()).collect();
        let learned = parallel::map(&all, threads, |feature| {
            let kind = match expanded.values(*feature) {
                Values::Numbers(values) => {
                    let mut seen: Vec<f32> = sample.iter().map(|row| values[*row]).collect();
                    let missing = values.iter().any(|value| value.is_nan());
                    seen.retain(|value| !value.is_nan());
                    Kind::Numbers {
                        cuts: cuts(&distinct(&mut seen), max_bins),
                        missing,
                    }
                }
                Values::Entries(entries) => {
                    let mut seen: Vec<f32> = entries.iter().map(|(_, value)| *value).collect();
                    let missing = seen.iter().any(|value| value.is_nan());
                    seen.retain(|value| !value.is_nan());
                    let n_zeros = n_rows - entries.len();
                    let mut distinct = distinct(&mut seen);
                    let place = distinct.partition_point(|(value, _)| *value < 0.0);
                    match distinct.get_mut(place) {
                        Some((value, count)) if *value == 0.0 => *count += n_zeros,
                        _ if n_zeros > 0 => distinct.insert(place, (0.0, n_zeros)),
                        _ => {}
                    }
                    Kind::Numbers {
                        cuts: cuts(&distinct, max_bins),
                        missing,
                    }
                }
                Values::Codes(codes, n_categories) => Kind::Codes {
                    codes: most_frequent(codes, n_categories),
                },
            };
            let n_bins = match &kind {
                Kind::Numbers { cuts, missing } if cuts.is_empty() && !missing => return None,
                Kind::Codes { codes } if codes.is_empty() => return None,
                Kind::Numbers { cuts, .. } => cuts.len() + 2,
                Kind::Codes { codes } => codes.len() + 1,
            };
            Some(FeatureBins {
                feature: *feature as u32,
                n_bins,
                kind,
            })
        });
        Bins {
            features: learned.into_iter().flatten().collect(),
        }
    }

    /// The bin of each row, for each feature of `features`.
    pub(super) fn apply(
        &self,
        expanded: &Expanded<'_>,
        n_rows: usize,
        threads: usize,
    ) -> Vec<Vec<u8>> {
        parallel::map(&self.features, threads, |bins| {
            match (expanded.values(bins.feature as usize), &bins.kind) {
                (Values::Numbers(values), Kind::Numbers { cuts, .. }) => {
                    let finder = Finder::new(cuts);
                    values.iter().map(|value| finder.bin(*value)).collect()
                }
                (Values::Entries(entries), Kind::Numbers { cuts, .. }) => {
                    let finder = Finder::new(cuts);
                    let mut column = vec![finder.bin(0.0); n_rows];
                    for (row, value) in entries {
                        column[*row as usize] = finder.bin(*value);
                    }
                    column
                }
                (Values::Codes(codes, n_categories), Kind::Codes { codes: binned }) => {
                    let mut bins = vec![MISSING_BIN as u8; n_categories as usize];
                    for (bin, code) in (1..=u8::MAX).zip(binned) {
                        if let Some(place) = bins.get_mut(*code as usize) {
                            *place = bin;
                        }
                    }
                    let bin = |code: &u32| {
                        bins.get(*code as usize)
                            .copied()
                            .unwrap_or(MISSING_BIN as u8)
                    };
                    codes.iter().map(bin).collect()
                }
                // Another kind of column than training had: nothing of it is known.
                _ => vec![MISSING_BIN as u8; n_rows],
            }
        })
    }
}

/// The rows that cut points are learned from: all, or one of each equal stretch of rows.
fn sample(n_rows: usize) -> Vec<usize> {
    if n_rows <= SAMPLE {
        return (0..n_rows).collect();
    }
    let start = |at: usize| (at as u128 * n_rows as u128 / SAMPLE as u128) as usize;
    let stretches = (0..SAMPLE).map(|at| Range {
        start: start(at),
        end: start(at + 1),
    });
    stretches
        .enumerate()
        .map(|(at, rows)| rows.start + mix(0, at as u64) as usize % rows.len())
        .collect()
}

/// The distinct values, ascending, and how often each is there.
fn distinct(values: &mut [f32]) -> Vec<(f32, usize)> {
    values.sort_unstable_by(f32::total_cmp);
    let runs = values.chunk_by(|a, b| a == b);
    runs.map(|run| (run[0], run.len())).collect()
}

/// Cut points so that bins hold about as many rows each; frequent values have their own.
fn cuts(distinct: &[(f32, usize)], max_bins: usize) -> Vec<f32> {
    let between = |at: usize| middle(distinct[at].0, distinct[at + 1].0);
    let gaps = distinct.len().saturating_sub(1);
    if distinct.len() <= max_bins {
        return (0..gaps).map(between).collect();
    }
    let mut rows: usize = distinct.iter().map(|(_, count)| count).sum();
    let mut bins = max_bins;
    let mean = rows as f64 / bins as f64;
    let is_frequent: Vec<bool> = distinct
        .iter()
        .map(|(_, count)| *count as f64 >= mean)
        .collect();
    for ((_, count), frequent) in distinct.iter().zip(&is_frequent) {
        if *frequent {
            rows -= count;
            bins -= 1;
        }
    }
    let mut mean = rows as f64 / bins.max(1) as f64;
    let mut cuts = Vec::with_capacity(max_bins - 1);
    let mut held = 0;
    for at in 0..gaps {
        let count = distinct[at].1;
        held += count;
        if !is_frequent[at] {
            rows -= count;
        }
        let is_full = is_frequent[at]
            || held as f64 >= mean
            || is_frequent[at + 1] && held as f64 >= (mean / 2.0).max(1.0);
        if is_full {
            cuts.push(between(at));
            if cuts.len() == max_bins - 1 {
                break;
            }
            held = 0;
            if !is_frequent[at] {
                bins = bins.saturating_sub(1);
                mean = rows as f64 / bins.max(1) as f64;
            }
        }
    }
    cuts
}

/// A number from `low` to below `high`.
fn middle(low: f32, high: f32) -> f32 {
    let middle = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
    if low <= middle && middle < high {
        middle
    } else {
        low
    }
}

/// The categories that get bins: the most frequent 255, the most frequent first.
fn most_frequent(codes: &[u32], n_categories: u32) -> Vec<u32> {
    let mut counts = vec![0_usize; n_categories as usize];
    for code in codes.iter().filter(|code| **code != MISSING_CODE) {
        if let Some(count) = counts.get_mut(*code as usize) {
            *count += 1;
        }
    }
    let mut seen: Vec<u32> = (0..n_categories)
        .filter(|code| counts[*code as usize] > 0)
        .collect();
    seen.sort_by_key(|code| std::cmp::Reverse(counts[*code as usize]));
    seen.truncate(255);
    seen
}

/// The cut points, filled up to a whole tree of comparisons.
struct Finder {
    cuts: [f32; 256],
}

impl Finder {
    fn new(cuts: &[f32]) -> Self {
        let mut all = [f32::INFINITY; 256];
        all[..cuts.len()].copy_from_slice(cuts);
        Finder { cuts: all }
    }

    fn bin(&self, value: f32) -> u8 {
        let mut below = 0_usize;
        for step in [128, 64, 32, 16, 8, 4, 2, 1] {
            let cut = self.cuts[(below + step - 1) & 255];
            below += if cut < value { step } else { 0 };
        }
        let present = if value.is_nan() { 0 } else { below + 1 };
        present.min(255) as u8
    }
}

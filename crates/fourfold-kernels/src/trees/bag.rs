//! Random forests, extremely randomized trees and single trees.
//!
//! Each tree is grown on its own rows until its leaves are pure or small, trying some features at each split (Breiman:
//! Random forests, 2001); with `random_cuts`, one random cut a feature (Geurts, Ernst, Wehenkel: Extremely randomized
//! trees, 2006). Splits lower the variance of numbers or the Gini impurity of classes; cuts lie between bins.

use std::ops::{ControlFlow, Range};

use super::bins::{Bins, Expanded, Kind, MISSING_BIN};
use super::boost::Examples;
use super::grow::rule;
use super::random::{mix, times, unit};
use super::segments::divide;
use super::split::Cut;
use super::{Forest, ForestBuilder, Malformed, Node, Outcome};
use crate::parallel;

/// The options of a forest.
#[derive(Clone, Debug)]
pub struct BagOptions {
    /// The number of trees.
    pub trees: usize,
    /// The most splits between root and leaf.
    pub max_depth: usize,
    /// The fewest rows of a leaf, from 1. A row counts as much as it weighs, times how often it is drawn.
    pub min_rows_leaf: usize,
    /// The number of features that vary which are tried at a split.
    pub features_per_split: usize,
    /// Whether each tree sees a bootstrap sample: each row a Poisson number of times, of mean 1.
    pub bootstrap: bool,
    /// Whether each feature is tried with one random cut rather than all.
    pub random_cuts: bool,
    /// The amount that is added to the weight of each class in each leaf.
    pub smoothing: f64,
    /// The most bins of a number, from 2 to 254.
    pub max_bins: usize,
    /// Whether each row is predicted by the trees that have not seen it.
    pub out_of_bag: bool,
    /// The seed of all randomness.
    pub seed: u64,
    /// The most threads. The forest is the same on any number.
    pub threads: usize,
}

/// The result of growing a forest.
#[derive(Clone, Debug)]
pub struct Bagged {
    /// The trees, whose mean is the prediction.
    pub forest: Forest,
    /// For each row the mean output `(n_rows, n_outputs)` of the trees that have not seen it; NaN where all have.
    pub out_of_bag: Option<Vec<f64>>,
    /// Whether `watch` or `stop` ended training before all trees were grown.
    pub was_stopped: bool,
}

/// Grows a forest. `watch` receives the number of trees; `stop` is called between splits.
///
/// # Errors
/// If the forest has more than 2^32 nodes or outputs.
pub fn bag(
    train: Examples<'_>,
    outcome: Outcome,
    options: &BagOptions,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Bagged, Malformed> {
    let n_rows = train.labels.len();
    let expanded = Expanded::new(train.columns);
    let n_features = expanded.n_features();
    let bins = Bins::learn(&expanded, n_rows, options.max_bins, options.threads);
    let columns = bins.apply(&expanded, n_rows, options.threads);
    drop(expanded);
    let n_outputs = outcome.n_outputs();
    let mut builder = ForestBuilder::new(n_features, n_outputs, n_outputs);
    let seeds: Vec<u64> = (0..options.trees)
        .map(|tree| mix(options.seed, tree as u64))
        .collect();
    let mut grown = 0;
    let mut was_stopped = false;
    'trees: for seeds in seeds.chunks(2 * options.threads.max(1)) {
        let trees = parallel::map(seeds, options.threads, |seed| {
            TreeGrower::new(&train, outcome, options, &bins, &columns, *seed).grow(stop)
        });
        for tree in trees {
            let Some(nodes) = tree else {
                was_stopped = true;
                break 'trees;
            };
            builder.push(&nodes)?;
            grown += 1;
        }
        if watch(grown).is_break() {
            was_stopped = grown < options.trees;
            break;
        }
    }
    let forest = builder.finish();
    let out_of_bag = (options.out_of_bag && options.bootstrap)
        .then(|| out_of_bag(&forest, &train, &seeds[..grown], options.threads));
    Ok(Bagged {
        forest,
        out_of_bag,
        was_stopped,
    })
}

fn out_of_bag(forest: &Forest, train: &Examples<'_>, seeds: &[u64], threads: usize) -> Vec<f64> {
    let n_outputs = forest.n_outputs();
    let parts = parallel::parts(train.labels.len(), 1024, 4096);
    let means = parallel::map(&parts, threads, |part| {
        let mut sums = vec![0.0; part.len() * n_outputs];
        let slots = forest.slots_of_columns(train.columns, part.clone());
        for (at, sums) in sums.chunks_exact_mut(n_outputs).enumerate() {
            let mut n = 0.0;
            for (tree, seed) in seeds.iter().enumerate() {
                if times(*seed, (part.start + at) as u64) == 0 {
                    forest.add_tree_of(tree, &slots, at, sums);
                    n += 1.0;
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= n);
        }
        sums
    });
    means.concat()
}

/// Grows one tree, depth first.
struct TreeGrower<'a> {
    train: &'a Examples<'a>,
    outcome: Outcome,
    options: &'a BagOptions,
    bins: &'a Bins,
    columns: &'a [Vec<u8>],
    seed: u64,
    rows: Vec<u32>,
    scratch: Vec<u32>,
    /// The weight of each row; empty if all weigh 1.
    weights: Vec<f32>,
    /// The features in an order that is shuffled at every node.
    features: Vec<usize>,
    cells: Cells,
}

/// The occupied bins of a feature at a node.
struct Cells {
    width: usize,
    /// One a bin, all 0 between uses.
    all: Vec<f64>,
    /// The occupied bins, ascending.
    bins: Vec<u8>,
    keys: Vec<u64>,
}

struct Pending {
    node: usize,
    rows: Range<usize>,
    depth: usize,
}

struct Found {
    gain: f64,
    feature: usize,
    cut: Cut,
}

impl<'a> TreeGrower<'a> {
    fn new(
        train: &'a Examples<'a>,
        outcome: Outcome,
        options: &'a BagOptions,
        bins: &'a Bins,
        columns: &'a [Vec<u8>],
        seed: u64,
    ) -> Self {
        let n_rows = train.labels.len();
        let mut rows: Vec<u32> = (0..n_rows as u32).collect();
        let mut weights: Vec<f32> = train
            .weights
            .map(|weights| weights.iter().map(|weight| *weight as f32).collect())
            .unwrap_or_default();
        if options.bootstrap {
            if weights.is_empty() {
                weights = vec![1.0; n_rows];
            }
            rows.retain(|row| {
                let times = times(seed, u64::from(*row));
                weights[*row as usize] *= times as f32;
                times > 0
            });
        }
        TreeGrower {
            train,
            outcome,
            options,
            bins,
            columns,
            seed,
            scratch: vec![0; rows.len()],
            rows,
            weights,
            features: (0..bins.features.len()).collect(),
            cells: Cells {
                width: outcome.width(),
                all: vec![0.0; 256 * outcome.width()],
                bins: Vec::new(),
                keys: Vec::new(),
            },
        }
    }

    /// `None` if it was stopped.
    fn grow(mut self, stop: &(dyn Fn() -> bool + Sync)) -> Option<Vec<Node>> {
        let mut nodes = vec![Node::Leaf {
            outputs: Vec::new(),
            cover: 0.0,
        }];
        let mut stack = vec![Pending {
            node: 0,
            rows: 0..self.rows.len(),
            depth: 0,
        }];
        while let Some(Pending { node, rows, depth }) = stack.pop() {
            if stop() {
                return None;
            }
            let total = self.total(rows.clone());
            let may_split = depth < self.options.max_depth
                && self.outcome.weight(&total) >= 2.0 * self.fewest()
                && !self.is_pure(rows.clone());
            let found = if may_split {
                self.best(node, rows.clone(), &total)
            } else {
                None
            };
            let Some(found) = found else {
                nodes[node] = Node::Leaf {
                    outputs: self.outcome.outputs(&total, self.options.smoothing),
                    cover: self.outcome.weight(&total) as f32,
                };
                continue;
            };
            let (n_below, cut) = self.split(rows.clone(), &found);
            let first = nodes.len();
            nodes[node] = Node::Split {
                feature: self.bins.features[found.feature].feature,
                rule: rule(&self.bins.features[found.feature].kind, &cut),
                children: [first as u32, first as u32 + 1],
                gain: found.gain as f32,
            };
            let middle = rows.start + n_below;
            for (node, rows) in [(first + 1, middle..rows.end), (first, rows.start..middle)] {
                nodes.push(Node::Leaf {
                    outputs: Vec::new(),
                    cover: 0.0,
                });
                stack.push(Pending {
                    node,
                    rows,
                    depth: depth + 1,
                });
            }
        }
        Some(nodes)
    }

    fn split(&mut self, rows: Range<usize>, found: &Found) -> (usize, Cut) {
        let below = found.cut.below();
        let rows = rows.start..rows.end;
        let (mine, scratch) = (&mut self.rows[rows.clone()], &mut self.scratch[rows]);
        let n_below = divide(mine, scratch, &self.columns[found.feature], &below);
        let n_above = mine.len() - n_below;
        mine[n_below..].copy_from_slice(&scratch[..n_above]);
        let mut cut = found.cut.clone();
        // If training has seen no missing value of the feature, missing values go to the side with more rows.
        if let (Cut::AtMost { missing_below, .. }, Kind::Numbers { missing: false, .. }) =
            (&mut cut, &self.bins.features[found.feature].kind)
        {
            *missing_below = n_below >= n_above;
        }
        (n_below, cut)
    }

    /// The least weight of a leaf, but for rounding.
    fn fewest(&self) -> f64 {
        self.options.min_rows_leaf as f64 * (1.0 - 1e-9)
    }

    fn weight(&self, row: u32) -> f64 {
        self.weights
            .get(row as usize)
            .map_or(1.0, |weight| f64::from(*weight))
    }

    fn total(&self, rows: Range<usize>) -> Vec<f64> {
        let mut total = vec![0.0; self.outcome.width()];
        for row in &self.rows[rows] {
            self.outcome.add(
                &mut total,
                self.train.labels[*row as usize],
                self.weight(*row),
            );
        }
        total
    }

    fn is_pure(&self, rows: Range<usize>) -> bool {
        let labels = self.rows[rows]
            .iter()
            .map(|row| self.train.labels[*row as usize]);
        let mut others = labels.clone().skip(1);
        let first = labels.clone().next();
        others.all(|label| Some(label) == first)
    }

    /// The best split by some features that vary.
    fn best(&mut self, node: usize, rows: Range<usize>, total: &[f64]) -> Option<Found> {
        let seed = mix(self.seed, node as u64 | 1 << 40);
        let parent = self.outcome.score(total);
        let mut best: Option<Found> = None;
        let n = self.features.len();
        let mut tried = 0;
        for at in 0..n {
            // At least the requested number is tried, and more while none of them can be split.
            if tried >= self.options.features_per_split && best.is_some() {
                break;
            }
            let other = at + (mix(seed, at as u64) % (n - at) as u64) as usize;
            self.features.swap(at, other);
            let feature = self.features[at];
            self.fill(feature, rows.clone());
            if self.cells.bins.len() > 1 {
                tried += 1;
                if let Some((score, cut)) =
                    self.best_cut(feature, total, mix(seed, (feature as u64) << 32))
                {
                    let gain = score - parent;
                    let least = 1e-9 * parent.abs();
                    if gain > best.as_ref().map_or(least, |best| best.gain) {
                        best = Some(Found { gain, feature, cut });
                    }
                }
            }
            self.cells.clear();
        }
        best
    }

    fn fill(&mut self, feature: usize, rows: Range<usize>) {
        // Sorting few rows is faster than looking at all bins.
        const FEW: usize = 64;
        let column = &self.columns[feature];
        let cells = &mut self.cells;
        let rows = &self.rows[rows];
        let weights = &self.weights;
        let add = |all: &mut [f64], width: usize, bin: u8, row: u32| {
            let weight = weights
                .get(row as usize)
                .map_or(1.0, |weight| f64::from(*weight));
            let cell = &mut all[usize::from(bin) * width..][..width];
            self.outcome
                .add(cell, self.train.labels[row as usize], weight);
        };
        if rows.len() <= FEW {
            cells.keys.clear();
            cells.keys.extend(
                rows.iter()
                    .map(|row| u64::from(column[*row as usize]) << 32 | u64::from(*row)),
            );
            cells.keys.sort_unstable();
            for key in &cells.keys {
                let (bin, row) = ((key >> 32) as u8, *key as u32);
                if cells.bins.last() != Some(&bin) {
                    cells.bins.push(bin);
                }
                add(&mut cells.all, cells.width, bin, row);
            }
            return;
        }
        for row in rows {
            add(&mut cells.all, cells.width, column[*row as usize], *row);
        }
        let occupied = (0..=u8::MAX).zip(cells.all.chunks_exact(cells.width));
        let occupied = occupied.filter(|(_, cell)| cell[cell.len() - 1] > 0.0);
        cells.bins.extend(occupied.map(|(bin, _)| bin));
    }

    /// The score of the best cut of the feature whose cells are filled.
    fn best_cut(&self, feature: usize, total: &[f64], seed: u64) -> Option<(f64, Cut)> {
        let cells = &self.cells;
        let has_missing = usize::from(cells.bins[0]) == MISSING_BIN;
        let present = &cells.bins[usize::from(has_missing)..];
        let mut best: Option<(f64, Cut)> = None;
        let mut offer = |below: &[f64], cut: &dyn Fn() -> Cut| {
            let above: Vec<f64> = total
                .iter()
                .zip(below)
                .map(|(all, below)| all - below)
                .collect();
            let fewest = self.fewest();
            if self.outcome.weight(below) < fewest || self.outcome.weight(&above) < fewest {
                return;
            }
            let score = self.outcome.score(below) + self.outcome.score(&above);
            if best.as_ref().is_none_or(|(best, _)| score > *best) {
                best = Some((score, cut()));
            }
        };
        match &self.bins.features[feature].kind {
            Kind::Numbers { cuts, .. } => {
                let chosen = if self.options.random_cuts {
                    random_cut(cuts, present, seed)
                } else {
                    None
                };
                for missing_below in [false, true] {
                    if missing_below && !has_missing {
                        break;
                    }
                    let mut below = vec![0.0; cells.width];
                    if missing_below {
                        add(&mut below, cells.of(MISSING_BIN as u8));
                    }
                    for (at, bin) in present.iter().enumerate() {
                        add(&mut below, cells.of(*bin));
                        let next = present.get(at + 1);
                        // The last one leaves the missing values alone.
                        let is_cut = next.is_some() || has_missing && !missing_below;
                        let is_chosen = match (chosen, next) {
                            (Some(chosen), Some(next)) => *bin <= chosen && chosen < *next,
                            _ => true,
                        };
                        if is_cut && is_chosen {
                            let bin =
                                usize::from(chosen.filter(|_| next.is_some()).unwrap_or(*bin));
                            offer(&below, &|| Cut::AtMost { bin, missing_below });
                        }
                    }
                }
            }
            Kind::Codes { .. } => {
                let mut order: Vec<(f64, u8)> = present
                    .iter()
                    .map(|bin| match self.options.random_cuts {
                        true => (unit(seed, u64::from(*bin)), *bin),
                        false => (self.mean(cells.of(*bin), total), *bin),
                    })
                    .collect();
                order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let n_cuts = order.len() - usize::from(!has_missing);
                let chosen = self
                    .options
                    .random_cuts
                    .then(|| (mix(seed, 1 << 20) % n_cuts.max(1) as u64) as usize);
                let mut below = vec![0.0; cells.width];
                for at in 0..n_cuts {
                    add(&mut below, cells.of(order[at].1));
                    if chosen.is_none_or(|chosen| chosen == at) {
                        offer(&below, &|| {
                            Cut::OneOf(order[..=at].iter().map(|(_, bin)| *bin).collect())
                        });
                    }
                }
            }
        }
        best
    }

    /// The value that orders categories: their mean label (which finds the best set, Breiman et al. 1984), or the
    /// share of the node's most frequent class.
    fn mean(&self, cell: &[f64], total: &[f64]) -> f64 {
        let of = match self.outcome {
            Outcome::Mean | Outcome::Binary => 0,
            Outcome::Classes(n) => (0..n).fold(0, |best, class| {
                if total[class] > total[best] {
                    class
                } else {
                    best
                }
            }),
        };
        let weight = self.outcome.weight(cell);
        if weight > 0.0 { cell[of] / weight } else { 0.0 }
    }
}

impl Cells {
    fn of(&self, bin: u8) -> &[f64] {
        &self.all[usize::from(bin) * self.width..][..self.width]
    }

    fn clear(&mut self) {
        for bin in self.bins.drain(..) {
            self.all[usize::from(bin) * self.width..][..self.width].fill(0.0);
        }
    }
}

fn add(sums: &mut [f64], cell: &[f64]) {
    sums.iter_mut()
        .zip(cell)
        .for_each(|(sum, value)| *sum += value);
}

/// A bin after which a random value between the least and the greatest lies.
fn random_cut(cuts: &[f32], present: &[u8], seed: u64) -> Option<u8> {
    let (least, greatest) = (*present.first()?, *present.last()?);
    if least == greatest {
        return None;
    }
    let at = |bin: u8| {
        cuts.get(usize::from(bin))
            .map_or(0.0, |cut| f64::from(*cut))
    };
    let (low, high) = (at(least - 1), at(greatest - 2));
    let value = (low + (high - low) * unit(seed, 0)) as f32;
    let bin = 1 + cuts.partition_point(|cut| *cut < value);
    Some((bin.min(255) as u8).clamp(least, greatest - 1))
}

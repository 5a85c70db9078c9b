//! One boosted tree, leaf by leaf.

use std::sync::Arc;

use super::bins::{Bins, Kind};
use super::histogram::{Histogram, Pair, Rows, Tiles};
use super::segments::Segments;
use super::split::{Candidate, Cut, LeafSums, Limits, Search};
use super::{Node, Rule};
use crate::parallel;

/// The state that all trees share.
pub(super) struct Grower<'a> {
    pub(super) bins: &'a Bins,
    pub(super) columns: &'a [Vec<u8>],
    pub(super) tiles: &'a Tiles,
    pub(super) limits: Limits,
    pub(super) max_leaves: usize,
    pub(super) max_depth: usize,
    /// The constraint of each feature of the bins; empty without constraints.
    pub(super) monotone: &'a [i8],
    /// Groups of features that may stand on one path; empty without constraints.
    pub(super) interactions: &'a [Vec<bool>],
    /// The weight of each row; `None` if all weigh 1.
    pub(super) weights: Option<&'a [f64]>,
    pub(super) threads: usize,
}

/// A tree as the steps that made it.
pub(super) struct Grown {
    pub(super) steps: Vec<Step>,
    pub(super) leaves: Vec<LeafSums>,
}

/// A leaf is split: it stays for the rows below, the rows above get the next leaf.
pub(super) struct Step {
    pub(super) leaf: usize,
    pub(super) feature: usize,
    pub(super) cut: Cut,
    pub(super) below: [bool; 256],
    pub(super) gain: f64,
}

struct Leaf {
    sums: LeafSums,
    depth: usize,
    /// Kept while there is room: the larger child's is the difference to the smaller one's.
    histogram: Option<Histogram>,
    best: Option<Candidate>,
    /// The features of the path, under constraints on interactions.
    path: Arc<Vec<usize>>,
}

/// Histograms that are kept take no more cells than this (256 MB).
const MOST_CELLS: usize = 1 << 24;

impl Grower<'_> {
    /// Grows a tree on the rows of `segments`, which end in its leaves. `None` if it was stopped.
    pub(super) fn grow(
        &self,
        segments: &mut Segments,
        gradients: &[Pair],
        allowed: &[bool],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Grown> {
        let histogram = self.histogram(segments, 0, gradients);
        let sums = match self.tiles.starts.get(1) {
            Some(end) => sum(&histogram[..*end]),
            None => [0.0; 2],
        };
        let sums = LeafSums {
            sums,
            weight: self.weight(segments.leaf(0)),
            bounds: [f64::NEG_INFINITY, f64::INFINITY],
        };
        let mut root = Leaf {
            sums,
            depth: 0,
            histogram: Some(histogram),
            best: None,
            path: Arc::default(),
        };
        root.best = self.best(&root, allowed);
        let mut leaves = vec![root];
        let mut steps = Vec::new();
        while leaves.len() < self.max_leaves {
            if stop() {
                return None;
            }
            let mut next: Option<(usize, f64)> = None;
            for (at, leaf) in leaves.iter().enumerate() {
                let gain = leaf.best.as_ref().map(|best| best.gain);
                if let Some(gain) = gain.filter(|gain| next.is_none_or(|(_, best)| *gain > best)) {
                    next = Some((at, gain));
                }
            }
            let Some((at, _)) = next else {
                break;
            };
            let Some(split) = leaves[at].best.take() else {
                break;
            };
            let step = self.split(segments, &mut leaves, at, split, gradients, allowed);
            steps.push(step);
        }
        Some(Grown {
            steps,
            leaves: leaves.into_iter().map(|leaf| leaf.sums).collect(),
        })
    }

    fn split(
        &self,
        segments: &mut Segments,
        leaves: &mut Vec<Leaf>,
        at: usize,
        split: Candidate,
        gradients: &[Pair],
        allowed: &[bool],
    ) -> Step {
        let below = split.cut.below();
        segments.split(at, &self.columns[split.feature], &below, self.threads);
        let above_at = leaves.len();
        let (n_below, n_above) = (segments.leaf(at).len(), segments.leaf(above_at).len());
        let parent = &mut leaves[at];
        let total = parent.sums.sums;
        let sums = [
            split.below,
            [total[0] - split.below[0], total[1] - split.below[1]],
        ];
        let mut bounds = [parent.sums.bounds; 2];
        let direction = self
            .monotone
            .get(split.feature)
            .copied()
            .unwrap_or_default();
        if direction != 0 {
            let output =
                |side: usize| super::split::output(sums[side], parent.sums.bounds, self.limits.l2);
            let middle = (output(0) + output(1)) / 2.0;
            let (low, high) = if direction > 0 { (0, 1) } else { (1, 0) };
            bounds[low][1] = middle;
            bounds[high][0] = middle;
        }
        let path = match self.interactions {
            [] => Arc::clone(&parent.path),
            _ => {
                let mut path = parent.path.to_vec();
                path.push(split.feature);
                Arc::new(path)
            }
        };
        let depth = parent.depth + 1;
        let histogram = parent.histogram.take();
        let child = |side: usize, weight: f64| Leaf {
            sums: LeafSums {
                sums: sums[side],
                weight,
                bounds: bounds[side],
            },
            depth,
            histogram: None,
            best: None,
            path: Arc::clone(&path),
        };
        leaves[at] = child(0, self.weight(segments.leaf(at)));
        leaves.push(child(1, self.weight(segments.leaf(above_at))));
        let can_split = |leaf: &Leaf| leaf.sums.weight.round() >= 2.0 * self.limits.min_rows;
        let is_last = leaves.len() == self.max_leaves;
        if !is_last
            && depth < self.max_depth
            && [at, above_at].iter().any(|leaf| can_split(&leaves[*leaf]))
        {
            let (small, large) = if n_below < n_above {
                (at, above_at)
            } else {
                (above_at, at)
            };
            let of_small = self.histogram(segments, small, gradients);
            let of_large = match histogram {
                Some(mut parent) => {
                    for (cell, small) in parent.iter_mut().zip(&of_small) {
                        *cell = [cell[0] - small[0], cell[1] - small[1]];
                    }
                    parent
                }
                None => self.histogram(segments, large, gradients),
            };
            leaves[small].histogram = Some(of_small);
            leaves[large].histogram = Some(of_large);
            let children = [small, large];
            let best = parallel::map(&children, self.threads, |leaf| {
                let leaf = &leaves[*leaf];
                can_split(leaf).then(|| self.best(leaf, allowed)).flatten()
            });
            for (leaf, best) in children.into_iter().zip(best) {
                if best.is_none() {
                    leaves[leaf].histogram = None;
                }
                leaves[leaf].best = best;
            }
            let held = leaves
                .iter()
                .filter(|leaf| leaf.histogram.is_some())
                .count();
            if held * self.tiles.starts.last().copied().unwrap_or_default() > MOST_CELLS {
                leaves[small].histogram = None;
                leaves[large].histogram = None;
            }
        }
        let mut cut = split.cut;
        // If training has seen no missing value of the feature, missing values go to the side with more rows.
        if let (Cut::AtMost { missing_below, .. }, Kind::Numbers { missing: false, .. }) =
            (&mut cut, &self.bins.features[split.feature].kind)
        {
            *missing_below = n_below >= n_above;
        }
        Step {
            leaf: at,
            feature: split.feature,
            below: cut.below(),
            cut,
            gain: split.gain,
        }
    }

    fn weight(&self, rows: &[u32]) -> f64 {
        match self.weights {
            None => rows.len() as f64,
            Some(weights) => rows.iter().map(|row| weights[*row as usize]).sum(),
        }
    }

    fn histogram(&self, segments: &Segments, leaf: usize, gradients: &[Pair]) -> Histogram {
        let rows = segments.leaf(leaf);
        let rows = match rows.len() == gradients.len() {
            true => Rows::All(rows.len()),
            false => Rows::These(rows),
        };
        self.tiles.histogram(rows, gradients, self.threads)
    }

    fn best(&self, leaf: &Leaf, allowed: &[bool]) -> Option<Candidate> {
        let search = Search {
            bins: self.bins,
            starts: &self.tiles.starts,
            limits: self.limits,
            monotone: self.monotone,
        };
        let groups: Vec<&Vec<bool>> = self
            .interactions
            .iter()
            .filter(|group| leaf.path.iter().all(|feature| group[*feature]))
            .collect();
        let may = |feature: usize| {
            allowed[feature]
                && (self.interactions.is_empty() || groups.iter().any(|group| group[feature]))
        };
        let histogram = leaf.histogram.as_ref()?;
        search.best(histogram, &leaf.sums, may)
    }
}

fn sum(cells: &[[f64; 2]]) -> [f64; 2] {
    cells
        .iter()
        .fold([0.0; 2], |sum, cell| [sum[0] + cell[0], sum[1] + cell[1]])
}

impl Grown {
    /// The nodes of the tree, with the output and the cover of each leaf.
    pub(super) fn nodes(&self, bins: &Bins, leaves: &[(f64, f64)]) -> Vec<Node> {
        let mut nodes = vec![Node::Leaf {
            outputs: Vec::new(),
            cover: 0.0,
        }];
        // The node of each leaf.
        let mut places = vec![0_usize];
        for step in &self.steps {
            let at = places[step.leaf];
            let first = nodes.len() as u32;
            nodes[at] = Node::Split {
                feature: bins.features[step.feature].feature,
                rule: rule(&bins.features[step.feature].kind, &step.cut),
                children: [first, first + 1],
                gain: step.gain as f32,
            };
            for _ in 0..2 {
                nodes.push(Node::Leaf {
                    outputs: Vec::new(),
                    cover: 0.0,
                });
            }
            places[step.leaf] = first as usize;
            places.push(first as usize + 1);
        }
        for (place, (output, cover)) in places.into_iter().zip(leaves) {
            nodes[place] = Node::Leaf {
                outputs: vec![*output],
                cover: *cover as f32,
            };
        }
        nodes
    }
}

/// A cut between bins as a rule on values.
pub(super) fn rule(kind: &Kind, cut: &Cut) -> Rule {
    match (kind, cut) {
        (Kind::Codes { codes }, Cut::OneOf(set)) => {
            let mut words = Vec::new();
            for bin in set {
                let code = codes[usize::from(*bin) - 1] as usize;
                if words.len() <= code / 32 {
                    words.resize(code / 32 + 1, 0);
                }
                words[code / 32] |= 1 << (code % 32);
            }
            Rule::OneOf { words }
        }
        (Kind::Numbers { cuts, .. }, Cut::AtMost { bin, missing_below }) => Rule::AtMost {
            // The last bin has no cut: only missing values go above.
            threshold: cuts.get(bin - 1).copied().unwrap_or(f32::INFINITY),
            missing_below: *missing_below,
        },
        // Searches cut numbers and categories each in their way.
        _ => Rule::OneOf { words: Vec::new() },
    }
}

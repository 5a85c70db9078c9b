//! The best split of a leaf, from its histogram.

use super::bins::{Bins, FeatureBins, Kind, MISSING_BIN};

/// The limits of leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) min_rows: f64,
    pub(super) min_hessian: f64,
    pub(super) l2: f64,
    /// The fewest rows of a category, and of what a set of categories grows by.
    pub(super) min_category_rows: f64,
}

/// The smoothing of a category's mean gradient, and what is added to `l2` for sets of categories: LightGBM's
/// `cat_smooth` and `cat_l2`. Sets have at most `MOST_OF_SET` categories (`max_cat_threshold`); up to `FEW_CATEGORIES`
/// are tried one against the others (`max_cat_to_onehot`).
const SMOOTHING: f64 = 10.0;
const SET_L2: f64 = 10.0;
const MOST_OF_SET: usize = 32;
const FEW_CATEGORIES: usize = 4;

/// A split that could be made.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) gain: f64,
    /// The place of the feature among the bins.
    pub(super) feature: usize,
    pub(super) cut: Cut,
    /// The sums of the rows that go below.
    pub(super) below: [f64; 2],
}

#[derive(Clone, Debug)]
pub(super) enum Cut {
    /// Bins from 1 to `bin`, and the missing ones if `missing_below`.
    AtMost { bin: usize, missing_below: bool },
    /// Some bins of categories.
    OneOf(Vec<u8>),
}

impl Cut {
    pub(super) fn below(&self) -> [bool; 256] {
        let mut below = [false; 256];
        match self {
            Cut::AtMost { bin, missing_below } => {
                below[1..=*bin].fill(true);
                below[MISSING_BIN] = *missing_below;
            }
            Cut::OneOf(bins) => bins.iter().for_each(|bin| below[usize::from(*bin)] = true),
        }
        below
    }
}

/// A leaf that may be split.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafSums {
    pub(super) sums: [f64; 2],
    /// The weight of its rows, by default 1 a row.
    pub(super) weight: f64,
    /// Between which outputs of the leaf must stay, for the sake of monotone features.
    pub(super) bounds: [f64; 2],
}

impl LeafSums {
    /// The output of the least loss within the bounds.
    pub(super) fn output(&self, l2: f64) -> f64 {
        output(self.sums, self.bounds, l2)
    }
}

pub(super) fn output([gradient, hessian]: [f64; 2], [low, high]: [f64; 2], l2: f64) -> f64 {
    let divisor = hessian + l2;
    let output = if divisor > 0.0 {
        -gradient / divisor
    } else {
        0.0
    };
    output.max(low).min(high)
}

pub(super) struct Search<'a> {
    pub(super) bins: &'a Bins,
    pub(super) starts: &'a [usize],
    pub(super) limits: Limits,
    /// The constraint of each feature of the bins: -1, 0 or 1. Empty if there are no constraints.
    pub(super) monotone: &'a [i8],
}

impl Search<'_> {
    /// The split of the highest gain, which is above 0; of equal ones the first.
    pub(super) fn best(
        &self,
        histogram: &[[f64; 2]],
        leaf: &LeafSums,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        for (feature, bins) in self.bins.features.iter().enumerate() {
            if !allowed(feature) {
                continue;
            }
            let cells = &histogram[self.starts[feature]..self.starts[feature + 1]];
            let found = if self.monotone.is_empty() {
                let gain = Free { l2: self.limits.l2 };
                self.best_of(bins, cells, leaf, gain)
            } else {
                let gain = Bounded {
                    l2: self.limits.l2,
                    bounds: leaf.bounds,
                    direction: f64::from(self.monotone[feature]),
                };
                self.best_of(bins, cells, leaf, gain)
            };
            if let Some((gain, cut, below)) = found
                && best.as_ref().is_none_or(|best| gain > best.gain)
            {
                best = Some(Candidate {
                    gain,
                    feature,
                    cut,
                    below,
                });
            }
        }
        best
    }

    fn best_of(
        &self,
        bins: &FeatureBins,
        cells: &[[f64; 2]],
        leaf: &LeafSums,
        gain: impl Gain,
    ) -> Option<Found> {
        let parent = gain.one(leaf.sums);
        let mut best = Best::above(parent);
        let rows_per_hessian = leaf.weight / leaf.sums[1].max(f64::MIN_POSITIVE);
        let scan = Scan {
            total: leaf.sums,
            rows_per_hessian,
            limits: self.limits,
        };
        match &bins.kind {
            Kind::Numbers { missing, .. } => {
                scan.numbers(cells, [0.0; 2], false, *missing, gain, &mut best);
                if *missing {
                    scan.numbers(cells, cells[MISSING_BIN], true, false, gain, &mut best);
                }
            }
            Kind::Codes { .. } => scan.categories(cells, gain, &mut best),
        }
        best.found
            .map(|(cut, below)| (best.score - parent, cut, below))
    }
}

type Found = (f64, Cut, [f64; 2]);

struct Best {
    score: f64,
    /// The least relative gain of a better score: sums of equal rows may differ by rounding, and the first of equal splits is taken.
    bar: f64,
    found: Option<(Cut, [f64; 2])>,
}

impl Best {
    fn above(score: f64) -> Self {
        Best {
            score,
            bar: score + 1e-9 * score.abs() + 1e-10,
            found: None,
        }
    }

    fn take(&mut self, score: f64, cut: Cut, below: [f64; 2]) {
        self.score = score;
        self.bar = score + 1e-11 * score.abs();
        self.found = Some((cut, below));
    }
}

/// The score of two leaves; higher is better.
trait Gain: Copy {
    fn one(self, sums: [f64; 2]) -> f64;

    /// `None` if the split is not allowed.
    fn two(self, below: [f64; 2], above: [f64; 2], more_l2: f64) -> Option<f64>;
}

#[derive(Clone, Copy)]
struct Free {
    l2: f64,
}

impl Gain for Free {
    fn one(self, [gradient, hessian]: [f64; 2]) -> f64 {
        gradient * gradient / (hessian + self.l2).max(f64::MIN_POSITIVE)
    }

    #[inline]
    fn two(self, below: [f64; 2], above: [f64; 2], more_l2: f64) -> Option<f64> {
        let l2 = self.l2 + more_l2;
        let (h, k) = (below[1] + l2, above[1] + l2);
        // One division for two.
        Some((below[0] * below[0] * k + above[0] * above[0] * h) / (h * k))
    }
}

/// Outputs stay within bounds and ascend (or descend) with the feature.
#[derive(Clone, Copy)]
struct Bounded {
    l2: f64,
    bounds: [f64; 2],
    direction: f64,
}

impl Bounded {
    fn at(self, [gradient, hessian]: [f64; 2], output: f64, l2: f64) -> f64 {
        -(2.0 * gradient * output + (hessian + l2) * output * output)
    }
}

impl Gain for Bounded {
    fn one(self, sums: [f64; 2]) -> f64 {
        self.at(sums, output(sums, self.bounds, self.l2), self.l2)
    }

    fn two(self, below: [f64; 2], above: [f64; 2], more_l2: f64) -> Option<f64> {
        let l2 = self.l2 + more_l2;
        let outputs = (
            output(below, self.bounds, l2),
            output(above, self.bounds, l2),
        );
        if (outputs.1 - outputs.0) * self.direction < 0.0 {
            return None;
        }
        Some(self.at(below, outputs.0, l2) + self.at(above, outputs.1, l2))
    }
}

struct Scan {
    total: [f64; 2],
    /// Rows (which count as much as they weigh) are estimated by their share of the Hessians, as LightGBM does: exact
    /// where all Hessians are the same.
    rows_per_hessian: f64,
    limits: Limits,
}

impl Scan {
    fn rows(&self, hessian: f64) -> f64 {
        (hessian * self.rows_per_hessian).round()
    }

    fn is_enough(&self, hessian: f64) -> bool {
        hessian >= self.limits.min_hessian && self.rows(hessian) >= self.limits.min_rows
    }

    /// All cuts between numbers; the last one, all numbers below and missing ones above, if `to_last`.
    fn numbers(
        &self,
        cells: &[[f64; 2]],
        start: [f64; 2],
        missing_below: bool,
        to_last: bool,
        gain: impl Gain,
        best: &mut Best,
    ) {
        let mut below = start;
        let last = if to_last {
            cells.len()
        } else {
            cells.len() - 1
        };
        // The fewest Hessians of a side, so that counting takes no division.
        let fewest =
            ((self.limits.min_rows - 0.5) / self.rows_per_hessian).max(self.limits.min_hessian);
        for (bin, cell) in cells.iter().enumerate().take(last).skip(1) {
            below = [below[0] + cell[0], below[1] + cell[1]];
            let above = [self.total[0] - below[0], self.total[1] - below[1]];
            if below[1] < fewest {
                continue;
            }
            if above[1] < fewest {
                break;
            }
            if let Some(score) = gain.two(below, above, 0.0)
                && score > best.bar
            {
                best.take(score, Cut::AtMost { bin, missing_below }, below);
            }
        }
    }

    fn categories(&self, cells: &[[f64; 2]], gain: impl Gain, best: &mut Best) {
        let present = (1..cells.len()).filter(|bin| self.rows(cells[*bin][1]) >= 1.0);
        let mut present: Vec<usize> = present.collect();
        if present.len() <= FEW_CATEGORIES {
            for bin in present {
                let below = cells[bin];
                self.offer(below, 0.0, gain, best, || vec![bin as u8]);
            }
            return;
        }
        present.retain(|bin| {
            self.rows(cells[*bin][1]) >= self.limits.min_category_rows.min(SMOOTHING)
        });
        let mean = |bin: usize| cells[bin][0] / (cells[bin][1] + SMOOTHING);
        present.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)).then(a.cmp(b)));
        let most = MOST_OF_SET.min(present.len().div_ceil(2));
        for descending in [false, true] {
            if descending {
                present.reverse();
            }
            let mut below = [0.0; 2];
            let mut added = 0.0;
            for n in 1..=most {
                let cell = cells[present[n - 1]];
                below = [below[0] + cell[0], below[1] + cell[1]];
                added += self.rows(cell[1]);
                if self.rows(self.total[1] - below[1]) < self.limits.min_category_rows {
                    break;
                }
                if added < self.limits.min_category_rows {
                    continue;
                }
                if self.offer(below, SET_L2, gain, best, || {
                    present[..n].iter().map(|bin| *bin as u8).collect()
                }) {
                    added = 0.0;
                }
            }
        }
    }

    /// Offers a cut as the best; returns true if both sides were large enough to be tried.
    fn offer(
        &self,
        below: [f64; 2],
        l2: f64,
        gain: impl Gain,
        best: &mut Best,
        set: impl Fn() -> Vec<u8>,
    ) -> bool {
        let above = [self.total[0] - below[0], self.total[1] - below[1]];
        if !self.is_enough(below[1]) || !self.is_enough(above[1]) {
            return false;
        }
        if let Some(score) = gain.two(below, above, l2)
            && score > best.bar
        {
            best.take(score, Cut::OneOf(set()), below);
        }
        true
    }
}

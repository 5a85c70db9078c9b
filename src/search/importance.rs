//! Importance of parameters: functional analysis of variance over a forest.
//!
//! Hutter, Hoos, Leyton-Brown: An efficient approach for assessing hyperparameter importance (ICML 2014). A forest of
//! regression trees is fitted to the trials: from the places of the parameters to the loss. A tree is constant on boxes,
//! so the mean loss at each value of one parameter, over all values of the others, is known exactly, and so is how much
//! that mean varies: its share of the variance over the whole space is the importance. Interactions are in none of them, so
//! the importances of a trainer sum to at most 1.
//!
//! These are the importances of Optuna's `FanovaImportanceEvaluator` with `normalize=False`; a choice is split
//! by the order of its values here, one value against the rest there.

use super::space::Space;
use super::tpe::Observation;
use crate::training::{Importance, Random};

/// The fewest trials of a trainer that importances are estimated from.
const MIN_TRIALS: usize = 8;
/// The most trials of a trainer that are used; more are thinned out evenly.
const MAX_TRIALS: usize = 500;
const TREES: usize = 32;
const MEASURE: &str = "fanova";

/// A box of the space, where a tree has one value.
struct Leaf {
    /// The lower and upper bound of each parameter.
    sides: Vec<(f64, f64)>,
    value: f64,
}

impl Leaf {
    fn volume(&self) -> f64 {
        self.sides.iter().map(|(from, to)| to - from).product()
    }
}

/// The importance of each parameter of each trainer with enough trials, as `trainer.parameter`; and of `trainer`, the
/// choice among several: the share of the variance of all trials that is between trainers.
pub(super) fn importances(space: &Space, seen: &[Observation]) -> Vec<Importance> {
    let comparable = seen.iter().filter(|trial| trial.loss.is_finite());
    let comparable: Vec<&Observation> = comparable.collect();
    let mut found = Vec::new();
    let mut tell = |name: String, value: f64| {
        if value.is_finite() {
            found.push(Importance {
                feature: name,
                measure: MEASURE.to_owned(),
                value,
            });
        }
    };
    let groups = space.alternatives.iter().enumerate().map(|(at, _)| {
        let own = comparable
            .iter()
            .filter(|trial| trial.point.alternative == at);
        own.copied().collect::<Vec<&Observation>>()
    });
    let groups: Vec<Vec<&Observation>> = groups.collect();
    if groups.iter().filter(|group| !group.is_empty()).count() > 1 {
        tell("trainer".to_owned(), between(&groups));
    }
    for (alternative, group) in space.alternatives.iter().zip(&groups) {
        if group.len() < MIN_TRIALS || alternative.parameters.is_empty() {
            continue;
        }
        let step = group.len().div_ceil(MAX_TRIALS);
        let points: Vec<(&[f64], f64)> = (group.iter().step_by(step))
            .map(|trial| (trial.point.places.as_slice(), trial.loss))
            .collect();
        for (parameter, value) in alternative.parameters.iter().zip(main_effects(&points)) {
            tell(format!("{}.{}", alternative.name, parameter.name), value);
        }
    }
    found
}

/// The share of the variance that is between groups.
fn between(groups: &[Vec<&Observation>]) -> f64 {
    let all = || groups.iter().flatten().map(|trial| trial.loss);
    let n = all().count() as f64;
    let mean = all().sum::<f64>() / n;
    let total: f64 = all().map(|loss| (loss - mean).powi(2)).sum();
    let of_group = |group: &Vec<&Observation>| {
        let n = group.len() as f64;
        let own = group.iter().map(|trial| trial.loss).sum::<f64>() / n.max(1.0);
        n * (own - mean).powi(2)
    };
    groups.iter().map(of_group).sum::<f64>() / total
}

/// The share of the variance of each coordinate of points in the unit cube; not a number where all values are equal.
fn main_effects(points: &[(&[f64], f64)]) -> Vec<f64> {
    let n = points.len();
    let dimensions = points.first().map_or(0, |(places, _)| places.len());
    let mut shares = vec![0.0; dimensions];
    let mut n_trees = 0.0;
    for tree in 0..TREES {
        let mut random = Random::of(0, tree);
        // Each tree sees as many points, some of them repeated.
        let draw = |_| ((random.uniform() * n as f64) as usize).min(n - 1);
        let rows: Vec<usize> = (0..n).map(draw).collect();
        let mut leaves = Vec::new();
        grow(points, rows, vec![(0.0, 1.0); dimensions], &mut leaves);
        let mean: f64 = leaves.iter().map(|leaf| leaf.value * leaf.volume()).sum();
        let squares = leaves
            .iter()
            .map(|leaf| (leaf.value - mean).powi(2) * leaf.volume());
        let total: f64 = squares.sum();
        if total <= 0.0 {
            continue;
        }
        n_trees += 1.0;
        for (dimension, share) in shares.iter_mut().enumerate() {
            *share += marginal_variance(&leaves, dimension, mean) / total;
        }
    }
    shares.into_iter().map(|share| share / n_trees).collect()
}

/// The variance, along one coordinate, of the mean over all others.
fn marginal_variance(leaves: &[Leaf], dimension: usize, mean: f64) -> f64 {
    // The mean is a sum of steps: each leaf adds its part from one side to the other.
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for leaf in leaves {
        let (from, to) = leaf.sides[dimension];
        let part = (leaf.value - mean) * leaf.volume() / (to - from);
        steps.push((from, part));
        steps.push((to, -part));
    }
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut before, mut sum, mut variance) = (0.0, 0.0, 0.0);
    for (place, part) in steps {
        variance += (place - before) * sum * sum;
        before = place;
        sum += part;
    }
    variance
}

/// Divides rows as long as that lowers the squared error.
fn grow(
    points: &[(&[f64], f64)],
    rows: Vec<usize>,
    sides: Vec<(f64, f64)>,
    leaves: &mut Vec<Leaf>,
) {
    let mut work = vec![(rows, sides)];
    while let Some((rows, sides)) = work.pop() {
        let Some((dimension, at)) = best_cut(points, &rows, sides.len()) else {
            let sum: f64 = rows.iter().map(|row| points[*row].1).sum();
            let value = sum / rows.len() as f64;
            leaves.push(Leaf { sides, value });
            continue;
        };
        let (left, right): (Vec<usize>, Vec<usize>) = rows
            .into_iter()
            .partition(|row| points[*row].0[dimension] < at);
        let (mut low, mut high) = (sides.clone(), sides);
        low[dimension].1 = at;
        high[dimension].0 = at;
        work.push((right, high));
        work.push((left, low));
    }
}

/// The cut that lowers the squared error most: a coordinate, and the place between two points.
fn best_cut(points: &[(&[f64], f64)], rows: &[usize], dimensions: usize) -> Option<(usize, f64)> {
    let n = rows.len() as f64;
    let total: f64 = rows.iter().map(|row| points[*row].1).sum();
    let mut best: Option<(f64, usize, f64)> = None;
    for dimension in 0..dimensions {
        let mut sorted: Vec<(f64, f64)> = rows
            .iter()
            .map(|row| (points[*row].0[dimension], points[*row].1))
            .collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut left = 0.0;
        for (at, pair) in sorted.windows(2).enumerate() {
            left += pair[0].1;
            let middle = f64::midpoint(pair[0].0, pair[1].0);
            if !(pair[0].0 < middle && middle <= pair[1].0) {
                continue;
            }
            let n_left = at as f64 + 1.0;
            let right = total - left;
            let gain = left * left / n_left + right * right / (n - n_left) - total * total / n;
            if best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, dimension, middle));
            }
        }
    }
    // Equal values gain nothing but what rounding leaves.
    let scale = f64::EPSILON * rows.iter().map(|row| points[*row].1.powi(2)).sum::<f64>();
    best.filter(|(gain, ..)| *gain > 4.0 * scale)
        .map(|(_, dimension, at)| (dimension, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of a low-discrepancy sequence in three coordinates, with a value each.
    fn points(n: usize, value: impl Fn(&[f64]) -> f64) -> Vec<(Vec<f64>, f64)> {
        let steps = [0.819_172_513, 0.671_043_607, 0.549_700_478];
        let point = |at: usize| {
            let places = steps.map(|step: f64| (0.5 + step * at as f64).fract());
            (places.to_vec(), value(&places))
        };
        (0..n).map(point).collect()
    }

    fn effects(points: &[(Vec<f64>, f64)]) -> Vec<f64> {
        let points: Vec<(&[f64], f64)> = points
            .iter()
            .map(|(places, value)| (places.as_slice(), *value))
            .collect();
        main_effects(&points)
    }

    #[test]
    fn shares_of_a_sum_are_those_of_its_terms() {
        // Variances of 3x, 1y, 0z over the unit cube are as 9 to 1 to 0.
        let found = effects(&points(200, |at| 3.0 * at[0] + at[1]));
        assert!((found[0] - 0.9).abs() < 0.05, "{found:?}");
        assert!((found[1] - 0.1).abs() < 0.05, "{found:?}");
        assert!(found[2] < 0.01, "{found:?}");
    }

    #[test]
    fn interactions_are_of_neither() {
        // (x - 1/2)(y - 1/2) has no main effect.
        let found = effects(&points(300, |at| (at[0] - 0.5) * (at[1] - 0.5)));
        assert!(found.iter().sum::<f64>() < 0.3, "{found:?}");
    }

    #[test]
    fn equal_values_have_no_importance() {
        assert!(
            effects(&points(20, |_| 0.7))
                .iter()
                .all(|share| share.is_nan())
        );
        let twice = vec![(vec![0.3], 1.0), (vec![0.3], 2.0)];
        assert!(effects(&twice)[0].is_nan(), "one place has no sides");
    }

    #[test]
    fn a_step_by_hand() {
        // One tree of two boxes: 0 up to 1/4, 1 beyond. The variance is 3/16, all of it along the first coordinate.
        let leaves = [((0.0, 0.25), 0.0), ((0.25, 1.0), 1.0)].map(|(side, value)| Leaf {
            sides: vec![side, (0.0, 1.0)],
            value,
        });
        assert!((marginal_variance(&leaves, 0, 0.75) - 3.0 / 16.0).abs() < 1e-12);
        assert!(marginal_variance(&leaves, 1, 0.75).abs() < 1e-12);
    }
}

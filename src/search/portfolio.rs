//! What an automatic search tries, and in which order.

use super::space::{Point, Space};
use super::tpe::{self, Observation};
use crate::model::{Target, Task};
use crate::training::{
    GradientBoosting, LinearRegression, LogisticRegression, Random, RandomForest, TrainArgs,
};

/// Trials of a batch.
const BATCH: usize = 4;

/// Kinds of model, each with a range of parameters; and, after them, configurations to begin with.
pub(super) struct Portfolio {
    pub(super) space: Space,
    /// The kind of each alternative.
    kinds: Vec<usize>,
    n_kinds: usize,
}

impl Portfolio {
    pub(super) fn new(target: &Target, n_rows: usize) -> Self {
        let boosting = GradientBoosting::default().rounds(1_000).patience(30);
        let forest = RandomForest::default().trees(200);
        let searched = [
            Space::of(boosting.clone())
                .log("learning_rate", 0.02, 0.3)
                .integer_log("max_leaves", 4, 128)
                .integer_log("min_rows_leaf", 2, 100)
                .log("l2", 1e-3, 30.0)
                .float("feature_fraction", 0.4, 1.0)
                .float("row_fraction", 0.5, 1.0),
            linear(target, None),
            Space::of(forest.clone())
                .integer_log("min_rows_leaf", 1, 50)
                .float("feature_fraction", 0.2, 1.0)
                .choice("random_cuts", [true, false]),
        ];
        let n_kinds = searched.len();
        let rows_leaf = if n_rows < 2_000 { 5 } else { 20 };
        let first = [
            (
                0,
                Space::of(
                    boosting
                        .clone()
                        .min_rows_leaf(rows_leaf)
                        .feature_fraction(0.8),
                ),
            ),
            (1, linear(target, Some(()))),
            (
                2,
                Space::of(RandomForest::extra_random().trees(200).min_rows_leaf(2)),
            ),
            (
                0,
                Space::of(
                    boosting
                        .learning_rate(0.05)
                        .max_leaves(8)
                        .min_rows_leaf(rows_leaf)
                        .l2(1.0)
                        .feature_fraction(0.6)
                        .row_fraction(0.8),
                ),
            ),
            (2, Space::of(forest.min_rows_leaf(3))),
        ];
        let mut kinds: Vec<usize> = (0..n_kinds).collect();
        let mut alternatives = Vec::new();
        searched
            .into_iter()
            .for_each(|space| alternatives.extend(space.alternatives));
        for (kind, space) in first {
            kinds.push(kind);
            alternatives.extend(space.alternatives);
        }
        Portfolio {
            space: Space { alternatives },
            kinds,
            n_kinds,
        }
    }

    /// The configurations to begin with.
    fn first(&self) -> Vec<Point> {
        let point = |alternative| Point {
            alternative,
            places: Vec::new(),
        };
        (self.n_kinds..self.kinds.len()).map(point).collect()
    }

    /// The next place of a kind, after the trials so far.
    fn next(&self, kind: usize, seen: &[Observation], random: &mut Random) -> Point {
        let own = Space {
            alternatives: vec![self.space.alternatives[kind].clone()],
        };
        let searched = seen.iter().filter(|trial| trial.point.alternative == kind);
        let searched = searched.map(|trial| Observation {
            point: Point {
                alternative: 0,
                places: trial.point.places.clone(),
            },
            loss: trial.loss,
        });
        let seen: Vec<Observation> = searched.collect();
        Point {
            alternative: kind,
            ..tpe::propose(&own, &seen, random)
        }
    }

    /// Kinds, the best so far first.
    fn ranked(&self, seen: &[Observation]) -> Vec<usize> {
        let least = |kind: &usize| {
            let of_kind = seen
                .iter()
                .filter(|trial| self.kinds[trial.point.alternative] == *kind);
            of_kind
                .map(|trial| trial.loss)
                .fold(f64::INFINITY, f64::min)
        };
        let mut kinds: Vec<usize> = (0..self.n_kinds).collect();
        kinds.sort_by(|a, b| least(a).total_cmp(&least(b)));
        kinds
    }
}

/// The linear model of the task: with a range, or as it is to begin with.
fn linear(target: &Target, first: Option<()>) -> Space {
    match (target.task(), first) {
        (Task::Regression, None) => Space::of(LinearRegression::default())
            .log("penalty", 1e-6, 1.0)
            .choice("l1_ratio", [0.0, 0.5, 1.0]),
        (Task::Regression, Some(())) => Space::of(LinearRegression::default().penalty(1e-3)),
        (_, None) => Space::of(LogisticRegression::default()).log("alpha", 1e-2, 300.0),
        (_, Some(())) => Space::of(LogisticRegression::default()),
    }
}

/// The configurations to begin with; then two of the best kind, one of the second and one of the third.
pub(super) fn next_batch(
    portfolio: &Portfolio,
    seen: &[Observation],
    args: &TrainArgs,
    most: usize,
) -> Vec<Point> {
    let first = portfolio.first();
    let left = most - seen.len();
    if seen.len() < first.len() {
        return first
            .into_iter()
            .skip(seen.len())
            .take(BATCH.min(left))
            .collect();
    }
    let ranked = portfolio.ranked(seen);
    let kinds = [0, 0, 1, 2].map(|rank| ranked[rank]);
    let mut seen = seen.to_vec();
    let mut points = Vec::new();
    for kind in kinds.into_iter().take(left) {
        let point = portfolio.next(kind, &seen, &mut Random::of(args.seed(), seen.len()));
        seen.push(Observation {
            point: point.clone(),
            loss: f64::INFINITY,
        });
        points.push(point);
    }
    points
}

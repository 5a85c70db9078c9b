//! The configurations of an automatic search, in their order.
//!
//! It begins with a portfolio: configurations that do well on most tables, of which at least one does well on each
//! (zero-shot learning, as in FLAML: Wang and others, MLSys 2021). The portfolio is `portfolio.toml`, one list for few rows
//! and one for more. `benches/peers/portfolio.py` makes such a file of runs on public tables; the header of the file says
//! the origin of its present content.

use serde_json::Value;

use super::file::Trainers;
use super::space::{Point, Space};
use super::tpe::{self, Observation};
use crate::error::Result;
use crate::model::{Target, Task};
use crate::training::{
    GradientBoosting, LinearRegression, LogisticRegression, Random, RandomForest, TrainArgs,
};
use crate::written;

/// Trials of a batch.
const BATCH: usize = 4;
/// The maximum number of rows of the portfolio of few rows.
const FEW_ROWS: usize = 1_000;
const PORTFOLIO: &str = include_str!("portfolio.toml");

/// Kinds of model, each with a range of parameters; and, after them, configurations to begin with.
pub(super) struct Portfolio {
    pub(super) space: Space,
    /// The kind of each alternative.
    kinds: Vec<usize>,
    n_kinds: usize,
}

impl Portfolio {
    pub(super) fn new(target: &Target, n_rows: usize) -> Result<Self> {
        let linear = match target.task() {
            Task::Regression => Space::of(LinearRegression::default())
                .log("penalty", 1e-6, 1.0)
                .choice("l1_ratio", [0.0, 0.5, 1.0]),
            _ => Space::of(LogisticRegression::default()).log("alpha", 1e-2, 300.0),
        };
        let mut space = Space::of(GradientBoosting::default().rounds(1_000).patience(30))
            .log("learning_rate", 0.02, 0.3)
            .integer_log("max_leaves", 4, 128)
            .integer_log("min_rows_leaf", 2, 100)
            .log("l2", 1e-3, 30.0)
            .float("feature_fraction", 0.4, 1.0)
            .float("row_fraction", 0.5, 1.0)
            .or(linear)
            .or(Space::of(RandomForest::default().trees(200))
                .integer_log("min_rows_leaf", 1, 50)
                .float("feature_fraction", 0.2, 1.0)
                .choice("random_cuts", [true, false]));
        let names: Vec<String> = (space.alternatives.iter())
            .map(|alternative| alternative.name.clone())
            .collect();
        let n_kinds = names.len();
        let mut kinds: Vec<usize> = (0..n_kinds).collect();
        for alternative in first(n_rows)?.alternatives {
            // Linear models of the other task are left out.
            if let Some(kind) = names.iter().position(|name| *name == alternative.name) {
                kinds.push(kind);
                space.alternatives.push(alternative);
            }
        }
        Ok(Portfolio {
            space,
            kinds,
            n_kinds,
        })
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

/// The list of the portfolio for a number of rows.
fn first(n_rows: usize) -> Result<Space> {
    let mut lists: Value = written::from_toml(PORTFOLIO)?;
    let list = if n_rows <= FEW_ROWS { "few" } else { "many" };
    Space::of_value(lists[list].take(), &Trainers::default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portfolio_fits_the_task_and_checks() {
        let classes = Target::classification("y", ["a", "b"]).unwrap();
        for (target, linear) in [
            (classes, "logistic_regression"),
            (Target::regression("y"), "linear_regression"),
        ] {
            for n_rows in [100, 100_000] {
                let portfolio = Portfolio::new(&target, n_rows).unwrap();
                portfolio.space.check().unwrap();
                let first = portfolio.first();
                assert!(first.len() >= BATCH, "{}", first.len());
                let names = portfolio
                    .space
                    .alternatives
                    .iter()
                    .map(|it| it.name.as_str());
                let known = ["gradient_boosting", linear, "random_forest"];
                assert!(names.clone().all(|name| known.contains(&name)));
                assert_eq!(names.take(3).collect::<Vec<_>>(), known);
            }
        }
    }
}

//! The configurations of an automatic search, in their order.
//!
//! It begins with a portfolio: configurations that do well on most tables, of which at least one does well on each
//! (zero-shot learning, as in FLAML: Wang and others, MLSys 2021). The portfolio is `portfolio.toml`, one list for few rows
//! and one for more. `benches/peers/portfolio.py` makes such a file of runs on public tables; the header of the file says
//! the origin of its present content.

use serde_json::Value;

use super::file::Trainers;
use super::history::History;
use super::space::{Alternative, Point, Space};
use super::tpe::{self, Observation};
use crate::error::Result;
use crate::model::{Target, Task};
use crate::training::{
    GeneralizedLinear, GradientBoosting, LinearRegression, LogisticRegression, Random,
    RandomForest, RegressionLoss,
};
use crate::written;

/// Trials of a batch.
pub(super) const BATCH: usize = 4;
/// The maximum number of rows of the portfolio of few rows.
const FEW_ROWS: usize = 1_000;
const PORTFOLIO: &str = include_str!("portfolio.toml");
/// The parameters that tell kinds of model of one trainer apart.
const MARKS: [&str; 2] = ["loss", "random_cuts"];

/// Kinds of model, each with a range of parameters; and, after them, configurations to begin with.
pub(super) struct Portfolio {
    pub(super) space: Space,
    /// The kind of each alternative.
    pub(super) kinds: Vec<usize>,
    n_kinds: usize,
}

impl Portfolio {
    /// The kinds for a target, of whose labels none is below 0 if `are_amounts`, and the configurations for a number of
    /// rows.
    pub(super) fn new(target: &Target, n_rows: usize, are_amounts: bool) -> Result<Self> {
        let linear = match target.task() {
            Task::Regression => Space::of(LinearRegression::default())
                .log("penalty", 1e-6, 1.0)
                .choice("l1_ratio", [0.0, 0.5, 1.0]),
            _ => Space::of(LogisticRegression::default()).log("alpha", 1e-2, 300.0),
        };
        let mut space = boosting(GradientBoosting::default())
            .or(linear)
            .or(forest(RandomForest::default()))
            .or(forest(RandomForest::extra_random()));
        if are_amounts {
            // The mean of amounts, on a logarithmic scale.
            space = space
                .or(boosting(
                    GradientBoosting::default().loss(RegressionLoss::Poisson),
                ))
                .or(Space::of(GeneralizedLinear::poisson()).log("penalty", 1e-6, 1.0));
        }
        let n_kinds = space.alternatives.len();
        let mut kinds: Vec<usize> = (0..n_kinds).collect();
        for alternative in first(n_rows)?.alternatives {
            let is_kind = |kind: &Alternative| {
                let base = |of: &Alternative, name: &str| of.base.get(name).cloned();
                kind.name == alternative.name
                    && MARKS
                        .iter()
                        .all(|name| base(kind, name) == base(&alternative, name))
            };
            // Those of other tasks are left out.
            if let Some(kind) = space.alternatives[..n_kinds].iter().position(is_kind) {
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
    pub(super) fn first(&self) -> Vec<Point> {
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

    /// The least loss of a kind's trials.
    fn least<'a>(&self, kind: usize, trials: impl Iterator<Item = &'a Observation>) -> f64 {
        let own = trials.filter(|trial| self.kinds[trial.point.alternative] == kind);
        own.map(|trial| trial.loss).fold(f64::INFINITY, f64::min)
    }

    /// Kinds, the best so far first; those of whose trials none learned from all rows are behind the others.
    fn ranked(&self, history: &History) -> Vec<usize> {
        let losses = |kind: usize| {
            let sampled = history.sampled.iter().map(|(_, trial)| trial);
            (
                self.least(kind, history.seen.iter()),
                self.least(kind, sampled),
            )
        };
        let mut kinds: Vec<(usize, (f64, f64))> =
            (0..self.n_kinds).map(|kind| (kind, losses(kind))).collect();
        kinds.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        kinds.into_iter().map(|(kind, _)| kind).collect()
    }
}

fn boosting(boosting: GradientBoosting) -> Space {
    Space::of(boosting.rounds(1_000).patience(30))
        .log("learning_rate", 0.02, 0.3)
        .integer_log("max_leaves", 4, 128)
        .integer_log("min_rows_leaf", 2, 100)
        .log("l2", 1e-3, 30.0)
        .float("feature_fraction", 0.4, 1.0)
        .float("row_fraction", 0.5, 1.0)
}

fn forest(forest: RandomForest) -> Space {
    Space::of(forest.trees(200))
        .integer_log("min_rows_leaf", 1, 50)
        .float("feature_fraction", 0.2, 1.0)
}

/// The list of the portfolio for a number of rows.
fn first(n_rows: usize) -> Result<Space> {
    let mut lists: Value = written::from_toml(PORTFOLIO)?;
    let list = if n_rows <= FEW_ROWS { "few" } else { "many" };
    Space::of_value(lists[list].take(), &Trainers::default())
}

/// The next batch after the configurations to begin with: two of the best kind, one of the second, and one of the others in
/// turn.
pub(super) fn next_batch(
    portfolio: &Portfolio,
    history: &History,
    seed: u64,
    most: usize,
) -> Vec<Point> {
    let ranked = portfolio.ranked(history);
    let mut seen = history.seen.clone();
    let others = &ranked[2..];
    let other = others[seen.len() / BATCH % others.len()];
    let mut points = Vec::new();
    for kind in [ranked[0], ranked[0], ranked[1], other]
        .into_iter()
        .take(most)
    {
        let point = portfolio.next(kind, &seen, &mut Random::of(seed, seen.len()));
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
        for (target, amounts, n_kinds) in [
            (classes, false, 4),
            (Target::regression("y"), false, 4),
            (Target::regression("y"), true, 6),
        ] {
            for n_rows in [100, 100_000] {
                let portfolio = Portfolio::new(&target, n_rows, amounts).unwrap();
                portfolio.space.check().unwrap();
                assert_eq!(portfolio.n_kinds, n_kinds);
                let first = portfolio.first();
                let linear = match target.task() {
                    Task::Regression => "linear_regression",
                    _ => "logistic_regression",
                };
                let known = [
                    "gradient_boosting",
                    linear,
                    "random_forest",
                    "poisson_regression",
                ];
                let names = portfolio.space.alternatives.iter();
                assert!(
                    names
                        .map(|it| &it.name)
                        .all(|name| known.contains(&name.as_str()))
                );
                // Each kind is among those to begin with.
                let kinds = first.iter().map(|point| portfolio.kinds[point.alternative]);
                let kinds: std::collections::BTreeSet<usize> = kinds.collect();
                assert_eq!(kinds.len(), n_kinds);
            }
        }
    }
}

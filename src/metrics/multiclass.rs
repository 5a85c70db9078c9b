//! Metrics of three classes or more.

use std::collections::BTreeMap;

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::binary::Weight;
use super::estimate::{Mean, Point};
use super::{count_unseen, surprise};
use crate::model::most_probable;

/// The class of rows whose class the target does not know.
const UNSEEN: u32 = u32::MAX;

/// What is counted of a row.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    class: u32,
    unseen: Option<&'a str>,
    predicted: u32,
    /// How many classes are more probable than the true one.
    rank: usize,
    loss: f64,
    squared: f64,
    weight: f64,
}

impl<'a> Row<'a> {
    pub(super) fn new(
        label: f64,
        unseen: Option<&'a str>,
        probabilities: ArrayView1<'_, f64>,
        weight: f64,
    ) -> Self {
        let predicted = most_probable(probabilities) as u32;
        let of_all: f64 = probabilities.iter().map(|p| p * p).sum();
        if label.is_nan() {
            return Row {
                class: UNSEEN,
                unseen,
                predicted,
                rank: probabilities.len(),
                loss: surprise(0.0),
                squared: of_all + 1.0,
                weight,
            };
        }
        let class = label as usize;
        let own = probabilities[class];
        let before = |(at, p): (usize, &f64)| *p > own || *p == own && at < class;
        Row {
            class: class as u32,
            unseen: None,
            predicted,
            rank: probabilities
                .iter()
                .enumerate()
                .filter(|other| before(*other))
                .count(),
            loss: surprise(own),
            squared: of_all - 2.0 * own + 1.0,
            weight,
        }
    }

    /// What a paired comparison is made of: log loss, squared error, whether it is answered rightly.
    pub(super) fn losses(&self) -> [f64; 3] {
        [
            self.loss,
            self.squared,
            f64::from(self.class == self.predicted),
        ]
    }
}

/// Running sums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Multiclass {
    rows: u64,
    /// Of each class, and of those that are not known.
    losses: Vec<Mean>,
    squares: Mean,
    /// Rows by class and answer.
    confusion: BTreeMap<(u32, u32), Weight>,
    /// Rows by how many classes are more probable than the true one.
    ranks: Vec<f64>,
    unseen: BTreeMap<String, u64>,
}

impl Multiclass {
    pub(super) fn new(n_classes: usize) -> Self {
        Multiclass {
            rows: 0,
            losses: vec![Mean::default(); n_classes + 1],
            squares: Mean::default(),
            confusion: BTreeMap::new(),
            ranks: vec![0.0; n_classes + 1],
            unseen: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, row: &Row<'_>) {
        self.rows += 1;
        let last = self.losses.len() - 1;
        let class = (row.class as usize).min(last);
        self.losses[class].add(row.loss, row.weight);
        self.squares.add(row.squared, row.weight);
        self.ranks[row.rank.min(last)] += row.weight;
        let cell = self.confusion.entry((row.class, row.predicted));
        cell.or_default().add(row.weight);
        if row.class == UNSEEN {
            count_unseen(&mut self.unseen, row.unseen, 1);
        }
    }

    pub(super) fn merge(&mut self, other: &Multiclass) {
        self.rows += other.rows;
        for (mine, theirs) in self.losses.iter_mut().zip(&other.losses) {
            mine.merge(theirs);
        }
        self.squares.merge(&other.squares);
        for (cell, weight) in &other.confusion {
            self.confusion.entry(*cell).or_default().merge(weight);
        }
        for (mine, theirs) in self.ranks.iter_mut().zip(&other.ranks) {
            *mine += theirs;
        }
        for (class, rows) in &other.unseen {
            count_unseen(&mut self.unseen, Some(class), *rows);
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Of each class: rows of it, rows answered as it, rows of it that are answered as it.
    fn classes(&self) -> Vec<(f64, f64, f64)> {
        let mut classes = vec![(0.0, 0.0, 0.0); self.losses.len() - 1];
        for ((class, predicted), weight) in &self.confusion {
            if let Some(of_class) = classes.get_mut(*class as usize) {
                of_class.0 += weight.w;
            }
            if let Some(answered) = classes.get_mut(*predicted as usize) {
                answered.1 += weight.w;
                if class == predicted {
                    answered.2 += weight.w;
                }
            }
        }
        classes
    }

    /// The mean over the classes of a function of rows, answers and hits; those that it has no value for are left out.
    /// Classes that are not known count as `unseen`, if it is given.
    fn mean_of(&self, unseen: Option<f64>, of: impl Fn((f64, f64, f64)) -> Option<f64>) -> Point {
        let values: Vec<f64> = self.classes().into_iter().filter_map(of).collect();
        let others = unseen.map_or(0, |_| self.unseen.len());
        let sum = values.iter().sum::<f64>() + others as f64 * unseen.unwrap_or_default();
        Point::alone(sum / (values.len() + others) as f64)
    }

    /// The value of a metric; `None` if it is not defined.
    pub(super) fn value(&self, name: &str, args: &[f64]) -> Option<Point> {
        let mut all = Mean::default();
        self.losses.iter().for_each(|class| all.merge(class));
        let hits: f64 = self.classes().iter().map(|class| class.2).sum();
        match name {
            "example_count" => Some(Point::alone(self.rows as f64)),
            "log_loss" => Some(all.point()),
            "brier" => Some(self.squares.point()),
            "accuracy" => Some(Point::share(hits, all.weight(), all.n())),
            "top_k_accuracy" => {
                let k = *args.first()? as usize;
                let within: f64 = self.ranks.iter().take(k.min(self.ranks.len() - 1)).sum();
                Some(Point::share(within, all.weight(), all.n()))
            }
            "skill" => self.skill(&all),
            "macro_f1" => Some(self.macro_f1()),
            "weighted_f1" => {
                let of = |(rows, answers, hits): (f64, f64, f64)| {
                    (rows > 0.0).then(|| rows * 2.0 * hits / (rows + answers))
                };
                let sum: f64 = self.classes().into_iter().filter_map(of).sum();
                Some(Point::alone(sum / all.weight()))
            }
            "macro_precision" => Some(self.mean_of(Some(0.0), |(rows, answers, hits)| {
                (rows + answers > 0.0).then(|| if answers > 0.0 { hits / answers } else { 0.0 })
            })),
            "macro_recall" => Some(self.mean_of(Some(0.0), |(rows, answers, hits)| {
                (rows + answers > 0.0).then(|| if rows > 0.0 { hits / rows } else { 0.0 })
            })),
            "balanced_accuracy" => Some(self.mean_of(Some(0.0), |(rows, _, hits)| {
                (rows > 0.0).then(|| hits / rows)
            })),
            "mcc" => {
                // Gorodkin (2004).
                let (total, unseen) = (all.weight(), self.losses.last()?.weight());
                let classes = self.classes();
                let sum = |of: fn(&(f64, f64, f64)) -> f64| classes.iter().map(of).sum::<f64>();
                let covariance = hits * total - sum(|(rows, answers, _)| rows * answers);
                let answers = total * total - sum(|(_, answers, _)| answers * answers);
                let rows = total * total - sum(|(rows, ..)| rows * rows) - unseen * unseen;
                Some(Point::alone(covariance / (answers * rows).sqrt()))
            }
            _ => None,
        }
    }

    /// With the influence of a row on 1 - loss / constant, by class (delta method).
    fn skill(&self, all: &Mean) -> Option<Point> {
        let (unseen, classes) = self.losses.split_last()?;
        let known: f64 = classes.iter().map(Mean::weight).sum();
        let surprise_of = |class: &Mean| surprise(class.weight() / known);
        let entropy: f64 = classes
            .iter()
            .filter(|class| class.weight() > 0.0)
            .map(|class| class.weight() / known * surprise_of(class))
            .sum();
        let constant = (known * entropy + unseen.weight() * surprise(0.0)) / all.weight();
        let loss = all.mean();
        let slope = loss / constant * known / all.weight();
        let deviations: f64 = classes
            .iter()
            .filter(|class| class.weight() > 0.0)
            .map(|class| class.deviations(loss + slope * (surprise_of(class) - entropy)))
            .sum::<f64>()
            + unseen.deviations(loss);
        let variance = deviations / (constant * all.weight()).powi(2);
        (constant > 0.0).then(|| Point::normal(1.0 - loss / constant, variance, all.n()))
    }

    /// With the delta method over the cells of the confusion matrix.
    fn macro_f1(&self) -> Point {
        let classes = self.classes();
        let mean = self.mean_of(Some(0.0), |(rows, answers, hits)| {
            (rows + answers > 0.0).then(|| 2.0 * hits / (rows + answers))
        });
        let present = classes
            .iter()
            .filter(|(rows, answers, _)| rows + answers > 0.0);
        let n = (present.count() + self.unseen.len()) as f64;
        let slope = |class: u32| {
            let found = classes.get(class as usize);
            found.map_or(0.0, |(rows, answers, hits)| {
                2.0 * hits / (rows + answers).powi(2)
            })
        };
        let (mut variance, mut w, mut w2) = (0.0, 0.0, 0.0);
        for ((class, predicted), weight) in &self.confusion {
            let hit = match classes.get(*class as usize) {
                Some((rows, answers, _)) if class == predicted => 2.0 / (rows + answers),
                _ => 0.0,
            };
            let slope = (hit - slope(*class) - slope(*predicted)) / n;
            variance += weight.w2 * slope * slope;
            w += weight.w;
            w2 += weight.w2;
        }
        Point::bounded(mean.value, variance, w * w / w2)
    }
}

//! Metrics of three classes or more.

use std::collections::BTreeMap;

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::binary::Weight;
use super::estimate::{Mean, Point};
use super::one_vs_rest::OneVsRest;
use super::{MetricValue, count_unseen, surprise};
use crate::model::most_probable;

/// The class of rows whose class the target does not know.
const UNSEEN: u32 = u32::MAX;

/// The counted values of a row.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    class: u32,
    unseen: Option<&'a str>,
    predicted: u32,
    /// The number of classes that are more probable than the true one.
    rank: usize,
    loss: f64,
    squared: f64,
    weight: f64,
    probabilities: ArrayView1<'a, f64>,
}

impl<'a> Row<'a> {
    pub(super) fn new(
        label: f64,
        unseen: Option<&'a str>,
        probabilities: ArrayView1<'a, f64>,
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
                probabilities,
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
            probabilities,
        }
    }

    /// The values of a paired comparison: log loss, squared error, whether the answer is right.
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
    /// The losses of each class, and of those that are not known.
    losses: Vec<Mean>,
    squares: Mean,
    /// Rows by class and answer.
    confusion: BTreeMap<(u32, u32), Weight>,
    /// Rows by how many classes are more probable than the true one.
    ranks: Vec<f64>,
    unseen: BTreeMap<String, u64>,
    areas: Option<OneVsRest>,
}

/// Weights of a class: of its rows, of the rows that are answered as it, and of those of both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OfClass {
    pub(super) rows: f64,
    pub(super) answers: f64,
    pub(super) hits: f64,
}

impl OfClass {
    /// `None` for a class that neither occurs nor is answered.
    fn occurs(self) -> Option<Self> {
        (self.rows + self.answers > 0.0).then_some(self)
    }

    fn precision(self) -> f64 {
        if self.answers > 0.0 {
            self.hits / self.answers
        } else {
            0.0
        }
    }

    fn recall(self) -> f64 {
        if self.rows > 0.0 {
            self.hits / self.rows
        } else {
            0.0
        }
    }

    fn f1(self) -> f64 {
        2.0 * self.hits / (self.rows + self.answers)
    }
}

impl Multiclass {
    /// Areas under curves take memory for each class.
    pub(super) fn new(n_classes: usize, areas: bool) -> Self {
        Multiclass {
            rows: 0,
            losses: vec![Mean::default(); n_classes + 1],
            squares: Mean::default(),
            confusion: BTreeMap::new(),
            ranks: vec![0.0; n_classes + 1],
            unseen: BTreeMap::new(),
            areas: areas.then(|| OneVsRest::new(n_classes)),
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
        if let Some(areas) = &mut self.areas {
            areas.add(row.class, row.probabilities, row.weight);
        }
    }

    /// Ends a batch: the next may begin with low probabilities again.
    pub(super) fn end_batch(&mut self) {
        if let Some(areas) = &mut self.areas {
            areas.end_batch();
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
        if let (Some(mine), Some(theirs)) = (&mut self.areas, &other.areas) {
            mine.merge(theirs);
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn classes(&self) -> Vec<OfClass> {
        let mut classes = vec![OfClass::default(); self.losses.len() - 1];
        for ((class, predicted), weight) in &self.confusion {
            if let Some(of_class) = classes.get_mut(*class as usize) {
                of_class.rows += weight.w;
            }
            if let Some(answered) = classes.get_mut(*predicted as usize) {
                answered.answers += weight.w;
                if class == predicted {
                    answered.hits += weight.w;
                }
            }
        }
        classes
    }

    /// Rows by class and answer; a class that is not known is the last.
    pub(super) fn cells(&self) -> impl Iterator<Item = ((usize, usize), Weight)> {
        let n = self.losses.len() - 1;
        let cells = self.confusion.iter();
        cells.map(move |((class, answer), weight)| {
            (((*class as usize).min(n), *answer as usize), *weight)
        })
    }

    /// The number of rows of equal weight that a weight of one counts as.
    pub(super) fn kish(&self) -> f64 {
        let mut all = Mean::default();
        self.losses.iter().for_each(|class| all.merge(class));
        all.n() / all.weight()
    }

    /// The F1 of a class; none if it neither occurs nor is answered.
    pub(super) fn f1_of(&self, class: usize) -> Option<MetricValue> {
        let of = |classes: &[OfClass]| classes.get(class).map_or(f64::NAN, |class| class.f1());
        let rows = self.classes().get(class)?.rows;
        let (value, variance, n) = self.delta(of)?;
        Point::bounded(value, variance, n).with_support(rows.round() as u64)
    }

    pub(super) fn areas(&self) -> Option<&OneVsRest> {
        self.areas.as_ref()
    }

    /// The mean over the classes of a function; those that it has no value for are left out. Each class that the target does
    /// not know counts as 0.
    fn mean_of(&self, of: impl Fn(OfClass) -> Option<f64>) -> Option<Point> {
        let others = self.unseen.len();
        self.delta(|classes| {
            let values = classes.iter().filter_map(|class| of(*class));
            let (n, sum) = values.fold((others, 0.0), |(n, sum), value| (n + 1, sum + value));
            sum / n as f64
        })
        .map(|(value, variance, n)| Point::bounded(value, variance, n))
    }

    /// The value of a function of the classes, with its variance by the delta method over the cells of the confusion matrix,
    /// and as how many rows they count.
    fn delta(&self, of: impl Fn(&[OfClass]) -> f64) -> Option<(f64, f64, f64)> {
        let classes = self.classes();
        let value = of(&classes);
        if !value.is_finite() {
            return None;
        }
        let slope = |class: usize, part: fn(&mut OfClass) -> &mut f64| {
            let mut moved = classes.clone();
            let mut at = |by: f64| {
                moved[class] = classes[class];
                *part(&mut moved[class]) += by;
                of(&moved)
            };
            let step = 1e-5 * classes[class].rows.max(classes[class].answers).max(1.0);
            (at(step) - at(-step)) / (2.0 * step)
        };
        let slopes = |part: fn(&mut OfClass) -> &mut f64| -> Vec<f64> {
            let occurring =
                |class: usize| classes[class].occurs().map_or(0.0, |_| slope(class, part));
            (0..classes.len()).map(occurring).collect()
        };
        let rows = slopes(|class| &mut class.rows);
        let answers = slopes(|class| &mut class.answers);
        let hits = slopes(|class| &mut class.hits);
        let (mut variance, mut w, mut w2) = (0.0, 0.0, 0.0);
        for ((class, answer), weight) in self.cells() {
            let hit = if class == answer { hits[class] } else { 0.0 };
            let slope = rows.get(class).copied().unwrap_or(0.0) + answers[answer] + hit;
            variance += weight.w2 * slope * slope;
            w += weight.w;
            w2 += weight.w2;
        }
        Some((value, variance, w * w / w2))
    }

    /// The value of a metric; `None` if it is not defined.
    pub(super) fn value(&self, name: &str, args: &[f64]) -> Option<Point> {
        let mut all = Mean::default();
        self.losses.iter().for_each(|class| all.merge(class));
        let hits: f64 = self.classes().iter().map(|class| class.hits).sum();
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
            "auc_ovr" => self.areas.as_ref()?.mean(all.n()),
            "macro_f1" => self.mean_of(|class| class.occurs().map(OfClass::f1)),
            "macro_precision" => self.mean_of(|class| class.occurs().map(OfClass::precision)),
            "macro_recall" => self.mean_of(|class| class.occurs().map(OfClass::recall)),
            "balanced_accuracy" => self.mean_of(|class| (class.rows > 0.0).then(|| class.recall())),
            "weighted_f1" => {
                let others = self.losses.last()?.weight();
                let (value, variance, n) = self.delta(|classes| {
                    let present = classes.iter().filter(|class| class.rows > 0.0);
                    let (sum, rows) = present.fold((0.0, others), |(sum, rows), class| {
                        (sum + class.rows * class.f1(), rows + class.rows)
                    });
                    sum / rows
                })?;
                Some(Point::bounded(value, variance, n))
            }
            "mcc" => {
                // Gorodkin (2004).
                let unseen = self.losses.last()?.weight();
                let (value, variance, n) = self.delta(|classes| {
                    let sum = |of: fn(&OfClass) -> f64| classes.iter().map(of).sum::<f64>();
                    let total = sum(|class| class.rows) + unseen;
                    let hits = sum(|class| class.hits);
                    let covariance = hits * total - sum(|class| class.rows * class.answers);
                    let answers = total * total - sum(|class| class.answers.powi(2));
                    let rows = total * total - sum(|class| class.rows.powi(2)) - unseen * unseen;
                    covariance / (answers * rows).sqrt()
                })?;
                Some(Point::normal(value, variance, n))
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
}

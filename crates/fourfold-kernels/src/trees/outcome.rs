//! The answers of leaves of random forests, and their purity.

/// The answers of a tree's leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mean of the labels.
    Mean,
    /// The share of label 1 among labels 0 and 1.
    Binary,
    /// The shares of a number of classes, labelled from 0.
    Classes(usize),
}

impl Outcome {
    /// The number of outputs.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        match self {
            Outcome::Mean | Outcome::Binary => 1,
            Outcome::Classes(n) => *n,
        }
    }

    /// Sums of a cell: of weights by class, or of weighted labels and weights; and the number of rows, which tells an
    /// empty one.
    pub(super) fn width(&self) -> usize {
        1 + self.n_outputs().max(2)
    }

    #[inline]
    pub(super) fn add(&self, cell: &mut [f64], label: f64, weight: f64) {
        match self {
            Outcome::Mean | Outcome::Binary => {
                cell[0] += weight * label;
                cell[1] += weight;
            }
            Outcome::Classes(_) => cell[label as usize] += weight,
        }
        cell[cell.len() - 1] += 1.0;
    }

    /// The higher the purer: what variance or impurity lack, times the weight.
    #[inline]
    pub(super) fn score(&self, cell: &[f64]) -> f64 {
        let (squares, weight) = match self {
            Outcome::Mean | Outcome::Binary => (cell[0] * cell[0], cell[1]),
            Outcome::Classes(n) => cell[..*n]
                .iter()
                .fold((0.0, 0.0), |(squares, sum), weight| {
                    (squares + weight * weight, sum + weight)
                }),
        };
        if weight > 0.0 { squares / weight } else { 0.0 }
    }

    pub(super) fn weight(&self, cell: &[f64]) -> f64 {
        match self {
            Outcome::Mean | Outcome::Binary => cell[1],
            Outcome::Classes(n) => cell[..*n].iter().sum(),
        }
    }

    pub(super) fn outputs(&self, cell: &[f64], smoothing: f64) -> Vec<f64> {
        let weight = self.weight(cell);
        let share = |sum: f64, more: f64, all: f64| {
            if weight + all > 0.0 {
                (sum + more) / (weight + all)
            } else {
                0.0
            }
        };
        match self {
            Outcome::Mean => vec![share(cell[0], 0.0, 0.0)],
            Outcome::Binary => vec![share(cell[0], smoothing, 2.0 * smoothing)],
            Outcome::Classes(n) => cell[..*n]
                .iter()
                .map(|sum| share(*sum, smoothing, smoothing * *n as f64))
                .collect(),
        }
    }
}

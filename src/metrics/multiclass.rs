//! Metrics of three classes or more.

use std::collections::BTreeMap;

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::{count_unseen, surprise};
use crate::model::most_probable;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Multiclass {
    n: u64,
    loss: f64,
    /// For each class: rows of it, rows predicted as it, rows of it that were predicted as it.
    classes: Vec<(u64, u64, u64)>,
    /// Classes that the target does not know, with their rows.
    unseen: BTreeMap<String, u64>,
}

impl Multiclass {
    pub(super) fn new(n_classes: usize) -> Self {
        Multiclass {
            n: 0,
            loss: 0.0,
            classes: vec![(0, 0, 0); n_classes],
            unseen: BTreeMap::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        label: f64,
        class: Option<&str>,
        probabilities: ArrayView1<'_, f64>,
    ) {
        self.n += 1;
        let predicted = most_probable(probabilities);
        self.classes[predicted].1 += 1;
        if label.is_nan() {
            // A class that training has not seen: a mistake, whatever the answer.
            self.loss += surprise(0.0);
            count_unseen(&mut self.unseen, class, 1);
            return;
        }
        let class = label as usize;
        self.loss += surprise(probabilities[class]);
        self.classes[class].0 += 1;
        self.classes[class].2 += u64::from(predicted == class);
    }

    pub(super) fn merge(&mut self, other: &Multiclass) {
        self.n += other.n;
        self.loss += other.loss;
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
            mine.2 += theirs.2;
        }
        for (class, rows) in &other.unseen {
            count_unseen(&mut self.unseen, Some(class), *rows);
        }
    }

    pub(super) fn finish(&self) -> Vec<(&'static str, f64)> {
        let n = self.n as f64;
        let known: u64 = self.classes.iter().map(|(rows, ..)| rows).sum();
        let constant_loss: f64 = self
            .classes
            .iter()
            .map(|(rows, ..)| *rows as f64 / known as f64)
            .filter(|share| *share > 0.0)
            .map(|share| share * surprise(share))
            .sum();
        // Who has seen the labels of `train` only does not know such a class either.
        let unseen: u64 = self.unseen.values().sum();
        let constant_loss = (known as f64 * constant_loss + unseen as f64 * surprise(0.0))
            / (known + unseen) as f64;
        let log_loss = self.loss / n;
        let right: u64 = self.classes.iter().map(|(_, _, right)| right).sum();
        let f1: Vec<f64> = self
            .classes
            .iter()
            .filter(|(rows, predicted, _)| rows + predicted > 0)
            .map(|(rows, predicted, right)| 2.0 * *right as f64 / (rows + predicted) as f64)
            .chain(self.unseen.keys().map(|_| 0.0))
            .collect();
        vec![
            ("example_count", n),
            ("skill", 1.0 - log_loss / constant_loss),
            ("log_loss", log_loss),
            ("accuracy", right as f64 / n),
            ("macro_f1", f1.iter().sum::<f64>() / f1.len() as f64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn agrees_with_the_reference() {
        // TensorFlow Model Analysis: class 1 at .95, class 2 at .8 has categorical cross entropy 1.176939 when the
        // second answer puts .1 on the true class.
        let mut sums = Multiclass::new(3);
        sums.add(1.0, None, array![0.05, 0.95, 0.0].view());
        sums.add(2.0, None, array![0.1, 0.8, 0.1].view());
        let metrics = sums.finish();
        let value = |name: &str| metrics.iter().find(|(known, _)| *known == name).unwrap().1;
        assert!((value("log_loss") - 1.176_939).abs() < 1e-6);
        assert_eq!(value("accuracy"), 0.5);
        assert!((value("macro_f1") - (2.0 / 3.0) / 2.0).abs() < 1e-12);
    }
}

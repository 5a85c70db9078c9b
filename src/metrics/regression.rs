//! Metrics of values.

use serde::{Deserialize, Serialize};

use crate::statistics::Moments;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Regression {
    labels: Moments,
    predictions: f64,
    absolute: f64,
    squared: f64,
}

impl Regression {
    pub(super) fn add(&mut self, label: f64, prediction: f64) {
        self.labels.update(label);
        self.predictions += prediction;
        self.absolute += (label - prediction).abs();
        self.squared += (label - prediction).powi(2);
    }

    pub(super) fn merge(&mut self, other: &Regression) {
        self.labels.merge(&other.labels);
        self.predictions += other.predictions;
        self.absolute += other.absolute;
        self.squared += other.squared;
    }

    pub(super) fn finish(&self) -> Vec<(&'static str, f64)> {
        let n = self.labels.count() as f64;
        let mean = self.labels.mean().unwrap_or(f64::NAN);
        let mse = self.squared / n;
        let r2 = 1.0 - mse / self.labels.variance().unwrap_or(f64::NAN);
        let mean_prediction = self.predictions / n;
        vec![
            ("example_count", n),
            ("skill", r2),
            ("r2", r2),
            ("mae", self.absolute / n),
            ("mse", mse),
            ("rmse", mse.sqrt()),
            ("mean_label", mean),
            ("mean_prediction", mean_prediction),
            ("calibration", mean_prediction / mean),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_rows() {
        let mut sums = Regression::default();
        for (label, prediction) in [(2.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)] {
            sums.add(label, prediction);
        }
        let metrics = sums.finish();
        let value = |name: &str| metrics.iter().find(|(known, _)| *known == name).unwrap().1;
        assert_eq!((value("mae"), value("mse"), value("rmse")), (1.0, 1.0, 1.0));
        assert_eq!(value("r2"), -1.0);
    }
}

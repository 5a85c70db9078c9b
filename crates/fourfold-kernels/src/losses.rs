//! Losses of outputs that are computed often: while the members of an ensemble are selected.

use crate::scores::{Bucket, Ranks, key_of, order, push};

/// The least probability that a logarithm is taken of.
const LEAST: f64 = 1e-15;

fn weight(weights: Option<&[f64]>, row: usize) -> f64 {
    weights.map_or(1.0, |weights| weights[row])
}

fn mean(loss: impl Fn(usize) -> f64, n_rows: usize, weights: Option<&[f64]>) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for row in 0..n_rows {
        let weight = weight(weights, row);
        sum += weight * loss(row);
        total += weight;
    }
    sum / total
}

/// The root of the weighted mean squared error of outputs `(n_rows)`.
#[must_use]
pub fn root_mean_squared(outputs: &[f64], labels: &[f64], weights: Option<&[f64]>) -> f64 {
    let loss = |row: usize| (outputs[row] - labels[row]).powi(2);
    mean(loss, labels.len(), weights).sqrt()
}

/// The weighted mean log loss of probabilities: of the second of two classes `(n_rows)`, or of `n_outputs` classes
/// `(n_rows, n_outputs)`. Labels are indexes of classes.
#[must_use]
pub fn log_loss(outputs: &[f64], n_outputs: usize, labels: &[f64], weights: Option<&[f64]>) -> f64 {
    let loss = |row: usize| {
        let probability = match (n_outputs, labels[row]) {
            (1, 1.0) => outputs[row],
            (1, _) => 1.0 - outputs[row],
            (n, class) => outputs[row * n..][..n]
                .get(class as usize)
                .copied()
                .unwrap_or(0.0),
        };
        -probability.clamp(LEAST, 1.0).ln()
    };
    mean(loss, labels.len(), weights)
}

/// The area under the curve of probabilities `(n_rows)` of the class 1; `None` if a class is missing.
#[must_use]
pub fn area(outputs: &[f64], labels: &[f64], weights: Option<&[f64]>) -> Option<f64> {
    let keys: Vec<u32> = outputs
        .iter()
        .map(|probability| key_of(*probability))
        .collect();
    let mut buckets = Vec::new();
    for row in order(&keys) {
        let row = row as usize;
        let (weight, is_positive) = (weight(weights, row), labels[row] == 1.0);
        push(
            &mut buckets,
            Bucket {
                key: keys[row],
                negatives: if is_positive { 0.0 } else { weight },
                positives: if is_positive { weight } else { 0.0 },
                ..Bucket::default()
            },
        );
    }
    Ranks::new(&buckets).map(|ranks| ranks.auc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are scikit-learn's.
    #[test]
    fn losses_are_those_of_scikit_learn() {
        let labels = [0.0, 1.0, 1.0, 0.0, 1.0];
        let outputs = [0.2, 0.7, 0.4, 0.4, 0.9];
        let weights = [1.0, 2.0, 1.0, 3.0, 1.0];
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} and {b}");
        close(log_loss(&outputs, 1, &labels, None), 0.422459073310);
        close(
            log_loss(&outputs, 1, &labels, Some(&weights)),
            0.436327694753,
        );
        close(area(&outputs, &labels, None).unwrap(), 0.916666666667);
        close(
            area(&outputs, &labels, Some(&weights)).unwrap(),
            0.906250000000,
        );
        close(root_mean_squared(&outputs, &labels, None), 0.363318042492);
        close(
            root_mean_squared(&outputs, &labels, Some(&weights)),
            0.365718470958,
        );
        assert_eq!(area(&outputs, &[1.0; 5], None), None);
        let classes = [0.0, 2.0];
        let shares = [0.5, 0.3, 0.2, 0.1, 0.2, 0.7];
        close(log_loss(&shares, 3, &classes, None), 0.524911062249);
    }
}

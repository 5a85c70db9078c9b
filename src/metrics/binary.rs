//! Metrics of two classes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::surprise;

/// Running sums. Probabilities are counted in buckets for the curve: 2,048 a factor of two, from both ends (so
/// 1e-6 and 2e-6 are told apart, and 0.999998 and 0.999999 too); rows of a bucket count as ties, which moves the
/// area under the curve by less than 0.0005. Memory is bounded by the buckets, not by the rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Binary {
    n: u64,
    positives: u64,
    /// Rows of a class that is neither of the two, and those of them that are predicted as positive.
    unknown: u64,
    unknown_positives: u64,
    loss: f64,
    predictions: f64,
    true_positives: u64,
    false_positives: u64,
    buckets: BTreeMap<i64, (u64, u64)>,
}

fn bucket(probability: f64) -> i64 {
    let key = |share: f64| i64::from((share as f32).to_bits() >> 12);
    if probability < 0.5 {
        key(probability)
    } else {
        2 * key(0.5) - key(1.0 - probability)
    }
}

impl Binary {
    pub(super) fn add(&mut self, label: f64, probability: f64) {
        self.n += 1;
        self.predictions += probability;
        if label.is_nan() {
            // A class that training has not seen: a mistake, whatever the answer.
            self.unknown += 1;
            self.loss += surprise(0.0);
            self.unknown_positives += u64::from(probability > 0.5);
            self.false_positives += u64::from(probability > 0.5);
            return;
        }
        let positive = label > 0.5;
        self.loss += surprise(if positive {
            probability
        } else {
            1.0 - probability
        });
        let above = probability > 0.5;
        self.positives += u64::from(positive);
        self.true_positives += u64::from(positive && above);
        self.false_positives += u64::from(!positive && above);
        let counts = self.buckets.entry(bucket(probability)).or_default();
        if positive {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Binary) {
        self.n += other.n;
        self.positives += other.positives;
        self.unknown += other.unknown;
        self.unknown_positives += other.unknown_positives;
        self.loss += other.loss;
        self.predictions += other.predictions;
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        for (bucket, (negatives, positives)) in &other.buckets {
            let counts = self.buckets.entry(*bucket).or_default();
            counts.0 += negatives;
            counts.1 += positives;
        }
    }

    pub(super) fn finish(&self) -> Vec<(&'static str, f64)> {
        let n = self.n as f64;
        let positives = self.positives as f64;
        let negatives = (self.n - self.positives - self.unknown) as f64;
        let tp = self.true_positives as f64;
        let fp = self.false_positives as f64;
        let false_negatives = positives - tp;
        let true_negatives = negatives - (fp - self.unknown_positives as f64);
        let share = positives / (positives + negatives);
        let constant_loss = share * surprise(share) + (1.0 - share) * surprise(1.0 - share);
        // Who has seen the labels of `train` only does not know such a class either.
        let known = positives + negatives;
        let constant_loss = (known * constant_loss + self.unknown as f64 * surprise(0.0)) / n;
        let log_loss = self.loss / n;
        // Over the pairs of a positive and a negative, the share in which the positive scores higher.
        let mut below = 0_u64;
        let mut pairs = 0.0;
        for (negatives, positives) in self.buckets.values() {
            pairs += *positives as f64 * (below as f64 + *negatives as f64 / 2.0);
            below += negatives;
        }
        vec![
            ("example_count", n),
            ("skill", 1.0 - log_loss / constant_loss),
            ("auc", pairs / (positives * negatives)),
            ("log_loss", log_loss),
            ("accuracy", (tp + true_negatives) / n),
            ("precision", tp / (tp + fp)),
            ("recall", tp / positives),
            ("f1", 2.0 * tp / (2.0 * tp + fp + false_negatives)),
            ("mean_label", share),
            ("mean_prediction", self.predictions / n),
            ("calibration", self.predictions / positives),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, f64)]) -> BTreeMap<&'static str, f64> {
        let mut sums = Binary::default();
        rows.iter()
            .for_each(|(label, probability)| sums.add(*label, *probability));
        sums.finish().into_iter().collect()
    }

    #[test]
    fn agrees_with_the_reference() {
        // TensorFlow Model Analysis: positives .6 .1 .2 .3 .4, negatives .3 .2 .6 .7 .8.
        let rows = [
            (1.0, 0.6),
            (1.0, 0.1),
            (1.0, 0.2),
            (1.0, 0.3),
            (1.0, 0.4),
            (0.0, 0.3),
            (0.0, 0.2),
            (0.0, 0.6),
            (0.0, 0.7),
            (0.0, 0.8),
        ];
        let metrics = of(&rows);
        assert!((metrics["auc"] - 0.26).abs() < 1e-9, "{}", metrics["auc"]);
        assert!((metrics["f1"] - 2.0 / 9.0).abs() < 1e-12);
        assert_eq!((metrics["precision"], metrics["recall"]), (0.25, 0.2));
    }

    #[test]
    fn calibration_and_loss_of_known_rows() {
        let metrics = of(&[(0.0, 0.0), (1.0, 0.3), (1.0, 0.9)]);
        assert!((metrics["calibration"] - 0.6).abs() < 1e-12);
        assert!((metrics["mean_prediction"] - 0.4).abs() < 1e-12);
    }

    #[test]
    fn the_share_of_the_positives_has_no_skill_and_one_half_is_negative() {
        let metrics = of(&[(0.0, 0.5), (1.0, 0.5)]);
        assert!(metrics["skill"].abs() < 1e-12);
        assert_eq!((metrics["auc"], metrics["accuracy"]), (0.5, 0.5));
        assert!(metrics["precision"].is_nan());
    }

    #[test]
    fn merging_is_adding() {
        let rows: Vec<(f64, f64)> = (0..1_000)
            .map(|i| (f64::from(i % 3 == 0), f64::from(i * 7 % 1_000) / 1_000.0))
            .collect();
        let mut whole = Binary::default();
        let mut parts = [Binary::default(), Binary::default()];
        for (i, (label, probability)) in rows.iter().enumerate() {
            whole.add(*label, *probability);
            parts[i % 2].add(*label, *probability);
        }
        let [mut merged, other] = parts;
        merged.merge(&other);
        for ((name, a), (_, b)) in whole.finish().into_iter().zip(merged.finish()) {
            assert!((a - b).abs() < 1e-9, "{name}: {a} {b}");
        }
    }
}

//! Numbers of scikit-learn 1.9.1 (`tests/reference/metrics.py`) and of TensorFlow Model Analysis; laws; coverage.

mod intervals;
mod scikit_learn;

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::Int32Type;
use ndarray::Array2;

use self::scikit_learn::*;
use super::*;
use crate::accumulate::Accumulate;
use crate::model::Target;

const N: usize = 997;

fn x(i: usize) -> f64 {
    (i * 7_919 % 1_009) as f64 / 1_009.0
}

fn noise(i: usize) -> f64 {
    (i * 104_729 % 997) as f64 / 997.0
}

fn weight(i: usize) -> f64 {
    1.0 + (i % 4) as f64 * 0.5
}

fn target(classes: usize) -> Arc<Target> {
    let label = "y".to_owned();
    let name = |at: usize| format!("c{at}");
    Arc::new(match classes {
        0 => Target::regression(label),
        n => Target::classification(label, (0..n).map(name)).unwrap(),
    })
}

/// Labels, outputs and weights of some rows.
#[derive(Clone)]
struct Rows {
    labels: Vec<f64>,
    outputs: Vec<Vec<f64>>,
    baseline: Option<Vec<Vec<f64>>>,
    weights: Option<Vec<f64>>,
    keys: Option<Vec<String>>,
}

impl Rows {
    fn new(rows: impl IntoIterator<Item = (f64, Vec<f64>)>) -> Self {
        let (labels, outputs) = rows.into_iter().unzip();
        Rows {
            labels,
            outputs,
            baseline: None,
            weights: None,
            keys: None,
        }
    }

    fn weighted(mut self, weight: impl Fn(usize) -> f64) -> Self {
        self.weights = Some((0..self.labels.len()).map(weight).collect());
        self
    }

    fn take(&self, places: &(impl Iterator<Item = usize> + Clone)) -> Rows {
        fn of<T: Clone>(values: &[T], places: impl Iterator<Item = usize>) -> Vec<T> {
            places.map(|at| values[at].clone()).collect()
        }
        Rows {
            labels: of(&self.labels, places.clone()),
            outputs: of(&self.outputs, places.clone()),
            baseline: self
                .baseline
                .as_ref()
                .map(|values| of(values, places.clone())),
            weights: self
                .weights
                .as_ref()
                .map(|values| of(values, places.clone())),
            keys: self.keys.as_ref().map(|values| of(values, places.clone())),
        }
    }

    fn batch(&self) -> arrow::array::RecordBatch {
        let matrix = |outputs: &[Vec<f64>]| {
            Array2::from_shape_vec((outputs.len(), outputs[0].len()), outputs.concat()).unwrap()
        };
        let key = |keys: &Vec<String>| -> ArrayRef {
            let codes = Int32Array::from_iter_values(0..keys.len() as i32);
            let texts = Arc::new(StringArray::from(keys.clone()));
            Arc::new(DictionaryArray::<Int32Type>::try_new(codes, texts).unwrap())
        };
        let unseen = self
            .labels
            .iter()
            .map(|label| label.is_nan().then(|| "new".to_owned()));
        Scored {
            labels: self.labels.clone(),
            unseen: Some(unseen.collect()),
            candidate: matrix(&self.outputs),
            baseline: self.baseline.as_deref().map(matrix),
            weights: self.weights.clone(),
            keys: self.keys.iter().map(key).collect(),
            ..Scored::default()
        }
        .into_batch()
        .unwrap()
    }
}

fn evaluator(classes: usize, asked: &[&str], by: Vec<SliceBy>) -> Evaluator {
    let asked = asked.iter().map(|name| (*name).to_owned()).collect();
    Evaluator::new(target(classes), Catalogue::new(), asked, by)
}

fn evaluate(classes: usize, rows: &Rows, asked: &[&str]) -> Evaluation {
    let mut evaluator = evaluator(classes, asked, Vec::new());
    evaluator.update(&rows.batch()).unwrap();
    evaluator.finish().unwrap()
}

fn binary() -> Rows {
    Rows::new((0..N).map(|i| {
        let p = ((0.2 + 0.6 * x(i)) * 64.0).floor() / 64.0;
        (f64::from(noise(i) < 0.15 + 0.7 * x(i)), vec![p])
    }))
}

fn classes() -> Rows {
    Rows::new((0..N).map(|i| {
        let q = vec![0.2 + 0.5 * x(i), 0.5 - 0.4 * x(i), 0.3 - 0.1 * x(i)];
        let class = if noise(i) < q[0] {
            0.0
        } else if noise(i) < q[0] + q[1] {
            1.0
        } else {
            2.0
        };
        (class, q)
    }))
}

fn values() -> Rows {
    Rows::new((0..N).map(|i| (10.0 + 5.0 * x(i) + noise(i), vec![10.5 + 4.0 * x(i)])))
}

#[track_caller]
fn agrees(classes: usize, rows: &Rows, expected: &[(&str, f64)]) {
    let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    let found = evaluate(classes, rows, &names);
    for (name, expected) in expected {
        let value = found.metric(name).unwrap();
        // Errors, and probabilities, are counted in buckets of 0.05 %.
        let tolerance = match *name {
            "median_absolute_error" => 1e-3,
            "auc_ovr" => 2e-4,
            _ => 1e-9,
        };
        assert!(
            (value - expected).abs() <= tolerance,
            "{name} is {value}, must be {expected}"
        );
    }
}

#[test]
fn binary_metrics_are_scikit_learns() {
    agrees(2, &binary(), BINARY_PLAIN);
    agrees(2, &binary().weighted(weight), BINARY_WEIGHTED);
}

#[test]
fn multiclass_metrics_are_scikit_learns() {
    agrees(3, &classes(), CLASSES_PLAIN);
    agrees(3, &classes().weighted(weight), CLASSES_WEIGHTED);
}

#[test]
fn regression_metrics_are_scikit_learns() {
    agrees(0, &values(), VALUES_PLAIN);
    agrees(0, &values().weighted(weight), VALUES_WEIGHTED);
}

#[test]
fn metrics_agree_with_tensorflow_model_analysis() {
    let positives = [0.6, 0.1, 0.2, 0.3, 0.4].map(|p| (1.0, vec![p]));
    let negatives = [0.3, 0.2, 0.6, 0.7, 0.8].map(|p| (0.0, vec![p]));
    let rows = Rows::new(positives.into_iter().chain(negatives));
    agrees(
        2,
        &rows,
        &[
            ("auc", 0.26),
            ("f1", 2.0 / 9.0),
            ("precision", 0.25),
            ("recall", 0.2),
            ("precision_at_recall(0.5)", 0.5),
            ("recall_at_precision(0.5)", 1.0),
        ],
    );
    let weighted = Rows::new([(0.0, vec![1.0]), (1.0, vec![0.7]), (0.0, vec![0.5])]);
    let weighted = weighted.weighted(|i| [0.5, 0.7, 0.9][i]);
    // Equal to one half is negative.
    let expected = [
        ("auc", 0.9 / 1.4),
        ("precision", 0.7 / 1.2),
        ("recall", 1.0),
        ("specificity", 0.9 / 1.4),
        ("precision_at_recall(0.5)", 0.7 / 1.2),
    ];
    agrees(2, &weighted, &expected);
    let calibrated = Rows::new([(0.0, vec![0.0]), (1.0, vec![0.3]), (1.0, vec![0.9])]);
    let expected = [
        ("calibration", 0.6),
        ("mean_prediction", 0.4),
        ("mean_label", 2.0 / 3.0),
    ];
    agrees(2, &calibrated, &expected);
    let squares = Rows::new(
        [2.0, 1.0, 2.0, 3.0]
            .into_iter()
            .zip([1.0, 2.0, 3.0, 4.0].map(|p| vec![p])),
    );
    agrees(
        0,
        &squares,
        &[("mae", 1.0), ("mse", 1.0), ("rmse", 1.0), ("r2", -1.0)],
    );
    let loss = Rows::new([(1.0, vec![0.05, 0.95, 0.0]), (2.0, vec![0.1, 0.8, 0.1])]);
    let log_loss =
        |classes: usize, rows: &Rows| evaluate(classes, rows, &[]).overall["log_loss"].value;
    assert!((log_loss(3, &loss) - 1.176_939).abs() < 1e-6);
    let weighted = loss.weighted(|i| [0.3, 0.7][i]);
    assert!((log_loss(3, &weighted) - 1.627_198).abs() < 1e-5);
    let loss = Rows::new([(0.0, vec![0.6]), (1.0, vec![0.6])]).weighted(|i| [1.0, 0.8][i]);
    assert!((log_loss(2, &loss) - 0.736_083).abs() < 1e-5);
    let errors = Rows::new([
        (0.1, vec![1.0]),
        (0.3, vec![0.0]),
        (0.5, vec![2.0]),
        (1.0, vec![0.5]),
        (2.0, vec![1.0]),
        (3.0, vec![5.0]),
        (3.0, vec![5.0]),
    ])
    .weighted(|i| [0.1, 0.5, 1.0].get(i).copied().unwrap_or(1.0));
    let errors = evaluate(0, &errors, &[]);
    for (name, expected) in [
        ("mae", 1.292_857),
        ("mse", 2.076_07),
        ("mape", 1.202_380_95),
        ("msle", 0.201_17),
    ] {
        let found = errors.metric(name).unwrap();
        assert!((found - expected).abs() < 1e-5, "{name}: {found}");
    }
    // One row of one class: what divides by the rows of the other has no value.
    let positive = evaluate(2, &Rows::new([(1.0, vec![1.0])]), &[]);
    let negative = evaluate(2, &Rows::new([(0.0, vec![0.0])]), &[]);
    for name in ["specificity", "false_positive_rate"] {
        assert!(!positive.overall.contains_key(name), "{name}");
    }
    for name in ["precision", "recall", "f1", "mcc"] {
        assert!(!negative.overall.contains_key(name), "{name}");
    }
}

#[test]
fn counts_at_thresholds_are_those_of_tensorflow_model_analysis() {
    let positives = [0.6, 0.1, 0.2, 0.3, 0.4].map(|p| (1.0, vec![p]));
    let negatives = [0.3, 0.2, 0.6, 0.7, 0.8].map(|p| (0.0, vec![p]));
    let rows = Rows::new(positives.into_iter().chain(negatives));
    let confusion = evaluate(2, &rows, &[]).details.confusion.unwrap();
    assert_eq!(confusion.counts, [[2.0, 3.0], [4.0, 1.0]]);
    let weighted = Rows::new([(0.0, vec![1.0]), (1.0, vec![0.7]), (0.0, vec![0.5])]);
    let weighted = weighted.weighted(|i| [0.5, 0.7, 0.9][i]);
    let confusion = evaluate(2, &weighted, &[]).details.confusion.unwrap();
    assert_eq!(confusion.counts, [[0.9, 0.5], [0.0, 0.7]]);

    // Thresholds between predictions count as the next higher prediction does.
    let rows =
        Rows::new([(0.0, 0.0), (0.0, 0.5), (1.0, 0.3), (1.0, 0.9)].map(|(y, p)| (y, vec![p])));
    let roc = evaluate(2, &rows, &[]).details.roc;
    for (threshold, true_positives, false_positives) in
        [(0.75, 1.0, 0.0), (0.25, 2.0, 1.0), (0.0, 2.0, 2.0)]
    {
        let above = roc.iter().filter(|point| point.threshold >= threshold);
        let point = above
            .min_by(|a, b| a.threshold.total_cmp(&b.threshold))
            .unwrap();
        assert_eq!(
            (
                point.true_positive_rate * 2.0,
                point.false_positive_rate * 2.0
            ),
            (true_positives, false_positives),
            "{threshold}"
        );
    }
}

#[test]
fn a_weight_of_two_is_a_row_that_is_there_twice() {
    for (k, rows) in [(2, binary()), (3, classes()), (0, values())] {
        let asked = [
            "fbeta(2)",
            "cost(1, 5)",
            "top_k_accuracy(2)",
            "pinball(0.2)",
        ];
        let twice = rows
            .clone()
            .weighted(|i| if i % 3 == 0 { 2.0 } else { 1.0 });
        let doubled = rows.take(&(0..N).chain((0..N).filter(|i| i % 3 == 0)));
        let (twice, doubled) = (evaluate(k, &twice, &asked), evaluate(k, &doubled, &asked));
        assert!(twice.overall.len() > 8);
        for (name, value) in &twice.overall {
            if name != "example_count" {
                let other = doubled.metric(name).unwrap();
                assert!(
                    (value.value - other).abs() < 1e-9,
                    "{name}: {value:?} {other}"
                );
            }
        }
    }
}

#[test]
fn parts_merge_into_the_whole_through_their_bytes() {
    for (k, mut rows) in [(2, binary()), (3, classes()), (0, values())] {
        rows.keys = Some((0..N).map(|i| format!("k{}", i % 5)).collect());
        rows.baseline = Some(rows.outputs.iter().rev().cloned().collect());
        let by = vec![SliceBy::from("who")];
        let prototype = evaluator(k, &["pinball(0.9)"], by);
        let mut whole = prototype.clone();
        whole.update(&rows.batch()).unwrap();
        let mut merged = prototype.clone();
        for part in [0..300, 300..301, 301..N] {
            let mut one = prototype.clone();
            one.update(&rows.take(&part).batch()).unwrap();
            let travelled = Evaluator::from_state(&one.state().unwrap()).unwrap();
            merged.merge(travelled).unwrap();
        }
        let finished = |evaluator: &Evaluator| {
            [
                evaluator.finish().unwrap(),
                evaluator.finish_baseline().unwrap(),
                evaluator.finish_changes().unwrap(),
            ]
        };
        for (a, b) in finished(&whole).iter().zip(&finished(&merged)) {
            assert_eq!(a.slices.len(), 5);
            assert_eq!(a.slices[0].slice, Slice::of("who", "k0"));
            let values = |evaluation: &Evaluation| -> Vec<(String, f64)> {
                let slices = evaluation.slices.iter().flat_map(|slice| &slice.metrics);
                let all = evaluation.overall.iter().chain(slices);
                all.map(|(name, value)| (name.clone(), value.value))
                    .collect()
            };
            for ((name, one), (_, other)) in values(a).iter().zip(values(b)) {
                assert!((one - other).abs() < 1e-9, "{name}: {one} {other}");
            }
        }
    }
}

#[test]
fn odd_rows_have_no_value_rather_than_a_wrong_one() {
    let none = evaluator(2, &[], Vec::new()).finish().unwrap();
    assert_eq!(none.overall.keys().collect::<Vec<_>>(), ["example_count"]);
    let one_class = evaluate(2, &Rows::new((0..5).map(|_| (1.0, vec![0.7]))), &[]);
    for name in [
        "auc",
        "ks",
        "specificity",
        "skill",
        "mcc",
        "balanced_accuracy",
    ] {
        assert!(!one_class.overall.contains_key(name), "{name}");
    }
    assert_eq!(one_class.metric("recall").unwrap(), 1.0);
    let one_row = evaluate(0, &Rows::new([(0.0, vec![1.0])]), &[]);
    assert_eq!(one_row.overall["mae"], MetricValue::new(1.0, 1));
    assert!(!one_row.overall.contains_key("mape") && !one_row.overall.contains_key("r2"));
    // An unseen class is a mistake, in every number.
    let unseen = evaluate(
        2,
        &Rows::new([(1.0, vec![0.9]), (0.0, vec![0.1]), (f64::NAN, vec![0.9])]),
        &[],
    );
    assert_eq!(unseen.unseen_classes["new"], 1);
    assert_eq!(unseen.metric("accuracy").unwrap(), 2.0 / 3.0);
    assert_eq!(unseen.metric("precision").unwrap(), 0.5);
    assert_eq!(unseen.metric("f1").unwrap(), 2.0 / 3.0);
    assert_eq!(unseen.metric("auc").unwrap(), 1.0);
    let violet = Rows::new([
        (0.0, vec![0.8, 0.1, 0.1]),
        (1.0, vec![0.1, 0.8, 0.1]),
        (2.0, vec![0.1, 0.1, 0.8]),
        (f64::NAN, vec![0.8, 0.1, 0.1]),
    ]);
    // scikit-learn: f1_score([0, 1, 2, 3], [0, 1, 2, 0], average="macro").
    assert!((evaluate(3, &violet, &[]).metric("macro_f1").unwrap() - 2.0 / 3.0).abs() < 1e-12);
}

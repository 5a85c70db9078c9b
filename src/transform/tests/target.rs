//! Target encoding: what training rows see of the label, and what served rows see.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};

use crate::transform::ops::TargetEncode;
use crate::transform::{FittedTransform, Roles, Transform};

const LABEL: Roles<'static> = Roles { label: Some("y") };

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Numbers in 0..1 that look random.
fn noise(seed: u64, n: usize) -> Vec<f64> {
    let bits = |i: usize| fourfold_kernels::hash::xxh64(seed, &(i as u64).to_le_bytes());
    (0..n)
        .map(|i| (bits(i) >> 11) as f64 / (1_u64 << 53) as f64)
        .collect()
}

#[track_caller]
fn fit(transform: &Transform, rows: &RecordBatch) -> FittedTransform {
    let fitted = transform
        .fit_with(std::slice::from_ref(rows), LABEL)
        .unwrap();
    let saved = serde_json::to_string(&fitted).unwrap();
    let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
    assert_eq!(loaded, fitted, "{saved}");
    let configured = serde_json::to_string(transform).unwrap();
    let configured: Transform = serde_json::from_str(&configured).unwrap();
    assert_eq!(&configured, transform);
    loaded
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| of(x - mean_x, y - mean_y))
            .sum()
    };
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

/// Rows of a category without meaning, and a label that depends on nothing.
fn nonsense(n: usize) -> (RecordBatch, Vec<f64>) {
    let categories: Vec<i64> = noise(1, n)
        .iter()
        .map(|x| (x * n as f64 / 4.0) as i64)
        .collect();
    let y: Vec<bool> = noise(2, n).iter().map(|x| *x < 0.4).collect();
    let numbers = y.iter().map(|y| f64::from(u8::from(*y))).collect();
    let rows = batch([
        ("category", Arc::new(Int64Array::from(categories))),
        ("id", Arc::new(Int64Array::from_iter_values(0..n as i64))),
        ("y", Arc::new(BooleanArray::from(y))),
    ]);
    (rows, numbers)
}

#[test]
fn a_category_without_meaning_has_no_lift_on_the_rows_it_is_trained_on() {
    let (rows, y) = nonsense(8_000);
    let encode = TargetEncode::default().smoothing(1.0).fold_by(["id"]);
    let fitted = fit(&Transform::new().step("category", encode), &rows);
    let column = |features: ndarray::Array2<f32>| -> Vec<f64> {
        features.column(0).iter().map(|x| f64::from(*x)).collect()
    };
    let trained_on = column(fitted.apply_training(&rows).unwrap());
    let served = column(fitted.apply(&rows).unwrap());
    // Every row's own label is in what is served: half of the variance of four rows' mean.
    assert!(
        correlation(&served, &y) > 0.4,
        "{}",
        correlation(&served, &y)
    );
    assert!(
        correlation(&trained_on, &y).abs() < 0.03,
        "{}",
        correlation(&trained_on, &y)
    );
}

#[test]
fn a_training_row_is_encoded_by_the_other_folds_and_a_served_one_by_all() {
    let (rows, y) = nonsense(400);
    let encode = TargetEncode::default()
        .smoothing(2.0)
        .folds(3)
        .fold_by(["id"]);
    let fitted = fit(&Transform::new().step("category", encode), &rows);
    let categories: &Int64Array = rows.column(0).as_any().downcast_ref().unwrap();
    let inputs = [0, 1].map(|at| ArrayRef::clone(rows.column(at)));
    let folds = crate::transform::folds::row_hashes(&inputs).unwrap();
    let mean = |of: &dyn Fn(usize) -> bool| -> (f64, f64) {
        let rows = (0..y.len()).filter(|row| of(*row));
        rows.fold((0.0, 0.0), |(n, sum), row| (n + 1.0, sum + y[row]))
    };
    let encoded = |row: usize, others: &dyn Fn(usize) -> bool| -> f32 {
        let (n_all, sum_all) = mean(others);
        let (n, sum) =
            mean(&|other| others(other) && categories.value(other) == categories.value(row));
        ((sum + 2.0 * sum_all / n_all) / (n + 2.0)) as f32
    };
    let trained_on = fitted.apply_training(&rows).unwrap();
    let served = fitted.apply(&rows).unwrap();
    for row in 0..y.len() {
        let other_folds = |other: usize| folds[other] % 3 != folds[row] % 3;
        assert_eq!(
            trained_on[[row, 0]],
            encoded(row, &other_folds),
            "row {row}"
        );
        assert_eq!(served[[row, 0]], encoded(row, &|_| true), "row {row}");
    }
    // The result is the same in any blocks of rows.
    for (from, n) in [(0, 1), (37, 200)] {
        let part = fitted.apply_training(&rows.slice(from, n)).unwrap();
        let same = (from..from + n).zip(part.rows());
        same.for_each(|(row, part)| assert_eq!(part, trained_on.row(row)));
    }
    // Serving reads the inputs, not the key.
    assert_eq!(fitted.apply(&rows.project(&[0]).unwrap()).unwrap(), served);
    let error = fitted
        .apply_training(&rows.project(&[0]).unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no column `id`; there are `category`"
    );
}

#[test]
fn rows_that_were_not_seen_are_the_overall_mean() {
    let category: ArrayRef = Arc::new(StringArray::from(vec![
        Some("a"),
        Some("a"),
        Some("a"),
        None,
        Some("b"),
    ]));
    let rows = batch([
        ("c", category),
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        (
            "y",
            Arc::new(Float64Array::from(vec![
                Some(1.0),
                Some(2.0),
                Some(6.0),
                Some(11.0),
                None,
            ])),
        ),
    ]);
    let encode = TargetEncode::default().smoothing(1.0).fold_by(["id"]);
    let fitted = fit(&Transform::new().step("c", encode.clone()), &rows);
    let odd: ArrayRef = Arc::new(StringArray::from(vec![
        Some("a"),
        None,
        Some("never"),
        Some("b"),
    ]));
    let found = fitted.apply(&batch([("c", odd)])).unwrap();
    assert_eq!(found.column(0).to_vec(), [3.5, 5.0, 5.0, 5.0]);
    // No smoothing, and a limit that leaves out all but the most frequent.
    let bare = encode.smoothing(0.0).max_categories(1);
    let fitted = fit(&Transform::new().step("c", bare), &rows);
    let odd: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b")]));
    let found = fitted.apply(&batch([("c", odd)])).unwrap();
    assert_eq!(found.column(0).to_vec(), [3.0, 5.0]);
}

#[test]
fn classes_have_a_feature_each() {
    let categories: Vec<&str> = (0..30)
        .map(|i| if i % 2 == 0 { "a" } else { "b" })
        .collect();
    let labels: Vec<&str> = (0..30).map(|i| ["no", "yes", "maybe"][i % 3]).collect();
    let rows = |labels: Vec<&str>| {
        batch([
            ("c", Arc::new(StringArray::from(categories.clone()))),
            ("id", Arc::new(Int64Array::from_iter_values(0..30))),
            ("y", Arc::new(StringArray::from(labels))),
        ])
    };
    let transform = Transform::new().step("c", TargetEncode::default().fold_by(["id"]));
    let three = rows(labels.clone());
    let fitted = fit(&transform, &three);
    assert_eq!(fitted.features(), ["c->maybe", "c->no", "c->yes"]);
    for features in [
        fitted.apply(&three).unwrap(),
        fitted.apply_training(&three).unwrap(),
    ] {
        for row in features.rows() {
            assert!((row.sum() - 1.0).abs() < 1e-6, "{row}");
        }
    }
    let two = rows(
        labels
            .iter()
            .map(|label| if *label == "maybe" { "no" } else { label })
            .collect(),
    );
    let fitted = fit(&transform, &two);
    assert_eq!(fitted.features(), ["c"]);
    let share = fitted.apply(&two).unwrap()[[0, 0]];
    assert!((share - 1.0 / 3.0).abs() < 1e-6, "{share}");
}

#[test]
fn later_steps_learn_from_what_training_rows_see() {
    let (rows, _) = nonsense(2_000);
    let encode = TargetEncode::default().fold_by(["id"]);
    let fitted = fit(
        &Transform::new()
            .step("category", encode)
            .z_score("category"),
        &rows,
    );
    let features = fitted.apply_training(&rows).unwrap();
    let mean = features.mean().unwrap();
    let variance = features.mapv(|x| (x - mean).powi(2)).mean().unwrap();
    assert!(
        mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4,
        "{mean} {variance}"
    );
}

#[test]
fn odd_encodings_are_refused() {
    let refused = |encode: TargetEncode| {
        Transform::new()
            .step("c", encode)
            .check()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(TargetEncode::default().smoothing(-1.0)),
        "transform of `c`: the smoothing of target_encode is -1, must be finite and at least 0"
    );
    assert_eq!(
        refused(TargetEncode::default().folds(1)),
        "transform of `c`: `n_folds` of target_encode is 1, must be at least 2"
    );
    let same: ArrayRef = Arc::new(StringArray::from(vec!["a"; 20]));
    let y: ArrayRef = Arc::new(Float64Array::from_iter_values((0..20).map(f64::from)));
    let rows = batch([("c", same), ("y", y)]);
    let error = |transform: Transform| {
        transform
            .fit_with(std::slice::from_ref(&rows), LABEL)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(Transform::new().target_encode("c")),
        "transform of `c`: no category has rows in two folds, so training rows can learn nothing of it; either no \
         category is repeated, or the inputs do not tell rows apart: name a key with `TargetEncode::fold_by`"
    );
    assert_eq!(
        error(Transform::new().step("c", TargetEncode::default().fold_by(["y"]))),
        "the label `y` is in `fold_by`; the fold of a row must not tell its label"
    );
}

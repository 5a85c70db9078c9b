//! What every operation on numbers promises: one row has the bits it has in a batch, saving changes nothing, and parts
//! learn what the whole does in any order.

use std::sync::Arc;

use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::transform::{Fill, FittedTransform, Roles, Transform};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::support::cases;

/// A row: two numbers, a whole number, a key.
type Row = (Option<f64>, Option<f64>, Option<i64>, Option<String>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![
        8 => -1e6..1e6_f64,
        2 => (-3..3_i32).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ];
    let row = (
        option::weighted(0.9, number.clone()),
        option::weighted(0.9, number),
        option::weighted(0.9, -5..5_i64),
        option::weighted(0.9, "[abc]"),
    );
    vec(row, 1..60)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let a: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.0)));
    let b: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)));
    let whole: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2)));
    let key: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.3.clone())));
    RecordBatch::try_from_iter([("a", a), ("b", b), ("whole", whole), ("key", key)]).unwrap()
}

/// A row with which everything can be learned.
fn learnable(mut rows: Vec<Row>) -> Vec<Row> {
    rows.push((Some(1.0), Some(-2.0), Some(3), Some("a".to_owned())));
    rows.push((Some(2.0), Some(5.0), Some(3), Some("b".to_owned())));
    rows
}

/// The operations, each on columns of its own; imputed first and last, so that every row has features.
fn transform() -> Transform {
    let filled = |transform: Transform, name: &str| transform.impute(name, Fill::Number(0.5));
    let copy = |transform: Transform, of: &str, to: &str| {
        transform.step_to(of, to, fourfold::transform::ops::Number {})
    };
    let mut all = Transform::new();
    for name in [
        "range", "abs", "normal", "clipped", "mode", "bucket", "filled", "median",
    ] {
        all = copy(all, "a", name);
    }
    all = all
        .min_max_to("range", -1.0, 3.0)
        .max_abs("abs")
        .quantile_normal("normal", 20)
        .clip_values("clipped", -10.0, 10.0)
        .impute("mode", Fill::Mode)
        .impute("whole", Fill::Mode)
        .bucketize_per_key("bucket", "key", 3)
        .impute_per_key("filled", "key", Fill::Mean)
        .impute_per_key("median", "key", Fill::Median)
        .pca(["a", "b"], 2)
        .pca_whitened(["b", "whole"], "white", 1);
    if cfg!(feature = "sql") {
        all = all.derive("ratio", "a / (1 + abs(b)) + coalesce(whole, 0)");
        all = filled(all, "ratio");
    }
    for name in [
        "range", "abs", "normal", "clipped", "bucket", "pca_0", "pca_1", "white_0",
    ] {
        all = filled(all, name);
    }
    all
}

fn bits(transform: &FittedTransform, rows: &RecordBatch) -> Vec<u32> {
    let features = transform.apply(rows).unwrap();
    features.iter().map(|value| value.to_bits()).collect()
}

/// Fitted on parts that are merged in the order of their numbers.
fn fit_parts(parts: &[RecordBatch], order: &[usize]) -> FittedTransform {
    let schema = parts[0].schema();
    let mut fitting = transform().fitting(&schema, Roles::default()).unwrap();
    while let Some(pass) = fitting.pass().unwrap() {
        let mut whole = pass.clone();
        for number in order {
            let mut part = pass.clone();
            part.update(&parts[*number]).unwrap();
            whole.merge(part).unwrap();
        }
        fitting.absorb(whole).unwrap();
    }
    fitting.finish().unwrap()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_row_has_the_bits_it_has_in_its_batch(train in rows(), rows in rows()) {
        let fitted = transform().fit(&[batch(&learnable(train))]).unwrap();
        let rows = batch(&rows);
        let whole = bits(&fitted, &rows);
        let one_by_one: Vec<u32> =
            (0..rows.num_rows()).flat_map(|row| bits(&fitted, &rows.slice(row, 1))).collect();
        prop_assert_eq!(whole, one_by_one);
    }

    #[test]
    fn saved_and_loaded_it_is_the_same(train in rows(), rows in rows()) {
        let fitted = transform().fit(&[batch(&learnable(train))]).unwrap();
        let saved = serde_json::to_string(&fitted).unwrap();
        let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
        prop_assert_eq!(&loaded, &fitted);
        let rows = batch(&rows);
        prop_assert_eq!(bits(&loaded, &rows), bits(&fitted, &rows));
    }

    #[test]
    fn parts_in_any_order_learn_what_the_whole_does(
        rows in rows(),
        cuts in vec(0.0..1.0_f64, 2),
        order in Just(vec![0_usize, 1, 2]).prop_shuffle(),
    ) {
        let rows = batch(&learnable(rows));
        let n = rows.num_rows();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| (cut * n as f64) as usize).collect();
        cuts.extend([0, n]);
        cuts.sort_unstable();
        let parts: Vec<RecordBatch> =
            cuts.windows(2).map(|ends| rows.slice(ends[0], ends[1] - ends[0])).collect();
        let whole = serde_json::to_value(fit_parts(std::slice::from_ref(&rows), &[0])).unwrap();
        let merged = serde_json::to_value(fit_parts(&parts, &order)).unwrap();
        let numbers = |saved: &serde_json::Value| {
            let mut found = Vec::new();
            numbers_of(saved, &mut found);
            found
        };
        let (whole, merged) = (numbers(&whole), numbers(&merged));
        prop_assert_eq!(whole.len(), merged.len());
        for (a, b) in whole.iter().zip(&merged) {
            let scale = 1e-7 * (1.0 + a.abs().max(b.abs()));
            prop_assert!((a - b).abs() <= scale, "{} and {}", a, b);
        }
    }
}

fn numbers_of(json: &serde_json::Value, found: &mut Vec<f64>) {
    match json {
        serde_json::Value::Number(number) => found.extend(number.as_f64()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| numbers_of(item, found)),
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| match &name[..] {
                // Directions of about equal or of no variance turn with the last bit.
                "components" => numbers_of(&field[0]["variance"], found),
                _ => numbers_of(field, found),
            })
        }
        _ => {}
    }
}

#[test]
fn odd_columns() {
    let rows = |x: Vec<f64>| {
        let x: ArrayRef = Arc::new(Float64Array::from(x));
        RecordBatch::try_from_iter([("x", x)]).unwrap()
    };
    let constant = rows(vec![4.0, 4.0]);
    let of = |transform: Transform| {
        let fitted = transform.fit(std::slice::from_ref(&constant)).unwrap();
        fitted
            .apply(&rows(vec![4.0, 6.0]))
            .unwrap()
            .column(0)
            .to_vec()
    };
    // The reference: 9.82, the sigmoid of 4 in 0 to 10.
    assert_eq!(of(Transform::new().min_max_to("x", 0.0, 10.0)), [0.0, 2.0]);
    assert_eq!(of(Transform::new().max_abs("x")), [1.0, 1.5]);
    let ends = of(Transform::new().quantile_normal("x", 10));
    assert!(ends[0] == 0.0 && ends[1] > 1.6, "{ends:?}");

    let zeros = rows(vec![0.0, 0.0]);
    let fitted = Transform::new().max_abs("x").fit(&[zeros]).unwrap();
    assert_eq!(
        fitted.apply(&constant).unwrap().column(0).to_vec(),
        [4.0, 4.0]
    );

    let nothing = rows(vec![f64::NAN]);
    let none = "transform of `x`: the training split has no finite value to learn from";
    for transform in [
        Transform::new().min_max_to("x", 0.0, 1.0),
        Transform::new().max_abs("x"),
        Transform::new().quantile_normal("x", 10),
    ] {
        let error = transform.fit(std::slice::from_ref(&nothing)).unwrap_err();
        assert_eq!(error.message(), none);
    }
    let error = Transform::new()
        .impute("x", Fill::Mode)
        .fit(std::slice::from_ref(&nothing))
        .unwrap_err();
    assert_eq!(
        error.message(),
        "transform of `x`: the training split has no value to learn from"
    );
    let error = Transform::new().pca(["x"], 1).fit(&[nothing]).unwrap_err();
    let none = "transform of `x`: the training split has no row in which every column is finite";
    assert_eq!(error.message(), none);
    let error = Transform::new()
        .pca(["x"], 1)
        .fit(&[rows(vec![1e200, -1e200])])
        .unwrap_err();
    let large =
        "transform of `x`: the covariances are too large for a float; scale the columns first";
    assert_eq!(error.message(), large);
}

#[test]
fn configured_values_are_checked() {
    let cases = [
        (
            Transform::new().min_max_to("x", 1.0, 1.0),
            "transform of `x`: min_max_to 1 and 1, must be finite and out_min < out_max",
        ),
        (
            Transform::new().clip_values("x", 0.0, f64::INFINITY),
            "transform of `x`: clip_values to 0 and inf, must be finite and low <= high",
        ),
        (
            Transform::new().quantile_normal("x", 1),
            "transform of `x`: `n_quantiles` of quantile_normal is 1, must be 2 to 10000",
        ),
        (
            Transform::new().bucketize_per_key("x", "k", 1),
            "transform of `x`, `k`: `n_buckets` of bucketize_per_key is 1, must be at least 2",
        ),
        (
            Transform::new().impute_per_key("x", "k", Fill::Mode),
            "transform of `x`, `k`: impute_per_key fills with Mode, must be the mean or the median",
        ),
        (
            Transform::new().pca(["x", "y"], 3),
            "transform of `x`, `y`: 2 inputs, must be at least 3",
        ),
    ];
    for (transform, expected) in cases {
        assert_eq!(transform.check().unwrap_err().message(), expected);
    }
}

#[test]
fn the_most_frequent_number_fills_as_a_number() {
    let real: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(0.5),
        Some(0.5),
        Some(7.25),
        None,
        Some(f64::NAN),
    ]));
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(9),
        Some(3),
        Some(9),
        Some(3),
        None,
    ]));
    let rows = RecordBatch::try_from_iter([("real", real), ("whole", whole)]).unwrap();
    let transform = Transform::new()
        .impute("real", Fill::Mode)
        .impute("whole", Fill::Mode);
    let features = transform
        .fit(std::slice::from_ref(&rows))
        .unwrap()
        .apply(&rows)
        .unwrap();
    assert_eq!(features.column(0).to_vec(), [0.5, 0.5, 7.25, 0.5, 0.5]);
    // Of equally frequent ones the smallest.
    assert_eq!(features.column(1).to_vec(), [9.0, 3.0, 9.0, 3.0, 3.0]);
    let one_hot = transform
        .one_hot("whole")
        .fit(std::slice::from_ref(&rows))
        .unwrap();
    assert_eq!(
        one_hot.features(),
        ["real", "whole=3", "whole=9", "whole=<other>"]
    );
}

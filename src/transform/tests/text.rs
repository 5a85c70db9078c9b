//! Words and their weights, against the numbers of TensorFlow Transform's own tests.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::Int64Type;

use crate::accumulate::Accumulate;
use crate::schema::FieldType;
use crate::transform::fit::FitPass;
use crate::transform::ops::Terms;
use crate::transform::value::Value;
use crate::transform::{FittedTransform, Roles, Transform};

pub(super) fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

pub(super) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn whole(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(super) fn lists(rows: &[&[&str]]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        lists.append_value(row.iter().copied().map(Some));
    }
    Arc::new(lists.finish())
}

/// Fitted in two parts that are merged, saved and loaded.
#[track_caller]
pub(super) fn fit_with(
    transform: &Transform,
    rows: &RecordBatch,
    roles: Roles<'_>,
) -> FittedTransform {
    let whole = transform
        .fit_with(std::slice::from_ref(rows), roles)
        .unwrap();
    let mut fitting = transform.fitting(&rows.schema(), roles).unwrap();
    while let Some(pass) = fitting.pass().unwrap() {
        let mut merged = pass.clone();
        let half = rows.num_rows() / 2;
        for (from, n) in [(0, half), (half, rows.num_rows() - half)] {
            let mut part = pass.clone();
            part.update(&rows.slice(from, n)).unwrap();
            merged
                .merge(FitPass::from_state(&part.state().unwrap()).unwrap())
                .unwrap();
        }
        fitting.absorb(merged).unwrap();
    }
    assert_eq!(fitting.finish().unwrap(), whole, "parts merge to the whole");
    let saved = serde_json::to_string(&whole).unwrap();
    let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
    assert_eq!(loaded, whole, "{saved}");
    let configured = serde_json::to_string(transform).unwrap();
    let configured: Transform = serde_json::from_str(&configured).unwrap();
    assert_eq!(&configured, transform);
    loaded
}

#[track_caller]
pub(super) fn fit(transform: &Transform, rows: &RecordBatch) -> FittedTransform {
    fit_with(transform, rows, Roles::default())
}

pub(super) fn rows_of(fitted: &FittedTransform, rows: &RecordBatch) -> Vec<Vec<f32>> {
    let features = fitted.apply(rows).unwrap();
    features
        .rows()
        .into_iter()
        .map(|row| row.to_vec())
        .collect()
}

/// The lists that a chain of steps without learners makes of a string.
#[track_caller]
fn made(transform: &Transform, column: &ArrayRef) -> Vec<Option<Vec<String>>> {
    let mut value = Value::of(ArrayRef::clone(column), FieldType::Text).unwrap();
    for step in transform.steps() {
        let fitted = step.op.operation().fitted().unwrap();
        value = fitted.apply().apply(&[&value]).unwrap();
    }
    let array = value.to_array().unwrap();
    let list: &ListArray = array.as_list();
    list.iter()
        .map(|row| {
            Some(
                row?.as_string::<i32>()
                    .iter()
                    .flatten()
                    .map(str::to_owned)
                    .collect(),
            )
        })
        .collect()
}

fn owned(rows: &[&[&str]]) -> Vec<Option<Vec<String>>> {
    rows.iter()
        .map(|row| Some(row.iter().map(|item| (*item).to_owned()).collect()))
        .collect()
}

#[test]
fn odd_terms_are_refused() {
    for (terms, why) in [
        (
            Terms::top(0),
            "`top_k` of the terms is 0, must be 1 to 1000000",
        ),
        (
            Terms::all().min_count(0),
            "`min_count` of the terms is 0, must be at least 1",
        ),
        (
            Terms::all().oov(1_000_001),
            "`n_oov` of the terms is 1000001, must be 0 to 1000000",
        ),
    ] {
        for transform in [
            Transform::new().vocabulary("x", terms),
            Transform::new().one_hot_of("x", terms),
            Transform::new().bag_of_words("x", terms),
            Transform::new().tf_idf("x", terms),
        ] {
            let error = transform.check().unwrap_err();
            assert_eq!(error.to_string(), format!("transform of `x`: {why}"));
        }
    }
    let error = Transform::new().n_grams("x", 2..=11).check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `x`: the sizes of n_grams are 2 to 11, must be a range within 1 to 10"
    );
    let rows = batch([("x", texts(&["a b"]))]);
    let error = Transform::new()
        .bag_of_words("x", Terms::all())
        .fit(&[rows])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform of `x`: this step takes a column of lists, the column is of type text"
    );
}

#[test]
fn text_splits_into_words() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![
        Some("The late, LATE flight to Zürich-Nord №7!"),
        Some(" \t--"),
        None,
        Some("ΟΔΟΣ İ 東京"),
    ]));
    let words = made(&Transform::new().tokens("x"), &text);
    let mut expected = owned(&[
        &["the", "late", "late", "flight", "to", "zürich", "nord", "7"],
        &[],
        &[],
        &["οδος", "i\u{307}", "東京"],
    ]);
    expected[2] = None;
    assert_eq!(words, expected);
    let words = made(&Transform::new().tokens_at_whitespace("x"), &text);
    assert_eq!(words[0].as_ref().unwrap()[1], "late,");
    assert_eq!(words[2], None);
}

#[test]
fn n_grams_come_word_by_word() {
    let rows = texts(&["a late flight", "one", ""]);
    let grams = made(&Transform::new().tokens("x").n_grams("x", 1..=2), &rows);
    let expected = owned(&[
        &["a", "a late", "late", "late flight", "flight"],
        &["one"],
        &[],
    ]);
    assert_eq!(grams, expected);
    let grams = made(&Transform::new().tokens("x").n_grams("x", 2..=3), &rows);
    assert_eq!(
        grams,
        owned(&[&["a late", "a late flight", "late flight"], &[], &[]])
    );
}

#[test]
fn the_first_of_equal_words_stays() {
    let rows = texts(&["b a b c a", "x"]);
    let words = made(&Transform::new().tokens("x").deduplicate("x"), &rows);
    assert_eq!(words, owned(&[&["b", "a", "c"], &["x"]]));
}

#[test]
fn words_are_counted() {
    let rows = batch([("x", texts(&["to be or not to be", "be!", ""]))]);
    let transform = Transform::new()
        .word_count("x")
        .tokens("x")
        .bag_of_words("x", Terms::top(2).oov(1));
    let fitted = fit(&transform, &rows);
    assert_eq!(fitted.features(), ["x_words", "x=be", "x=to", "x=<other>"]);
    assert_eq!(
        rows_of(&fitted, &rows),
        [[6.0, 2.0, 2.0, 2.0], [1.0, 1.0, 0.0, 0.0], [0.0; 4]]
    );
    let of_lists = batch([("x", lists(&[&["a b", "c"], &[]]))]);
    let fitted = fit(&Transform::new().word_count("x").drop("x"), &of_lists);
    assert_eq!(rows_of(&fitted, &of_lists), [[2.0], [0.0]]);
}

#[test]
fn terms_are_weighted_by_how_few_rows_have_them() {
    // The reference's test: ids 0, 1, 1 / none / 1, 2 over three rows.
    let column = [
        Some(vec![Some(0), Some(1), Some(1)]),
        Some(vec![]),
        Some(vec![Some(1), Some(2)]),
    ];
    let column: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(column));
    let rows = batch([("x", column)]);
    let fitted = fit(&Transform::new().tf_idf("x", Terms::all()), &rows);
    assert_eq!(fitted.features(), ["x=1", "x=0", "x=2"]);
    // Its numbers leave out the 1 + of the weight, which adds the term's share.
    let of = |share: f64, number: f64| share + number;
    let expected = [
        [
            of(2.0 / 3.0, 0.191_788_06),
            of(1.0 / 3.0, 0.231_049_06),
            0.0,
        ],
        [0.0; 3],
        [of(0.5, 0.143_841_04), 0.0, of(0.5, 0.346_573_59)],
    ];
    for (found, expected) in rows_of(&fitted, &rows)
        .iter()
        .flatten()
        .zip(expected.concat())
    {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{found}, not {expected}"
        );
    }
    // Unknown items count in a row's length; a NULL item and a NULL list do not.
    let odd = [Some(vec![Some(0), Some(9), None]), None];
    let odd: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(odd));
    let found = rows_of(&fitted, &batch([("x", odd)]));
    let expected = 0.5 * (1.0 + 2_f64.ln());
    assert_eq!(found, [[0.0, expected as f32, 0.0], [0.0; 3]]);
}

#[test]
fn lists_are_hashed_to_counts() {
    let rows = batch([("x", texts(&["a b a", ""]))]);
    let of = |key| {
        let fitted = fit(
            &Transform::new().tokens("x").hash_with_key("x", 8, key),
            &rows,
        );
        assert_eq!(fitted.features().len(), 8);
        rows_of(&fitted, &rows)
    };
    let found = of(0);
    assert_eq!(found[0].iter().sum::<f32>(), 3.0);
    assert_eq!(found[1], [0.0; 8]);
    assert!((1..20).any(|key| of(key) != found));
    // A word has the bucket that it has as a value.
    let word = batch([("x", texts(&["a"]))]);
    let as_value = fit(&Transform::new().hash("x", 8), &word);
    let as_word = fit(&Transform::new().tokens("x").hash("x", 8), &word);
    assert_eq!(rows_of(&as_value, &word), rows_of(&as_word, &word));
}
